"""Ladders: where along an axis the pictures stop changing, in words, as a chart and as a table."""

import pytest
from pictured import signature_of, with_likeness, write_page
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

LEVELS = ["high", "raw", "medium", "low"]  # in the file's order, which is not theirs
GREYS = {"raw": 10, "low": 61, "medium": 163, "high": 165}
SEED_STEP = {1: 0, 2: 3}
AXES = {"creativity": LEVELS, "seed": [1, 2]}


@pytest.fixture(scope="module")
def ladder(tmp_path_factory):
    """Two seeds of four levels: 0.2, 0.4 and 0.008 from one level to the next."""

    def likeness(row):
        return signature_of(GREYS[row.axes["creativity"]] + SEED_STEP[row.axes["seed"]])

    return write_page(with_likeness(make_report(make_stage("lamp", AXES)), likeness), tmp_path_factory.mktemp("ladder"))


@pytest.fixture(scope="module")
def steep(tmp_path_factory):
    """Three values that are no scale, each far from the next."""
    greys = {"slate": 0, "linen": 51, "marble": 204}
    report = make_report(make_stage("lamp", {"surface": [*greys]}))
    return write_page(
        with_likeness(report, lambda row: signature_of(greys[row.axes["surface"]])), tmp_path_factory.mktemp("steep")
    )


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    """Three levels of two surfaces: slate goes on from step to step, linen changes only once."""
    greys = {"slate": {"raw": 0, "low": 51, "medium": 102}, "linen": {"raw": 0, "low": 0, "medium": 153}}
    report = make_report(make_stage("lamp", {"creativity": ["raw", "low", "medium"], "surface": [*greys]}))

    def likeness(row):
        return signature_of(greys[row.axes["surface"]][row.axes["creativity"]])

    return write_page(with_likeness(report, likeness), tmp_path_factory.mktemp("split"))


def compared(page):
    expect(page.locator("#compare")).to_be_visible()
    return [pane.get_attribute("data-cell") for pane in page.locator("#compare-room .pane").all()]


def numbers(page):
    """The table as texts, line by line, once it is there."""
    expect(page.locator(".ladder-table table")).to_be_visible()
    rows = page.locator(".ladder-table tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


def test_the_words_say_from_where_to_where_nothing_visible_happens(open_page, ladder):
    page = open_page(ladder)
    expect(page.locator(".ladder-words")).to_have_count(0)
    page.get_by_role("button", name="Ladder").click()
    expect(page.locator(".ladder-words")).to_have_text(
        "From creativity medium to high nothing changes visibly (median 0.008, in 2 of 2 combinations)."
    )
    assert "ladder=creativity" in page.url
    page.locator('.ladder [data-act="toggle"]').click()
    expect(page.locator(".ladder-words")).to_have_count(0)


def test_an_axis_whose_steps_all_show_is_said_to_with_its_largest_step(open_page, steep):
    page = open_page(f"{steep}#ladder=surface")
    expect(page.locator(".ladder-words")).to_have_text(
        "Every step of surface shows; most from linen to marble (median 0.60)."
    )


def test_the_table_has_each_step_in_the_order_of_the_scale(open_page, ladder):
    page = open_page(f"{ladder}#ladder=creativity")
    page.locator(".ladder-table summary").click()
    assert numbers(page) == [
        ["creativity", "raw → low", "low → medium", "medium → high"],
        ["Median", "0.20", "0.40", "0.008"],
        ["1", "0.20", "0.40", "0.008"],
        ["2", "0.20", "0.40", "0.008"],
    ]
    page.locator(".ladder-table button").nth(4).click()
    assert compared(page) == ["lamp/low/2", "lamp/medium/2"]


def test_a_point_of_the_chart_opens_its_two_cells_beside_each_other(open_page, ladder):
    page = open_page(f"{ladder}#ladder=creativity&only.seed=1")
    plot, point = page.locator(".ladder .plot"), page.locator(".ladder-point")
    point.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(point).to_have_accessible_name("Compare creativity medium → high, 0.008")
    expect(page.locator(".ladder .readout p")).to_have_text("creativity medium → high, 0.008")
    last = point.bounding_box()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    assert compared(page) == ["lamp/low/1", "lamp/medium/1"]
    page.keyboard.press("Escape")
    expect(page.locator("#compare")).to_be_hidden()
    box = plot.bounding_box()
    assert box["x"] < last["x"] < box["x"] + box["width"]
    page.mouse.click(last["x"] + last["width"] / 2, last["y"] + last["height"] / 2)
    assert compared(page) == ["lamp/medium/1", "lamp/high/1"]


def test_a_ladder_is_about_the_cells_that_are_shown(open_page, ladder):
    page = open_page(f"{ladder}#ladder=creativity&only.creativity=%22raw%22&only.creativity=%22high%22")
    page.locator(".ladder-table summary").click()
    assert numbers(page)[:2] == [["creativity", "raw → high"], ["Median", "0.61"]]
    expect(page.locator(".ladder-words")).to_have_text(
        "Every step of creativity shows; most from raw to high (median 0.61)."
    )


def test_the_chart_is_as_wide_as_its_stage_lets_it_be(open_page, ladder):
    page = open_page(ladder)
    page.get_by_role("button", name="Ladder").click()
    wide = page.locator(".ladder svg").bounding_box()["width"]
    page.set_viewport_size({"width": 420, "height": 800})
    expect(page.locator(".ladder svg")).not_to_have_attribute("width", str(round(wide)))
    assert page.locator(".ladder svg").bounding_box()["width"] < 400 < wide + 140


def test_a_second_axis_splits_a_ladder_into_one_for_each_of_its_values(open_page, split):
    page = open_page(f"{split}#ladder=creativity")
    page.get_by_label("Split the ladder of lamp").select_option("split by surface")
    expect(page.locator(".ladder-words")).to_have_text(
        "surface slate: Every step of creativity shows; most from raw to low (median 0.20). "
        "surface linen: From creativity raw to low nothing changes visibly (median 0.000)."
    )
    expect(page.locator(".ladder svg .group")).to_have_text(["linen", "slate"])
    expect(page.locator(".ladder svg .median:not(.dots)")).to_have_count(2)
    page.locator(".ladder-table summary").click()
    assert numbers(page)[1:3] == [["Median, surface slate", "0.20", "0.20"], ["Median, surface linen", "0.000", "0.60"]]
    again = open_page(page.url)
    expect(again.get_by_label("Split the ladder of lamp")).to_have_value("surface")


def test_a_ladder_is_measured_from_its_first_value_when_asked(open_page, split):
    page = open_page(f"{split}#ladder=creativity&only.surface=%22slate%22")
    page.get_by_label("Distances are measured").select_option("from the first value")
    expect(page.locator(".ladder-words")).to_have_text("Median distances from creativity raw: low 0.20, medium 0.40.")
    page.locator(".ladder-table summary").click()
    assert numbers(page) == [["creativity", "raw → low", "raw → medium"], ["creativity", "0.20", "0.40"]]
    page.locator(".ladder-table button").last.click()
    assert compared(page) == ["lamp/raw/slate", "lamp/medium/slate"]
    linen = open_page(f"{split}#ladder=creativity&only.surface=%22linen%22&ladderFirst=yes")
    expect(linen.locator(".ladder-words")).to_have_text(
        "Median distances from creativity raw: low 0.000, medium 0.60. low does not differ visibly from it."
    )
