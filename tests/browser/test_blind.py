"""Deciding blind: no name is seen, the order is shuffled by a seed, and the choice is shown afterwards."""

import re
from itertools import pairwise

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at
from sample_reports import make_report, make_stage

AXES = {"surface": ["slate", "linen"], "light": ["dawn", "noon", "dusk"]}
LABELS = [*AXES["surface"], *AXES["light"]]
# All that a reader can see or hear: texts, and the words for those who do not see the pictures.
SEEN = """() => {
  const all = [...document.querySelectorAll("body *:not(script)")];
  const nodes = all.filter((node) => node.checkVisibility());
  const own = (node) => [...node.childNodes].filter(({ nodeType }) => nodeType === 3).map(({ data }) => data);
  const said = (node) => ["aria-label", "title", "alt"].map((name) => node.getAttribute(name) ?? "");
  return [location.hash, ...nodes.flatMap((node) => [...own(node), ...said(node)])].join("\\n");
}"""


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("blind"))


def order(page):
    expect(page.locator(".cell")).to_have_count(6)
    places = "nodes => nodes.map((node) => [node.getBoundingClientRect(), Number(node.dataset.index)])"
    found = page.locator(".cell").evaluate_all(places)
    return [index for box, index in sorted(found, key=lambda one: (round(one[0]["top"]), one[0]["left"]))]


def named(page):
    """Which labels of the axes can be seen or heard."""
    seen = page.evaluate(SEEN)
    return [label for label in LABELS if re.search(label, seen)]


def test_names_are_neither_seen_nor_said_on_the_sheet_in_a_cell_or_beside_others(open_page, lamps):
    page = open_page(f"{lamps}#size=150", viewport=TALL)
    assert named(page) == LABELS
    cell_at(page, 0).focus()
    page.keyboard.press("b")
    expect(page.get_by_role("button", name="Blind: reveal")).to_be_visible()
    assert named(page) == []
    page.keyboard.press("Enter")
    expect(page.locator("#detail")).to_be_visible()
    assert named(page) == []
    page.keyboard.press("3")
    page.keyboard.press("Shift+F")
    expect(page.locator(".bare-name")).to_be_visible()
    assert named(page) == []
    page.keyboard.press("Shift+F")
    page.keyboard.press("Escape")
    page.keyboard.press("a")
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare-room .pane")).to_have_count(6)
    assert named(page) == []
    page.keyboard.press("n")
    expect(page.locator("#note-dialog")).to_be_visible()
    assert named(page) == []


def test_the_order_is_shuffled_and_that_of_a_link_is_the_same(open_page, lamps):
    orders = {}
    for seed in ("one", "two", "three"):
        page = open_page(f"{lamps}#blind={seed}&size=150", viewport=TALL)
        orders[seed] = order(page)
    assert len({tuple(one) for one in orders.values()}) > 1
    assert all(sorted(one) == list(range(6)) for one in orders.values())
    assert order(open_page(f"{lamps}#blind=two&size=150", viewport=TALL)) == orders["two"]
    page.keyboard.press("a")
    page.keyboard.press("Shift+C")
    panes = [pane.get_attribute("data-cell") for pane in page.locator("#compare-room .pane").all()]
    ids = [f"lamp/{surface}/{light}" for surface in AXES["surface"] for light in AXES["light"]]
    assert panes == [ids[index] for index in orders["three"]]


def test_what_was_chosen_is_shown_afterwards(open_page, lamps):
    page = open_page(f"{lamps}#size=150", viewport=TALL)
    cell_at(page, 5).focus()
    page.keyboard.press("4")
    page.keyboard.press("b")
    for index, key in ((0, "5"), (1, "x"), (3, "p"), (4, "x")):
        cell_at(page, index).focus()
        page.keyboard.press(key)
    page.get_by_role("button", name="Blind: reveal").click()
    shown = page.get_by_role("dialog", name="Chosen blind: 2 picked, 2 rejected")
    expect(shown.locator("li")).to_have_text(
        [
            "5 starslamp · slate · dawn",
            "pickedlamp · linen · dawn",
            "rejectedlamp · slate · noon",
            "rejectedlamp · linen · noon",
        ]
    )
    expect(shown.locator(".revealed-words")).to_contain_text("Preferred values: light dawn")
    page.keyboard.press("Escape")
    assert named(page) == LABELS
    assert order(page) == list(range(6))
    expect(page.locator("#reveal")).to_be_hidden()


def test_a_contest_is_blind_and_keeps_its_places(open_page, lamps):
    page = open_page(f"{lamps}#blind=two&size=150", viewport=TALL)
    shuffled = order(page)
    cell_at(page, shuffled[0]).focus()
    page.keyboard.press("a")
    page.keyboard.press("w")
    panes = page.locator("#compare-room .pane")
    first, second = (pane.get_attribute("data-cell") for pane in panes.all())
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    expect(panes.last).to_have_attribute("data-cell", second)
    expect(panes.first).not_to_have_attribute("data-cell", first)
    assert named(page) == []


def test_names_go_and_come_back_in_an_open_cell_and_an_open_comparison(open_page, lamps):
    page = open_page(f"{lamps}#cell=lamp%2Fslate%2Fnoon", viewport=TALL)
    title = page.locator("#detail-title")
    page.keyboard.press("b")
    expect(title).to_have_text(re.compile("Picture"))
    assert named(page) == []
    page.keyboard.press("b")
    expect(title).to_have_text("slate · noon")
    page = open_page(f"{lamps}#compare=lamp%2Fslate%2Fnoon&compare=lamp%2Flinen%2Fdawn&comparing=yes", viewport=TALL)
    expect(page.locator("#difference-sentence")).to_be_visible()
    page.keyboard.press("b")
    assert named(page) == []
    page.keyboard.press("b")
    expect(page.locator("#compare-room figcaption").first).to_contain_text("slate")


def test_hidden_captions_leave_no_room_between_the_lines(open_page, tmp_path):
    long = [f"{name} and all that one can say about it" for name in ("slate", "linen", "marble", "oak")]
    lamps = write_page(make_report(make_stage("lamp", {"surface": long, "light": ["dawn", "noon", "dusk"]})), tmp_path)
    page = open_page(f"{lamps}#size=90&blind=a", viewport={"width": 390, "height": 1600})
    boxes = [one.bounding_box() for one in page.locator(".cell > .frame").all()]
    lines = sorted({(round(box["y"]), round(box["y"] + box["height"])) for box in boxes})
    assert len(lines) > 2
    assert max(below - bottom for (_, bottom), (below, _) in pairwise(lines)) < 40


def test_the_comparison_keeps_its_close_button_at_the_edge(open_page, lamps):
    page = open_page(f"{lamps}#compare=lamp%2Fslate%2Fdawn&compare=lamp%2Flinen%2Fdawn&comparing=yes&blind=a")
    box = page.locator("#compare-close").bounding_box()
    assert box["x"] + box["width"] > 1280 - 40
