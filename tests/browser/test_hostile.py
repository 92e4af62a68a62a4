"""Whatever stands in a prompt, a name or a note is text on the page: nothing of it runs, and the page stays whole."""

from dataclasses import replace
from urllib.parse import quote

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, follow
from sample_reports import make_report, make_stage

from krea_pipe.report.model import Attempt, AxisView, Failure, PipelineView, ReferenceView, StageView

MARKUP = (
    "</script></script ></style></title></textarea><!--<script>--><script>window.caught='script'</script>"
    "<img src=x onerror=\"window.caught='image'\"><svg onload=window.caught='svg'>"
    "&lt;b&gt; {{ 7*7 }} ${window.caught='template'} ]]> \" ' ` \\ </td>"
)
SEPARATED = "one\u2028two\u2029three"
HALVES = "half \ud83d pair \udca1 end"
LONG = ("a glass lamp, " * 800)[:10_000]
UNBROKEN = "w" * 10_000
CONTROLS = "bell \x07, nothing \x00, red \x1b[31m, turned \u202eback"
TEXTS = {
    "markup": MARKUP,
    "separated": SEPARATED,
    "halves": HALVES,
    "long": LONG,
    "unbroken": UNBROKEN,
    "controls": CONTROLS,
}


def as_written(text):
    """What the file can hold of a text: halves of a pair are no characters."""
    return text.encode("utf-8", "replace").decode()


def hostile_report():
    """A cell for each text, which stands wherever a text can stand."""
    report = make_report(make_stage("lamp", {"subject": [*TEXTS], "light": ["dawn", "dusk"]}))
    rows = []
    for at, row in enumerate(report.rows):
        text = TEXTS[row.axes["subject"]]
        name = text if len(text) < 1000 else "name"
        request = {**row.request, "prompt": text, name: text}
        known = {
            "prompt": text,
            "request": request,
            "reason": text,
            "template": at,
            "values": {name: text, "a.b": text},
        }
        attempts = (Attempt("2026-10-12T09:14:05Z", text, text),)
        row = replace(
            row, **known, id=f"{as_written(text)}{at}", axes={"subject": text, "light": text}, attempts=attempts
        )
        if row.axes["light"] == text and at % 2:
            failure = Failure(text, text, "rejected", (text,))
            row = replace(row, status="failed", error=failure, image=None, sha256=None, width=None, height=None)
        elif text == MARKUP:
            row = replace(row, image="out/" + MARKUP.replace("/", ":")[:200])
        rows.append(row)
    axes = AxisView("subject", tuple((text, text) for text in TEXTS.values())), AxisView("light", ((1, MARKUP),))
    described = PipelineView(MARKUP, f"{MARKUP}\n{CONTROLS}\n{UNBROKEN}", MARKUP, "cd" * 32)
    references = tuple(replace(one, label=MARKUP) for one in report.references) or (
        ReferenceView(MARKUP, MARKUP, None),
    )
    return replace(
        report,
        rows=tuple(rows),
        stages=(StageView("lamp", axes),),
        pipeline=described,
        warnings=(*TEXTS.values(),),
        templates=tuple(f"{{{{ a.b }}}} and {row.prompt}" for row in rows),
        references=references,
    )


@pytest.fixture(scope="module")
def report():
    return hostile_report()


@pytest.fixture(scope="module")
def address(report, tmp_path_factory):
    state = {"file": MARKUP, "picks": [{"id": report.rows[0].id, "stars": 3, "note": MARKUP}], "problem": ""}
    return write_page(report, tmp_path_factory.mktemp("hostile"), {"lamp": state})


def expect_nothing_has_run(page):
    assert page.evaluate("() => window.caught ?? null") is None
    assert page.locator('img[src="x"], [onerror], [onload]').count() == 0


def test_the_page_shows_names_warnings_and_problems_as_text(open_page, address):
    page = open_page(address, viewport=TALL)
    expect(page.locator("h1")).to_have_text(MARKUP)
    expect(page.locator(".description")).to_contain_text(MARKUP)
    expect(page.locator('.notice[aria-label="Warnings"] p').first).to_contain_text(MARKUP)
    expect(page.locator(".problems li").first).to_contain_text(MARKUP)
    expect(page.locator(".row-label, .head, .what").filter(has_text=MARKUP).first).to_be_visible()
    expect(page.locator(".marks .noted")).to_have_attribute("title", MARKUP)
    expect_nothing_has_run(page)


@pytest.mark.parametrize("index", range(0, 12, 2), ids=TEXTS)
def test_an_opened_cell_shows_its_texts_and_runs_none(open_page, address, report, index):
    page = open_page(f"{address}#cell={quote(report.rows[index].id)}", viewport=TALL)
    text = page.locator("#detail .prompt").evaluate("element => element.textContent")
    assert text == as_written(report.rows[index].prompt)
    page.locator("#template summary").click()
    expect(page.locator("#template")).to_contain_text("{{ a.b }}")
    assert page.locator("#detail-text").evaluate("element => element.scrollWidth <= element.clientWidth")
    expect_nothing_has_run(page)


def test_hostile_cells_are_compared_filtered_and_noted(open_page, address, report):
    page = open_page(address, viewport=TALL)
    for index in (0, 6):
        cell_at(page, index).focus()
        page.keyboard.press("c")
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare")).to_contain_text(MARKUP)
    page.keyboard.press("Escape")
    page.keyboard.press("n")
    page.keyboard.insert_text(MARKUP)
    page.keyboard.press("Enter")
    expect(page.locator("#c6 .noted")).to_have_attribute("title", MARKUP)
    page.locator('li[data-axis="subject"] .axis').click()
    page.get_by_role("menuitem", name="Filter values").click()
    page.get_by_role("checkbox", name=MARKUP).uncheck()
    expect(page.locator("#shown")).to_have_text("10 of 12 shown")
    expect_nothing_has_run(page)
    other = open_page(page.url, viewport=TALL)
    expect(other.locator("#shown")).to_have_text("10 of 12 shown")
    expect_nothing_has_run(other)


def test_a_problem_with_a_hostile_name_is_still_linked(open_page, address):
    page = open_page(address, viewport=TALL)
    page.locator(".problems a").first.click()
    expect(cell_at(page, 1)).to_be_focused()
    assert "caught" not in page.evaluate("() => Object.keys(window).join()")


def test_what_is_searched_is_not_run_either(open_page, address):
    page = open_page(address, viewport=TALL)
    page.get_by_role("searchbox").fill("<img src=x onerror=")
    expect(page.locator("#shown")).to_have_text("2 of 12 shown")
    expect_nothing_has_run(page)


@pytest.mark.parametrize("width", [420, 1280])
def test_texts_without_end_do_not_make_the_page_wider_than_the_window(open_page, address, width):
    page = open_page(address, viewport={"width": width, "height": 900})
    for place in ("", "rows.lamp=light&columns.lamp=subject", "rows.lamp="):
        follow(page, place)
        expect(page.locator(".cell").first).to_be_attached()
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width
