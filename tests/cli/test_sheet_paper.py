"""`krea-pipe sheet --paper` and `--picks`: pages for a printer, and only what was picked."""

import re
import zlib
from io import BytesIO

import pytest
from PIL import Image, ImageChops

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  explore:
    prompt: a lamp on {{ surface }}
    matrix: {surface: [slate, oak], seed: [1, 2, 3, 4]}
"""
PICKS = """\
stage: explore
picks:
  - {id: explore/slate/s1, stars: 5, note: keep the droplets}
  - explore/oak/s2
"""
OBJECT = re.compile(rb"^(\d{10}) 00000 n $", re.MULTILINE)
A4_INCHES = (8.27, 11.69)
WHITE_MARGIN = 12 / 25.4 * 300


@pytest.fixture
def lamp(project):
    project.write("lamp.yaml", LAMP)
    assert project.run("run", "lamp.yaml", "--local").code == 0
    return project


def paper_of(pdf):
    """The width and height of all pages in inches."""
    pages = [one for one in pdf.split(b"endobj") if re.search(rb"/Type /Page\b", one)]
    boxes = {re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", page).groups() for page in pages}
    assert len(boxes) == 1
    return tuple(float(side) / 72 for side in boxes.pop())


def pictures_in(pdf):
    """The width, the height and the pixels of each picture."""
    found = re.findall(rb"/Subtype /Image /Width (\d+) /Height (\d+) .*?/Length (\d+)>>\nstream\n", pdf)
    starts = [one.end() for one in re.finditer(rb"/Subtype /Image .*?>>\nstream\n", pdf)]
    files = [pdf[start : start + int(length)] for start, (_, _, length) in zip(starts, found, strict=True)]
    return [(int(w), int(h), Image.open(BytesIO(data))) for (w, h, _), data in zip(found, files, strict=True)]


@pytest.mark.parametrize(
    ("words", "inches"),
    [
        (["--paper", "A4"], A4_INCHES),
        (["--paper", "a4", "--landscape"], A4_INCHES[::-1]),
        (["--paper", "A3"], (11.69, 16.54)),
        (["--paper", "letter"], (8.5, 11)),
    ],
)
def test_a_pdf_has_pages_of_the_paper(lamp, words, inches):
    done = lamp.run("sheet", *words, "--per-page", "4", "--json")
    assert done.code == 0, done.text
    assert (done.json["pages"], done.json["pictures"]) == (2, 8)
    assert paper_of((lamp.path / "sheet.pdf").read_bytes()) == pytest.approx(inches, abs=0.01)


def test_a_picture_has_300_dpi_or_what_it_has(lamp):
    lamp.run("sheet", "--paper", "A4", "--per-page", "8", "--out", "many.pdf")
    lamp.run("sheet", "--paper", "A4", "--per-page", "1", "--out", "one.pdf")
    many, one = ((lamp.path / name).read_bytes() for name in ("many.pdf", "one.pdf"))
    widths = {width for width, _, _ in pictures_in(many)}
    placed = {float(wide) for wide in re.findall(r"q ([\d.]+) 0 0 [\d.]+ ", pages_of(many))}
    [wide], [width] = placed, widths
    assert wide / 72 * 300 <= width < 1.1 * wide / 72 * 300
    assert {width for width, _, _ in pictures_in(one)} == {1024}, "as large as Krea sent it"


def pages_of(pdf):
    """The drawing commands of all pages."""
    found = re.findall(rb"/FlateDecode.*?stream\n(.*?)\nendstream", pdf, re.DOTALL)
    return "\n".join(zlib.decompress(data).decode("latin-1") for data in found)


def test_the_file_is_a_sound_pdf_with_every_picture_once(lamp):
    lamp.run("sheet", "--paper", "A4", "--per-page", "4")
    pdf = (lamp.path / "sheet.pdf").read_bytes()
    table = int(pdf.split(b"startxref\n")[1].split()[0])
    assert pdf[table:].startswith(b"xref\n")
    places = [int(place) for place in OBJECT.findall(pdf, table)]
    assert len(places) == int(re.search(rb"/Size (\d+)", pdf[table:])[1]) - 1
    for number, place in enumerate(places, 1):
        assert pdf[place:].startswith(b"%d 0 obj\n" % number)
    pictures = pictures_in(pdf)
    assert len(pictures) == 8
    for width, height, image in pictures:
        image.load()
        assert image.size == (width, height)
    assert len({image.tobytes() for _, _, image in pictures}) == 8


def test_a_png_page_is_printed_at_300_dpi_and_leaves_its_margin_white(lamp):
    done = lamp.run("sheet", "--paper", "A4", "--per-page", "4", "--out", "s.png", "--json")
    assert done.json["files"] == ["s-1.png", "s-2.png"]
    for name in done.json["files"]:
        image = Image.open(lamp.path / name)
        assert image.size == (2480, 3508)
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
        left, top, right, bottom = ImageChops.invert(image).getbbox()
        assert min(left, top) >= WHITE_MARGIN - 1
        assert right <= 2480 - WHITE_MARGIN + 1
        assert bottom <= 3508 - WHITE_MARGIN + 1
        colours = image.resize((40, 40)).getcolors(1600)
        painted = sum(count for count, colour in colours if max(colour) - min(colour) > 40)
        assert painted > 100, "pictures fill much of the page"


def test_a_picture_that_is_smaller_than_its_place_fills_it_on_a_png_page(lamp):
    lamp.run("sheet", "--paper", "A4", "--per-page", "1", "--out", "s.png", "-k", "surface=oak and seed=1")
    image = Image.open(lamp.path / "s.png")
    left, _, right, _ = ImageChops.invert(image.crop((0, 1500, 2480, 1501))).getbbox()
    assert right - left > 2000


def test_picks_are_the_only_cells_of_a_sheet_and_keep_their_notes(lamp):
    lamp.write("picks/explore.yaml", PICKS)
    for words in ([], ["--paper", "A4"]):
        done = lamp.run("sheet", "--picks", *words, "--json", "--replace")
        assert done.code == 0, done.text
        assert (done.json["cells"], done.json["pictures"], done.json["expected"]) == (2, 2, 2)
    assert lamp.run("sheet", "--picks", "-k", "surface=oak", "--json").json["cells"] == 1
    assert lamp.run("sheet", "--picks", "-k", "seed=4").code == 7
    assert lamp.run("sheet", "--picks", "--rows", "surface", "--columns", "seed", "--json").json["cells"] == 2


def test_a_note_of_a_pick_makes_a_difference(lamp):
    lamp.write("picks/explore.yaml", PICKS)
    lamp.run("sheet", "--picks", "--paper", "A4", "--out", "one.png")
    lamp.write("picks/explore.yaml", PICKS.replace(", note: keep the droplets", ""))
    lamp.run("sheet", "--picks", "--paper", "A4", "--out", "two.png")
    one, two = (Image.open(lamp.path / name) for name in ("one.png", "two.png"))
    assert ImageChops.difference(one, two).getbbox() is not None


def test_a_pick_without_an_image_is_refused_unless_allowed(lamp):
    lamp.write("picks/explore.yaml", PICKS + "  - explore/marble/s9\n")
    done = lamp.run("sheet", "--picks", "--paper", "A4")
    assert done.code == 2
    assert "1 pick has no image" in done.err
    assert "explore/marble/s9" in done.err
    assert not (lamp.path / "sheet.pdf").exists()
    assert lamp.run("sheet", "--picks", "--paper", "A4", "--allow-missing", "--json").json["cells"] == 2


def test_nothing_picked_is_refused(lamp):
    done = lamp.run("sheet", "--picks")
    assert (done.code, "no cells are picked" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--per-page", "4"], "--per-page needs --paper"),
        (["--landscape"], "--landscape needs --paper"),
        (["--paper", "A4", "--size", "360"], "--size cannot be combined with --paper"),
        (["--paper", "A4", "--max-megapixels", "40"], "--max-megapixels cannot be combined with --paper"),
        (["--paper", "A9"], "A9"),
        (["--paper", "A4", "--per-page", "0"], "0"),
        (["--allow-missing"], "--allow-missing needs --picks"),
    ],
)
def test_options_that_contradict_each_other_are_refused(lamp, words, said):
    done = lamp.run("sheet", *words)
    assert done.code == 2
    assert said in done.err
    assert not (lamp.path / "sheet.pdf").exists()
