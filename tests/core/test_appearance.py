"""Thumbnails, contact sheets and delivered files show an image as a browser does: upright, in its colours and greys."""

import io
import struct
import zlib

import pytest
from delivered_looks import DELIVERED
from image_samples import display_p3, encoded, grey_gamma_1, near
from PIL import Image

from krea_pipe.core import images
from krea_pipe.core.images import NotAnImage
from krea_pipe.local.picture import read_picture
from krea_pipe.report.sheet.draw import _decoded
from krea_pipe.report.sheet.model import Box

P3_RED, RED_IN_SRGB = (200, 50, 50), (218, 24, 40)
"""By the matrices of SMPTE EG 432-1 and IEC 61966-2-1; the curves of both are the same."""


def thumbnail(data):
    return Image.open(io.BytesIO(images.thumbnail(data)))


def on_a_sheet(data, size=(90, 90)):
    return _decoded(data, Box(0, 0, *size))


LOOKS = {"thumbnail": lambda data: thumbnail(data).convert("RGB"), "sheet": on_a_sheet, **DELIVERED}
CLEAR = {"thumbnail": thumbnail, **{name: look for name, look in DELIVERED.items() if "jpeg" not in name}}
"""Those that keep transparency."""
IN_PROOFS = {**LOOKS, "proof": lambda data: read_picture(data).thumbnail}
"""The local Krea shows references in its proofs."""


def exif(orientation, order="big"):
    found = Image.Exif()
    found.endian = {"big": ">", "little": "<"}[order]
    found[0x0112] = orientation
    return found.tobytes()


def corners(image):
    """Whether each corner is light, from the top left one on and clockwise."""
    right, low = image.width - 5, image.height - 5
    places = [(4, 4), (right, 4), (right, low), (4, low)]
    return [image.convert("L").getpixel(place) > 127 for place in places]


def marked():
    """An image of 96 x 48 pixels with one white corner, top left, and the one to the right of it light grey."""
    image = Image.new("RGB", (96, 48), "black")
    image.paste("white", (0, 0, 24, 24))
    image.paste((180, 180, 180), (72, 0, 96, 24))
    return image


# Where the top left corner and the top right one go: what is stored is turned and mirrored as Exif says.
UPRIGHT = {1: (0, 1), 2: (1, 0), 3: (2, 3), 4: (3, 2), 5: (0, 3), 6: (1, 2), 7: (2, 1), 8: (3, 0)}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize(("form", "options"), [("JPEG", {"quality": 95}), ("PNG", {}), ("WEBP", {"lossless": True})])
@pytest.mark.parametrize("number", UPRIGHT)
def test_an_image_stands_as_its_exif_says(form, options, number, look):
    seen = look(encoded(marked(), form, exif=exif(number), **options))
    light = [at for at, is_light in enumerate(corners(seen)) if is_light]
    assert light == sorted(UPRIGHT[number])
    assert (seen.height > seen.width) is (number >= 5)
    first = [(4, 4), (seen.width - 5, 4), (seen.width - 5, seen.height - 5), (4, seen.height - 5)][UPRIGHT[number][0]]
    assert seen.convert("L").getpixel(first) > 235


def test_the_size_of_an_image_is_that_of_the_upright_one():
    facts = images.examine(encoded(marked(), "JPEG", exif=exif(6, "little")))[0]
    assert (facts.width, facts.height) == (48, 96)


def test_an_avif_stands_as_its_boxes_say():
    seen = thumbnail(encoded(marked(), "AVIF", exif=exif(6), quality=100))
    assert [at for at, is_light in enumerate(corners(seen)) if is_light] == [1, 2]


@pytest.mark.parametrize("block", [b"", b"II*\0", b"MM\0*\xff\xff\xff\xff", b"II*\0\x08\0\0\0\xff\xff", b"JUNK"])
def test_exif_that_is_damaged_turns_nothing(block):
    assert thumbnail(encoded(marked(), "JPEG", exif=b"Exif\0\0" + block)).size == (96, 48)


@pytest.mark.parametrize("look", IN_PROOFS.values(), ids=IN_PROOFS)
@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_display_p3_is_shown_in_srgb(form, look):
    options = {} if form == "PNG" else {"quality": 100}
    data = encoded(Image.new("RGB", (96, 48), P3_RED), form, icc_profile=display_p3(), **options)
    assert near(look(data).getpixel((20, 20)), RED_IN_SRGB)
    assert near(look(encoded(Image.new("RGB", (96, 48), P3_RED), form, **options)).getpixel((20, 20)), P3_RED)


@pytest.mark.parametrize("look", CLEAR.values(), ids=CLEAR)
def test_a_palette_and_transparency_have_their_profile_as_well(look):
    flat = Image.new("RGB", (96, 48), P3_RED).convert("P", palette=Image.Palette.ADAPTIVE)
    assert near(look(encoded(flat, "PNG", icc_profile=display_p3())).getpixel((20, 20)), RED_IN_SRGB)
    clear = Image.new("RGBA", (96, 48), (*P3_RED, 128))
    assert near(look(encoded(clear, "PNG", icc_profile=display_p3())).getpixel((20, 20)), (*RED_IN_SRGB, 128))


def with_chunks(png, **chunks):
    made = b""
    for name, body in chunks.items():
        kind = name.encode()
        made += struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    return png[:33] + made + png[33:]


P3_NUMBERS = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
P3_BY_NUMBERS = {
    "cICP": {"cICP": bytes([12, 13, 0, 1])},
    "cICP above iCCP": {"cICP": bytes([12, 13, 0, 1]), "iCCP": b"p\0\0" + zlib.compress(grey_gamma_1())},
    "cHRM": {"gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", *P3_NUMBERS)},
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("chunks", P3_BY_NUMBERS.values(), ids=P3_BY_NUMBERS)
def test_display_p3_may_be_named_by_numbers(chunks, look):
    png = encoded(Image.new("RGB", (96, 48), P3_RED), "PNG")
    assert near(look(with_chunks(png, **chunks)).getpixel((20, 20)), RED_IN_SRGB)


PLAIN_CHUNKS = {
    "sRGB": {"sRGB": b"\0", "gAMA": struct.pack(">I", 100_000), "cHRM": struct.pack(">8I", *P3_NUMBERS)},
    "gAMA of sRGB": {"gAMA": struct.pack(">I", 45454)},
    "no colours": {"gAMA": struct.pack(">I", 45455), "cHRM": bytes(32)},
    "all one colour": {"gAMA": struct.pack(">I", 45455), "cHRM": struct.pack(">8I", *[30000] * 8)},
    "unknown codes": {"cICP": bytes([77, 99, 0, 1])},
    "high dynamic range": {"cICP": bytes([9, 16, 0, 1])},
    "cut off": {"cICP": b"\x0c"},
    "no gamma": {"gAMA": bytes(4)},
}


@pytest.mark.parametrize("chunks", PLAIN_CHUNKS.values(), ids=PLAIN_CHUNKS)
def test_other_numbers_change_nothing(chunks):
    png = encoded(Image.new("RGB", (96, 48), P3_RED), "PNG")
    assert near(thumbnail(with_chunks(png, **chunks)).getpixel((20, 20)), P3_RED)


def test_the_gamma_of_a_png_is_heeded():
    grey = encoded(Image.new("L", (96, 48), 55), "PNG")
    data = with_chunks(grey, gAMA=struct.pack(">I", 100_000))
    assert near(thumbnail(data).getpixel((20, 20)), (128, 128, 128))


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_an_avif_may_name_its_colours_by_codes(look):
    data = encoded(Image.new("RGB", (96, 48), P3_RED), "AVIF", quality=100)
    at = data.index(b"colrnclx") + 8
    coded = data[:at] + struct.pack(">HH", 12, 13) + data[at + 4 :]
    assert near(look(coded).getpixel((20, 20)), RED_IN_SRGB)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_greys_have_their_profile_as_well(look):
    data = encoded(Image.new("L", (96, 48), 55), "PNG", icc_profile=grey_gamma_1())
    assert near(look(data).getpixel((20, 20)), (128, 128, 128))


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
@pytest.mark.parametrize("profile", [b"p" * 200, display_p3()[:180], grey_gamma_1(), bytes(70_000)])
def test_a_profile_that_is_damaged_or_for_other_images_changes_nothing(profile, look):
    data = encoded(Image.new("RGB", (96, 48), P3_RED), "PNG", icc_profile=profile)
    assert near(look(data).getpixel((20, 20)), P3_RED)


def test_a_profile_that_inflates_without_end_is_not_read():
    body = b"iCCPp\0\0" + zlib.compress(bytes(9_000_000))
    chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
    data = encoded(Image.new("RGB", (96, 48), P3_RED), "PNG")
    assert near(thumbnail(data[:33] + chunk + data[33:]).getpixel((20, 20)), P3_RED)


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_an_avif_has_its_profile_as_well(look):
    data = encoded(Image.new("RGB", (96, 48), P3_RED), "AVIF", icc_profile=display_p3(), quality=100)
    assert near(look(data).getpixel((20, 20)), RED_IN_SRGB)


@pytest.mark.parametrize("look", IN_PROOFS.values(), ids=IN_PROOFS)
def test_sixteen_bits_of_grey_are_scaled(look):
    ramp = Image.new("I;16", (256, 256))
    for column in range(256):
        ramp.paste(column * 257, (column, 0, column + 1, 256))
    seen = look(encoded(ramp, "PNG")).convert("L")
    for share in (0.1, 0.5, 0.9):
        assert abs(seen.getpixel((int(share * seen.width), seen.height // 2)) - 255 * share) < 8


@pytest.mark.parametrize("look", IN_PROOFS.values(), ids=IN_PROOFS)
def test_cmyk_is_shown(look):
    data = encoded(Image.new("CMYK", (96, 48), (0, 255, 255, 0)), "JPEG", quality=95)
    assert near(look(data).getpixel((20, 20)), (254, 0, 0))


def test_twelve_bits_are_named():
    data = bytearray(encoded(Image.new("RGB", (96, 48)), "JPEG"))
    data[data.index(b"\xff\xc0") + 4] = 12
    with pytest.raises(NotAnImage, match="12 bits per sample"):
        images.examine(bytes(data))
