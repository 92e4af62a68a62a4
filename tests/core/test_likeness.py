"""How alike two images are: what moves the distance, what does not, and that the page counts the same."""

import io
import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageDraw, ImageEnhance, ImageFilter, ImageStat

import krea_pipe
from krea_pipe.core import images
from krea_pipe.core.images import signature
from krea_pipe.core.likeness import NOISE, VERSION, distance

SCRIPT = Path(krea_pipe.__file__).parent / "report/templates/likeness.js"
NODE, CHROMIUM = shutil.which("node"), shutil.which("chromium")
SIDE = 256
ENCODINGS = [("JPEG", {"quality": 80}), ("WEBP", {"quality": 80}), ("PNG", {})]


def gradients():
    across, around = Image.linear_gradient("L"), Image.radial_gradient("L")
    return Image.merge("RGB", (across, around, ImageChops.invert(across)))


def lamp(ground=(200, 190, 180), disc=(60, 80, 120), left=80):
    image = Image.new("RGB", (SIDE, SIDE), ground)
    ImageDraw.Draw(image).ellipse((left, 80, left + 110, 190), fill=disc)
    return image


def marble():
    """Grain at several sizes."""
    random.seed(4)
    image = Image.new("RGB", (SIDE, SIDE), "gray")
    for size in (8, 32, 128):
        grain = Image.frombytes("RGB", (size, size), random.randbytes(3 * size * size))
        image = Image.blend(image, grain.resize((SIDE, SIDE), Image.Resampling.BICUBIC), 0.4)
    return image


PICTURES = {
    "gradients": gradients(),
    "lamp": lamp(),
    "marble": marble(),
    "flat": Image.new("RGB", (SIDE, SIDE), "teal"),
}


def encoded(image, form="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def apart(one, other):
    return distance(signature(one), signature(other))


def noisy(image, amount):
    random.seed(11)
    grain = Image.frombytes("RGB", image.size, random.randbytes(3 * image.width * image.height))
    return Image.blend(image, grain, amount)


@pytest.fixture(params=PICTURES)
def any_picture(request):
    return PICTURES[request.param]


def test_the_same_picture_is_at_no_distance(any_picture):
    assert apart(any_picture, any_picture.copy()) == 0


def test_the_distance_is_the_same_both_ways_and_between_0_and_1():
    marks = [signature(picture) for picture in PICTURES.values()]
    for one in marks:
        for other in marks:
            assert distance(one, other) == distance(other, one)
            assert 0 <= distance(one, other) <= 1


def test_black_and_white_are_as_far_apart_as_can_be():
    assert apart(Image.new("RGB", (9, 9), "black"), Image.new("RGB", (300, 300), "white")) == 1


@pytest.mark.parametrize(("form", "options"), ENCODINGS)
def test_saving_again_is_noise(any_picture, form, options):
    again = Image.open(io.BytesIO(encoded(any_picture, form, **options)))
    assert apart(any_picture, again) < NOISE


def test_a_pixel_less_and_faint_noise_are_noise(any_picture):
    assert apart(any_picture, any_picture.resize((SIDE - 1, SIDE - 1), Image.Resampling.LANCZOS)) < NOISE
    assert apart(any_picture, noisy(any_picture, 0.01)) < NOISE


EDITS = {
    "light": (lambda image, step: ImageEnhance.Brightness(image).enhance(1 - step), (0.08, 0.2, 0.5)),
    "contrast": (lambda image, step: ImageEnhance.Contrast(image).enhance(1 - step), (0.2, 0.5, 0.9)),
    "saturation": (lambda image, step: ImageEnhance.Color(image).enhance(1 - step), (0.3, 0.6, 1)),
    "moved": (lambda image, step: ImageChops.offset(image, step, 0), (6, 20, 60)),
    "blurred": (lambda image, step: image.filter(ImageFilter.GaussianBlur(step)), (6, 15, 40)),
    "grainy": (noisy, (0.15, 0.3, 0.7)),
}


@pytest.mark.parametrize("name", ["gradients", "lamp", "marble"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_stronger_edit_is_further_away(name, edit):
    change, steps = EDITS[edit]
    found = [apart(PICTURES[name], change(PICTURES[name], step)) for step in steps]
    if (name, edit) != ("gradients", "blurred"):  # a blurred gradient is a gradient
        assert found[0] > NOISE / 2
    assert found == sorted(set(found))


def test_a_change_of_colour_alone_is_seen():
    """The two discs are equally light: nothing but the colour planes tells them apart."""
    red, green = lamp(disc=(180, 70, 60)), lamp(disc=(50, 138, 50))
    assert abs(red.convert("L").getpixel((130, 130)) - green.convert("L").getpixel((130, 130))) <= 1
    assert apart(red, green) > 4 * NOISE


def test_fine_detail_is_seen_where_the_mean_stays():
    grey = Image.new("L", (SIDE, SIDE), 128)
    stripes = Image.frombytes("L", (SIDE, SIDE), bytes((88, 168)) * (SIDE * SIDE // 2))
    assert ImageStat.Stat(stripes).mean == [128]
    assert apart(grey, stripes) > 4 * NOISE


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "LA", "1", "CMYK"])
def test_every_kind_of_picture_has_a_signature(mode):
    assert apart(PICTURES["lamp"].convert(mode), PICTURES["lamp"].convert(mode).convert("RGB")) == 0


def test_what_is_transparent_is_seen_on_white():
    clear = Image.new("RGBA", (SIDE, SIDE), (0, 0, 0, 0))
    assert apart(clear, Image.new("RGB", (SIDE, SIDE), "white")) == 0


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3)])
def test_the_smallest_pictures_have_a_signature(size):
    assert apart(Image.new("RGB", size, "teal"), PICTURES["flat"]) < NOISE


def test_a_signature_is_short_hex_with_its_version():
    assert re.fullmatch(f"{VERSION}[0-9a-f]{{320}}", signature(PICTURES["marble"]))


@pytest.mark.parametrize(
    "other",
    ["", "d0:" + "00" * 160, "00" * 160, VERSION + "00" * 159, VERSION + "zz" * 160, VERSION + "00" * 160 + "\n"],
    ids=["unknown", "other version", "no version", "short", "no hex", "more"],
)
def test_what_can_not_be_compared_has_no_distance(other):
    mark = signature(PICTURES["lamp"])
    assert distance(mark, other) is None
    assert distance(other, mark) is None
    assert distance(other, other) is None


def test_an_image_that_is_examined_has_the_signature_of_its_small_picture():
    large = PICTURES["lamp"].resize((1200, 900), Image.Resampling.BICUBIC)
    facts, small = images.examine(encoded(large))
    assert distance(facts.likeness, signature(PICTURES["lamp"])) < NOISE
    assert distance(images.likeness_of(small), facts.likeness) < NOISE
    assert images.likeness_of(encoded(large)) == facts.likeness
    assert images.likeness_of(encoded(large)[:-20]) == ""


needs_javascript = pytest.mark.skipif(not (NODE or CHROMIUM), reason="needs node or chromium on PATH")


def javascript(expression, folder):
    """What an expression gives in JavaScript, with the page's own functions."""
    script = f"{SCRIPT.read_text(encoding='utf-8')}\nconst found = JSON.stringify({expression});\n"
    if NODE:
        source = f"{script}console.log(found);"
        return json.loads(subprocess.run([NODE, "-"], input=source, capture_output=True, text=True, check=True).stdout)
    page = folder / "page.html"
    page.write_text(f"<meta charset=utf-8><script>{script}document.title = found;</script>", encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--dump-dom"]
    done = subprocess.run([CHROMIUM, *options, page.as_uri()], capture_output=True, text=True, check=True)
    return json.loads(re.search("<title>(.*)</title>", done.stdout)[1])


@needs_javascript
def test_the_page_counts_the_same_distances(tmp_path):
    random.seed(2)
    marks = [signature(picture) for picture in PICTURES.values()]
    marks += [VERSION + random.randbytes(160).hex() for _ in range(20)]
    marks += [VERSION + "00" * 160, VERSION + "ff" * 160, "", "d0:" + "00" * 160]
    pairs = [(one, other) for one in marks for other in marks]
    found = javascript(f"{json.dumps(pairs)}.map(([one, other]) => likenessDistance(one, other))", tmp_path)
    assert len(pairs) > 700
    assert found == [distance(one, other) for one, other in pairs]


@needs_javascript
def test_the_page_calls_the_same_distance_noise(tmp_path):
    assert javascript("LIKENESS_NOISE", tmp_path) == NOISE
