"""What is shown and in which order: by the values of axes, by status, by words, and sorted."""

import re
from dataclasses import replace
from decimal import Decimal

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, names_of
from sample_reports import make_report, make_stage

from krea_pipe.report.model import Timings

AXES = {"surface": ["slate", "linen"], "creativity": ["raw", "low", "high"]}
STATUSES = ("succeeded", "succeeded", "reused", "failed", "uncertain", "pending")
DRAFTS = ["slate · raw", "slate · low", "slate · high", "linen · raw", "linen · low", "linen · high"]


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Two stages that share an axis; the cells of the first end in many ways, at their own times and prices."""
    stages = make_stage("draft", AXES, STATUSES.__getitem__), make_stage("final", {"creativity": ["raw", "high"]})
    report = make_report(*stages)
    rows = [*report.rows]
    for at, (second, price) in enumerate([(40, "0.06"), (20, "0.02"), (30, "0.04")]):
        finished = f"2026-10-12T09:14:{second}Z"
        rows[at] = replace(rows[at], timings=Timings(None, finished, None), cost_usd=Decimal(price))
    rows[3:6] = [replace(row, timings=Timings(), cost_usd=Decimal(0)) for row in rows[3:6]]
    rows[1] = replace(rows[1], prompt="A Brass bell,\non Slate")
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("filters"))


def open_values(page, stage, axis):
    page.locator(f'.stage[data-stage="{stage}"] li[data-axis="{axis}"] .axis').click()
    page.get_by_role("menuitem", name="Filter values").click()
    return page.get_by_role("dialog", name=f"Values of {axis}")


def test_values_of_an_axis_are_ticked_off_and_on_again(open_page, address):
    page = open_page(address, viewport=TALL)
    values = open_values(page, "draft", "surface")
    values.get_by_label("slate").uncheck()
    assert names_of(page) == [*DRAFTS[3:], "raw", "high"]  # the other stage has no such axis
    expect(page.locator("#shown")).to_have_text("5 of 8 shown")
    expect(page.locator('.stage[data-stage="draft"] .count')).to_contain_text("3 of 6 images")
    expect(page.locator('li[data-axis="surface"]')).to_have_text("surfacelinen")
    values.get_by_role("button", name="None").click()
    assert names_of(page) == ["raw", "high"]
    values.get_by_role("button", name="All").click()
    assert names_of(page) == [*DRAFTS, "raw", "high"]
    expect(page.locator("#clear")).to_be_hidden()


def test_a_filter_on_an_axis_holds_for_each_stage_and_hides_only_what_was_ticked_off(open_page, address):
    page = open_page(address, viewport=TALL)
    open_values(page, "final", "creativity").get_by_label("raw").uncheck()
    assert names_of(page) == ["slate · low", "slate · high", "linen · low", "linen · high", "high"]


def test_values_are_filtered_by_keyboard_and_the_focus_comes_back_to_the_axis(open_page, address):
    page = open_page(address, viewport=TALL)
    axis = page.locator('.stage[data-stage="draft"] li[data-axis="surface"] .axis')
    axis.press("Enter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name="slate")).to_be_focused()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("Escape")
    expect(axis).to_be_focused()
    assert names_of(page) == [*DRAFTS[:3], "raw", "high"]


def test_chips_show_the_cells_of_a_status_or_of_several(open_page, address):
    page = open_page(address, viewport=TALL)
    chips = page.get_by_role("group", name="Show by status").get_by_role("button")
    expect(chips).to_have_text(["Rendered 4", "Reused 1", "Failed 1", "Uncertain 1", "Pending 1"])
    failed = page.get_by_role("button", name="Failed 1")
    failed.click()
    assert names_of(page) == ["linen · raw"]
    page.get_by_role("button", name="Reused 1").click()
    assert names_of(page) == ["slate · high", "linen · raw"]
    failed.click()
    assert names_of(page) == ["slate · high"]
    expect(failed).to_have_attribute("aria-pressed", "false")


def test_what_failed_was_reused_or_is_open_says_so_in_its_place(open_page, address):
    page = open_page(address, viewport=TALL)
    expect(page.locator("#c2 .marks")).to_contain_text("reused")
    expect(cell_at(page, 2).locator(".picture")).to_be_visible()
    expect(cell_at(page, 3)).to_contain_text("Failed")
    expect(cell_at(page, 3)).to_contain_text("Krea refused the prompt: content policy")
    expect(cell_at(page, 4)).to_contain_text("Uncertain")
    expect(cell_at(page, 4)).to_contain_text("the connection broke")
    expect(cell_at(page, 5)).to_contain_text("Pending")
    expect(page.locator('.stage[data-stage="draft"] .count')).to_have_text("6 images, 1 failed, 1 uncertain, 1 pending")


def test_words_are_searched_in_prompts_and_ids_whatever_their_case(open_page, address):
    page = open_page(address, viewport=TALL)
    search = page.get_by_role("searchbox")
    shown = page.locator("#shown")
    search.fill("BELL brass")
    expect(shown).to_have_text("1 of 8 shown")
    assert names_of(page) == ["slate · low"]
    search.fill("final/")
    expect(shown).to_have_text("2 of 8 shown")
    search.fill("lighthouse")
    expect(page.locator("#nothing")).to_be_visible()
    expect(shown).to_have_text("0 of 8 shown")
    search.press("Escape")
    expect(page.locator("#nothing")).to_be_hidden()
    expect(search).to_have_value("")
    assert len(names_of(page)) == 8


def test_one_press_clears_every_filter(open_page, address):
    page = open_page(f"{address}#only.surface=%22slate%22&statuses=failed&search=lamp&decided=open", viewport=TALL)
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    assert len(names_of(page)) == 8
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.get_by_label("Decision")).to_have_value("")
    expect(page.locator('.chip[aria-pressed="true"]')).to_have_count(0)


@pytest.mark.parametrize(
    ("order", "first", "turned"),
    [
        ("Time", ["slate · low", "slate · high", "slate · raw"], ["slate · raw", "slate · high", "slate · low"]),
        ("Cost", ["slate · raw", "slate · high", "slate · low"], None),
        (
            "creativity",
            ["slate · raw", "linen · raw", "slate · low", "linen · low", "slate · high", "linen · high"],
            ["slate · high", "linen · high", "slate · low", "linen · low", "slate · raw", "linen · raw"],
        ),
    ],
)
def test_cells_are_sorted_and_turned_round(open_page, address, order, first, turned):
    page = open_page(f"{address}#size=120", viewport=TALL)
    drafts = page.locator('.stage[data-stage="draft"] .cell')
    expect(drafts).to_have_count(6)
    page.get_by_label("Sort", exact=True).select_option(label=order)
    found = [name for name in names_of(page) if " · " in name]
    assert found[: len(first)] == first
    page.locator("#turn").click()
    found = [name for name in names_of(page) if " · " in name]
    if turned:
        assert found[: len(turned)] == turned
    else:
        assert found[3:] == ["slate · low", "slate · high", "slate · raw"]
    page.get_by_label("Sort", exact=True).select_option(label="Pivot")
    assert names_of(page) == [*DRAFTS, "raw", "high"]


def test_sorted_cells_say_all_that_heads_said(open_page, address):
    page = open_page(f"{address}#sort=time", viewport=TALL)
    expect(page.locator("#c0 .what")).to_have_text("slate\u00a0· raw")
    expect(page.locator(".head")).to_have_count(0)


def test_what_is_being_typed_survives_whatever_else_is_drawn(open_page, address):
    page = open_page(address)
    page.get_by_role("searchbox").fill("slate")
    page.evaluate("document.querySelector('#statuses .chip').click()")
    expect(page.get_by_role("searchbox")).to_have_value("slate")
    expect(page).to_have_url(re.compile("search=slate"))
