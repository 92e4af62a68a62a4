"""An address carries what one sees: it is written as one works, and a page that it opens shows the same."""

import json
from dataclasses import replace

import pytest
from handmade import handmade_report
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, cells_of, names_of, shelves_of
from sample_reports import make_report, make_stage

from krea_pipe.report import record

AXES = {"surface": ["slate", "linen"], "light": ["dawn", "dusk"], "creativity": ["raw", "low", "high"]}


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    report = make_report(make_stage("lamp", AXES, lambda at: "failed" if at == 4 else "succeeded"))
    return write_page(report, tmp_path_factory.mktemp("links"))


def fragment(page):
    return page.url.partition("#")[2]


def test_what_was_arranged_and_filtered_is_there_again_in_another_window(open_page, address):
    page = open_page(address, viewport=TALL)
    page.get_by_role("button", name="Swap rows and columns of lamp").click()
    page.locator('li[data-axis="light"] .axis').click()
    page.get_by_role("menuitem", name="Filter values").click()
    page.get_by_role("checkbox", name="dusk").uncheck()
    page.get_by_role("button", name="Done").click()
    page.get_by_role("button", name="Rendered 11").click()
    page.get_by_role("slider", name="Size").press("ArrowLeft")
    page.get_by_role("searchbox").fill("lamp slate & 100%")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator("#nothing")).to_be_visible()
    page.get_by_role("searchbox").fill("slate")
    page.get_by_role("searchbox").press("Enter")
    expect(page.locator(".cell")).to_have_count(3)
    other = open_page(page.url, viewport=TALL)
    expect(other.get_by_role("searchbox")).to_have_value("slate")
    expect(other.get_by_role("slider", name="Size")).to_have_value("250")
    expect(other.get_by_role("button", name="Rendered 11")).to_have_attribute("aria-pressed", "true")
    assert (
        shelves_of(other) == shelves_of(page) == {"rows": ["light", "creativity"], "columns": ["surface"], "aside": []}
    )
    assert cells_of(other) == cells_of(page)


def test_the_open_cell_the_marks_and_the_order_are_in_the_address(open_page, address):
    page = open_page(address, viewport=TALL)
    page.get_by_label("Sort", exact=True).select_option(label="creativity")
    page.locator("#turn").click()
    for index in (2, 5):
        cell_at(page, index).focus()
        page.keyboard.press("c")
    cell_at(page, 0).click()
    other = open_page(page.url, viewport=TALL)
    expect(other.locator("#detail-title")).to_have_text("slate · dawn · raw")
    other.keyboard.press("Escape")
    assert names_of(other) == names_of(page)
    expect(other.locator("#compare-marked button")).to_have_count(2)
    expect(other.locator("#c2 .letter")).to_have_text("A")


def test_a_page_as_it_is_opened_needs_no_address_and_comes_back_to_that(open_page, address):
    page = open_page(address, viewport=TALL)
    assert fragment(page) == ""
    swap = page.get_by_role("button", name="Swap rows and columns of lamp")
    swap.click()
    assert fragment(page) != ""
    swap.click()
    cell_at(page, 0).click()
    page.keyboard.press("Escape")
    expect(page.locator("#detail")).to_be_hidden()
    expect(page).to_have_url(address)


@pytest.mark.parametrize(
    "nonsense",
    [
        "cell=nothing&compare=nothing&compare=neither&comparing=yes",
        "rows.lamp=smell&columns.lamp=smell&rows.nowhere=surface&columns=&rows.",
        "statuses=happy&size=huge&sort=axis.smell&sort=axis.__proto__&ladder=smell&decided=maybe",
        "size=-1&only.=1&only&same=perhaps&sort=constructor&compareAs=toString&__proto__=1&only.__proto__=x",
        "%E0%A4%A&&&==;%00\u2028<script>caught=1</script>",
        "rows.lamp=surface&columns.lamp=surface&rows.lamp=surface&only.smell=%22x%22",
    ],
)
def test_an_address_of_nonsense_shows_the_page_as_it_is(open_page, address, nonsense):
    page = open_page(f"{address}#{nonsense}", viewport=TALL)
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(page.locator("#stages .cell")).to_have_count(12)
    expect(page.locator("#clear")).to_be_hidden()
    expect(page.get_by_label("Decision")).to_have_js_property("selectedIndex", 0)
    expect(page.get_by_label("Sort", exact=True)).to_have_js_property("selectedIndex", 0)
    cell_at(page, 0).focus()
    page.keyboard.press("p")
    expect(page.locator("#c0 .verdict")).to_have_attribute("aria-label", "picked")


def test_a_link_to_another_view_is_followed_without_a_new_page(open_page, address):
    page = open_page(address, viewport=TALL)
    page.evaluate("() => { window.same = true; location.hash = 'cell=lamp%2Flinen%2Fdawn%2Fraw&statuses=succeeded'; }")
    expect(page.locator("#detail-title")).to_have_text("linen · dawn · raw")
    page.keyboard.press("Escape")
    expect(page.locator(".cell")).to_have_count(11)
    assert page.evaluate("() => window.same")


def test_the_list_of_problems_leads_to_its_cell_even_when_that_is_filtered_away(open_page, address):
    page = open_page(f"{address}#search=linen")
    link = page.get_by_role("link", name="lamp/slate/dusk/low")
    expect(cell_at(page, 4)).to_have_count(0)
    link.click()
    expect(cell_at(page, 4)).to_be_focused()
    expect(cell_at(page, 4)).to_be_in_viewport(ratio=1)
    expect(cell_at(page, 4)).to_contain_text("Krea refused the prompt")


def test_cells_that_lack_an_axis_can_be_the_only_ones_in_a_link(open_page, tmp_path):
    report = make_report(make_stage("lamp", {"surface": ["slate", "linen"], "light": ["dawn", "dusk"]}))
    rows = [
        replace(row, axes={"surface": row.axes["surface"]}) if row.axes["light"] == "dusk" else row
        for row in report.rows
    ]
    page = open_page(write_page(replace(report, rows=tuple(rows)), tmp_path), viewport=TALL)
    page.locator('li[data-axis="light"] .axis').click()
    page.get_by_role("menuitem", name="Filter values").click()
    page.get_by_role("checkbox", name="dawn").uncheck()
    page.get_by_role("button", name="Done").click()
    assert names_of(open_page(page.url, viewport=TALL)) == names_of(page) == ["slate · –", "linen · –"]


NEWER = ("adopted", "width", "height", "likeness", "template", "values", "source")


def test_a_record_of_an_earlier_version_is_a_page_too(open_page, tmp_path):
    data = json.loads("".join(record.to_lines(handmade_report())))
    data.pop("templates"), data.pop("references")
    data["cells"] = [{name: value for name, value in cell.items() if name not in NEWER} for cell in data["cells"]]
    page = open_page(f"{write_page(record.from_json(data), tmp_path)}#size=120", viewport=TALL)
    expect(page.locator(".cell")).to_have_count(11)
    cell_at(page, 0).click()
    expect(page.locator("#detail .prompt")).to_have_text("a glass lamp on marble")
    page.keyboard.press("Escape")
    page.keyboard.press("5")
    expect(page.locator("#c0 .verdict")).to_be_visible()
