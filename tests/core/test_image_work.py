"""What an image takes to decode is judged from its bytes, and a decoder gets only what makes pixels."""

import io
import struct
import subprocess
import sys
import warnings
import zlib

import pytest
from krea_server import picture as plain
from PIL import Image

from krea_pipe.core import images
from krea_pipe.core.image_file import (
    MAX_FILL,
    MAX_IMAGE_PARTS,
    MAX_SCANNED,
    MAX_SCANS,
    SOS,
    TooMuchWork,
    check_work,
    image_size,
    jpeg_segments,
    only_pixels,
)
from krea_pipe.core.images import NotAnImage
from krea_pipe.local.picture import read_picture


def jpeg(**options):
    buffer = io.BytesIO()
    Image.radial_gradient("L").resize((96, 64)).convert("RGB").save(buffer, "JPEG", **options)
    return buffer.getvalue()


def segment(code, body):
    return b"\xff" + bytes([code]) + struct.pack(">H", len(body) + 2) + body


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def scans(data):
    return [data[part.start : part.end] for part in jpeg_segments(data) if part.kind == SOS]


def with_scans(count):
    """A progressive JPEG whose last scan comes again until there are so many: small, and whole."""
    data = jpeg(progressive=True)
    found = scans(data)
    return data[:-2] + found[-1] * (count - len(found)) + b"\xff\xd9"


def sized(data, width, height):
    """The same with another size in its header, which is all that is read before the work is judged."""
    at = next(part.start for part in jpeg_segments(data) if part.kind in (b"\xc0", b"\xc2"))
    return data[: at + 5] + struct.pack(">HH", height, width) + data[at + 9 :]


def test_scans_are_counted_up_to_a_limit():
    assert len(scans(jpeg(progressive=True))) == 10
    assert images.examine(with_scans(MAX_SCANS))[0].width == 96
    with pytest.raises(NotAnImage, match="the JPEG file has 101 scans, more than the 100 that are decoded"):
        images.examine(with_scans(MAX_SCANS + 1))


@pytest.mark.parametrize(
    "between", [b"\xff\xff\xff", b"\xff\xd0", b"\xff\x01", b"\xff\x02\xff\xff", b"\x00\x00", b"\xff\xfe\0\0"]
)
def test_no_scan_hides_behind_odd_bytes(between):
    """What stands before a scan is a fill, stuffing, or nothing that a decoder minds."""
    data = jpeg(progressive=True)
    last = scans(data)[-1]
    with pytest.raises(TooMuchWork):
        check_work(data[:-2] + (between + last) * MAX_SCANS + b"\xff\xd9")


@pytest.mark.parametrize("behind", [b"", b"\0", b"\xd0"])
def test_a_scan_may_be_filled_up_but_not_without_end(behind):
    data = jpeg(progressive=True)
    check_work(data[:-2] + b"\xff" * (MAX_FILL - 1) + behind + b"\xff\xd9")
    with pytest.raises(TooMuchWork, match="more than 1,024 fill bytes in a row"):
        check_work(data[:-2] + b"\xff" * (MAX_FILL + 1) + behind + b"\xff\xd9")


def test_the_larger_an_image_the_fewer_scans_it_may_have():
    check_work(sized(jpeg(progressive=True), 9430, 9430))
    most = MAX_SCANNED // 9430**2
    check_work(sized(with_scans(most), 9430, 9430))
    with pytest.raises(TooMuchWork, match="more than are decoded at that size"):
        check_work(sized(with_scans(most + 1), 9430, 9430))


def test_what_stands_inside_metadata_is_no_scan():
    data = jpeg()
    thumbnail = segment(0xE1, b"Exif\0\0" + scans(with_scans(50))[-1] * 200)
    check_work(data[:2] + thumbnail * 3 + data[2:])


def many_parts(form):
    if form == "JPEG":
        data = jpeg()
        return data[:2] + segment(0xFE, b"") * MAX_IMAGE_PARTS + data[2:]
    data = plain(form, size=(96, 64))
    if form == "PNG":
        return data[:33] + chunk(b"tEXt", b"a\0") * MAX_IMAGE_PARTS + data[33:]
    return (
        data[:4] + struct.pack("<I", len(data) - 8 + 8 * MAX_IMAGE_PARTS) + data[8:] + b"JUNK\0\0\0\0" * MAX_IMAGE_PARTS
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_parts_are_counted_up_to_a_limit(form):
    with pytest.raises(NotAnImage, match="has more than 65,536 parts"):
        images.examine(many_parts(form))


def test_a_size_behind_too_many_parts_is_not_looked_for():
    assert image_size(many_parts("JPEG")) is None
    assert image_size(b"\xff\xd8" + b"\xff" * 3_000_000) is None


def exif_bomb():
    """An Exif part whose tags all point at all of it, and more: Pillow would read each, and warn."""
    tags = b"".join(struct.pack("<HHII", 1000 + tag, 7, 40_000, 8) for tag in range(50))
    return segment(0xE1, b"Exif\0\0II*\0" + struct.pack("<IH", 8, 50) + tags + bytes(4))


def test_a_decoder_is_given_no_metadata():
    data = jpeg(icc_profile=b"p" * 70_000, comment=b"c" * 60_000)
    jfif = next(part for part in jpeg_segments(data) if part.kind == b"\xe0")
    rich = data[: jfif.start] + exif_bomb() + segment(0xED, b"Photoshop 3.0\0" + bytes(60)) + data[jfif.end :]
    assert len(only_pixels(rich)) < 4000
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        facts, small = images.examine(rich)
    assert (facts.likeness, small) == (images.examine(jpeg())[0].likeness, images.examine(jpeg())[1])


MODES = [("PNG", mode) for mode in ("L", "P", "LA", "RGB", "RGBA", "I;16")]
MODES += [("JPEG", mode) for mode in ("L", "RGB", "CMYK")]


@pytest.mark.parametrize(("form", "mode"), MODES)
def test_the_pixels_stay_as_they_are(form, mode):
    source = Image.radial_gradient("L").resize((96, 64))
    source = Image.new("I;16", (96, 64), 30_000) if mode == "I;16" else source.convert("RGB").convert(mode)
    buffer = io.BytesIO()
    source.save(buffer, form, **({"transparency": 3} if mode == "P" else {}))
    data = buffer.getvalue()
    with Image.open(io.BytesIO(data)) as before, Image.open(io.BytesIO(only_pixels(data))) as after:
        assert (before.mode, before.size, before.tobytes()) == (after.mode, after.size, after.tobytes())
        assert before.has_transparency_data == after.has_transparency_data


def test_colour_profiles_are_not_inflated():
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(900_000)))
    data = plain("PNG", size=(96, 64))
    assert len(only_pixels(data[:33] + profile * 300 + data[33:])) <= len(data)


def test_the_frames_of_an_animation_are_not_drawn():
    buffer = io.BytesIO()
    frames = [Image.new("RGB", (96, 64), (number, 0, 0)) for number in range(30)]
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    assert b"fdAT" not in only_pixels(buffer.getvalue())
    assert images.examine(buffer.getvalue())[0].width == 96


def test_an_answer_of_too_many_scans_fails_that_image_and_is_not_decoded(project, krea):
    krea.image(with_scans(MAX_SCANS + 1))
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["a"]["error"]
    assert (done.code, error["code"]) == (1, "image_unfetched")
    assert "101 scans, more than the 100 that are decoded" in error["message"]
    krea.rules.clear()
    assert project.run("run", "p.yaml", "--json").counts == (1, 0, 0)
    assert len(krea.posts) == 1


@pytest.mark.parametrize("words", [("validate",), ("plan",), ("run", "--local")])
def test_a_reference_of_too_many_scans_is_refused_with_its_place(project, krea, words):
    project.write("style.jpg", with_scans(MAX_SCANS + 1))
    project.write("p.yaml", "version: 1\nprompt: fox\nreferences:\n  s: {images: style.jpg}\n")
    done = project.run(words[0], "p.yaml", *words[1:])
    assert done.code == 2
    assert "p.yaml:4:15: error" in done.text
    assert "style.jpg has 101 scans, more than the 100 that are decoded" in done.text


def test_what_a_sheet_draws_is_judged_as_well():
    with pytest.raises(NotAnImage, match="101 scans"):
        images.opened(with_scans(MAX_SCANS + 1))


def test_the_local_krea_does_not_look_at_it_either():
    assert read_picture(with_scans(MAX_SCANS)) is not None
    assert read_picture(with_scans(MAX_SCANS + 1)) is None


MANY_AT_ONCE = """
import io, resource
from concurrent.futures import ThreadPoolExecutor
from PIL import Image
from krea_pipe.core import images
buffer = io.BytesIO()
Image.new("RGB", (4096, 4000), "red").save(buffer, "PNG", compress_level=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(images.examine, [buffer.getvalue()] * 8))
assert {facts.width for facts, _ in found} == {4096}
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the unit of the peak differs")
def test_however_many_threads_decode_images_only_so_many_pixels_are_in_memory():
    done = subprocess.run([sys.executable, "-c", MANY_AT_ONCE], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 100, "MB; each of the eight takes 64"
