"""Which values win: counts of decisions for each value and each pair of values, and what they lead to."""

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, names_of
from sample_reports import make_report, make_stage

AXES = {"surface": ["slate", "linen"], "light": ["dawn", "noon", "dusk"], "seed": [1, 2]}
PICKED = {"slate/dawn/1": 5, "slate/dawn/2": 3, "linen/dawn/1": 4, "slate/noon/1": None}
REJECTED = ["linen/noon/1", "linen/noon/2", "linen/dusk/1", "slate/dusk/1"]
DECISIONS = {
    "lamp": {
        "picks": [{"id": f"lamp/{name}", "stars": stars, "note": ""} for name, stars in PICKED.items()],
        "rejected": [{"id": f"lamp/{name}", "note": ""} for name in REJECTED],
    }
}


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("values"), DECISIONS)


@pytest.fixture(scope="module")
def single(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", {"seed": [1]})), tmp_path_factory.mktemp("single"))


def opened(open_page, lamps, more=""):
    return open_page(f"{lamps}#values=lamp&size=120{more}", viewport=TALL)


def table_of(page, axis):
    """The numbers of an axis by value: picked, rejected, open, the share that is picked, and mean stars."""
    rows = page.locator(f'.value-table[data-axis="{axis}"] tbody tr').all()
    return {row.locator(".value-name").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def pair(page, label):
    return page.locator(".pair-table").get_by_role("button", name=label)


def test_each_value_has_its_counts_and_the_preferred_ones_are_named(open_page, lamps):
    page = open_page(lamps, viewport=TALL)
    page.get_by_role("button", name="Which values win").click()
    assert table_of(page, "light") == {
        "dawn": ["3", "0", "1", "100 %", "4.0"],
        "noon": ["1", "2", "1", "33 %", "–"],
        "dusk": ["0", "2", "2", "0 %", "–"],
    }
    assert table_of(page, "surface") == {
        "slate": ["3", "1", "2", "75 %", "4.0"],
        "linen": ["1", "3", "2", "25 %", "4.0"],
    }
    expect(page.locator(".values-words")).to_have_text(
        "Preferred values: light dawn (3 of 3 decided cells picked) before dusk (0 of 2 decided cells picked); "
        "surface slate (3 of 4 decided cells picked) before linen (1 of 4 decided cells picked)."
    )
    expect(page.locator('.value-table[data-axis="light"] .best')).to_have_attribute("data-value", "dawn")


def test_decisions_of_all_people_count_and_disputed_cells_are_open(open_page, tmp_path):
    twice = [("slate/dawn/1", 5, "Ines"), ("slate/dawn/1", 2, "Tom")]
    picks = [*twice, ("slate/dawn/2", 0, "Tom"), ("linen/dawn/1", 4, "Ines")]
    rejected = [("linen/dawn/1", "Tom"), ("linen/noon/1", "Tom"), ("linen/noon/1", "Ines")]
    decisions = {
        "picks": [{"id": f"lamp/{name}", "stars": stars or None, "note": "", "by": by} for name, stars, by in picks],
        "rejected": [{"id": f"lamp/{name}", "note": "", "by": by} for name, by in rejected],
    }
    page = opened(open_page, write_page(make_report(make_stage("lamp", AXES)), tmp_path, {"lamp": decisions}))
    expected = {"slate": ["2", "0", "4", "100 %", "3.5"], "linen": ["0", "1", "5", "0 %", "–"]}
    assert table_of(page, "surface") == expected
    expect(page.locator(".decisions .counts")).to_have_text("2 picked, 1 rejected, 9 open")
    cell_at(page, 0).focus()
    page.keyboard.press("x")
    expect(page.locator('.value-table[data-axis="surface"] [data-value="slate"] td').first).to_have_text("1")


def test_pairs_of_any_two_axes_are_counted(open_page, lamps):
    page = opened(open_page, lamps)
    expect(pair(page, "surface slate, light dawn: 2 picked, 0 rejected, 0 open, 4.0 stars")).to_have_text("2 of 24.0★")
    expect(pair(page, "surface linen, light noon: 0 picked, 2 rejected, 0 open")).to_have_text("0 of 2")
    expect(pair(page, "surface linen, light dusk: 0 picked, 1 rejected, 1 open")).to_be_visible()
    page.get_by_label("First axis of the pairs").select_option("seed")
    expect(pair(page, "seed 1, light dawn: 2 picked, 0 rejected, 0 open, 4.5 stars")).to_be_visible()
    expect(page.locator(".best-pairs li").first).to_contain_text("light dawn, seed 1")


def test_a_value_filters_the_sheet_and_keeps_the_counts_of_its_axis(open_page, lamps):
    page = opened(open_page, lamps)
    value = page.locator('.value-table[data-axis="light"]').get_by_role("button", name="noon")
    value.click()
    assert names_of(page) == ["slate · noon · 1", "slate · noon · 2", "linen · noon · 1", "linen · noon · 2"]
    expect(value).to_have_attribute("aria-pressed", "true")
    expect(value).to_be_focused()
    assert table_of(page, "light")["dawn"] == ["3", "0", "1", "100 %", "4.0"]
    assert table_of(page, "surface") == {
        "slate": ["1", "0", "1", "100 %", "–"],
        "linen": ["0", "2", "0", "0 %", "–"],
    }
    value.click()
    assert len(names_of(page)) == 12


def test_a_pair_filters_the_sheet_by_both_values(open_page, lamps):
    page = opened(open_page, lamps)
    button = pair(page, "surface slate, light dusk")
    button.click()
    assert names_of(page) == ["slate · dusk · 1", "slate · dusk · 2"]
    button.click()
    assert len(names_of(page)) == 12


def test_counts_follow_the_filters_and_each_decision(open_page, lamps):
    page = opened(open_page, lamps, "&only.seed=1")
    assert table_of(page, "light")["dawn"] == ["2", "0", "0", "100 %", "4.5"]
    page.locator('.cell > .frame[title^="lamp/slate/dawn/1"]').focus()
    page.keyboard.press("x")
    expect(page.locator('.value-table[data-axis="light"] tr[data-value="dawn"] td').first).to_have_text("1")
    assert table_of(page, "light")["dawn"] == ["1", "1", "0", "50 %", "4.0"]
    page.get_by_role("searchbox").fill("noon")
    expect(page.locator(".values-words")).to_have_text("No value is clearly preferred.")
    assert table_of(page, "light")["dawn"] == ["0", "0", "0", "–", "–"]


def test_a_key_opens_it_and_says_when_nothing_is_decided(open_page, lamps, single):
    page = open_page(f"{lamps}#only.surface=%22linen%22&only.light=%22dusk%22&only.seed=2", viewport=TALL)
    page.locator(".cell > .frame").focus()
    page.keyboard.press("v")
    expect(page.locator(".values-words")).to_be_visible()
    page.get_by_label("Decision").select_option("open")
    expect(page.locator(".values-words")).to_have_text("None of the cells that are shown is picked or rejected yet.")
    page.keyboard.press("v")
    alone = open_page(single)
    expect(alone.get_by_role("button", name="Which values win")).to_have_count(0)


def test_long_values_leave_the_numbers_in_a_narrow_window(open_page, tmp_path):
    long = ["a lamp that stands in the corner of a room with a window to the north", "Donaudampfschifffahrt" * 4]
    report = make_report(make_stage("lamp", {"surface": long, "light": ["dawn", "noon"]}))
    picks = [{"id": row.id, "stars": 4, "note": ""} for row in report.rows]
    address = write_page(report, tmp_path, {"lamp": {"picks": picks, "rejected": []}})
    page = open_page(f"{address}#values=lamp", viewport={"width": 390, "height": 844})
    for place in (".value-table td", ".best-pairs li", ".pair-table .pair-won"):
        box = page.locator(place).last.bounding_box()
        assert box["x"] + box["width"] <= 390, place
    assert page.locator(".values-won").evaluate("node => node.scrollWidth <= node.clientWidth")
