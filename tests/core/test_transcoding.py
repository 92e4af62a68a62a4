"""A file of a recipe has its size, its transparency or background, its metadata, and always the same bytes."""

import os
import re
import threading
from pathlib import Path
from xml.etree import ElementTree

import pytest
from delivered_looks import FIELDS, MADE, deliver, managed, opened
from image_samples import display_p3, encoded, grey_gamma_1, near, signed
from PIL import Image

from krea_pipe.core.delivery_mark import made_of
from krea_pipe.core.images import NotAnImage
from krea_pipe.core.recipe import Transcoding
from krea_pipe.core.transcoding import UNDERLAID, UNSIGNED, render_recipe

SIGNED = Path(__file__).parent / "signed"
FORMS = ("png", "jpeg", "webp", "avif")
DESCRIPTION = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"
RED, GREEN = (220, 20, 20), (0, 255, 0)


def plain(size=(400, 300), colour=RED):
    return encoded(Image.new("RGB", size, colour), "PNG")


def half_clear(size=(400, 300)):
    """Red on the left; on the right transparent, with green hidden below."""
    image = Image.new("RGBA", size, (*GREEN, 0))
    image.paste((*RED, 255), (0, 0, size[0] // 2, size[1]))
    return image


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({"width": 200}, (200, 150)),
        ({"height": 30}, (40, 30)),
        ({"longest": 100}, (100, 75)),
        ({"width": 800}, (400, 300)),
        ({"width": 800, "enlarge": True}, (800, 600)),
        ({"longest": 1}, (1, 1)),
        ({}, (400, 300)),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_a_size_is_the_most_that_a_file_has_unless_it_may_be_enlarged(form, settings, size):
    made = deliver(plain(), form, **settings)
    assert (made.width, made.height) == size == opened(made.data).size
    assert near(managed(made.data).convert("RGB").getpixel((0, 0)), RED)


@pytest.mark.parametrize("form", FORMS)
def test_the_same_image_gives_the_same_bytes_whatever_else_is_made_beside_it(form):
    data = encoded(Image.effect_noise((300, 200), 80).convert("RGB"), "PNG")
    found = []
    threads = [threading.Thread(target=lambda: found.append(deliver(data, form, width=150).data)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [deliver(data, form, width=150).data] * 3


def test_the_number_of_cores_changes_no_byte(monkeypatch):
    data = encoded(Image.effect_noise((700, 700), 80).convert("RGB"), "PNG")
    found = set()
    for cores in (1, 4):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)), raising=False)
        monkeypatch.setattr(os, "cpu_count", lambda cores=cores: cores)
        found.add(deliver(data, "avif").data)
    assert len(found) == 1


def test_a_profile_that_is_not_for_the_image_is_in_no_file():
    data = encoded(Image.new("RGB", (40, 20), RED), "WEBP", icc_profile=grey_gamma_1())
    assert [opened(deliver(data, form).data).info.get("icc_profile") for form in FORMS] == [None] * 4


@pytest.mark.parametrize("form", ["png", "webp", "avif"])
def test_hidden_colours_do_not_show_at_edges(form):
    made = opened(deliver(encoded(half_clear(), "PNG"), form, width=50).data)
    assert made.mode == "RGBA"
    assert made.getpixel((48, 10))[3] == 0
    for x in range(made.width):
        red, green, _, alpha = made.getpixel((x, 10))
        assert alpha < 16 or (red > 150 and green < 90), x


@pytest.mark.parametrize("kept", ["RGBA", "P", "LA", "tRNS"])
def test_transparency_of_every_form_is_kept_or_filled(kept):
    image = half_clear((40, 20))
    data = encoded(image.convert("P") if kept == "P" else image if kept == "RGBA" else image.convert("LA"), "PNG")
    if kept == "tRNS":
        image = Image.new("RGB", (40, 20), RED)
        image.paste(GREEN, (20, 0, 40, 20))
        data = encoded(image, "PNG", transparency=GREEN)
    made = opened(deliver(data, "webp", lossless=True).data)
    assert [made.getpixel((x, 5))[3] for x in (2, 37)] == [255, 0]
    filled = deliver(data, "png", background="#0000ff")
    assert near(opened(filled.data).getpixel((37, 5)), (0, 0, 255))
    assert filled.notes == ()


def test_a_jpeg_of_a_transparent_image_has_a_background_and_says_which_if_nobody_chose_it():
    data = encoded(half_clear(), "PNG")
    white, blue = deliver(data, "jpeg"), deliver(data, "jpeg", background="#0000ff")
    assert near(opened(white.data).getpixel((390, 10)), (255, 255, 255))
    assert near(opened(blue.data).getpixel((390, 10)), (0, 0, 255))
    assert (white.notes, blue.notes) == ((UNDERLAID,), ())
    assert deliver(encoded(Image.new("RGBA", (9, 9), (*RED, 255)), "PNG"), "jpeg").notes == ()


@pytest.mark.parametrize("colours", ["keep", "srgb"])
def test_a_background_is_a_colour_of_srgb_whatever_the_profile(colours):
    data = encoded(half_clear(), "PNG", icc_profile=display_p3())
    made = deliver(data, "png", background="#dc1414", colours=colours)
    assert bool(opened(made.data).info.get("icc_profile")) is (colours == "keep")
    assert near(managed(made.data).getpixel((390, 10)), (0xDC, 0x14, 0x14), 3)


def framed(border, inside=(10, 20, 30), mode="RGB"):
    image = Image.new(mode, (100, 60), border)
    image.paste(inside, (20, 10, 70, 50))
    return encoded(image, "PNG")


@pytest.mark.parametrize(
    ("data", "trim", "size"),
    [
        (framed("white"), 8, (50, 40)),
        (framed("white"), None, (100, 60)),
        (framed((0, 0, 0, 0), (9, 9, 9, 255), "RGBA"), 8, (50, 40)),
        (framed((0, 0, 0, 0), "white", "RGBA"), 8, (50, 40)),
        (framed((200, 200, 200), (205, 205, 205)), 8, (100, 60)),
        (framed((200, 200, 200), (205, 205, 205)), 4, (50, 40)),
        (plain((100, 60)), 8, (100, 60)),
    ],
    ids=["colour", "not asked", "transparent", "white on transparency", "near", "less near", "nothing else"],
)
def test_a_border_is_cut_off(data, trim, size):
    made = deliver(data, trim=trim)
    assert (made.width, made.height) == size


@pytest.mark.parametrize("form", FORMS)
def test_the_metadata_of_every_format_says_how_the_image_was_made(form):
    made = deliver(plain(), form, width=20)
    packet = re.search(rb"<x:xmpmeta.*</x:xmpmeta>", made.data, re.DOTALL)[0].decode()
    (found,) = ElementTree.fromstring(packet).iter(DESCRIPTION)
    assert found.get(f"{IPTC}DigitalSourceType").endswith("/trainedAlgorithmicMedia")
    assert found.get("{http://ns.adobe.com/xap/1.0/}CreatorTool") == FIELDS.software
    assert found.findtext(f"{IPTC}AIPromptInformation") == "sea\nSeed: 7"
    read = opened(made.data).info
    assert packet in (read["XML:com.adobe.xmp"] if form == "png" else read["xmp"].decode())


def test_a_prompt_that_is_too_long_for_a_jpeg_is_cut_there():
    long = type(FIELDS)("krea-pipe 1", "<🪔>" * 20_000)
    data = render_recipe(plain(), Transcoding("jpeg", quality=80), long, MADE).data
    assert made_of(data) == MADE
    assert b"\xe2\x80\xa6" in data


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_known_until_a_byte_of_it_changes(form):
    data = deliver(plain(), form, width=40).data
    assert made_of(data) == MADE
    for at in range(0, len(data), max(1, len(data) // 60)):
        changed = bytearray(data)
        changed[at] ^= 1
        assert made_of(bytes(changed)) is None, at
    assert made_of(data + b"\0") is None
    assert made_of(data[:-1]) is None


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_file_made_from_a_signed_image_says_that_it_is_not_signed(form):
    """`signed` has files that c2pa-python 0.38.1 has signed, and finds valid."""
    for data in (signed(form), (SIGNED / f"red.{form.lower()}").read_bytes()):
        made = deliver(data, "webp")
        assert made.notes == (UNSIGNED,)
        assert near(opened(made.data).getpixel((5, 5)), RED, 12)
    assert deliver(encoded(Image.new("RGB", (40, 20), RED), form), "webp").notes == ()


def test_what_cannot_be_written_is_said():
    with pytest.raises(NotAnImage, match="90000 x 90000 is more than 89 megapixels"):
        deliver(plain((30, 30)), "png", width=90_000, enlarge=True)
    with pytest.raises(NotAnImage, match="an image of 1 x 16400 cannot be written as webp"):
        deliver(plain((1, 16_400)), "webp")
    with pytest.raises(NotAnImage, match="damaged"):
        deliver(plain((300, 300))[:-40] + bytes(40), "png")
