"""The page of `krea-pipe watch`: saves appear on it, without a reload if its cells stay the same."""

import json

import pytest
from krea_server import until
from playwright.sync_api import expect
from served_view import LIFE, View, stop

FILE = """\
version: 1
name: p
prompt: "a {{ w }} on wet slate"
matrix: {w: [lamp, cup, bowl, vase, fork, pan], seed: {count: 6}}
"""


@pytest.fixture
def watch(project):
    """A watch of 36 cells."""
    project.write("p.yaml", FILE)
    process = project.start("watch", "p.yaml", "--json", "--no-open", "--seconds", LIFE)
    said = {}
    while "url" not in said:
        said = json.loads(process.stdout.readline())
    yield View(said["url"], said["run_id"], process)
    assert stop(process) == 0


def pixels(picture) -> str:
    return picture.evaluate("canvas => canvas.toDataURL()")


def test_a_save_changes_pictures_in_place_and_a_problem_leaves_them(open_page, project, watch):
    file = project.path / "p.yaml"
    page = open_page(f"{watch.url}#search=lamp")
    live, lamp = page.locator("#live"), page.locator('.cell > .frame[title^="p/lamp/s1"] .picture')
    expect(live).to_have_text("36 of 36 done · up to date", timeout=30_000)
    before = pixels(lamp)
    page.evaluate("window.isSame = true")
    page.locator('.cell > .frame[title^="p/lamp/s1"]').focus()
    file.write_text(FILE.replace("{{ w }}", "{{ 'small lamp' if w == 'lamp' else w }}"))
    until(lambda: pixels(lamp) != before, "another picture")
    expect(live).to_have_text("36 of 36 done · up to date")
    file.write_text(FILE + "promt: x\n")
    expect(live).to_contain_text("p.yaml:5:1: unknown key `promt`")
    expect(live).to_have_attribute("data-state", "cut-off")
    expect(page.locator(".cell")).to_have_count(6)
    assert page.evaluate("window.isSame")
    assert page.evaluate("document.activeElement.title").startswith("p/lamp/s1")
    file.write_text(FILE)
    until(lambda: pixels(lamp) == before, "the first picture")
    assert page.evaluate("window.isSame")


def test_new_cells_appear_by_themselves(open_page, project, watch):
    page = open_page(f"{watch.url}#search=lamp")
    expect(page.locator("#live")).to_have_text("36 of 36 done · up to date", timeout=30_000)
    (project.path / "p.yaml").write_text(FILE.replace("{count: 6}", "{count: 7}"))
    expect(page.locator("#live")).to_have_text("42 of 42 done · up to date", timeout=30_000)
    expect(page.locator(".cell")).to_have_count(7)
