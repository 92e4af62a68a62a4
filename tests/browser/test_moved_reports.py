"""Reports where their run is not: from a zip file, moved, or sent for review."""

import shutil
import zipfile

import pytest
from playwright.sync_api import expect
from reading import cell_at

PIPELINE = """\
version: 1
name: p
prompt: "{{ w }}"
defaults: {aspect_ratio: "16:9"}
matrix: {w: [a, b]}
"""
LARGE = "#detail-image"
NO_FILE = "net::ERR_FILE_NOT_FOUND"


@pytest.fixture
def ran(project):
    """A project whose run has two images of 1376 x 768."""
    project.write("p.yaml", PIPELINE)
    assert project.run("run", "p.yaml", "--local").code == 0
    return project


def width_of(page, index):
    """The width of the picture that an open cell shows in the end."""
    cell_at(page, index).click()
    expect(page.locator(LARGE)).to_have_attribute("data-shows", "original")
    width = page.locator(LARGE).evaluate("image => image.decode().then(() => image.naturalWidth)")
    page.keyboard.press("Escape")
    return width


def test_a_report_from_a_zip_shows_each_original_wherever_it_is_unpacked(open_page, ran, tmp_path_factory):
    assert ran.run("report", "--pack", "r.zip").code == 0
    there = tmp_path_factory.mktemp("any where #1")
    with zipfile.ZipFile(ran.path / "r.zip") as archive:
        archive.extractall(there)
    shutil.rmtree(ran.path)
    (folder,) = there.iterdir()
    page = open_page((folder / "report.html").as_uri())
    assert [width_of(page, index) for index in range(2)] == [1376, 1376]
    cell_at(page, 0).click()
    link = page.get_by_role("link", name="Open original")
    expect(link).to_have_attribute("href", "./originals/a.png")


def moved(ran, tmp_path_factory, *parts):
    """The folder of the run on its own, with parts of the project beside it."""
    (folder,) = ran.home.glob("runs/*")
    there = tmp_path_factory.mktemp("moved") / "report"
    shutil.copytree(folder, there)
    for part in parts:
        shutil.copytree(ran.path / part, there / part)
    shutil.rmtree(ran.path)
    return (there / "report.html").as_uri()


def test_a_moved_folder_finds_originals_beside_itself_and_says_where_they_are_from(open_page, ran, tmp_path_factory):
    open_page.forgive(NO_FILE)
    page = open_page(moved(ran, tmp_path_factory, "proofs"))
    assert width_of(page, 0) == 1376
    cell_at(page, 0).click()
    expect(page.locator("#detail-lost")).to_contain_text("the file in the output folder")
    expect(page.get_by_role("link", name="Open original")).to_have_attribute("href", "proofs/p/a.png")


def test_a_moved_folder_without_originals_says_where_they_were(open_page, ran, tmp_path_factory):
    open_page.forgive(NO_FILE)
    page = open_page(moved(ran, tmp_path_factory))
    cell_at(page, 0).click()
    lost = page.locator("#detail-lost")
    expect(lost).to_contain_text("The original is missing; this is its thumbnail. The run wrote it to proofs/p/a.png.")
    expect(lost).to_contain_text("krea-pipe report --pack FILE.zip")
    expect(page.get_by_role("link", name="Open original")).to_have_count(0)


@pytest.mark.parametrize("target", ["r.html", "review"])
def test_a_review_shows_previews_and_its_decisions_come_back_as_a_picks_file(open_page, ran, tmp_path_factory, target):
    assert ran.run("report", "--for-review", target).code == 0
    there = tmp_path_factory.mktemp("reviewer") / target
    shutil.move(ran.path / target, there)
    page = open_page((there if there.is_file() else there / "report.html").as_uri())
    assert width_of(page, 1) == 1024
    cell_at(page, 1).focus()
    page.keyboard.press("4")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export p-review.yaml").click()
    text = download.value.path().read_text(encoding="utf-8")
    assert text.startswith("- {pick: p/b, stars: 4, ")


def test_what_two_reviewers_decide_comes_together_in_the_picks_file(open_page, ran, tmp_path_factory):
    assert ran.run("pick", "p.yaml", "p", "a", "--stars", "2", "--as", "Cy").code == 0
    assert ran.run("report", "--for-review", "r.html").code == 0
    address = (ran.path / "r.html").as_uri()
    for name, key in [("Ada K.", "4"), ("Ben", "x")]:
        page = open_page(address)
        page.locator('.decisions [data-act="reviewer"]').click()
        page.get_by_role("textbox", name="Your name").fill(name)
        page.get_by_role("button", name="Save name").click()
        cell_at(page, 1).focus()
        page.keyboard.press(key)
        with page.expect_download() as download:
            page.locator('.decisions [data-act="export"]').click()
        file = ran.path / download.value.suggested_filename
        download.value.save_as(file)
        assert ran.run("pick", "p.yaml", "p", "--import", file.name).code == 0
    assert sorted(file.name for file in ran.path.glob("p-*.yaml")) == ["p-Ada-K-.yaml", "p-Ben.yaml"]
    lines = (ran.path / "picks/p.yaml").read_text(encoding="utf-8").splitlines()
    assert [line.partition(", key: ")[0] for line in lines] == [
        "- {pick: p/a, stars: 2, by: Cy",
        "- {pick: p/b, stars: 4, by: Ada K.",
        "- {reject: p/b, by: Ben",
    ]
    assert ran.run("report").code == 0
    page = open_page((next(ran.home.glob("runs/*")) / "report.html").as_uri())
    expect(page.locator('.decisions [data-act="disputed"]')).to_have_text("1 disputed")
