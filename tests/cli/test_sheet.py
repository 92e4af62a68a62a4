"""`krea-pipe sheet`: a contact sheet of a finished run, and what stands in its way."""

import json
import re
from io import BytesIO

import pytest
from PIL import Image

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  explore:
    prompt: a lamp on {{ surface }}
    matrix: {surface: [slate, oak], seed: [1, 2, 3]}
  wide:
    prompt: a wide lamp
    aspect_ratio: "16:9"
    matrix: {seed: [1, 2]}
"""


@pytest.fixture
def lamp(project):
    project.write("lamp.yaml", LAMP)
    assert project.run("run", "lamp.yaml", "--local").code == 0
    return project


def record(project):
    (file,) = (project.home / "runs").glob("*/report.json")
    return file, json.loads(file.read_text(encoding="utf-8"))


def open_png(path):
    image = Image.open(BytesIO(path.read_bytes()))
    image.load()
    return image


def pages_in(pdf):
    return len(re.findall(rb"/Type /Page\b", pdf))


def pictures_in(pdf):
    return len(re.findall(rb"/Subtype /Image\b", pdf))


def is_painted(image):
    """Whether a page holds the colours of pictures, and not just of paper and type."""
    small = image.resize((40, 40))
    colourful = [one for _, one in small.getcolors(1600) if max(one) - min(one) > 40]
    return len(colourful) > 20


def test_the_latest_run_becomes_a_pdf_with_a_page_for_each_stage(lamp):
    done = lamp.run("sheet", "--json")
    assert done.code == 0, done.text
    assert done.json == {
        "schema": "krea-pipe/sheet@1",
        "run_id": record(lamp)[1]["run_id"],
        "files": ["sheet.pdf"],
        "pages": 2,
        "cells": 8,
        "pictures": 8,
        "expected": 8,
        "missing": [],
    }
    pdf = (lamp.path / "sheet.pdf").read_bytes()
    assert pdf.startswith(b"%PDF")
    assert (pages_in(pdf), pictures_in(pdf)) == (2, 8)


def test_the_same_run_gives_the_same_bytes(lamp):
    lamp.run("sheet", "--out", "one.pdf")
    lamp.run("sheet", "--out", "two.pdf")
    assert (lamp.path / "one.pdf").read_bytes() == (lamp.path / "two.pdf").read_bytes()


def test_a_page_of_png_has_the_pictures_and_is_no_larger_than_asked_for(lamp):
    done = lamp.run("sheet", "--stage", "explore", "--out", "s.png", "--max-megapixels", "3")
    assert done.code == 0, done.text
    assert "6 cells on 1 page" in done.out
    image = open_png(lamp.path / "s.png")
    assert image.width * image.height <= 3_000_000
    assert is_painted(image)


def test_several_pages_of_png_are_numbered_and_pages_of_an_earlier_sheet_go(lamp):
    first = lamp.run("sheet", "--out", "s.png", "--max-megapixels", "0.5", "--json").json
    assert first["files"] == [f"s-{number}.png" for number in range(1, first["pages"] + 1)]
    assert first["pages"] > 3
    stranger = lamp.write("s-99.png", b"mine")
    second = lamp.run("sheet", "--out", "s.png", "--json").json
    assert second["files"] == ["s-1.png", "s-2.png"]
    assert sorted(path.name for path in lamp.path.glob("s-*.png")) == ["s-1.png", "s-2.png", "s-99.png"]
    assert stranger.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["s.pdf", "s.png"])
def test_an_earlier_sheet_is_replaced_and_any_other_file_is_not(lamp, name):
    words = ("sheet", "--stage", "wide", "--out", name)
    assert lamp.run(*words).code == 0
    assert lamp.run(*words).code == 0
    lamp.write(name, b"a drawing")
    refused = lamp.run(*words)
    assert refused.code == 2
    assert f"{name} exists and is not a contact sheet" in refused.err
    assert (lamp.path / name).read_bytes() == b"a drawing"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "s.jpg"], "not s.jpg"),
        (["--rows", "surfce"], "there is no axis `surfce`"),
        (["--stage", "explor"], "there is no stage `explor`"),
        (["--size", "4096", "--max-megapixels", "1"], "needs more than 1 megapixels"),
        (["--max-megapixels", "200"], "200"),
    ],
)
def test_what_can_not_be_is_refused_before_anything_is_written(lamp, words, said):
    done = lamp.run("sheet", *words)
    assert done.code == 2
    assert said in done.err
    assert not list(lamp.path.glob("s*.pdf"))


def test_cells_are_selected_as_everywhere(lamp):
    assert lamp.run("sheet", "-k", "surface=oak", "--json").json["cells"] == 3
    assert lamp.run("sheet", "-k", "surface=glass").code == 7


def test_axes_can_be_placed(lamp):
    tall = lamp.run("sheet", "--stage", "explore", "--rows", "surface,seed", "--out", "rows.png", "--size", "96")
    wide = lamp.run("sheet", "--stage", "explore", "--columns", "surface,seed", "--out", "columns.png", "--size", "96")
    assert (tall.code, wide.code) == (0, 0), tall.text + wide.text
    rows, columns = open_png(lamp.path / "rows.png"), open_png(lamp.path / "columns.png")
    assert columns.width > columns.height
    assert columns.width / columns.height > rows.width / rows.height


@pytest.mark.parametrize("size", ["96", "360"])
def test_a_picture_that_is_gone_is_read_from_its_copy_and_is_a_note_when_both_are_gone(lamp, size):
    _, data = record(lamp)
    first, second = (cell for cell in data["cells"] if cell["id"] in ("explore/slate/s1", "explore/oak/s2"))
    space = lamp.home / "local"
    for cell in (first, second):
        digest = cell["sha256"]
        (space / "blobs" / digest[:2] / digest).unlink()
        (space / "thumbnails" / digest[:2] / f"{digest}.webp").unlink(missing_ok=True)
        for small in lamp.home.glob(f"runs/*/thumbnails/{digest}.webp"):
            small.unlink()
    (lamp.path / second["image"]).write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    done = lamp.run("sheet", "--size", size, "--json")
    assert done.code == 0
    assert done.json["missing"] == ["explore/oak/s2"]
    assert pictures_in((lamp.path / "sheet.pdf").read_bytes()) == 7
    assert "missing explore/oak/s2" in lamp.run("sheet", "--size", size).err


def test_small_pictures_come_from_the_thumbnails(lamp):
    _, data = record(lamp)
    assert lamp.run("sheet", "--size", "96").code == 0
    for cell in data["cells"]:
        digest = cell["sha256"]
        thumbnail = lamp.home / "local" / "thumbnails" / digest[:2] / f"{digest}.webp"
        assert thumbnail.is_file()
        thumbnail.unlink()
        thumbnail.with_suffix("").parent.mkdir(exist_ok=True)
        Image.new("RGB", (256, 256), (0, 200, 0)).save(thumbnail, "WEBP")
    lamp.run("sheet", "--stage", "explore", "--size", "96", "--out", "green.png")
    lamp.run("sheet", "--stage", "explore", "--size", "300", "--out", "real.png")
    assert is_green(open_png(lamp.path / "green.png"))
    assert not is_green(open_png(lamp.path / "real.png"))


def is_green(image):
    counts = {colour: count for count, colour in image.getcolors(1 << 24)}
    green = sum(count for (red, g, blue), count in counts.items() if g > 150 and red < 60 and blue < 60)
    return green > 0.2 * image.width * image.height


def test_failures_are_on_the_sheet_and_do_not_fail_it(project, krea):
    project.write("lamp.yaml", LAMP)
    project.run("run", "lamp.yaml", "--local")
    file, data = record(project)
    for cell in data["cells"]:
        cell.update(status="failed", image=None, sha256=None)
        cell["error"] = {"code": "rejected", "message": "policy", "class": "rejected", "candidates": []}
    file.write_text(json.dumps(data), encoding="utf-8")
    done = project.run("sheet", "--json")
    assert (done.code, done.json["missing"]) == (0, [])
    assert pictures_in((project.path / "sheet.pdf").read_bytes()) == 0


def test_letters_of_no_font_and_signs_of_every_kind_do_not_fail_a_sheet(project):
    words = ["朝の光", "👩‍👩‍👧 family", "x\u0301\u0302", "שלום עולם", "नमस्ते", "<b>&amp;", "x" * 400]
    axis = json.dumps(words, ensure_ascii=False)
    project.write("p.yaml", f'version: 1\nbudget: {{usd: 5}}\nprompt: "{{{{ w }}}}"\nmatrix: {{w: {axis}}}\n')
    assert project.run("run", "p.yaml", "--local").code == 0
    for name in ("s.pdf", "s.png"):
        done = project.run("sheet", "--out", name)
        assert (done.code, done.err) == (0, ""), done.text


def test_a_run_is_named_as_for_the_report(lamp):
    run_id = record(lamp)[1]["run_id"]
    assert lamp.run("sheet", run_id, "--json").json["run_id"] == run_id
    assert lamp.run("sheet", f".krea-pipe/runs/{run_id}", "--json").json["run_id"] == run_id
    assert lamp.run("sheet", "nothing-like-it").code == 2


@pytest.mark.parametrize("out", ["sheet.pdf", "sheet.png"])
def test_the_sheet_of_a_partial_run_says_so_and_replaces_no_fuller_one_unless_told_to(lamp, out):
    one = ["--stage", "explore", "--out", out]
    assert "partial" not in lamp.run("sheet", *one).err
    before = (lamp.path / out).read_bytes()
    assert lamp.run("run", "lamp.yaml", "--local", "-k", "explore and surface=slate").code == 0
    done = lamp.run("sheet", "--out", out)
    assert done.code == 2
    assert f"{out} has 6 pictures, but this sheet has 3 of 8" in done.err
    assert (lamp.path / out).read_bytes() == before
    done = lamp.run("sheet", "--out", "new.pdf")
    assert (done.code, "partial 3 of 8 images" in done.err) == (0, True)
    done = lamp.run("sheet", "--out", out, "--replace")
    assert (done.code, f"replaced {out}, which had 6 images" in done.err) == (0, True)
    assert lamp.run("sheet", "--out", out).code == 0, "of the same size"


def test_a_part_that_is_asked_for_replaces_a_fuller_sheet_and_says_so(lamp):
    assert lamp.run("sheet").code == 0
    done = lamp.run("sheet", "--stage", "explore")
    assert (done.code, "replaced sheet.pdf, which had 8 images" in done.err, "partial" in done.err) == (0, True, False)
