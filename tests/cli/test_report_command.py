"""`krea-pipe report`: the forms of a report beside the page, one file to send, and where pictures are loaded from."""

import csv
import json
import re
from xml.etree import ElementTree

import pytest

URL = "https://example.com/run-7"


@pytest.fixture
def folder(project):
    """The folder of a run that drew two proofs."""
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--local", "--json")
    assert done.code == 0, done.text
    return (project.path / done.json["report"]).parent


def files(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}


def pictures(page):
    """The small pictures that a page holds."""
    return set(re.findall(r'data-of="([0-9a-f]{64})" src="data:image/webp;base64,UklGR', page))


def test_a_run_leaves_its_text_forms_beside_the_page(project, folder):
    assert "**LOCAL PROOFS**" in (folder / "report.md").read_text(encoding="utf-8")
    suites = ElementTree.parse(folder / "junit.xml").getroot()
    assert [case.get("name") for case in suites.iter("testcase")] == ["p/a", "p/b"]
    with (folder / "results.csv").open(encoding="utf-8-sig", newline="") as file:
        assert [line["axis.w"] for line in csv.DictReader(file)] == ["a", "b"]


def test_a_report_of_some_cells_has_all_forms_of_its_own(project, folder):
    assert project.run("report", "-k", "b").code == 0
    assert "p/a" not in (folder / "selected/report.md").read_text(encoding="utf-8")
    assert "p/a" in (folder / "report.md").read_text(encoding="utf-8")


def test_a_single_file_has_its_pictures_in_it_and_changes_nothing_else(project, folder):
    before = files(folder)
    done = project.run("report", "--single-file", "to send/proofs.html", "--json")
    assert (done.code, done.json["page"]) == (0, "to send/proofs.html"), done.text
    assert (project.path / done.json["report"]).parent == folder
    page = (project.path / "to send/proofs.html").read_text(encoding="utf-8")
    assert len(pictures(page)) == 2
    assert str(project.path) not in page
    assert files(folder) == before
    assert list((project.path / "to send").iterdir()) == [project.path / "to send/proofs.html"]


def test_a_single_file_of_some_cells_holds_these_alone(project, folder):
    done = project.run("report", folder.name[:20], "-k", "b", "--single-file", "b.html")
    assert done.code == 0, done.text
    page = (project.path / "b.html").read_text(encoding="utf-8")
    assert len(pictures(page)) == 1
    assert '"p/a"' not in page
    assert not (folder / "selected").exists()


def test_a_single_file_makes_the_pictures_that_are_missing(project, folder):
    for picture in project.home.rglob("*.webp"):
        picture.unlink()
    assert project.run("report", "--single-file", "x.html").code == 0
    assert len(pictures((project.path / "x.html").read_text(encoding="utf-8"))) == 2


def test_a_single_file_that_is_too_large_is_not_written(project, folder):
    kept = [path for path in project.home.rglob("*.webp") if folder not in path.parents]
    kept[0].write_bytes(b"RIFF" + bytes(700_000))
    done = project.run("report", "--single-file", "x.html", "--max-mb", "1", "--json")
    (problem,) = done.json["problems"]
    assert (done.code, problem["code"]) == (2, "too_large")
    assert re.search(r"x\.html would be 1\.\d MB, above --max-mb 1$", problem["message"])
    assert "-k" in problem["hint"]
    assert "--max-mb 2" in problem["hint"]
    assert folder.name in problem["hint"]
    assert not (project.path / "x.html").exists()
    assert project.run("report", "--single-file", "x.html", "--max-mb", "2").code == 0


@pytest.mark.parametrize("name", ["p.yaml", "report", "x.html.png"])
def test_a_single_file_is_named_like_a_page(project, folder, name):
    before = (project.path / "p.yaml").read_bytes()
    done = project.run("report", "--single-file", name, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "not_a_page")
    assert (project.path / "p.yaml").read_bytes() == before


def test_a_folder_in_the_place_of_a_single_file_is_left_alone(project, folder):
    (project.path / "x.html").mkdir()
    done = project.run("report", "--single-file", "x.html", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "file_in_the_way")
    assert (project.path / "x.html").is_dir()


def test_pictures_in_markdown_are_loaded_from_where_they_are_served(project, folder):
    digests = [cell["sha256"] for cell in json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]]
    assert f'src="thumbnails/{digests[0]}.webp"' in (folder / "report.md").read_text(encoding="utf-8")
    assert project.run("report", "--thumbnails-url", f"{URL}/").code == 0
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert re.findall(r'src="([^"]*)"', text) == [f"{URL}/{digest}.webp" for digest in digests]
    assert (folder / f"thumbnails/{digests[0]}.webp").is_file()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a.b/c",
        "javascript:alert(1)",
        "//a.b/c",
        "thumbnails",
        "https://",
        "https://a b/",
        "https://a/?x=1",
        "https://a/#x",
        'https://a/"x',
        "https://a:b/",
        "https://[a/",
        "data:image/png;base64,x",
        "",
    ],
)
def test_pictures_are_loaded_from_plain_web_addresses_only(project, folder, url):
    before = files(folder)
    done = project.run("report", "--thumbnails-url", url, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "bad_url")
    assert files(folder) == before


def test_a_single_file_loads_no_pictures_from_anywhere(project, folder):
    done = project.run("report", "--single-file", "x.html", "--thumbnails-url", URL)
    assert (done.code, "cannot be combined" in done.err) == (2, True)
    assert not (project.path / "x.html").exists()
