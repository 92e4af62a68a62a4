"""Checks on the page: which images fail, the values of an open cell, and the filter and the order that ask for them."""

from dataclasses import replace

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, names_of
from sample_reports import make_report, make_stage

from krea_pipe.report.model import CheckResult

LIGHTS = ["dawn", "noon", "dusk", "night"]
SHARPNESS = [55.5, 31.25, 900, None]


def sharp(value):
    if value is None:
        message = "the image is missing from the store"
        return CheckResult("sharp", "sharpness", None, 40, None, passed=False, fail=True, message=message)
    message = "" if value >= 40 else "31.25 is less than 40"
    return CheckResult("sharp", "sharpness", value, 40, None, passed=value >= 40, fail=True, message=message)


def score(number):
    passed = number < 2
    message = "two faces" if passed else "0 is less than 1: no <b>face</b>"
    return CheckResult("faces", "command", float(passed), 1, 2, passed=passed, fail=False, message=message)


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """One stage with checks, of which each is failed by two images, and one without."""
    stages = make_stage("draft", {"light": LIGHTS}), make_stage("plain", {"light": LIGHTS[:1]})
    report = make_report(*stages)
    checked = [
        replace(row, checks=(sharp(value), score(number)))
        for number, (row, value) in enumerate(zip(report.rows[:4], SHARPNESS, strict=True))
    ]
    return write_page(replace(report, rows=(*checked, *report.rows[4:])), tmp_path_factory.mktemp("checks"))


def test_images_that_fail_a_check_are_marked_and_can_be_shown_alone(open_page, address):
    page = open_page(address, viewport=TALL)
    marks = page.locator('[data-flag="check"]')
    expect(marks).to_have_text(["sharp", "faces", "sharp, faces"])
    assert marks.nth(1).get_attribute("title") == "faces: 0 is less than 1: no <b>face</b>"
    assert cell_at(page, 1).get_attribute("aria-label").endswith("fails sharp")
    filter_of_checks = page.locator("#check")
    expect(filter_of_checks.locator("option")).to_have_text(["All", "Fails any: 3", "Fails sharp: 2", "Fails faces: 2"])
    filter_of_checks.select_option("failed")
    assert names_of(page) == ["noon", "dusk", "night"]
    filter_of_checks.select_option("sharp")
    assert names_of(page) == ["noon", "night"]
    expect(page.locator("#shown")).to_have_text("2 of 5 shown")
    page.reload()
    assert names_of(page) == ["noon", "night"]
    page.locator("#clear").click()
    assert names_of(page) == [*LIGHTS, "dawn"]


def test_cells_are_sorted_by_the_value_of_a_check_and_show_it(open_page, address):
    page = open_page(f"{address}#sort=check.sharp", viewport=TALL)
    assert names_of(page) == ["noon", "dawn", "dusk", "night", "dawn"]
    expect(page.locator(".cell .distance")).to_have_text(["31.25", "55.5", "900"])
    page.locator("#turn").click()
    assert names_of(page) == ["dusk", "dawn", "noon", "night", "dawn"]
    expect(page.locator("#turn")).to_have_text("highest first")


def test_an_open_cell_lists_all_values_with_their_limits(open_page, address):
    page = open_page(address, viewport=TALL)
    cell_at(page, 1).click()
    lines = page.locator("#detail-text tr", has=page.locator(".check-result"))
    expect(lines.nth(0)).to_have_text("sharp31.25sharpness at least 40fails the run31.25 is less than 40")
    expect(lines.nth(1)).to_have_text("faces1command 1 to 2two faces")
    page.keyboard.press("ArrowRight")
    expect(lines.nth(1)).to_have_text("faces0command 1 to 2fails0 is less than 1: no <b>face</b>")


def test_failures_of_the_run_stand_above_the_sheet(open_page, address):
    page = open_page(address)
    cause = page.locator(".problems .cause")
    expect(cause.locator("strong")).to_have_text("2 of 4 images fail the check sharp (sharpness at least 40)")
    expect(cause.locator("li span")).to_have_text(["31.25 is less than 40", "the image is missing from the store"])
    expect(cause.locator("[data-copy]")).to_have_count(0)


def test_failed_checks_are_in_captions_without_scripts(open_page, address):
    page = open_page(address, java_script_enabled=False)
    expect(page.locator("figcaption .why")).to_have_text(["fails sharp", "fails faces", "fails sharp, faces"])


def test_a_page_without_checks_has_no_filter_for_them(open_page, tmp_path):
    page = open_page(write_page(make_report(make_stage("draft", {"light": LIGHTS})), tmp_path))
    expect(page.locator("#check")).to_be_hidden()
    assert page.locator('#sort option[value^="check."]').count() == 0
