"""Cells beside each other: how they are marked, how they stand, and what differs."""

import re
from dataclasses import replace

import pytest
from pictured import signature_of, with_likeness, write_page
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

SEEDS = [1, 2, 3, 4, 5]
GREYS = {1: 100, 2: 151, 3: 100, 4: 0, 5: 255}
PROMPTS = {
    1: "A glass lamp on wet slate, soft light",
    2: "A brass lamp on dry slate, soft light",
}
PAIR = "compare=lamp%2F1&compare=lamp%2F2&comparing=yes"


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """Five seeds, of which the second has another prompt, creativity and strength of its reference."""
    report = with_likeness(
        make_report(make_stage("lamp", {"seed": SEEDS})), lambda row: signature_of(GREYS[row.axes["seed"]])
    )
    rows = [_with_prompt(row) for row in report.rows]
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("lamps"))


def _with_prompt(row):
    prompt = PROMPTS.get(row.axes["seed"], PROMPTS[1])
    request = {**row.request, "prompt": prompt}
    if row.axes["seed"] == 2:
        references = [{**one, "strength": 0.9} for one in row.request["image_style_references"]]
        request |= {"creativity": "high", "image_style_references": references}
    return replace(row, prompt=prompt, request=request)


def frame(page, seed):
    return page.locator(f'.cell > .frame[title^="lamp/{seed}"]')


def panes(page):
    """The ids of the compared cells, as they stand."""
    return [pane.get_attribute("data-cell") for pane in page.locator("#compare-room .pane").all()]


def differing(page, field):
    """The values of a row of the table of differences."""
    return page.locator(f'#compare-text tr[data-field="{field}"] td').all_inner_texts()


def test_cells_are_marked_by_key_and_button_and_stand_side_by_side_in_that_order(open_page, lamps):
    page = open_page(lamps)
    frame(page, 3).focus()
    page.keyboard.press("c")
    expect(frame(page, 3).locator("+ .caption .letter")).to_have_text("A")
    expect(page.locator("#compare-open")).to_be_disabled()
    frame(page, 1).click()
    page.locator("#detail-mark").click()
    expect(page.locator("#detail-mark")).to_have_text("Marked as B")
    page.locator("#detail-compare").click()
    expect(page.locator("#compare")).to_be_visible()
    assert panes(page) == ["lamp/3", "lamp/1"]
    boxes = [pane.bounding_box() for pane in page.locator("#compare-room .pane").all()]
    assert boxes[0]["y"] == boxes[1]["y"]
    assert boxes[0]["x"] + boxes[0]["width"] <= boxes[1]["x"]
    expect(page.locator("#compare-room img").first).to_have_js_property("naturalWidth", 300)
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    expect(frame(page, 1)).to_be_focused()
    expect(page.locator("#compare-marked .marked")).to_have_count(2)
    page.locator("#compare-clear").click()
    expect(page.locator("#compare-bar")).to_be_hidden()
    expect(page.locator(".caption .letter")).to_have_count(0)


def test_what_differs_between_requests_is_said_and_in_the_prompt_word_by_word(open_page, lamps):
    page = open_page(f"{lamps}#{PAIR}")
    sentence = page.locator("#difference-sentence")
    expect(sentence).to_have_text("3 fields differ: prompt, creativity, reference.")
    cells = page.locator('#compare-text tr[data-field="prompt"] td')
    assert [cell.locator("mark").all_inner_texts() for cell in cells.all()] == [["glass", "wet"], ["brass", "dry"]]
    assert cells.all_inner_texts() == [PROMPTS[1], PROMPTS[2]]
    assert differing(page, "creativity") == ["medium", "high"]
    assert differing(page, "image_style_references") == ["strength 0.5", "strength 0.9"]
    assert differing(page, "seed") == []
    assert differing(page, "distance") == ["–", "0.20"]


def test_requests_that_are_the_same_are_said_to_be(open_page, lamps):
    page = open_page(f"{lamps}#compare=lamp%2F1&compare=lamp%2F3&comparing=yes")
    expect(page.locator("#difference-sentence")).to_have_text("The requests are the same.")
    assert differing(page, "distance") == ["–", "0.00"]


def test_the_comparison_and_how_it_stands_are_in_the_link(open_page, lamps):
    page = open_page(f"{lamps}#{PAIR}")
    page.locator("#compare-modes").get_by_text("Slider").click()
    again = open_page(page.url)
    expect(again.locator("#compare")).to_be_visible()
    assert panes(again) == ["lamp/1", "lamp/2"]
    expect(again.locator("#compare-slider")).to_be_visible()
    again.keyboard.press("Escape")
    expect(again.locator("#compare")).to_be_hidden()
    expect(again).to_have_url(re.compile("#compare=lamp%2F1&compare=lamp%2F2&compareAs=slider$"))


def test_the_slider_uncovers_one_picture_over_the_other_by_mouse_and_by_key(open_page, lamps):
    page = open_page(f"{lamps}#{PAIR}&compareAs=slider")
    first, second = (page.locator("#compare-room .pane").nth(place) for place in (0, 1))
    slider = page.locator("#compare-slider")
    box = first.bounding_box()
    assert second.bounding_box() == box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.8, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    assert float(slider.input_value()) == pytest.approx(80, abs=3)
    assert cut_of(page) == pytest.approx(0.8, abs=0.03)
    slider.focus()
    page.keyboard.press("Home")
    assert cut_of(page) == 0
    page.keyboard.press("ArrowRight")
    assert cut_of(page) == pytest.approx(0.005)


def cut_of(page):
    """How much of the first picture is uncovered, from 0 to 1: where the line over both stands."""
    line, pane = page.locator(".cut-line").bounding_box(), page.locator("#compare-room .pane").first.bounding_box()
    clip = page.locator("#compare-room .pane.cut").evaluate("pane => getComputedStyle(pane).clipPath")
    cut = float(clip.removeprefix("inset(").rstrip(")").split()[3].rstrip("%")) / 100
    assert (line["x"] + line["width"] / 2 - pane["x"]) / pane["width"] == pytest.approx(cut, abs=0.02)
    return cut


def test_the_other_picture_is_seen_while_a_key_is_held(open_page, lamps):
    page = open_page(f"{lamps}#{PAIR}")
    first, second = (page.locator("#compare-room .pane").nth(place) for place in (0, 1))
    page.keyboard.down("f")
    expect(page.locator("#compare-room .stack")).to_have_attribute("data-shows", "B")
    expect(second).to_be_visible()
    expect(first).to_be_hidden()
    page.keyboard.up("f")
    expect(first).to_be_visible()
    expect(second).to_be_hidden()
    page.keyboard.down("Space")
    expect(second).to_be_visible()
    page.keyboard.up("Space")
    expect(second).to_be_hidden()
    assert first.bounding_box()["width"] > 0


def test_all_pictures_have_the_same_zoom_and_place(open_page, lamps):
    page = open_page(f"{lamps}#{PAIR}")
    images = page.locator("#compare-room img.compared")
    expect(images.last).to_have_js_property("naturalWidth", 300)
    images.first.hover()
    page.mouse.wheel(0, -100)
    expect(page.locator("#compare-fit")).to_have_text("120 %")
    page.keyboard.press("+")
    expect(page.locator("#compare-fit")).to_have_text("168 %")
    box = page.locator("#compare-room .pane").last.bounding_box()
    page.mouse.move(box["x"] + 100, box["y"] + 100)
    page.mouse.down()
    page.mouse.move(box["x"] + 60, box["y"] + 80, steps=3)
    page.mouse.up()
    one, other = (images.nth(place).evaluate("image => image.style.transform") for place in (0, 1))
    assert one == other
    assert one.startswith("scale(1.67")
    assert "translate(0px" not in one
    page.keyboard.press(".")
    expect(page.locator("#compare-fit")).to_have_text("Fit")
    one, other = (images.nth(place).evaluate("image => image.style.transform") for place in (0, 1))
    assert one == other == "scale(1) translate(0px, 0px)"


def test_after_a_comparison_the_focus_is_back_on_the_cell(open_page, lamps):
    page = open_page(f"{lamps}#compare=lamp%2F1&compare=lamp%2F2")
    frame(page, 4).focus()
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    expect(frame(page, 4)).to_be_focused()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))")  # the dialog has closed
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare")).to_be_visible()
    page.locator("#compare-room figcaption a").last.click()
    expect(page.locator("#detail-text .id")).to_have_text("lamp/2")
    expect(page.locator("#compare")).to_be_hidden()
