"""Stepping through the values of an axis, and the index of stages."""

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import cells_of, follow
from sample_reports import make_report, make_stage


@pytest.fixture(scope="module")
def lamp(tmp_path_factory):
    axes = {"light": ["dawn", "noon", "dusk"], "seed": [1, 2]}
    return write_page(make_report(make_stage("lamp", axes)), tmp_path_factory.mktemp("lamp"))


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    made = [
        make_stage(name, {"light": ["dawn", "noon"], "seed": list(range(20))}) for name in ("draft", "final", "formats")
    ]
    return write_page(make_report(*made), tmp_path_factory.mktemp("stages"))


def lights_of(page):
    return {cell["name"].split(" · ")[0] for cell in cells_of(page)}


def test_keys_show_one_value_at_a_time(open_page, lamp):
    page = open_page(lamp)
    seen = []
    for key in ("]", "]", "]", "]", "["):
        page.keyboard.press(key)
        seen.append(lights_of(page))
    assert seen == [{"dawn"}, {"noon"}, {"dusk"}, {"dawn"}, {"dusk"}]
    assert page.url.endswith("#only.light=%22dusk%22")
    page.keyboard.press("z")
    page.get_by_role("button", name="Show all values of light").click()
    assert lights_of(page) == {"dawn", "noon", "dusk"}


def test_each_axis_has_its_own_steps_and_keys_follow_the_last(open_page, lamp):
    page = open_page(lamp)
    page.get_by_role("button", name="Next value of seed").click()
    expect(page.locator('[data-axis="seed"] .step-value')).to_have_text("1")
    expect(page.get_by_role("button", name="Next value of seed")).to_be_focused()
    page.keyboard.press("]")
    expect(page.locator('[data-axis="seed"] .step-value')).to_have_text("2")
    page.get_by_role("button", name="Previous value of seed").click()
    expect(page.locator('[data-axis="seed"] .step-value')).to_have_text("1")
    assert lights_of(page) == {"dawn", "noon", "dusk"}
    assert len(cells_of(page)) == 3


def test_an_axis_cycles_by_itself_until_it_is_stopped(open_page, lamp):
    page = open_page("about:blank")
    page.clock.install()
    page.goto(lamp)
    page.get_by_role("button", name="Next value of light").click()
    value = page.locator('[data-axis="light"] .step-value')
    page.get_by_role("button", name="Cycle through light").click()
    expect(value).to_have_text("noon")
    page.clock.run_for(1_500)
    expect(value).to_have_text("dusk")
    cycle = page.get_by_role("button", name="Cycle through light")
    expect(cycle).to_have_attribute("aria-pressed", "true")
    cycle.click()
    page.clock.run_for(10_000)
    expect(value).to_have_text("dusk")
    expect(cycle).to_have_attribute("aria-pressed", "false")


def test_steps_are_large_enough_to_press(open_page, lamp):
    page = open_page(lamp)
    page.keyboard.press("]")
    for button in page.locator(".step").all():
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 24


def test_the_index_leads_to_each_stage_and_says_which_one_is_shown(open_page, stages):
    page = open_page(stages)
    index = page.get_by_role("navigation", name="Stages")
    current = index.locator("[aria-current]")
    expect(current).to_have_text("draft")
    index.get_by_role("button", name="formats").click()
    expect(page.get_by_role("heading", name="formats")).to_be_in_viewport()
    expect(current).to_have_text("formats")
    follow(page, "search=final/")
    expect(index.get_by_role("button", name="draft")).to_be_disabled()
    expect(current).to_have_text("final")


def test_one_stage_needs_no_index(open_page, lamp):
    expect(open_page(lamp).locator("#stage-index")).to_be_hidden()
