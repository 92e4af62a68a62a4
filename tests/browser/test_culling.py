"""Culling: many cells at once, auto-advance, one picture alone, a slideshow, and marks of any size."""

import re

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at
from sample_reports import make_report, make_stage

AXES = {"surface": ["slate", "linen", "oak"], "light": ["dawn", "noon", "dusk", "neon"]}

WHOLE_SCREEN = """() => {
  const node = document.querySelector(".light");
  return document.fullscreenElement === node && node.clientWidth === innerWidth;
}"""


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """Three rows and four columns."""
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("culling"))


def opened(open_page, lamps, more=""):
    return open_page(f"{lamps}#rows.lamp=surface&columns.lamp=light&size=150{more}", viewport=TALL)


def selected(page):
    return [int(one.get_attribute("data-index")) for one in page.locator('.cell[aria-selected="true"]').all()]


def verdicts(page):
    """The words of the mark on each picture, by the place of its cell."""
    marks = page.locator(".cell .verdict")
    return {
        int(one.locator("xpath=../..").get_attribute("data-index")): one.get_attribute("aria-label")
        for one in marks.all()
    }


def press(page, index, *keys):
    cell_at(page, index).focus()
    for key in keys:
        page.keyboard.press(key)


def test_cells_are_selected_by_click_by_corner_and_as_a_block(open_page, lamps):
    page = opened(open_page, lamps)
    cell_at(page, 1).click(modifiers=["ControlOrMeta"])
    cell_at(page, 6).click(modifiers=["Shift"])
    assert sorted(selected(page)) == [1, 2, 5, 6]
    cell_at(page, 2).click(modifiers=["ControlOrMeta"])
    assert sorted(selected(page)) == [1, 5, 6]
    page.locator("#c11").hover()
    page.get_by_role("button", name="Select", exact=True).click()
    assert sorted(selected(page)) == [1, 5, 6, 11]
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator("#selection-bar .selected-count")).to_have_text("4 selected")
    page.keyboard.press("Escape")
    assert selected(page) == []
    expect(page.locator("#selection-bar")).to_be_hidden()


def test_cells_are_selected_by_keyboard_alone(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 1, "Shift+ArrowRight", "Shift+ArrowDown")
    assert sorted(selected(page)) == [1, 2, 5, 6]
    expect(cell_at(page, 6)).to_be_focused()
    page.keyboard.press("Shift+ArrowUp")
    assert sorted(selected(page)) == [1, 2]
    press(page, 8, "s", "r")
    assert sorted(selected(page)) == [1, 2, 8, 9, 10, 11]
    page.keyboard.press("r")
    assert sorted(selected(page)) == [1, 2]
    page.keyboard.press("a")
    assert len(selected(page)) == 12
    page.keyboard.press("a")
    assert selected(page) == []
    page.keyboard.press("Control+a")
    assert len(selected(page)) == 12


def test_without_columns_a_range_follows_the_order_of_the_page(open_page, lamps):
    page = open_page(f"{lamps}#sort=-axis.light&size=150", viewport=TALL)
    order = [int(one.get_attribute("data-index")) for one in page.locator(".cell").all()]
    cell_at(page, order[2]).click(modifiers=["ControlOrMeta"])
    cell_at(page, order[5]).click(modifiers=["Shift"])
    assert sorted(selected(page)) == sorted(order[2:6])


def test_a_key_decides_about_all_selected_cells_and_one_undo_takes_it_back(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 4, "r", "3")
    assert verdicts(page) == dict.fromkeys(range(4, 8), "3 stars")
    page.keyboard.press("x")
    assert verdicts(page) == dict.fromkeys(range(4, 8), "rejected")
    page.keyboard.press("n")
    expect(page.get_by_role("dialog", name="Note on 4 cells")).to_be_visible()
    page.keyboard.type("too flat")
    page.keyboard.press("Enter")
    expect(page.locator('.noted[title="too flat"]')).to_have_count(4)
    page.keyboard.press("z")
    page.keyboard.press("z")
    assert verdicts(page) == dict.fromkeys(range(4, 8), "3 stars")
    page.keyboard.press("z")
    assert verdicts(page) == {}
    expect(page.locator(".decisions .counts")).to_contain_text("Nothing picked yet")


def test_the_bar_of_the_selection_decides_and_compares(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 0, "r")
    bar = page.get_by_role("region", name="Selected cells")
    bar.get_by_role("button", name="4 stars").click()
    assert verdicts(page) == dict.fromkeys(range(4), "4 stars")
    bar.get_by_role("button", name="Reject").click()
    assert verdicts(page) == dict.fromkeys(range(4), "rejected")
    bar.get_by_role("button", name="Compare").click()
    expect(page.locator("#compare-room .pane")).to_have_count(4)
    page.keyboard.press("5")
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    # In a comparison a key is about one picture, whatever is selected.
    assert verdicts(page) == {0: "5 stars", **dict.fromkeys((1, 2, 3), "rejected")}


def test_a_cell_that_a_filter_hides_is_no_longer_selected(open_page, lamps):
    page = opened(open_page, lamps, "&decided=open")
    press(page, 0, "a", "Shift+ArrowRight")
    press(page, 0, "Escape", "r")
    cell_at(page, 8).click(modifiers=["ControlOrMeta"])
    page.get_by_role("searchbox").fill("slate")
    expect(page.locator(".selected-count")).to_have_text("4 selected")
    press(page, 0, "x")
    expect(page.locator("#selection-bar")).to_be_hidden()
    page.get_by_role("button", name="Clear filters").click()
    assert verdicts(page) == dict.fromkeys(range(4), "rejected")


def test_a_decision_leads_on_when_that_is_switched_on_and_this_is_remembered(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 0, "4")
    expect(cell_at(page, 0)).to_be_focused()
    page.get_by_role("button", name="Review").click()
    page.get_by_role("menuitemcheckbox", name="Auto-advance").click()
    page.reload()
    press(page, 0, "5", "x", "p")
    expect(cell_at(page, 3)).to_be_focused()
    assert verdicts(page) == {0: "5 stars", 1: "rejected", 2: "picked"}
    page.keyboard.press("Enter")
    page.keyboard.press("2")
    expect(page.locator("#detail-text .id")).to_have_text("lamp/linen/dawn")
    # What is taken back leads nowhere.
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("2")
    expect(page.locator("#detail-text .id")).to_have_text("lamp/slate/neon")
    page.keyboard.press("Escape")
    page.keyboard.press("Shift+A")
    press(page, 0, "x")
    expect(cell_at(page, 0)).to_be_focused()


def test_one_picture_has_the_whole_screen_and_is_decided_there(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 1, "Shift+F")
    expect(page.locator("#detail-image")).to_be_visible()
    expect(page.locator("#detail .panel")).to_be_hidden()
    page.wait_for_function(WHOLE_SCREEN)
    page.keyboard.press("3")
    expect(page.locator(".light > .verdict")).to_have_attribute("aria-label", "3 stars")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".bare-name")).to_have_text("3 of 12 · slate · dusk")
    expect(page.locator(".light > .verdict")).to_have_count(0)
    page.keyboard.press("Shift+F")
    expect(page.locator("#detail .panel")).to_be_visible()
    page.wait_for_function("() => document.fullscreenElement === null")
    page.keyboard.press("Escape")
    expect(cell_at(page, 2)).to_be_focused()


def test_a_slideshow_goes_through_the_selected_cells_and_waits_when_told(open_page, lamps):
    page = open_page("about:blank", viewport=TALL)
    page.clock.install()
    page.goto(f"{lamps}#rows.lamp=surface&columns.lamp=light&size=150")
    press(page, 4, "r", "Shift+S")
    name = page.locator(".bare-name")
    expect(name).to_have_text("1 of 4 · linen · dawn")
    page.clock.fast_forward(3000)
    expect(name).to_have_text("2 of 4 · linen · noon")
    page.keyboard.press("Space")
    page.clock.fast_forward(60_000)
    expect(name).to_have_text("2 of 4 · linen · noon")
    page.get_by_label("Seconds for each picture").select_option("10")
    page.get_by_role("button", name="Slideshow").click()
    page.clock.fast_forward(9000)
    expect(name).to_have_text("2 of 4 · linen · noon")
    page.clock.fast_forward(1000)
    expect(name).to_have_text("3 of 4 · linen · dusk")
    page.clock.fast_forward(10_000)
    # At the end it stops by itself.
    expect(page.get_by_role("button", name="Slideshow")).to_be_visible()
    page.keyboard.press("5")
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    assert verdicts(page) == {7: "5 stars"}


READS = """mark => {
  const [box, frame] = [mark, mark.closest(".frame")].map((node) => node.getBoundingClientRect());
  const isWithin = (low, high) => box[low] >= frame[low] && box[high] <= frame[high];
  const within = isWithin("left", "right") && isWithin("top", "bottom");
  const { color, backgroundColor } = getComputedStyle(mark);
  const light = (text) => {
    const parts = text.match(/[\\d.]+/g).slice(0, 3).map((one) => one / 255);
    const [red, green, blue] = parts.map((one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4));
    return red * 0.2126 + green * 0.7152 + blue * 0.0722;
  };
  const [high, low] = [light(color), light(backgroundColor)].sort((a, b) => b - a);
  const share = (box.width * box.height) / (frame.width * frame.height);
  const contrast = (high + 0.05) / (low + 0.05);
  return { within, cut: mark.scrollWidth > mark.clientWidth, contrast, text: mark.innerText, share };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [80, 130, 200, 480])
def test_the_mark_on_a_picture_reads_at_every_size(open_page, lamps, size, scheme):
    page = open_page(f"{lamps}#rows.lamp=surface&columns.lamp=light&size={size}", viewport=TALL, color_scheme=scheme)
    press(page, 0, "5")
    press(page, 1, "x")
    press(page, 2, "p")
    found = [page.locator(f"#c{index} .verdict").evaluate(READS) for index in range(3)]
    assert all(one["within"] and not one["cut"] and one["contrast"] >= 7 for one in found)
    assert re.sub(r"\s", "", found[0]["text"]) == ("5★" if size < 150 else "★★★★★")
    assert max(one["share"] for one in found) < 0.25


def test_marks_below_a_small_picture_are_not_cut_off(open_page, lamps):
    page = opened(open_page, lamps)
    press(page, 0, "n")
    page.keyboard.type("warm")
    page.keyboard.press("Enter")
    press(page, 0, "c", "5")
    page.locator("#size").fill("80")
    marks = page.locator("#c0 .marks")
    expect(marks.locator(".letter")).to_have_text("A")
    assert marks.evaluate("node => node.scrollWidth <= node.clientWidth && node.scrollHeight <= node.clientHeight")
