"""Checks of images: each measure with a picture that passes and one that just fails, on what Krea sent."""

from io import BytesIO
from math import dist
from random import Random

import pytest
from krea_server import send_answer
from PIL import Image, ImageCms, ImageDraw, ImageFilter

from krea_pipe.core.likeness import distance, vector
from krea_pipe.report.checks import pixels
from krea_pipe.report.checks.colour_share import ciede2000
from krea_pipe.report.checks.near_images import Signed, nearest_of

SIDE = 1024
ORANGE = (255, 102, 0)


def png(image, **options):
    buffer = BytesIO()
    image.save(buffer, "PNG", compress_level=1, **options)
    return buffer.getvalue()


def plain(colour, mode="RGB"):
    return Image.new(mode, (SIDE, SIDE), colour)


def with_box(ground, colour, box):
    image = plain(ground) if isinstance(ground, (tuple, int)) else ground
    ImageDraw.Draw(image).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), fill=colour)
    return image


def stripes(width, low=64, high=192):
    """Upright stripes of a width in pixels, each of two tones."""
    row = bytes(high if x // width % 2 else low for x in range(SIDE))
    return Image.frombytes("L", (SIDE, SIDE), row * SIDE).convert("RGB")


def gradient():
    return Image.linear_gradient("L").resize((SIDE, SIDE)).convert("RGB")


def barred(rows, picture=None):
    """A picture between two black bars."""
    image = picture or stripes(64, 120, 240)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, SIDE, rows - 1), fill=(0, 0, 0))
    draw.rectangle((0, SIDE - rows, SIDE, SIDE), fill=(0, 0, 0))
    return image


def swapped_profile(colour):
    """A picture of a colour, with red for blue in its pixels and in its profile: only both together say the colour."""
    swapped = plain((colour[2], colour[1], colour[0]))
    data = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    count = int.from_bytes(data[128:132], "big")
    tags = {bytes(data[132 + 12 * n : 136 + 12 * n]): 132 + 12 * n for n in range(count)}
    red, blue = (slice(tags[name] + 4, tags[name] + 12) for name in (b"rXYZ", b"bXYZ"))
    data[red], data[blue] = data[blue], data[red]
    return png(swapped, icc_profile=bytes(data))


SEEN = '{measure: colours, colours: ["#ff6600"], within: 3}'
HALF = (0, 0, SIDE // 2, SIDE)
# By name: the check, its value for a picture that passes, and for one that just fails.
PICTURES = {
    "width": ("{measure: width, min: 1024, max: 1024}", (png(plain(ORANGE)), 1024), None),
    "height": ("{measure: height, min: 1025}", None, (png(plain(ORANGE)), 1024)),
    "brightness": ("{measure: brightness, max: 0.5}", (png(plain((127,) * 3)), 0.498), (png(plain((128,) * 3)), 0.502)),
    "contrast": (
        "{measure: contrast, min: 0.25}",
        (png(stripes(64, 64, 192)), 0.251),
        (png(stripes(64, 64, 191)), 0.249),
    ),
    "sharpness": (
        "{measure: sharpness, min: 580}",
        (png(stripes(64, 64, 164)), 588.2),
        (png(stripes(64, 64, 163)), 576.5),
    ),
    "blank": (
        "{measure: blank, max: 0.95}",
        (png(with_box((250,) * 3, (20,) * 3, (0, 0, SIDE, 52))), 0.9492),
        (png(with_box((250,) * 3, (20,) * 3, (0, 0, SIDE, 48))), 0.9531),
    ),
    "border": ("{measure: border, max: 0.02}", (png(barred(20)), 0.0195), (png(barred(22)), 0.0215)),
    "colours": (
        '{measure: colours, colours: ["#ff6600"], within: 2, min: 0.5}',
        (png(with_box((0, 0, 0), ORANGE, HALF)), 0.5),
        (png(with_box((0, 0, 0), ORANGE, (0, 0, SIDE // 2 - 11, SIDE))), 0.4896),
    ),
}


def serve(krea, pictures):
    """Have Krea send the picture whose name is in the prompt."""

    async def act(scope, seen, send, app):
        prompt = krea.job_of_image(seen.path).brief.order.prompt
        data = next(data for name, data in pictures.items() if name in prompt)
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    krea.rule("GET", "/images/", act)


@pytest.fixture
def checked(project, krea):
    """Runs a check for pictures that Krea sends, and gives its results by the names of the pictures."""

    def checked(check, pictures, *options):
        serve(krea, pictures)
        project.pipeline(pictures, more=f"checks: [{check}]\nbudget: {{usd: 5}}")
        done = project.run("run", "p.yaml", "--json", *options)
        return {name: row["checks"][0] for name, row in done.rows.items()}

    return checked


@pytest.mark.parametrize("name", PICTURES)
def test_a_measure_has_a_picture_that_passes_and_one_that_just_fails(checked, name):
    check, passes, fails = PICTURES[name]
    given = {word: one for word, one in (("good", passes), ("poor", fails)) if one}
    results = checked(check, {word: data for word, (data, _) in given.items()})
    for word, (_, value) in given.items():
        assert results[word]["value"] == pytest.approx(value, abs=0.0006 if value < 1 else 0.1)
        assert results[word]["passed"] is (word == "good"), results[word]


# A check and a picture with its value.
CASES = (
    # a border is a strip with a hard straight edge, not a backdrop or a sky
    ("{measure: border}", png(plain(ORANGE)), 1),
    ("{measure: border}", png(with_box((250,) * 3, (90,) * 3, (300, 300, 700, 700))), 0),
    ("{measure: border}", png(gradient()), 0),
    ("{measure: border}", png(with_box(gradient(), (255,) * 3, (768, 0, SIDE, SIDE))), 0.25),
    # noise does not hide that a picture is blank, and a gradient is not blank
    ("{measure: blank}", png(Image.effect_noise((SIDE, SIDE), 2).convert("RGB")), 1),
    ("{measure: blank}", png(gradient()), 0.098),
    # transparent pixels do not count as a colour; for other measures they are white
    (SEEN, png(Image.merge("RGBA", (*plain(ORANGE).split(), with_box(0, (255,) * 3, HALF).convert("L")))), 1),
    (SEEN, png(plain((*ORANGE, 0), "RGBA")), 0),
    ("{measure: brightness}", png(plain((0, 0, 0, 0), "RGBA")), 1),
    # colours are compared as the profile says, and grey is a colour
    (SEEN, swapped_profile(ORANGE), 1),
    ('{measure: colours, colours: ["#808080"], within: 1}', png(plain(128, "L")), 1),
)


def test_what_counts_as_a_border_as_blank_and_as_a_colour(project, krea):
    """All pictures in one run, with all checks; of each picture one is compared."""
    names = {check: f"c{number}" for number, check in enumerate(dict.fromkeys(check for check, _, _ in CASES))}
    words = [f"{chr(ord('a') + number)}-picture" for number in range(len(CASES))]
    serve(krea, dict(zip(words, (data for _, data, _ in CASES), strict=True)))
    checks = ", ".join(check.replace("{", f"{{name: {name}, ", 1) for check, name in names.items())
    project.pipeline(words, more=f"checks: [{checks}]\nbudget: {{usd: 5}}")
    rows = project.run("run", "p.yaml", "--json").rows
    for word, (check, _, value) in zip(words, CASES, strict=True):
        results = {one["name"]: one["value"] for one in rows[word]["checks"]}
        assert results[names[check]] == pytest.approx(value, abs=0.001), (check, word)


def test_sharpness_is_that_of_what_krea_sent_which_artefacts_raise(checked):
    soft = with_box((90, 90, 90), (170, 170, 170), (300, 300, 700, 700)).filter(ImageFilter.GaussianBlur(24))
    worse = BytesIO()
    soft.save(worse, "JPEG", quality=20)
    results = checked("{measure: sharpness, max: 0.5}", {"fine": png(soft), "worse": worse.getvalue()})
    assert results["fine"]["passed"] is True
    assert results["worse"]["value"] > 2 * results["fine"]["value"]


def test_a_rerun_measures_nothing_nor_do_other_limits(project, monkeypatch):
    measured = []
    measure = pixels.measure_pixels

    def counted(data, wanted):
        measured.append([name for name, _, _ in wanted])
        return measure(data, wanted)

    monkeypatch.setattr(pixels, "measure_pixels", counted)
    for check, expected in (
        ("{measure: brightness, min: 0.2}", [["brightness"]] * 2),
        ("{measure: brightness, min: 0.9, fail: true}", []),
        ("{measure: brightness}, {measure: contrast}, {measure: border}", [["contrast", "border"]] * 2),
        (SEEN, [["colours"]] * 2),
        (SEEN.replace("within: 3", "within: 4"), [["colours"]] * 2),
    ):
        project.pipeline(["one", "two"], more=f"checks: [{check}]\nbudget: {{usd: 5}}")
        for wanted in (expected, []):
            measured.clear()
            project.run("run", "p.yaml", "--quiet")
            assert measured == wanted, check


def test_near_duplicates_are_named_and_cells_of_one_request_are_not(project, krea):
    tones = {"alike": 100, "twin": 103, "other": 160}
    serve(krea, {name: png(plain((tone,) * 3)) for name, tone in tones.items()})
    words = [*tones]
    more = "checks: [{measure: nearest_distance, min: 0.03}]\nbudget: {usd: 5}\n"
    project.pipeline(words, more=more)
    # The two cells of the second pipeline have one request.
    project.write("q.yaml", f'version: 1\nprompt: "other {{{{ x and y }}}}"\nmatrix: {{x: [a, b], y: [same]}}\n{more}')
    row = {name: one["checks"][0] for name, one in project.run("run", "p.yaml", "--json").rows.items()}
    assert [row[word]["passed"] for word in words] == [False, False, True]
    assert row["twin"]["message"] == "0.0118 is less than 0.03: near p/alike"
    assert row["other"]["value"] == pytest.approx(57 / 255, abs=0.001)
    alone = project.run("run", "q.yaml", "--json").report["cells"]
    assert {(one["checks"][0]["value"], one["checks"][0]["passed"]) for one in alone} == {(None, None)}


def test_the_distance_to_the_accepted_image_is_that_to_the_lock_file_before_the_run(project, krea):
    more = "checks: [{measure: accepted_distance, max: 0.1, fail: true}]\nbudget: {usd: 5}\n"
    serve(krea, {"lamp": png(plain((100,) * 3)), "lantern": png(plain((151,) * 3))})

    def result(prompt, *options):
        project.write("p.yaml", f"version: 1\nprompt: {prompt}\n{more}")
        done = project.run("run", "p.yaml", "--json", *options)
        (row,) = done.report["cells"]
        return done.code, row["checks"][0]["value"], row["checks"][0]["passed"]

    assert result("a lamp") == (0, None, None)
    assert result("a lantern") == (9, 0.2, False)
    assert result("a lantern") == (0, 0.0, True)


# Sharma, Wu and Dalal (2005), table 1: pairs in which an implementation goes wrong, with their differences.
SHARMA = """
50 2.6772 -79.7751 50 0 -82.7485 2.0425
50 3.1571 -77.2803 50 0 -82.7485 2.8615
50 2.8361 -74.02 50 0 -82.7485 3.4412
50 -1.3802 -84.2814 50 0 -82.7485 1
50 -1.1848 -84.8006 50 0 -82.7485 1
50 -0.9009 -85.5211 50 0 -82.7485 1
50 0 0 50 -1 2 2.3669
50 -1 2 50 0 0 2.3669
50 2.49 -0.001 50 -2.49 0.0009 7.1792
50 2.49 -0.001 50 -2.49 0.001 7.1792
50 2.49 -0.001 50 -2.49 0.0011 7.2195
50 2.49 -0.001 50 -2.49 0.0012 7.2195
50 -0.001 2.49 50 0.0009 -2.49 4.8045
50 -0.001 2.49 50 0.001 -2.49 4.8045
50 -0.001 2.49 50 0.0011 -2.49 4.7461
50 2.5 0 50 0 -2.5 4.3065
50 2.5 0 73 25 -18 27.1492
50 2.5 0 61 -5 29 22.8977
50 2.5 0 56 -27 -3 31.9030
50 2.5 0 58 24 15 19.4535
50 2.5 0 50 3.1736 0.5854 1
60.2574 -34.0099 36.2677 60.4626 -34.1751 39.4387 1.2644
22.7233 20.0904 -46.694 23.0331 14.973 -42.5619 2.0373
6.7747 -0.2908 -2.4247 5.8714 -0.0985 -2.2286 0.6377
2.0776 0.0795 -1.135 0.9033 -0.0636 -0.5514 0.9082
"""


def test_the_colour_difference_is_ciede2000():
    for line in SHARMA.strip().splitlines():
        *colours, expected = map(float, line.split())
        one, other = tuple(colours[:3]), tuple(colours[3:])
        assert ciede2000(one, other) == pytest.approx(expected, abs=5e-5), line
        assert ciede2000(other, one) == pytest.approx(expected, abs=5e-5), line


def test_the_nearest_image_is_that_of_comparing_all_with_all():
    random = Random(7)
    signed = [
        Signed(
            f"c{number}", f"k{number // 2}", f"d1:{bytes(random.choices(range(random.randint(2, 256)), k=160)).hex()}"
        )
        for number in range(60)
    ]
    signed.append(Signed("unknown", "k", ""))
    found = nearest_of(signed, 0.25)
    assert max(len(one.cells) for one in found.values()) > 2
    assert found.keys() == {one.id for one in signed[:-1]}
    for one in signed[:-1]:
        others = [(distance(one.likeness, other.likeness), other) for other in signed[:-1] if other.key != one.key]
        assert found[one.id].distance == pytest.approx(min(far for far, _ in others))
        near = [other.id for far, other in sorted(others, key=lambda pair: pair[0]) if far < 0.25]
        assert list(found[one.id].cells) == near[:5]
    greys = [
        Signed(str(tone), str(tone), f"d1:{bytes([tone] * 64 + [128] * 32 + [0] * 64).hex()}") for tone in (9, 10, 30)
    ]
    assert nearest_of(greys, 0.1)["9"].cells == ("10", "30")  # also those that are further away than the nearest
    assert dist(vector(signed[0].likeness), vector(signed[1].likeness)) == pytest.approx(
        distance(signed[0].likeness, signed[1].likeness)
    )
