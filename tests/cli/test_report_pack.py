"""Reports that leave this machine: with their originals in a zip file, or with previews for review."""

import io
import json
import re
import shutil
import zipfile

import pytest
from PIL import Image

LARGE = """\
version: 1
name: p
prompt: "{{ w }}"
defaults: {aspect_ratio: "16:9"}
matrix: {w: [a, b]}
"""


@pytest.fixture
def folder(project):
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--local", "--json")
    assert done.code == 0, done.text
    return (project.path / done.json["report"]).parent


def cells_in(folder):
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]


@pytest.fixture
def unpacked(project, tmp_path_factory):
    """Unpacks `r.zip` elsewhere: the folder in it."""

    def unpacked():
        there = tmp_path_factory.mktemp("elsewhere")
        with zipfile.ZipFile(project.path / "r.zip") as archive:
            archive.extractall(there)
        (folder,) = there.iterdir()
        return folder

    return unpacked


def test_a_pack_contains_the_report_and_every_original(project, folder, unpacked):
    before = cells_in(folder)
    assert project.run("report", "--pack", "r.zip").code == 0
    there = unpacked()
    assert {path.name for path in there.iterdir()} == {path.name for path in folder.iterdir()} | {"originals"}
    cells = cells_in(there)
    assert [cell["image"] for cell in cells] == ["originals/a.png", "originals/b.png"]
    for cell, earlier in zip(cells, before, strict=True):
        with Image.open(there / cell["image"]) as image:
            image.load()
            assert image.size == (cell["width"], cell["height"])
        assert {**cell, "image": earlier["image"]} == earlier


def test_a_pack_of_the_same_run_has_the_same_bytes(project, folder):
    packs = []
    for _ in range(2):
        assert project.run("report", "--pack", "r.zip").code == 0
        packs.append((project.path / "r.zip").read_bytes())
    assert packs[0] == packs[1]


def test_a_pack_of_selected_cells_has_these_alone(project, folder, unpacked):
    assert project.run("report", "-k", "b", "--pack", "r.zip").code == 0
    there = unpacked()
    assert [path.name for path in (there / "originals").iterdir()] == ["b.png"]


def test_an_unpacked_report_is_a_report_to_other_commands(project, folder, unpacked):
    assert project.run("report", "--pack", "r.zip").code == 0
    there = unpacked()
    shutil.rmtree(project.home)
    done = project.run("sheet", str(there), "--out", "s.png", "--json")
    assert (done.code, done.json["missing"]) == (0, []), done.text


def test_a_lost_original_is_named_and_the_rest_is_packed(project, folder, unpacked):
    lost = cells_in(folder)[0]
    for blob in project.home.rglob(lost["sha256"]):
        blob.unlink()
    done = project.run("report", "--pack", "r.zip")
    assert done.code == 0
    assert f"missing {lost['id']}: its original is no longer stored" in done.err
    assert [path.name for path in (unpacked() / "originals").iterdir()] == ["b.png"]


@pytest.mark.parametrize(("name", "code"), [("p.yaml", "not_a_zip"), ("mine.zip", "file_in_the_way")])
def test_a_pack_replaces_no_other_file(project, folder, name, code):
    project.write("mine.zip", "mine")
    before = (project.path / name).read_bytes()
    done = project.run("report", "--pack", name, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, code)
    assert (project.path / name).read_bytes() == before


def previews_of(page):
    return re.search(r'"previews":\s*\{(.*?)\}', page)[1].count(":")


def test_a_review_file_has_previews_in_it_and_its_size_is_told(project, folder):
    done = project.run("report", "--for-review", "r.html")
    assert done.code == 0, done.text
    size = (project.path / "r.html").stat().st_size
    assert f"r.html: 2 previews, {size / 1_000_000:,.1f} MB" in done.err
    assert previews_of((project.path / "r.html").read_text(encoding="utf-8")) == 2


def test_a_review_folder_has_previews_of_1024_pixels(project, folder):
    project.write("p.yaml", LARGE)
    assert project.run("run", "p.yaml", "--local").code == 0
    for _ in range(2):  # an earlier review is replaced
        assert project.run("report", "--for-review", "for/review").code == 0
    there = project.path / "for/review"
    assert {path.name for path in there.iterdir()} == {"report.html", "report.css", "thumbnails", "previews"}
    previews = list((there / "previews").iterdir())
    assert len(previews) == 2
    for preview in previews:
        assert max(Image.open(io.BytesIO(preview.read_bytes())).size) == 1024
    assert [path.name for path in there.parent.iterdir()] == ["review"]


@pytest.mark.parametrize("target", ["r.html", "review"])
def test_a_review_that_is_too_large_is_not_written(project, folder, target, monkeypatch):
    monkeypatch.setattr("krea_pipe.report.export.review.MB", 1_000)
    done = project.run("report", "--for-review", target, "--max-mb", "1", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "too_large")
    assert not (project.path / target).exists()
    assert not list(project.path.glob(".krea-pipe-*"))


@pytest.mark.parametrize("target", ["p.yaml", "mine.html", "out", "r.zip"])
def test_a_review_replaces_nothing_else(project, folder, target):
    project.write("mine.html", "mine")
    project.write("out/mine.txt", "mine")
    done = project.run("report", "--for-review", target, "--json")
    assert done.code == 2
    assert done.json["error"]["code"] in ("file_in_the_way", "not_a_page")
    assert (project.path / "mine.html").read_text() == (project.path / "out/mine.txt").read_text() == "mine"


def test_only_one_output_is_written_at_once(project, folder):
    done = project.run("report", "--pack", "r.zip", "--single-file", "r.html")
    assert done.code == 2
    assert "--single-file and --pack cannot be combined" in done.err
