"""Several reviewers: decisions carry names, those of others are seen and kept, and disputes are found."""

from pathlib import Path

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, names_of
from sample_reports import make_report, make_stage

REPORT = make_report(make_stage("lamp", {"light": ["dawn", "noon", "dusk", "neon", "night"]}))
DECISIONS = {
    "lamp": {
        "file": "picks/lamp.yaml",
        "picks": [
            {"id": "lamp/dawn", "stars": 5, "note": "the glow", "by": "Tom"},
            {"id": "lamp/dawn", "stars": 4, "note": "", "by": "Ines"},
            {"id": "lamp/noon", "stars": 4, "note": "", "by": "Tom"},
            {"id": "lamp/dusk", "stars": 3, "note": ""},
            {"id": "lamp/neon", "stars": 5, "note": "", "by": "Tom"},
        ],
        "rejected": [{"id": "lamp/noon", "note": "flat", "by": "Ines"}],
    }
}


def keyed(line):
    """A line of a picks file without the key at its end."""
    return line.partition(", key: ")[0].removeprefix("- {")


@pytest.fixture(scope="module")
def unnamed(tmp_path_factory):
    """A page that does not know who reads it."""
    return write_page(REPORT, tmp_path_factory.mktemp("unnamed"), DECISIONS)


@pytest.fixture(scope="module")
def named(tmp_path_factory):
    """The same page, made for Ines."""
    return write_page(REPORT, tmp_path_factory.mktemp("named"), DECISIONS, reviewer="Ines")


def frame(page, light):
    return page.locator(f'.cell > .frame[title^="lamp/{light}"]')


def verdict(page, light):
    mark = frame(page, light).locator(".verdict")
    return mark.get_attribute("aria-label") if mark.count() else ""


def others(page, light):
    return frame(page, light).locator("+ .caption .other").get_attribute("title")


def press(page, light, *keys):
    frame(page, light).focus()
    for key in keys:
        page.keyboard.press(key)


def exported(page):
    with page.expect_download() as download:
        page.locator('.decisions [data-act="export"]').click()
    return [keyed(line) for line in Path(download.value.path()).read_text(encoding="utf-8").splitlines()]


def test_the_page_decides_as_its_reader_and_shows_what_others_decided(open_page, named):
    page = open_page(named, viewport=TALL)
    lights = ["dawn", "noon", "dusk", "neon", "night"]
    assert [verdict(page, light) for light in lights] == ["4 stars", "rejected", "3 stars", "", ""]
    assert others(page, "dawn") == "Tom: 5 stars, note: the glow"
    assert others(page, "neon") == "Tom: 5 stars"
    expect(page.locator(".decisions .counts")).to_have_text("2 picked, 1 rejected, 2 open (1 decided by others)")
    expect(page.locator('.decisions [data-act="reviewer"]')).to_have_text("Deciding as Ines")
    frame(page, "dawn").click()
    expect(page.locator("#detail .others li")).to_have_text(["Tom: 5 stars, note: the glow"])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail .others li")).to_have_text(["Disputed", "Tom: 4 stars"])
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail .others")).to_be_hidden()


def test_a_reader_without_a_name_sees_what_all_have_decided_together(open_page, unnamed):
    page = open_page(unnamed, viewport=TALL)
    expect(page.locator(".decisions .counts")).to_have_text("3 picked, 0 rejected, 2 open")
    page.get_by_label("Decision").select_option("Picked")
    assert names_of(page) == ["dawn", "dusk", "neon"]
    page.get_by_label("Decision").select_option("5")
    assert names_of(page) == ["dawn", "neon"]  # 5 and 4 stars are 4.5, which counts as 5
    page.get_by_label("Decision").select_option("")
    page.keyboard.press("v")
    expect(page.locator('.values-won tr[data-value="noon"] td')).to_have_text(["0", "0", "1", "–", "–"])


def test_an_export_keeps_the_lines_of_others_and_signs_those_of_the_reader(open_page, named):
    page = open_page(named, viewport=TALL)
    press(page, "dawn", "2")
    press(page, "noon", "0")
    press(page, "dusk", "5")
    press(page, "night", "x", "n")
    page.keyboard.type("noise")
    page.keyboard.press("Enter")
    assert exported(page) == [
        "pick: lamp/dawn, stars: 2, by: Ines",
        "pick: lamp/dawn, stars: 5, note: the glow, by: Tom",
        "pick: lamp/dusk, stars: 5, by: Ines",
        "pick: lamp/neon, stars: 5, by: Tom",
        "reject: lamp/night, note: noise, by: Ines",
        "pick: lamp/noon, stars: 4, by: Tom",
    ]


def test_a_line_without_a_name_counts_for_everyone_and_becomes_that_of_who_changes_it(open_page, named):
    page = open_page(named, viewport=TALL)
    press(page, "dawn", "5")
    assert "pick: lamp/dusk, stars: 3" in exported(page)
    press(page, "dusk", "x")
    assert [line for line in exported(page) if "dusk" in line] == ["reject: lamp/dusk, by: Ines"]
    press(page, "dusk", "0")
    assert [line for line in exported(page) if "dusk" in line] == []


def test_disputed_cells_are_found_and_change_with_the_readers_decision(open_page, named):
    page = open_page(named, viewport=TALL)
    page.get_by_role("button", name="1 disputed").click()
    assert names_of(page) == ["noon"]
    expect(frame(page, "noon").locator("+ .caption .disputed")).to_be_visible()
    press(page, "noon", "4")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_label("Decision").select_option("")
    press(page, "dawn", "2")
    press(page, "neon", "3")
    page.get_by_label("Decision").select_option("Disputed")
    assert names_of(page) == ["dawn"]  # 2 and 5 stars are three apart, 3 and 5 are not
    page.get_by_label("Decision").select_option("Decided by Tom")
    assert names_of(page) == ["dawn", "noon", "neon"]
    page.get_by_label("Decision").select_option("Decided by Ines")
    assert names_of(page) == ["dawn", "noon", "neon"]
    again = open_page(page.url, viewport=TALL)
    assert names_of(again) == ["dawn", "noon"]


def test_the_reader_gives_a_name_once_and_the_browser_keeps_it(open_page, unnamed):
    page = open_page(unnamed, viewport=TALL)
    assert verdict(page, "dawn") == ""
    press(page, "night", "4")
    assert "pick: lamp/night, stars: 4" in exported(page)
    page.get_by_role("button", name="Decide under a name").click()
    page.keyboard.type("Tom")
    page.keyboard.press("Enter")
    assert verdict(page, "dawn") == "5 stars"
    assert others(page, "dawn") == "Ines: 4 stars"
    assert "pick: lamp/night, stars: 4, by: Tom" in exported(page)
    page.reload()
    known = page.get_by_role("button", name="Deciding as Tom")
    expect(known).to_be_visible()
    assert verdict(page, "dawn") == "5 stars"
    known.click()
    page.get_by_role("textbox", name="Your name").fill("")
    page.get_by_role("button", name="Save name").click()
    assert verdict(page, "dawn") == ""


def test_the_comparison_shows_who_decided_what(open_page, named):
    page = open_page(f"{named}#compare=lamp%2Fdawn&compare=lamp%2Fnoon&comparing=yes")
    plates = page.locator("#compare-room .others")
    expect(plates).to_have_text(["Tom 5★", "Tom 4★"])
    expect(page.locator("#compare-room .others.disputed")).to_have_text("Tom 4★")
    page.keyboard.press("1")
    expect(page.locator("#compare-room .others.disputed")).to_have_count(2)
