"""Image bytes: what is accepted, what is refused, and what is written into a PNG."""

import errno
import io
import struct
import zlib

import pytest
from PIL import Image

from krea_pipe.core import image_file, images
from krea_pipe.core.image_file import image_size, sniff
from krea_pipe.core.images import NotAnImage

FORMATS = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp", "AVIF": "image/avif"}


def picture(size=(96, 64), mode="RGB"):
    return Image.radial_gradient("L").resize(size).convert(mode)


def encoded(form, image=None, **options):
    buffer = io.BytesIO()
    (image or picture()).save(buffer, form, **options)
    return buffer.getvalue()


def facts_of(data):
    return images.examine(data)[0]


def type_and_size(data):
    facts = facts_of(data)
    return facts.mime, facts.width, facts.height


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_of_header(width, height):
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + png_chunk(b"IDAT", zlib.compress(b"\0")) + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("form", FORMATS)
def test_facts_come_from_the_bytes(form):
    assert type_and_size(encoded(form)) == (FORMATS[form], 96, 64)


@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 50}, {"lossless": True, "exif": b"Exif\0\0"}])
def test_every_kind_of_webp_header_is_read(options):
    data = encoded("WEBP", picture((301, 77), "RGBA"), **options)
    assert image_size(data) == (301, 77)
    assert facts_of(data).width == 301


def test_progressive_jpeg_with_long_headers_is_read():
    # Pillow before 13 cannot write these itself.
    comment = b"\xff\xfe" + struct.pack(">H", 60_002) + b"c" * 60_000
    profile = [
        b"\xff\xe2" + struct.pack(">H", 35_016) + b"ICC_PROFILE\0" + bytes([n, 2]) + b"p" * 35_000 for n in (1, 2)
    ]
    plain = encoded("JPEG", progressive=True)
    data = b"".join([plain[:2], comment, *profile, plain[2:]])
    assert image_size(data) == (96, 64)
    assert facts_of(data).mime == "image/jpeg"


@pytest.mark.parametrize("form", FORMATS)
def test_an_image_cut_off_anywhere_is_refused(form):
    data = encoded(form, picture((64, 64)))
    for length in [*range(0, len(data), 37), *range(len(data) - 16, len(data) - 1)]:
        with pytest.raises(NotAnImage) as caught:
            images.examine(data[:length])
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_overwritten_bytes_never_escape_as_foreign_errors(form):
    data = encoded(form)
    for at in range(0, len(data) - 4, 5):
        damaged = data[:at] + b"\xff\x00\xff\x7f" + data[at + 4 :]
        try:
            images.examine(damaged)
        except NotAnImage:
            continue


@pytest.mark.parametrize("side", [256, 16])
def test_damaged_pixels_are_refused_however_small_the_image_is(side):
    whole = encoded("PNG", picture((64, 64)))
    at = whole.index(b"IDAT")
    length = int.from_bytes(whole[at - 4 : at], "big")
    damaged = whole[: at - 4] + png_chunk(b"IDAT", whole[at + 4 : at + 4 + length // 2]) + whole[at + length + 8 :]
    with pytest.raises(NotAnImage, match="the image is damaged"):
        images.examine(damaged, side)


@pytest.mark.parametrize("call", ["open", "Image.save"])
def test_an_error_of_the_system_is_not_called_a_damaged_image(monkeypatch, call):
    def fails(*_, **__):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    data = encoded("PNG")
    monkeypatch.setattr(f"PIL.Image.{call}", fails)
    with pytest.raises(FileNotFoundError):
        images.examine(data)


def test_a_png_with_a_wrong_checksum_is_refused():
    data = bytearray(encoded("PNG"))
    data[data.index(b"IDAT") + 40] ^= 1
    with pytest.raises(NotAnImage):
        facts_of(bytes(data))


def png_of_rows(rows):
    """A PNG of 64 rows whose chunks and zlib stream are whole, though it holds other rows."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 96, 64, 8, 0, 0, 0, 0))
    pixels = png_chunk(b"IDAT", zlib.compress((b"\0" + b"\x40" * 96) * rows))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + png_chunk(b"IEND", b"")


@pytest.mark.parametrize("rows", [0, 32, 63])
def test_a_png_without_all_of_its_rows_is_refused(rows):
    with pytest.raises(NotAnImage):
        images.examine(png_of_rows(rows))


KINDS = [(0, 1), (0, 8), (0, 16), (2, 8), (2, 16), (3, 4), (3, 8), (4, 8), (4, 16), (6, 8), (6, 16)]
"""Colour types of PNG and the bits of a sample."""
SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""The first column and row of each pass, and the steps between its columns and its rows."""


def png_of_kind(colour, depth, value, *, interlaced, share):
    """A PNG of 16 x 17 pixels whose samples have one value, with a share of the bytes of its rows."""
    rows = bytearray()
    for x, y, across, down in ADAM7 if interlaced else ((0, 0, 1, 1),):
        bits = len(range(x, 16, across)) * SAMPLES[colour] * depth
        rows += (b"\0" + bytes([value]) * -(-bits // 8)) * len(range(y, 17, down))
    head = png_chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 17, depth, colour, 0, 0, int(interlaced)))
    palette = png_chunk(b"PLTE", bytes(3 << depth)) if colour == 3 else b""
    pixels = png_chunk(b"IDAT", zlib.compress(rows[: round(len(rows) * share)]))
    return b"".join([b"\x89PNG\r\n\x1a\n", head, palette, pixels, png_chunk(b"IEND", b"")])


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(("colour", "depth"), KINDS)
@pytest.mark.parametrize("value", [0, 0x55])
def test_a_png_of_any_kind_is_whole_only_with_all_of_its_rows(colour, depth, value, interlaced):
    assert facts_of(png_of_kind(colour, depth, value, interlaced=interlaced, share=1)).height == 17
    for share in (0, 0.5, 0.97):
        with pytest.raises(NotAnImage):
            facts_of(png_of_kind(colour, depth, value, interlaced=interlaced, share=share))


@pytest.mark.parametrize("rows", [64, 65])
def test_a_png_with_all_of_its_rows_is_taken(rows):
    assert facts_of(png_of_rows(rows)).height == 64


@pytest.mark.parametrize(
    "data",
    [b"", b"GIF89a" + bytes(40), b"<!doctype html><title>502</title>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff"],
)
def test_other_types_and_bare_signatures_are_refused(data):
    with pytest.raises(NotAnImage):
        facts_of(data)
    assert image_size(data) is None


def test_a_gif_is_refused_although_pillow_could_read_it():
    with pytest.raises(NotAnImage, match="expected a PNG, JPEG, WebP or AVIF image"):
        facts_of(encoded("GIF"))


def test_a_bomb_is_refused_by_its_header():
    with pytest.raises(NotAnImage, match="30000 x 30000 is more than 89 megapixels"):
        images.examine(png_of_header(30_000, 30_000))


def test_a_second_header_does_not_smuggle_a_bomb_in():
    small, large = png_of_header(8, 8), png_of_header(10_000, 9_000)
    with pytest.raises(NotAnImage):
        facts_of(small[:33] + large[8:])


@pytest.mark.parametrize(
    ("head", "mime"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(24), "image/png"),
        (b"\xff\xd8\xff\xe0" + bytes(28), "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 " + bytes(16), "image/webp"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(8), "image/heic"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(8), "image/heic"),
        (b"\0\0\0\x18ftypmsf1\0\0\0\0msf1hevc" + bytes(8), "image/heic"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif" + bytes(8), "image/avif"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomiso2" + bytes(8), None),
        (b"RIFF\x10\0\0\0WAVEfmt " + bytes(16), None),
        (b"", None),
        (b"PK\x03\x04", None),
    ],
)
def test_reference_files_are_named_by_their_magic(head, mime):
    assert sniff(head) == mime


@pytest.mark.parametrize("form", FORMATS)
def test_a_thumbnail_is_a_webp_that_fits_the_side_and_keeps_the_ratio(form):
    facts, small = images.examine(encoded(form, picture((900, 300))))
    assert (facts.width, facts.height) == (900, 300)
    assert type_and_size(small) == ("image/webp", 256, 85)
    assert images.thumbnail(encoded(form, picture((900, 300))), 90) != small


def test_a_small_image_is_not_enlarged():
    assert image_size(images.thumbnail(encoded("PNG", picture((40, 20))))) == (40, 20)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_png_mode_has_a_thumbnail(mode):
    source = Image.new("I;16", (400, 200), 30_000) if mode == "I;16" else picture((400, 200), mode)
    assert image_size(images.thumbnail(encoded("PNG", source))) == (256, 128)


def test_a_cmyk_jpeg_has_a_thumbnail():
    data = encoded("JPEG", picture((400, 200), "CMYK"))
    assert image_size(images.thumbnail(data)) == (256, 128)


def test_transparency_survives_the_thumbnail():
    clear = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    with Image.open(io.BytesIO(images.thumbnail(encoded("PNG", clear)))) as small:
        assert small.mode == "RGBA"
        assert small.getpixel((5, 5))[3] == 0


ENTRIES = {"krea-pipe:prompt": "Ein Glas – 日本語 🍋\nzweite Zeile", "empty": "", "krea-pipe:key": "a" * 64}


def entries_of(data):
    return {one.key: one.text for one in image_file.plain_texts(data)}


def test_text_entries_round_trip_and_pillow_reads_them():
    tagged = image_file.with_text(encoded("PNG"), ENTRIES)
    assert entries_of(tagged) == ENTRIES
    with Image.open(io.BytesIO(tagged)) as image:
        assert dict(image.text) == ENTRIES
    facts_of(tagged)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16"])
def test_text_entries_leave_every_pixel_and_chunk_alone(mode):
    source = encoded("PNG", picture(mode="L").convert("I;16") if mode == "I;16" else picture(mode=mode))
    tagged = image_file.with_text(source, ENTRIES)
    with Image.open(io.BytesIO(source)) as before, Image.open(io.BytesIO(tagged)) as after:
        assert (before.mode, before.tobytes()) == (after.mode, after.tobytes())
    at = source.index(b"IDAT") - 4
    assert (tagged[:at], tagged[at - len(source) :]) == (source[:at], source[at:])


def test_a_very_long_entry_still_works():
    entries = {"prompt": "水" * 1_500_000}
    tagged = image_file.with_text(encoded("PNG"), entries)
    assert entries_of(tagged) == entries
    assert facts_of(tagged).width == 96


def test_keys_of_other_tools_are_read_and_their_entries_are_none_of_ours():
    body = b"zipped\0\1\0\0\0" + zlib.compress("später".encode())
    language = b"language\0\0\0de\0\0text"
    chunks = [(b"tEXt", b"Software\0caf\xe9"), (b"zTXt", b"old\0\0..."), (b"iTXt", body), (b"iTXt", language)]
    source = encoded("PNG")
    data = source[:33] + b"".join(png_chunk(*one) for one in chunks) + source[33:]
    assert image_file.text_keys(data) == {"Software", "old", "zipped", "language"}
    assert entries_of(data) == {}


@pytest.mark.parametrize(
    "chunk",
    [
        png_chunk(b"tEXt", b"no separator"),
        png_chunk(b"tEXt", b"\0no key"),
        png_chunk(b"iTXt", b""),
        png_chunk(b"iTXt", b"key\0"),
        png_chunk(b"iTXt", b"key\0\0\0\0"),
        png_chunk(b"iTXt", b"\0\0\0\0\0no key"),
        png_chunk(b"iTXt", b"key\0\0\0\0\0\xff\xfe"),
        png_chunk(b"iTXt", b"key\0\1\0\0\0not zlib"),
        png_chunk(b"iTXt", b"key\0\0\0\0\0text")[:-1] + b"?",
        png_chunk(b"tEXt", b"key\0text")[:-1] + b"?",
        b"\xff\xff\xff\xffiTXtkey\0\0\0\0\0text",
    ],
)
def test_garbled_entries_are_left_out(chunk):
    source = encoded("PNG")
    assert entries_of(source[:33] + chunk + source[33:]) == {}


def test_what_is_not_a_png_has_no_entries():
    assert [entries_of(data) for data in (b"", b"\x89PNG", encoded("JPEG"))] == [{}, {}, {}]


@pytest.mark.parametrize("key", ["", "k" * 80, "日本", "a\0b"])
def test_a_key_outside_the_format_is_refused(key):
    with pytest.raises(ValueError, match="PNG text key"):
        image_file.with_text(encoded("PNG"), {key: "text"})


def test_text_goes_into_a_png_only():
    with pytest.raises(ValueError, match="not a PNG"):
        image_file.with_text(encoded("WEBP"), ENTRIES)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_avif_is_read_by_its_header_and_whole(mode):
    data = encoded("AVIF", picture((301, 77), mode))
    assert (sniff(data[:64]), image_size(data), type_and_size(data)) == (
        "image/avif",
        (301, 77),
        ("image/avif", 301, 77),
    )
    for end in (len(data) - 1, len(data) // 2, 60, 20):
        with pytest.raises(NotAnImage):
            facts_of(data[:end])


def test_an_avif_that_says_that_it_is_huge_is_refused_before_it_is_decoded():
    data = encoded("AVIF")
    at = data.index(b"ispe") + 8
    with pytest.raises(NotAnImage, match="30000 x 30000 is more than 89 megapixels"):
        images.examine(data[:at] + struct.pack(">II", 30_000, 30_000) + data[at + 8 :])


def test_exif_of_an_avif_is_not_read(monkeypatch):
    def load(*_):
        raise AssertionError("it may point at all of the file, many times")

    exif = Image.Exif()
    exif[0x010E] = "a description"
    data = encoded("AVIF", exif=exif.tobytes())
    monkeypatch.setattr(Image.Exif, "load", load)
    assert facts_of(data).width == 96


def test_a_pillow_that_can_not_read_avif_says_so(monkeypatch):
    monkeypatch.setattr(images.features, "check", lambda _: False)
    with pytest.raises(NotAnImage, match="this build of Pillow cannot decode"):
        facts_of(encoded("AVIF"))
