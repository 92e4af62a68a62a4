"""The sheet by keyboard alone: keys move along the axes, and the focus is not lost."""

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, cells_of, follow
from sample_reports import make_report, make_stage

SUBJECTS = [f"subject {number}" for number in range(1, 41)]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Two rows and three columns, and a second stage."""
    first = make_stage("draft", {"surface": ["slate", "linen"], "creativity": ["raw", "low", "high"]})
    report = make_report(first, make_stage("final", {"light": ["dawn", "dusk"]}))
    return write_page(report, tmp_path_factory.mktemp("walking"))


@pytest.fixture(scope="module")
def tall(tmp_path_factory):
    """Forty lines, of which a window shows three."""
    report = make_report(make_stage("lamp", {"subject": SUBJECTS, "light": ["dawn", "dusk"]}))
    return write_page(report, tmp_path_factory.mktemp("tall"))


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def test_arrow_keys_walk_along_the_axes_and_stop_at_the_edges(open_page, address):
    page = open_page(address)
    cell_at(page, 0).focus()
    for key, index in [
        ("ArrowRight", 1),
        ("ArrowDown", 4),
        ("ArrowLeft", 3),
        ("ArrowLeft", 3),
        ("ArrowDown", 3),
        ("End", 5),
        ("ArrowUp", 2),
        ("ArrowUp", 2),
        ("Home", 0),
        ("Control+End", 5),
        ("Control+Home", 0),
    ]:
        page.keyboard.press(key)
        expect(cell_at(page, index)).to_be_focused()


def test_keys_follow_the_arrangement(open_page, address):
    page = open_page(f"{address}#rows.draft=creativity&columns.draft=surface")
    cell_at(page, 0).focus()
    press(page, "ArrowDown")
    expect(cell_at(page, 1)).to_be_focused()
    press(page, "ArrowRight")
    expect(cell_at(page, 4)).to_be_focused()


def test_a_stage_is_one_stop_for_tab_and_keeps_its_place(open_page, address):
    page = open_page(address, viewport=TALL)
    expect(page.locator('.cell > .frame[tabindex="0"]')).to_have_count(2)
    cell_at(page, 0).focus()
    press(page, "ArrowRight", "ArrowDown")
    focused = (
        "() => document.activeElement.closest('.cell')?.id ?? document.activeElement.closest('section')?.ariaLabel"
    )
    for _ in range(12):
        press(page, "Tab")
        if page.evaluate(focused) != "final":
            break
    expect(cell_at(page, 6)).to_be_focused()
    for _ in range(12):
        press(page, "Shift+Tab")
        if page.evaluate(focused) != "final":
            break
    expect(cell_at(page, 4)).to_be_focused()


def test_enter_opens_a_cell_arrows_lead_on_and_escape_comes_back_to_the_last_one(open_page, address):
    page = open_page(address)
    cell_at(page, 1).focus()
    press(page, "Enter")
    title = page.locator("#detail-title")
    expect(title).to_have_text("slate · low")
    press(page, "ArrowRight")
    expect(title).to_have_text("slate · high")
    press(page, "ArrowDown")
    expect(title).to_have_text("linen · high")
    press(page, "Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(cell_at(page, 5)).to_be_focused()


def test_the_focus_walks_over_lines_that_were_not_drawn_and_stays_in_sight(open_page, tall):
    page = open_page(tall)
    assert page.locator(".cell").count() < 40
    cell_at(page, 1).focus()
    press(page, *["ArrowDown"] * 25)
    expect(cell_at(page, 51)).to_be_focused()
    expect(cell_at(page, 51)).to_be_in_viewport(ratio=1)
    press(page, "PageUp", "PageUp")
    expect(page.locator(".frame:focus")).to_be_in_viewport(ratio=1)
    press(page, "Control+Home")
    expect(cell_at(page, 0)).to_be_focused()
    expect(cell_at(page, 0)).to_be_in_viewport(ratio=1)


def test_a_focused_cell_is_not_lost_by_scrolling_away(open_page, tall):
    page = open_page(tall)
    cell_at(page, 3).focus()
    page.evaluate("() => scrollTo(0, document.body.scrollHeight)")
    expect(cell_at(page, 79)).to_be_visible()
    expect(cell_at(page, 3)).to_be_focused()
    press(page, "ArrowDown")
    expect(cell_at(page, 5)).to_be_focused()
    expect(cell_at(page, 5)).to_be_in_viewport(ratio=1)


def test_the_focus_survives_everything_that_draws_the_sheet_anew(open_page, address):
    page = open_page(address, viewport=TALL)
    cell_at(page, 4).focus()
    for change in ("rows.draft=creativity&columns.draft=surface", "sort=-time", "size=140", "search=linen", ""):
        follow(page, change)
        expect(cell_at(page, 4)).to_be_focused()
    page.set_viewport_size({"width": 500, "height": 900})
    expect(page.locator('.grid[data-stage="draft"].narrow')).to_be_visible()
    expect(cell_at(page, 4)).to_be_focused()
    press(page, "3")
    expect(page.locator("#c4 .stars")).to_have_text("★★★")
    expect(cell_at(page, 4)).to_be_focused()


def test_when_a_cell_leaves_the_sheet_the_next_one_has_the_focus(open_page, address):
    page = open_page(f"{address}#decided=open", viewport=TALL)
    cell_at(page, 1).focus()
    press(page, "x")
    expect(cell_at(page, 2)).to_be_focused()
    press(page, "x")
    expect(cell_at(page, 3)).to_be_focused()
    assert [cell["index"] for cell in cells_of(page)] == [0, 3, 4, 5, 6, 7]


def test_keys_mean_nothing_while_one_types(open_page, address):
    page = open_page(address, viewport=TALL)
    cell_at(page, 1).focus()
    page.get_by_role("searchbox").focus()
    page.keyboard.type("x3?n")
    expect(page.get_by_role("searchbox")).to_have_value("x3?n")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("#shown")).to_have_text("0 of 8 shown")
    page.get_by_role("searchbox").press("Escape")
    expect(cell_at(page, 1)).to_be_visible()
    expect(page.locator(".verdict")).to_have_count(0)


def test_a_list_says_what_each_key_does(open_page, address):
    page = open_page(address)
    cell_at(page, 1).focus()
    press(page, "?")
    keys = page.get_by_role("dialog", name="Keys")
    expect(keys.get_by_role("row", name="move along the axes")).to_contain_text("←→↑↓")
    expect(keys.get_by_role("row").nth(8)).to_be_visible()
    press(page, "Escape")
    expect(keys).to_be_hidden()
    expect(cell_at(page, 1)).to_be_focused()
