import base64
import io
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from PIL import Image, ImageChops, ImageStat

from krea_pipe.local.composition import compose
from krea_pipe.local.order import CREATIVITIES, PIXELS, Order, ProofSpec, Reference, Sliders, Tint, Weighted
from krea_pipe.local.palette import choose_palette
from krea_pipe.local.picture import read_picture
from krea_pipe.local.proof import draw_proof

SEEDS = range(1, 7)
BOARD = "00000000-0000-4000-8000-000000000003"


def make_brief(tints=(), **fields):
    settings = {"variant": "medium", "prompt": "a lamp", "aspect_ratio": "1:1", "seed": 1, **fields}
    return ProofSpec(Order(**settings), tuple(tints))


def open_proof(brief):
    return Image.open(io.BytesIO(draw_proof(brief)))


def measure_warmth(image):
    red, _, blue = ImageStat.Stat(image.convert("RGB")).mean
    return red - blue


@pytest.mark.parametrize(
    ("ratio", "size"),
    [
        ("1:1", (1024, 1024)),
        ("4:3", (1184, 896)),
        ("3:2", (1248, 832)),
        ("16:9", (1376, 768)),
        ("2.35:1", (1568, 672)),
        ("4:5", (928, 1152)),
        ("3:4", (896, 1184)),
        ("2:3", (832, 1248)),
        ("9:16", (768, 1376)),
    ],
)
def test_a_proof_has_the_pixels_of_its_ratio(box, ratio, size):
    with Image.open(io.BytesIO(box.draw(aspect_ratio=ratio))) as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", size)
    assert len(PIXELS) == 9


def test_the_same_request_gives_the_same_bytes_in_another_world(box, make_box):
    assert box.draw() == make_box().draw()
    assert box.draw(seed=7) == box.draw(seed=7.0)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"prompt": "a blue circle"},
        {"creativity": "high"},
        {"intensity": 40},
        {"complexity": 60},
        {"movement": -40},
        {"aspect_ratio": "4:5"},
        {"moodboards": [{"id": BOARD}]},
        {"styles": [{"id": "st_1", "strength": 1}]},
        {"image_style_references": [{"url": "https://example.test/a.png"}]},
        {"image_style_references": [{"url": "https://example.test/b.png"}]},
    ],
)
def test_every_parameter_changes_the_picture(box, change):
    assert box.draw() != box.draw(**change)


def test_without_a_seed_each_repetition_is_another_take(box, make_box):
    takes = [box.draw(seed=None) for _ in range(2)]
    other = make_box()
    assert takes[0] != takes[1]
    assert takes == [other.draw(seed=None) for _ in range(2)]


def test_a_red_reference_reddens_the_proof_and_a_blue_one_does_not(box, make_picture):
    warmth = {}
    for colour in ("red", "blue"):
        asset = box.upload(make_picture(colour)).json()
        proof = box.draw(image_style_references=[{"url": asset["image_url"], "strength": 0.8}])
        warmth[colour] = measure_warmth(Image.open(io.BytesIO(proof)))
    assert warmth["red"] > 60
    assert warmth["blue"] < -60


def test_a_data_uri_counts_like_the_same_upload(box, make_picture):
    picture = make_picture("red")
    asset = box.upload(picture).json()["image_url"]
    inline = "data:image/png;base64," + base64.b64encode(picture).decode()
    drawn = [box.draw(image_style_references=[{"url": url, "strength": 0.8}]) for url in (asset, inline)]
    assert drawn[0] == drawn[1]


def test_more_strength_is_more_of_the_reference(make_picture):
    red = read_picture(make_picture("red"))
    warmth = []
    for strength in (0.05, 0.3, 0.9):
        tints = [Tint(red, strength)]
        warmth.append(measure_warmth(open_proof(make_brief(tints, prompt="navy blue", seed=4))))
    assert warmth == sorted(warmth)
    assert warmth[2] > warmth[0] + 60


def test_a_negative_strength_pushes_away(make_picture):
    red = read_picture(make_picture("red"))
    drawn = [open_proof(make_brief([Tint(red, strength)])) for strength in (0.9, -0.9)]
    assert measure_warmth(drawn[0]) > measure_warmth(drawn[1]) + 60


def test_colour_words_colour_the_proof():
    assert measure_warmth(open_proof(make_brief(prompt="terracotta and rust"))) > 20
    assert measure_warmth(open_proof(make_brief(prompt="cobalt and navy"))) < -20


def test_a_moodboard_brings_its_own_colours():
    plain = choose_palette(make_brief())
    boards = [choose_palette(make_brief(moodboard=Weighted(BOARD[:-1] + str(digit), 1.0))) for digit in range(3)]
    assert len({tuple(palette) for palette in [plain, *boards]}) == 4


def test_a_negative_moodboard_strength_brings_other_colours():
    palettes = [choose_palette(make_brief(moodboard=Weighted(BOARD, sign * 0.5))) for sign in (1, -1)]
    assert palettes[0].main != palettes[1].main


def test_the_prompt_is_written_in_the_lower_left_corner():
    short, long = (open_proof(make_brief(prompt=prompt)) for prompt in ("ivory", "ivory " * 30))

    def count_ink(image):
        corner = image.crop((26, 700, 540, 1000)).getcolors(2**24)
        return sum(count for count, colour in corner if colour in ((26, 25, 28), (250, 248, 243)))

    assert 50 < count_ink(short) < count_ink(long) / 3


@pytest.mark.parametrize("seed", [*SEEDS, 0.5, None])
def test_the_same_seed_keeps_the_layout_under_another_prompt(seed):
    drawn = [compose(make_brief(prompt=prompt, seed=seed)) for prompt in ("a lamp", "night rain")]
    assert drawn[0] == drawn[1]


def test_seeds_differ_in_layout():
    layouts = [tuple(compose(make_brief(seed=seed))) for seed in range(24)]
    assert len(set(layouts)) == 24


@pytest.mark.parametrize("seed", SEEDS)
def test_each_step_of_creativity_adds_marks_and_keeps_the_others(seed):
    ladder = [compose(make_brief(seed=seed, creativity=step)) for step in CREATIVITIES]
    for calm, rich in pairwise(ladder):
        assert len(calm) < len(rich)
        assert set(calm) < set(rich)


@pytest.mark.parametrize("seed", SEEDS)
def test_complexity_adds_and_removes_marks(seed):
    counts = [
        len(compose(make_brief(seed=seed, creativity="medium", sliders=Sliders(complexity=value))))
        for value in (-100, 0, 100)
    ]
    assert counts == sorted(set(counts))


def test_intensity_raises_chroma_and_contrast():
    palettes = [choose_palette(make_brief(sliders=Sliders(intensity=value))) for value in (-100, 0, 100)]
    chroma = [sum(colour.chroma for colour in palette) for palette in palettes]
    contrast = [
        max(colour.light for colour in palette) - min(colour.light for colour in palette) for palette in palettes
    ]
    assert chroma == sorted(chroma)
    assert contrast == sorted(contrast)


def test_movement_leans_to_the_side_of_its_sign():
    def lean_of(movement):
        marks = compose(make_brief(sliders=Sliders(movement=movement)))
        glyph = next(mark.outline for mark in marks if mark.light == "round")
        top = min(glyph, key=lambda point: point[1])
        bottom = max(glyph, key=lambda point: point[1])
        return top[0] - bottom[0]

    assert lean_of(-80) < lean_of(0) < lean_of(80)


def test_large_is_grainy_medium_is_clean_and_turbo_is_flatter():
    drawn = {name: open_proof(make_brief(variant=name, seed=6)) for name in ("large", "medium", "medium-turbo")}

    def measure_texture(image):
        sky = image.crop((0, 0, 300, 100))
        return ImageStat.Stat(ImageChops.difference(sky, ImageChops.offset(sky, 2, 0))).mean[0]

    assert measure_texture(drawn["large"]) > 2 > measure_texture(drawn["medium"])
    shades = {name: len(image.getcolors(2**24)) for name, image in drawn.items()}
    assert shades["medium-turbo"] < shades["medium"] / 2


def test_a_source_picture_shows_through_as_its_strength_falls(make_picture):
    red = read_picture(make_picture("red"))

    def draw(strength):
        order = Order("medium", "cobalt", "1:1", "raw", seed=6, source=Reference("x", strength))
        return open_proof(ProofSpec(order, source=Tint(red, strength)))

    assert measure_warmth(draw(0.1)) > measure_warmth(draw(0.9)) + 20


@pytest.mark.parametrize(
    "prompt", ["", "  \n\t ", "日本語 кириллица عربى 🎨", "\ud800\u0000\uffff", "x" * 5000, "wort " * 2000]
)
def test_any_prompt_can_be_drawn(prompt):
    assert open_proof(make_brief(prompt=prompt)).size == (1024, 1024)


def test_files_stay_small():
    sizes = [
        len(draw_proof(make_brief(variant=name, seed=seed, creativity="high")))
        for name in ("large", "medium", "medium-turbo")
        for seed in (2, 3)
    ]
    assert max(sizes) < 600_000


def test_proofs_drawn_in_parallel_are_the_same():
    briefs = [make_brief(seed=seed, prompt=f"lamp {seed}") for seed in range(6)]
    alone = [draw_proof(brief) for brief in briefs]
    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(draw_proof, briefs)) == alone
