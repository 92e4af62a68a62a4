"""The comparison as a place to decide: up to twelve pictures, keys for the one in hand, pairs, a contest."""

import pytest
from pictured import write_page
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

SEEDS = list(range(1, 15))
IDS = [f"lamp/{seed}" for seed in SEEDS]
ROOM = "#compare-room .pane-frame"


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", {"seed": SEEDS})), tmp_path_factory.mktemp("survey"))


def survey(ids, more=""):
    """The part of an address that compares cells."""
    return "#" + "&".join([f"compare={one.replace('/', '%2F')}" for one in ids]) + "&comparing=yes" + more


def pane(page, seed):
    return page.locator(f'#compare-room .pane[data-cell="lamp/{seed}"]')


def in_hand(page):
    return page.locator("#compare-room .pane[data-in-hand]")


def panes(page):
    return [one.get_attribute("data-cell") for one in page.locator("#compare-room .pane").all()]


def verdicts(page):
    """What is decided about each compared cell, in words, by seed."""
    labels = {one.get_attribute("data-cell"): one.get_attribute("aria-label") for one in page.locator(".pane").all()}
    found = {int(cell.partition("/")[2]): label.partition(", ")[2] for cell, label in labels.items()}
    return {seed: words for seed, words in found.items() if words}


def boxes_of(page):
    return [one.bounding_box() for one in page.locator(ROOM).all()]


def test_twelve_stand_in_a_survey_and_a_thirteenth_is_not_taken(open_page, lamps):
    page = open_page(lamps)
    for seed in SEEDS[:13]:
        page.locator(f"#c{seed - 1} > .frame").focus()
        page.keyboard.press("c")
    expect(page.locator("#compare-full")).to_be_visible()
    page.locator("#compare-open").click()
    expect(page.locator(ROOM)).to_have_count(12)
    assert panes(page) == IDS[:12]


@pytest.mark.parametrize("count", [2, 3, 5, 7, 9, 12])
@pytest.mark.parametrize("window", [(1440, 900), (390, 800)])
def test_pictures_are_as_large_as_some_number_of_rows_allows_and_never_overlap(open_page, lamps, count, window):
    width, height = window
    page = open_page(lamps + survey(IDS[:count]), viewport={"width": width, "height": height})
    if count <= (4 if width > 390 else 2):
        page.keyboard.press("i")
    expect(page.locator("#compare-text")).to_be_empty()
    boxes = boxes_of(page)
    room = page.locator("#compare-room").bounding_box()
    captions = page.locator("#compare-room figcaption").first.bounding_box()["height"]
    assert len({round(box["height"]) for box in boxes}) == 1
    assert all(box["x"] >= room["x"] - 1 and box["x"] + box["width"] <= room["x"] + room["width"] + 1 for box in boxes)
    assert max(box["y"] + box["height"] for box in boxes) <= room["y"] + room["height"] - captions + 1
    for at, one in enumerate(boxes):
        for other in boxes[at + 1 :]:
            beside = one["x"] + one["width"] <= other["x"] or other["x"] + other["width"] <= one["x"]
            assert beside or abs(one["y"] - other["y"]) >= one["height"] + captions
    # The pictures are square: no grid of rows and columns would make them larger, whatever their captions need.
    best = max(
        min((room["width"] - 12 * (across - 1)) / across, (room["height"] - 12 * (down - 1)) / down - 60)
        for down in range(1, count + 1)
        for across in [-(-count // down)]
    )
    assert boxes[0]["height"] >= best - 2


def test_keys_decide_about_the_picture_under_the_pointer_else_about_the_focused_one(open_page, lamps):
    page = open_page(lamps + survey(IDS[:3]))
    expect(pane(page, 1)).to_be_focused()
    page.keyboard.press("4")
    page.keyboard.press("ArrowRight")
    expect(pane(page, 2)).to_be_focused()
    page.keyboard.press("x")
    pane(page, 3).locator("img").hover()
    expect(in_hand(page)).to_have_attribute("data-cell", "lamp/3")
    page.keyboard.press("p")
    assert verdicts(page) == {1: "4 stars", 2: "rejected", 3: "picked"}
    page.keyboard.press("n")
    page.keyboard.type("warm")
    page.keyboard.press("Enter")
    assert verdicts(page)[3] == "picked, note: warm"
    # The focus is back on the second picture, but the pointer is over the third.
    expect(pane(page, 2)).to_be_focused()
    expect(in_hand(page)).to_have_attribute("data-cell", "lamp/3")
    page.mouse.move(5, 5)
    expect(in_hand(page)).to_have_attribute("data-cell", "lamp/2")
    page.keyboard.press("0")
    assert verdicts(page) == {1: "4 stars", 3: "picked, note: warm"}
    page.keyboard.press("z")
    assert verdicts(page)[2] == "rejected"
    page.keyboard.press("Escape")
    expect(page.locator("#c0 .verdict")).to_have_attribute("aria-label", "4 stars")


def test_buttons_below_a_picture_decide_about_it(open_page, lamps):
    page = open_page(lamps + survey(IDS[:3]))
    page.get_by_role("button", name="B: 3 stars").click()
    page.get_by_role("button", name="C: reject").click()
    assert verdicts(page) == {2: "3 stars", 3: "rejected"}
    expect(page.get_by_role("button", name="B: 3 stars")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="C: pick").click()
    assert verdicts(page) == {2: "3 stars", 3: "picked"}


def test_a_picture_leaves_the_survey_by_key_until_two_are_left(open_page, lamps):
    page = open_page(lamps + survey(IDS[:3]))
    expect(pane(page, 1)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("c")
    assert panes(page) == ["lamp/1", "lamp/3"]
    expect(pane(page, 3)).to_be_focused()
    page.keyboard.press("c")
    assert panes(page) == ["lamp/1", "lamp/3"]


def test_arrow_keys_walk_the_rows_of_a_survey(open_page, lamps):
    page = open_page(lamps + survey(IDS[:12]))
    expect(pane(page, 1)).to_be_focused()
    across = len([box for box in boxes_of(page) if box["y"] == boxes_of(page)[0]["y"]])
    page.keyboard.press("ArrowDown")
    expect(pane(page, 1 + across)).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowUp")
    expect(pane(page, 2)).to_be_focused()


def test_a_slider_and_a_flicker_show_any_two_of_a_survey(open_page, lamps):
    page = open_page(lamps + survey(IDS[:4]))
    pane(page, 2).locator("img").hover()
    pane(page, 4).locator("img").hover()
    page.keyboard.press("s")
    assert panes(page) == ["lamp/2", "lamp/4"]
    page.get_by_label("Second picture").select_option("C")
    page.get_by_label("First picture").select_option("D")
    assert panes(page) == ["lamp/4", "lamp/3"]
    page.get_by_label("First picture").select_option("B")
    assert panes(page) == ["lamp/2", "lamp/3"]
    again = open_page(page.url)
    expect(again.locator("#compare-slider")).to_be_visible()
    assert panes(again) == ["lamp/2", "lamp/3"]
    again.locator("#compare-title").click()
    again.keyboard.press("ArrowRight")
    assert panes(again) == ["lamp/2", "lamp/4"]
    again.keyboard.press("ArrowUp")
    assert panes(again) == ["lamp/1", "lamp/4"]
    again.keyboard.down("f")
    expect(again.locator(".stack")).to_have_attribute("data-shows", "D")
    again.keyboard.press("5")
    again.keyboard.up("f")
    expect(again.locator(".stack")).to_have_attribute("data-shows", "A")
    again.keyboard.press("2")
    assert verdicts(again) == {1: "2 stars", 4: "5 stars"}


def test_the_winner_stays_and_meets_the_next_challenger_until_one_is_left(open_page, lamps):
    page = open_page(lamps + survey(IDS[:4]).replace("&comparing=yes", ""))
    page.locator("#c0 > .frame").focus()
    page.keyboard.press("w")
    contest = page.locator("#compare-contest")
    expect(contest).to_contain_text("Challenger 1 of 3")
    assert panes(page) == ["lamp/1", "lamp/2"]
    page.keyboard.press("ArrowRight")
    page.keyboard.press("w")
    assert panes(page) == ["lamp/3", "lamp/2"]
    expect(pane(page, 2)).to_be_focused()
    page.keyboard.press("Enter")
    assert panes(page) == ["lamp/4", "lamp/2"]
    page.keyboard.press("Shift+W")
    assert panes(page) == ["lamp/3", "lamp/2"]
    expect(contest).to_contain_text("Challenger 2 of 3")
    page.get_by_role("button", name="Keep A").click()
    assert panes(page) == ["lamp/3", "lamp/4"]
    page.keyboard.press("w")
    expect(contest).to_contain_text("A wins against 3 others")
    page.get_by_role("button", name="Pick the winner").click()
    assert verdicts(page) == {3: "picked"}
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    # What was marked before is marked still.
    expect(page.locator("#compare-marked .marked")).to_have_count(4)


def test_without_marks_the_row_of_a_cell_has_a_contest(open_page, lamps):
    page = open_page(f"{lamps}#size=300")
    in_line = page.evaluate("() => document.querySelector('#c0').parentElement.querySelectorAll('.cell').length")
    page.locator("#c0 > .frame").focus()
    page.keyboard.press("w")
    expect(page.locator("#compare-contest")).to_contain_text(f"Challenger 1 of {in_line - 1}")


def test_differences_give_their_room_to_many_pictures_until_they_are_asked_for(open_page, lamps):
    page = open_page(lamps + survey(IDS[:6]))
    before = boxes_of(page)[0]["height"]
    expect(page.locator(".differences")).to_have_count(0)
    page.get_by_role("button", name="Differences").click()
    expect(page.locator('.differences tr[data-field="seed"]')).to_have_count(0)
    expect(page.locator(".differences thead th")).to_have_text(list("ABCDEF"))
    assert boxes_of(page)[0]["height"] < before
    page.keyboard.press("i")
    expect(page.locator(".differences")).to_have_count(0)


def test_the_compared_pictures_fill_the_screen_and_are_decided_there(open_page, lamps):
    page = open_page(lamps + survey(IDS[:2]))
    page.keyboard.press("i")
    before = boxes_of(page)[0]["height"]
    page.keyboard.press("Shift+F")
    page.wait_for_function("() => document.fullscreenElement?.id === 'compare-room'")
    page.wait_for_function("before => document.querySelector('.pane-frame').clientHeight > before", arg=before)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("4")
    assert verdicts(page) == {2: "4 stars"}
    page.keyboard.press("Shift+F")
    page.wait_for_function("() => !document.fullscreenElement")
    expect(page.locator("#compare-close")).to_be_visible()


def test_in_a_narrow_window_the_differences_of_three_wait_until_they_are_asked_for(open_page, lamps):
    page = open_page(f"{lamps}{survey(IDS[:3])}", viewport={"width": 390, "height": 844})
    expect(page.locator(ROOM)).to_have_count(3)
    expect(page.locator("#compare-text table")).to_have_count(0)
    page.keyboard.press("i")
    expect(page.locator("#compare-text table")).to_be_visible()
