"""A contact sheet on real paper: its size, its margins, its type and the headings on each page."""

import re
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageDraw, ImageStat
from sheet_reports import make_report, make_row, make_stage

from krea_pipe.core.errors import UsageError
from krea_pipe.report.sheet.arrange import AxisChoice, arrange_stage, list_cells, stages_of
from krea_pipe.report.sheet.draw import Painter
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.print_pages import Paper, print_sheet
from krea_pipe.report.sheet.typeface import FontSet
from krea_pipe.store.space import open_space

FONTS = FontSet(())
MARGIN = 12 / 25.4 * 300
LEAST_TYPE = 6
LIGHTS = ["dawn", "neon", "clean", "dusk", "noon"]


def printed(*stages, paper=Paper(), wanted=AxisChoice()):  # noqa: B008 (frozen)
    report = make_report(*stages, kind="local")
    found = [arrange_stage(stage, rows, wanted) for stage, rows in stages_of(report, ())]
    return print_sheet(report, found, paper, title="Lamps", fonts=FONTS)


def strings(page):
    return [text.string for text in page.texts]


def texts_of(page):
    return [*page.texts, *(text for tile in page.tiles for text in (*tile.caption, *tile.note))]


def boxes_of(page):
    captions = [text.box for tile in page.tiles for text in tile.caption]
    return [*(tile.box for tile in page.tiles), *captions, *(text.box for text in page.texts), *page.rules]


def overlap(one, other):
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


labels = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(
    ["raw", "x" * 300, "朝の光" * 20, "wet slate, in the rain, at night, seen from above " * 3]
)
SIZES = ((1024, 1024), (1344, 768), (768, 1344), (1536, 640), None)


@st.composite
def stages(draw):
    axes = {
        f"axis{at}": draw(st.lists(labels, min_size=1, max_size=4, unique=True))
        for at in range(draw(st.integers(0, 3)))
    }
    if draw(st.booleans()):
        axes["seed"] = list(range(draw(st.integers(1, 30))))
    size = st.sampled_from(SIZES)
    seeds = draw(st.randoms(use_true_random=False))
    mixed = draw(st.booleans())
    one_size = draw(size)
    return make_stage("look", axes, lambda s, a: make_row(s, a, size=seeds.choice(SIZES) if mixed else one_size))


papers = st.builds(Paper, st.sampled_from(["A4", "A3", "letter"]), st.sampled_from([1, 4, 12, 30, 70]), st.booleans())


@settings(max_examples=40)
@given(stages(), papers)
def test_each_page_is_the_paper_and_everything_is_inside_its_margin(stage, paper):
    try:
        sheet = printed(stage, paper=paper)
    except UsageError:
        assert paper.per_page > 4, "four pictures fit on each paper"
        return
    for page in sheet.pages:
        assert (page.width, page.height) == paper.size
        assert 1 <= len(page.tiles) <= paper.per_page
        boxes = boxes_of(page)
        assert min(min(box.left, box.top) for box in boxes) >= round(MARGIN)
        assert all(box.right <= page.width - MARGIN + 1 for box in boxes)
        assert all(box.bottom <= page.height - MARGIN + 1 for box in boxes)
        assert not any(overlap(one, other) for at, one in enumerate(boxes) for other in boxes[at + 1 :])
        assert min(text.size for text in texts_of(page)) * sheet.points >= LEAST_TYPE
    shown = [tile.row.id for page in sheet.pages for tile in page.tiles]
    assert sorted(shown) == sorted(row.id for row in stage[1])


@pytest.mark.parametrize(
    ("paper", "inches"),
    [
        (Paper("A4"), (8.27, 11.69)),
        (Paper("A3", is_landscape=True), (16.54, 11.69)),
        (Paper("letter"), (8.5, 11)),
    ],
)
def test_a_page_is_as_large_as_its_paper(paper, inches):
    sheet = printed(make_stage("look", {"light": LIGHTS, "seed": [1, 2]}), paper=paper)
    for page in sheet.pages:
        assert page.width * sheet.points / 72 == pytest.approx(inches[0], abs=0.01)
        assert page.height * sheet.points / 72 == pytest.approx(inches[1], abs=0.01)


@pytest.mark.parametrize("per_page", [4, 12, 60])
def test_all_headings_are_on_each_page(per_page):
    axes = {"product": ["serum", "cream"], "light": LIGHTS, "seed": list(range(1, 10))}
    sheet = printed(make_stage("look", axes), paper=Paper(per_page=per_page))
    assert len(sheet.pages) > 1
    for page in sheet.pages:
        said = strings(page)
        cells = [tile.row.axes for tile in page.tiles]
        assert {str(axes["seed"]) for axes in cells} <= set(said), "names of columns"
        assert {axes["light"] for axes in cells} <= set(said), "labels of rows"
        assert {axes["product"] for axes in cells} <= set(said), "headings of blocks"
        assert {"product", "light", "seed"} <= set(said), "names of axes"
        assert any("Lamps" in text for text in said)
        assert any("look" in text for text in said)


def test_a_page_has_about_as_many_pictures_as_it_may_have():
    for per_page in (6, 12, 24, 48):
        sheet = printed(make_stage("look", {"n": list(range(48))}), paper=Paper(per_page=per_page))
        assert len(sheet.pages) == 48 / per_page


def test_fewer_pictures_on_a_page_are_larger():
    stage = make_stage("look", {"light": LIGHTS, "seed": list(range(10))})
    sides = [printed(stage, paper=Paper(per_page=count)).pages[0].tiles[0].box.width for count in (2, 12, 50)]
    assert sides == sorted(sides, reverse=True)
    assert len(set(sides)) == 3


def test_captions_in_narrow_columns_are_not_cut():
    lights = ["dawn through a tall window in the north", "neon signs over a wet street at night"]
    sheet = printed(make_stage("look", {"light": lights, "seed": list(range(10))}), paper=Paper(per_page=100))
    for page in sheet.pages:
        for tile in page.tiles:
            caption = "".join(text.string for text in tile.caption).replace(" ", "")
            assert caption == tile.row.id.partition("/")[2].replace(" ", "")


def test_picks_have_their_notes_on_each_page():
    stage, rows = make_stage("look", {"light": LIGHTS, "seed": [1, 2]})
    made = list_cells(stage, rows, {row.id: "5 stars · keep the droplets" for row in rows})
    sheet = print_sheet(make_report((stage, rows)), [made], Paper(per_page=4), title="Picks", fonts=FONTS)
    assert len(sheet.pages) == 3
    for tile in (tile for page in sheet.pages for tile in page.tiles):
        assert "5 stars · keep the droplets" in [text.string for text in tile.caption]


def test_too_many_pictures_for_a_page_are_refused_with_what_to_do():
    stage = make_stage("look", {"light": [f"light {at}" for at in range(32)], "seed": list(range(32))})
    with pytest.raises(UsageError, match=r"1000 pictures .* do not fit .* A4.*lower --per-page, or use a larger"):
        printed(stage, paper=Paper(per_page=1000))


@pytest.mark.parametrize("per_page", [6, 60])
def test_no_pixel_is_drawn_outside_of_the_box_of_its_text_or_picture(tmp_path, per_page):
    def row_of(stage, axes):
        return make_row(stage, axes, status="failed", error="Krea refused the prompt: policy")

    paper = Paper(per_page=per_page)
    stage = make_stage("look", {"light": [*LIGHTS, "ÄÅÉ, gjpqy, in the rain"], "seed": list(range(10))}, row_of)
    sheet = printed(stage, paper=paper)
    painter = Painter(open_space(tmp_path, "local"), tmp_path, Typesetter(FONTS, paper.measures))
    for page in sheet.pages[:2]:
        image = Image.open(BytesIO(painter.png(sheet, page))).convert("RGB")
        assert image.size == paper.size
        assert ImageChops.invert(image).getbbox() is not None
        draw = ImageDraw.Draw(image)
        for box in boxes_of(page):
            draw.rectangle((box.left - 2, box.top - 2, box.right + 1, box.bottom + 1), fill="white")
        assert ImageChops.invert(image).getbbox() is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(3000, 2000), (1376, 768), (700, 900), (280, 280)])
@pytest.mark.parametrize("per_page", [2, 12])
def test_a_printed_picture_has_300_dpi_or_all_its_pixels_and_looks_like_its_image(tmp_path, kind, size, per_page):
    data, space, paper = drawing(size, kind), open_space(tmp_path, "local"), Paper(per_page=per_page)
    digest = space.blobs.put(data)
    rows = lambda stage, axes: make_row(stage, axes, size=size, sha256=digest)  # noqa: E731
    sheet = printed(make_stage("look", {"seed": [1, 2]}, rows), paper=paper)
    painter = Painter(space, tmp_path, Typesetter(FONTS, paper.measures))
    pictures = pictures_of_pdf(b"".join(painter.pdf(sheet)))
    assert painter.missing == []
    box = sheet.pages[0].tiles[0].box
    scale = min(1, box.width / size[0], box.height / size[1])
    for picture in pictures:
        for side, whole in zip(picture.size, size, strict=True):
            assert -1 < side - whole * scale < whole * scale * 0.1 + 2
        seen = Image.open(BytesIO(data)).convert("RGB").resize(picture.size, Image.Resampling.BOX)
        assert max(ImageStat.Stat(ImageChops.difference(picture, seen)).mean) < 3
    assert len(pictures) == 1, "of both cells, which have the same image"


def drawing(size, kind):
    """An image with slopes and edges."""
    hue, light = Image.linear_gradient("L").resize(size), Image.radial_gradient("L").resize(size)
    image = Image.merge("HSV", (hue, Image.new("L", size, 90), ImageChops.invert(light))).convert("RGB")
    ImageDraw.Draw(image).ellipse((size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2), fill=(20, 90, 80))
    buffer = BytesIO()
    image.save(buffer, kind, quality=95)
    return buffer.getvalue()


def pictures_of_pdf(pdf):
    streams = re.finditer(rb"/Subtype /Image [^>]*/Filter /DCTDecode /Length (\d+)>>\nstream\n", pdf)
    return [Image.open(BytesIO(pdf[one.end() : one.end() + int(one[1])])).convert("RGB") for one in streams]
