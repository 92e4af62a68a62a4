"""What axe finds on each face of the page: nothing serious, light or dark, wide or narrow; and the size of controls."""

from dataclasses import replace

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from handmade import handmade_report
from pictured import signature_of, write_page
from playwright.sync_api import expect
from reading import cell_at
from sample_reports import make_report, make_stage

FINDINGS = """() => axe.run({ resultTypes: ["violations"] }).then(({ violations }) => violations.flatMap(
  ({ id, impact, nodes }) => nodes.map(({ html, target }) => ({ id, impact, target: target.join(" "), html }))))"""
FORMS = ((1280, "light"), (420, "dark"))
STEPS = "columns.lamp=creativity&rows.lamp=surface"


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """Each status and decision, warnings, problems, references, and cells that are drawn after others."""
    report = handmade_report()
    decisions = {
        "draft": {
            "picks": [{"id": report.rows[0].id, "stars": 4, "note": "warm"}],
            "rejected": [{"id": report.rows[1].id, "note": ""}],
        }
    }
    return write_page(report, tmp_path_factory.mktemp("everything"), decisions)


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """Pictures whose steps along an axis differ."""
    report = make_report(make_stage("lamp", {"surface": ["slate", "linen"], "creativity": ["raw", "low", "high"]}))
    rows = [replace(row, likeness=signature_of(20 + 40 * at)) for at, row in enumerate(report.rows)]
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("steps"))


def show_sheet(page):
    expect(cell_at(page, 0)).to_be_visible()


def show_menu(page):
    page.locator(".axis").first.click()
    expect(page.get_by_role("menu")).to_be_visible()


def show_filter(page):
    show_menu(page)
    page.get_by_role("menuitem", name="Filter values").click()
    expect(page.get_by_role("checkbox").first).to_be_visible()


def show_detail(page):
    cell_at(page, 0).click()
    page.locator("#template summary").click()
    expect(page.locator("#detail-image")).to_have_attribute("data-shows", "original")


def show_problem(page):
    page.get_by_role("link", name="draft/hyperlink/raw/none").click()
    page.keyboard.press("Enter")
    expect(page.locator("#detail-note")).to_be_visible()


def show_comparison(page):
    for index in (0, 1):
        cell_at(page, index).focus()
        page.keyboard.press("c")
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare")).to_be_visible()


def show_ladder(page):
    page.get_by_role("button", name="Ladder").click()
    expect(page.locator(".ladder-words")).to_be_visible()
    page.locator(".ladder details summary").click()


def show_note(page):
    cell_at(page, 0).focus()
    page.keyboard.press("n")
    expect(page.locator("#note-dialog textarea")).to_be_focused()


def show_keys(page):
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()


def show_survey(page):
    for index in (0, 1, 2, 3, 8):
        cell_at(page, index).focus()
        page.keyboard.press("c")
    page.keyboard.press("Shift+C")
    expect(page.locator("#compare-room .pane")).to_have_count(5)


def show_slider(page):
    show_survey(page)
    page.keyboard.press("s")
    expect(page.locator("#compare-slider")).to_be_visible()


def show_contest(page):
    show_survey(page)
    page.keyboard.press("w")
    expect(page.locator("#compare-contest")).to_be_visible()


def show_pairs(page):
    page.get_by_role("button", name="Beside its drafts").click()
    expect(page.locator("#pairs")).to_be_visible()


def show_selection(page):
    cell_at(page, 0).focus()
    page.keyboard.press("a")
    expect(page.locator("#selection-bar")).to_be_visible()


def show_review_menu(page):
    page.get_by_role("button", name="Review").click()
    expect(page.get_by_role("menu", name="Review")).to_be_visible()


def show_picture_alone(page):
    cell_at(page, 0).focus()
    page.keyboard.press("Shift+F")
    expect(page.locator(".bare-name")).to_be_visible()


def show_values(page):
    page.get_by_role("button", name="Which values win").first.click()
    expect(page.locator(".values-words")).to_be_visible()


def show_reviewer(page):
    page.get_by_role("button", name="Decide under a name").first.click()
    expect(page.get_by_role("textbox", name="Your name")).to_be_focused()


def show_revealed(page):
    cell_at(page, 0).focus()
    page.keyboard.press("b")
    page.keyboard.press("2")
    page.keyboard.press("b")
    expect(page.locator("#revealed")).to_be_visible()


FACES = (
    show_sheet,
    show_menu,
    show_filter,
    show_detail,
    show_problem,
    show_comparison,
    show_ladder,
    show_note,
    show_keys,
    show_survey,
    show_slider,
    show_contest,
    show_pairs,
    show_selection,
    show_review_menu,
    show_picture_alone,
    show_values,
    show_reviewer,
    show_revealed,
)

# Controls below 24 CSS pixels in one direction; a link in a text may be as high as the text.
SMALL = """() => [...document.querySelectorAll("button, select, input, summary, a[href]")].filter((node) => {
  const { width, height } = node.getBoundingClientRect();
  const isInText = node.matches("a") && getComputedStyle(node).display === "inline";
  const isShown = node.checkVisibility({ opacityProperty: true }) && width && !isInText && !node.closest("[inert]");
  const isHidden = node.matches("input[type=radio]") && getComputedStyle(node).opacity === "0";
  const target = (node.matches("input[type=checkbox]") ? node.closest("label") : node).getBoundingClientRect();
  const top = document.querySelector("dialog:modal");
  return isShown && !isHidden && (!top || top.contains(node)) && (target.width < 23.9 || target.height < 23.9);
}).map((node) => `${node.outerHTML.slice(0, 120)} ${JSON.stringify(node.getBoundingClientRect())}`)"""


def resize(page, width):
    """Show a page at another width, by emulation: while a picture has the whole screen, a window keeps its size."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    page.context.new_cdp_session(page).send("Emulation.setDeviceMetricsOverride", size)
    page.wait_for_function("width => innerWidth === width", arg=width)


@pytest.mark.parametrize("show", FACES, ids=lambda show: show.__name__.removeprefix("show_"))
def test_axe_finds_nothing_serious(open_page, everything, steps, show):
    page = open_page(steps if show is show_ladder else everything)
    show(page)
    page.evaluate(f"() => {{ {AXE_SCRIPT} }}")
    found = []
    for width, scheme in FORMS:
        resize(page, width)
        page.emulate_media(color_scheme=scheme)
        found += [{"width": width, "scheme": scheme, **one} for one in page.evaluate(FINDINGS)]
        found += [{"width": width, "impact": "serious", "small": one} for one in page.evaluate(SMALL)]
    assert [one for one in found if one["impact"] in ("serious", "critical")] == []


@pytest.mark.parametrize("width", [1440, 390])
def test_what_is_pressed_in_the_open_cell_is_24_pixels_or_more(open_page, everything, width):
    page = open_page(everything, viewport={"width": width, "height": 900})
    show_detail(page)
    pressed = page.locator("#detail :is(button, a.action, summary), #references :is(button, summary)")
    sizes = [one.bounding_box() for one in pressed.all() if one.is_visible()]
    assert len(sizes) > 10
    assert [box for box in sizes if min(box["width"], box["height"]) < 24] == []


def test_axe_does_see_what_is_wrong(open_page, everything):
    page = open_page(everything, color_scheme="light")
    page.evaluate(f"() => {{ {AXE_SCRIPT} }}")
    page.evaluate("() => { document.querySelector('.sentence').style.color = '#ccc'; }")
    page.locator("#search").evaluate("node => { node.removeAttribute('aria-label'); node.placeholder = ''; }")
    assert {"label", "color-contrast"} <= {one["id"] for one in page.evaluate(FINDINGS)}
