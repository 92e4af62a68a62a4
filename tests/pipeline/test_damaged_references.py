"""A reference that is not whole is named before anything is sent, and decoded no more often than once."""

import hashlib
import io
import struct
import zlib

import pytest
from PIL import Image

from krea_pipe.core.image_file import jpeg_segments

SIZE = (640, 520)


def noise(mode="RGB", size=SIZE):
    return Image.merge("RGB", [Image.effect_noise(size, 90) for _ in "RGB"]).convert(mode)


def encoded(form, image=None, **options):
    buffer = io.BytesIO()
    (image or noise()).save(buffer, form, **options)
    return buffer.getvalue()


def half(data):
    return data[: len(data) // 2]


def png_chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(rows, packed=lambda data: data, interlace=0, depth=8, size=SIZE):
    """A grey PNG whose checksums are all right, with as many rows as are said."""
    width, height = size
    data = packed(zlib.compress((b"\0" + b"\x7f" * (width * depth // 8)) * rows))
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, interlace))
    chunks = png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + header + chunks


def with_thumbnail(data):
    """A JPEG with a whole JPEG inside its Exif, whose end marker is not that of the image."""
    inner = b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0" + encoded("JPEG", noise(size=(64, 64)))
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(inner) + 2) + inner + data[2:]


def cut_scan(data):
    """A JPEG whose last scan has half of its data, and which ends as it should."""
    scan = [part for part in jpeg_segments(data) if part.kind == b"\xda"][-1]
    return data[: (scan.start + scan.end) // 2] + b"\xff\xd9"


def shorter_riff(data):
    """A WebP that is cut off, and says that it has no more bytes."""
    cut = half(data)
    return cut[:4] + struct.pack("<I", len(cut) - 8) + cut[8:]


def twelve_bits(data):
    at = next(part.start for part in jpeg_segments(data) if part.kind == b"\xc0")
    return data[: at + 4] + b"\x0c" + data[at + 5 :]


def heic(mdat=400, there=400):
    boxes = [(b"ftyp", b"heic\0\0\0\0mif1heic"), (b"meta", bytes(80))]
    head = b"".join(struct.pack(">I", 8 + len(body)) + kind + body for kind, body in boxes)
    return head + struct.pack(">I", 8 + mdat) + b"mdat" + bytes(there)


DAMAGED = {
    "half.jpg": lambda: half(encoded("JPEG")),
    "half of the data.jpg": lambda: cut_scan(encoded("JPEG")),
    "progressive.jpg": lambda: half(encoded("JPEG", progressive=True)),
    "thumbnail.jpg": lambda: half(with_thumbnail(encoded("JPEG"))),
    "twelve.jpg": lambda: twelve_bits(encoded("JPEG")),
    "half.png": lambda: half(encoded("PNG")),
    "half of the stream.png": lambda: png(SIZE[1], half),
    "half of the rows.png": lambda: png(SIZE[1] // 2),
    "one row less.png": lambda: png(SIZE[1] - 1),
    "interlaced.png": lambda: png(SIZE[1] // 2, interlace=1),
    "sixteen bits.png": lambda: png(SIZE[1] // 2, depth=16),
    "checksum.png": lambda: png(SIZE[1], lambda data: data[:-9] + b"\0" * 9),
    "half.webp": lambda: half(encoded("WEBP")),
    "riff.webp": lambda: shorter_riff(encoded("WEBP")),
    "half.heic": lambda: heic(there=200),
}


def references(project, makers):
    """A pipeline that names images, the first of them on its sixth line."""
    for name, make in makers.items():
        project.write(f"refs/{name}", make())
    listed = "".join(f"      - refs/{name}\n" for name in makers)
    project.write("p.yaml", f"version: 1\nprompt: fox\nreferences:\n  s:\n    images:\n{listed}")


@pytest.mark.parametrize("words", [("validate", "p.yaml"), ("run", "p.yaml", "--local")], ids=" ".join)
def test_each_damaged_reference_is_named(project, words):
    references(project, {**DAMAGED, "good.png": lambda: encoded("PNG")})
    done = project.run(*words)
    assert done.code == 2
    for number, name in enumerate(DAMAGED, 6):
        assert f"p.yaml:{number}:9: error: refs/{name} cannot be used: " in done.text
    assert done.text.count(" cannot be used: ") == len(DAMAGED)


WHOLE = {
    "plain.jpg": lambda: encoded("JPEG"),
    "progressive.jpg": lambda: encoded("JPEG", progressive=True),
    "grey.jpg": lambda: encoded("JPEG", noise("L")),
    "cmyk.jpg": lambda: encoded("JPEG", noise("CMYK")),
    "restarts.jpg": lambda: encoded("JPEG", restart_marker_blocks=3),
    "thumbnail.jpg": lambda: with_thumbnail(encoded("JPEG")),
    "more behind.jpg": lambda: encoded("JPEG") + encoded("JPEG"),
    "odd.jpg": lambda: encoded("JPEG", noise(size=(601, 523)), subsampling=2),
    "plain.png": lambda: encoded("PNG"),
    "palette.png": lambda: encoded("PNG", noise("P")),
    "bits.png": lambda: encoded("PNG", noise("1", (601, 523))),
    "clear.png": lambda: encoded("PNG", noise("RGBA")),
    "sixteen.png": lambda: encoded("PNG", Image.new("I;16", SIZE, 9000)),
    "more rows.png": lambda: png(SIZE[1] + 1),
    "tiny chunks.png": lambda: png(520, size=(520, 520)),
    "plain.webp": lambda: encoded("WEBP"),
    "lossless.webp": lambda: encoded("WEBP", noise("RGBA"), lossless=True),
    "plain.heic": heic,
}


def test_each_whole_reference_is_taken(project):
    references(project, WHOLE)
    done = project.run("validate", "p.yaml")
    assert (done.code, done.text.count("error")) == (0, 0)


def test_an_image_that_a_template_names_is_looked_at_too(project):
    project.write("refs/half.jpg", half(encoded("JPEG")))
    text = 'version: 1\nprompt: fox on {{ s }}\nreferences:\n  r: {images: "refs/{{ s }}.jpg"}\n'
    project.write("p.yaml", f"{text}defaults: {{references: [r]}}\nmatrix: {{s: [half]}}\n")
    done = project.run("validate", "p.yaml")
    assert done.code == 2
    assert "refs/half.jpg cannot be used: the JPEG file is truncated or damaged" in done.text


def test_what_was_found_whole_is_not_decoded_again(project):
    makers = {"whole.png": WHOLE["plain.png"], "half.jpg": DAMAGED["half.jpg"]}
    references(project, makers)
    assert project.run("validate", "p.yaml").code == 2
    assert not project.home.exists(), "validate makes no home folder"
    project.home.mkdir()
    assert project.run("validate", "p.yaml").code == 2
    whole, damaged = (hashlib.sha256((project.path / f"refs/{name}").read_bytes()).hexdigest() for name in makers)
    checked = project.home / "checked-images-1.txt"
    assert checked.read_text(encoding="ascii").split() == [whole]
    checked.write_text(f"{whole}\n{damaged}\n", encoding="ascii")
    assert project.run("validate", "p.yaml").code == 0
