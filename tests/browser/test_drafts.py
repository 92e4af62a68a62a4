"""Drafts and the final images that were made of them: as a pair, and as a sheet of pairs."""

from dataclasses import replace

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import cell_at
from sample_reports import make_report, make_stage

LIGHTS = ["dawn", "noon", "dusk"]


@pytest.fixture(scope="module")
def promoted(tmp_path_factory):
    """Three drafts with final images, of which the last has two, and one draft without any; one final has a print."""
    report = make_report(
        make_stage("draft", {"light": [*LIGHTS, "neon"]}),
        make_stage("final", {"light": LIGHTS, "crop": ["wide", "tall"]}),
        make_stage("print", {"light": ["noon"]}),
    )
    rows = [
        replace(row, source={"final": f"draft/{row.axes['light']}", "print": "final/noon/wide"}.get(row.stage))
        for row in report.rows
        if row.axes.get("crop") != "tall" or row.axes["light"] == "dusk"
    ]
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("promoted"))


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A hundred drafts, each with a final image."""
    seeds = {"seed": list(range(100))}
    report = make_report(make_stage("draft", seeds), make_stage("final", seeds))
    rows = [
        replace(row, source=row.id.replace("final", "draft") if row.stage == "final" else None) for row in report.rows
    ]
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("many"))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return write_page(make_report(make_stage("draft", {"light": LIGHTS})), tmp_path_factory.mktemp("alone"))


def panes(page):
    return [one.get_attribute("data-cell") for one in page.locator("#compare-room .pane").all()]


def test_one_key_shows_a_draft_beside_what_was_made_of_it_and_leads_to_the_next(open_page, promoted):
    page = open_page(promoted)
    cell_at(page, 4).focus()
    page.keyboard.press("d")
    assert panes(page) == ["draft/dawn", "final/dawn/wide"]
    page.keyboard.press("PageDown")
    assert panes(page) == ["draft/noon", "final/noon/wide"]
    page.keyboard.press("d")
    assert panes(page) == ["draft/noon", "final/noon/wide"]
    page.keyboard.press("PageUp")
    assert panes(page) == ["draft/dawn", "final/dawn/wide"]
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    expect(page.locator("#compare-bar")).to_be_hidden()
    cell_at(page, 2).focus()
    page.keyboard.press("d")
    assert panes(page) == ["draft/dusk", "final/dusk/wide", "final/dusk/tall"]
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    cell_at(page, 3).focus()
    page.keyboard.press("d")
    expect(page.locator("#compare")).to_be_hidden()


def test_an_open_cell_leads_to_its_draft_and_a_draft_to_its_final(open_page, promoted):
    page = open_page(f"{promoted}#cell=final%2Fnoon%2Fwide")
    page.get_by_role("button", name="Compare with the draft").click()
    assert panes(page) == ["draft/noon", "final/noon/wide", "print/noon"]
    page = open_page(f"{promoted}#cell=draft%2Fnoon")
    page.get_by_role("button", name="Compare with the final").click()
    assert panes(page) == ["draft/noon", "final/noon/wide"]


def test_a_sheet_shows_final_images_beside_their_drafts_and_keys_decide_there(open_page, promoted):
    page = open_page(promoted)
    page.get_by_role("button", name="Beside its drafts").first.click()
    pairs = page.get_by_role("dialog", name="final beside its drafts")
    rows = pairs.locator(".pair-row")
    found = [[tile.inner_text() for tile in row.locator(".pair-name").all()] for row in rows.all()]
    assert found == [
        ["draft dawn", "final dawn · wide"],
        ["draft noon", "final noon · wide"],
        ["draft dusk", "final dusk · wide", "final dusk · tall"],
    ]
    expect(rows.first.locator(".frame").first).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    expect(rows.first.locator(".verdict")).to_have_attribute("aria-label", "4 stars")
    rows.nth(1).locator(".frame").first.hover()
    page.keyboard.press("x")
    expect(rows.nth(1).locator(".verdict")).to_have_attribute("aria-label", "rejected")
    rows.nth(1).locator(".frame").last.click()
    assert panes(page) == ["draft/noon", "final/noon/wide"]
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    expect(pairs).to_be_visible()
    expect(open_page(page.url).get_by_role("dialog", name="final beside its drafts")).to_be_visible()
    page.keyboard.press("Escape")
    expect(pairs).to_be_hidden()
    expect(page.locator("#c4 .verdict")).to_have_attribute("aria-label", "4 stars")


@pytest.mark.parametrize("width", [1440, 390])
def test_a_final_image_stands_beside_its_draft_in_any_window(open_page, many, width):
    page = open_page(many, viewport={"width": width, "height": 800})
    page.keyboard.press("Shift+D")
    draft, final = (page.locator(".pair-row").first.locator(".frame").nth(place).bounding_box() for place in (0, 1))
    assert draft["y"] == final["y"]
    assert draft["x"] < final["x"] < width - final["width"]


def test_the_paired_sheet_has_what_the_sheet_shows(open_page, promoted):
    page = open_page(f"{promoted}#search=noon&drafts=final")
    expect(page.locator("#pairs .pair-name")).to_have_text(["draft noon", "final noon · wide"])
    page.keyboard.press("Escape")
    cell_at(page, 1).focus()
    page.keyboard.press("Shift+D")
    expect(page.locator("#pairs .pair-name")).to_have_text(["final noon · wide", "print noon"])


def test_nothing_speaks_of_drafts_where_there_are_none(open_page, alone):
    page = open_page(alone)
    expect(page.get_by_role("button", name="Beside its drafts")).to_have_count(0)
    cell_at(page, 0).focus()
    page.keyboard.press("Shift+D")
    page.keyboard.press("d")
    expect(page.locator("dialog[open]")).to_have_count(0)


def test_the_pairs_of_a_long_paired_sheet_are_made_as_one_scrolls(open_page, many):
    page = open_page(f"{many}#drafts=final")
    rows = page.locator("#pairs .pair-row")
    expect(page.locator("#pairs .count")).to_have_text("100 drafts")
    for count in (40, 80, 100):
        expect(rows).to_have_count(count)
        page.locator(".pairs-room").evaluate("node => node.scrollTo(0, node.scrollHeight)")
    expect(rows.last).to_contain_text("final 99")
