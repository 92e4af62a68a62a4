"""Axes stand where the reader puts them: on rows, columns, around these, or in the cell."""

import re
from dataclasses import replace

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import TALL, cell_at, cells_of, follow, shelves_of
from sample_reports import make_report, make_stage

AXES = {"surface": ["slate", "linen"], "light": ["dawn", "dusk"], "creativity": ["raw", "low", "high"]}
USUAL = {"rows": ["surface"], "columns": ["light", "creativity"], "aside": []}
SIZES = {"1:1": (1024, 1024), "4:5": (1024, 1280), "16:9": (1344, 768)}

# SortableJS looks every 50 ms where the pointer is; a timer that is set later ends later.
TICK = "() => new Promise((done) => setTimeout(done, 60))"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("pivot"))


@pytest.fixture(scope="module")
def mixed(tmp_path_factory):
    """Portraits, landscapes and squares in one line."""
    report = make_report(make_stage("lamp", {"surface": ["slate", "linen"], "ratio": [*SIZES]}))
    rows = [replace(row, width=SIZES[row.axes["ratio"]][0], height=SIZES[row.axes["ratio"]][1]) for row in report.rows]
    return write_page(replace(report, rows=tuple(rows)), tmp_path_factory.mktemp("mixed"))


def drag(page, axis, shelf, *, before=None):
    """Take an axis by the mouse, and let go of it over a shelf, or just before another axis."""
    item = page.locator(f'.shelf-axes li[data-axis="{axis}"]').bounding_box()
    x, y = item["x"] + item["width"] / 2, item["y"] + item["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 8, y, steps=2)
    over = page.locator(f'.shelf-axes[data-shelf="{shelf}"]')
    held = over.locator(f'li.sortable-ghost[data-axis="{axis}"]' + (f' + li[data-axis="{before}"]' if before else ""))
    target = over.locator(f'li[data-axis="{before}"]') if before else over
    for _ in range(4):  # shelves make room for what is held over them
        box = target.bounding_box()
        page.mouse.move(box["x"] + (3 if before else box["width"] - 3), box["y"] + box["height"] / 2)
        page.evaluate(TICK)
        if held.count():
            break
    expect(held).to_be_visible()
    page.mouse.up()


def choose(page, axis, entry):
    page.locator(f'.shelf-axes li[data-axis="{axis}"] .axis').click()
    page.get_by_role("menuitem", name=entry, exact=True).click()


def expect_every_cell_in_its_place(page):
    """What stands over, beside and under a cell is what the cell is."""
    found = cells_of(page)
    assert len(found) == 12
    for cell in found:
        labels = {*cell["columns"], cell["row"], *cell["caption"].replace("\u00a0", " ").split(" · ")} - {""}
        headings = set(cell["heading"].replace("/", " ").split()[1::2])
        assert labels | headings == set(cell["name"].split(" · ")), cell


def test_cells_stand_where_their_labels_say_in_every_arrangement(open_page, address):
    page = open_page(address, viewport=TALL)
    assert shelves_of(page) == USUAL
    expect_every_cell_in_its_place(page)
    for rows, columns, aside in (
        (["light", "surface"], ["creativity"], []),
        (["creativity", "light", "surface"], [], []),
        ([], ["surface", "light", "creativity"], []),
        (["creativity"], ["light"], ["surface"]),
        ([], [], ["surface", "light", "creativity"]),
    ):
        pairs = ["size=120", *(f"rows.lamp={axis}" for axis in rows), *(f"columns.lamp={axis}" for axis in columns)]
        follow(page, "&".join(pairs if rows or columns else [*pairs, "rows.lamp="]))
        expect(page.locator('.shelf-axes[data-shelf="aside"] li')).to_have_text(aside)
        assert shelves_of(page) == {"rows": rows, "columns": columns, "aside": aside}
        expect_every_cell_in_its_place(page)


def test_axes_are_dragged_to_rows_and_columns_and_around_them(open_page, address):
    page = open_page(address, viewport=TALL)
    drag(page, "light", "rows", before="surface")
    assert shelves_of(page) == {"rows": ["light", "surface"], "columns": ["creativity"], "aside": []}
    assert page.locator(".heading-text").all_inner_texts() == ["light dawn", "light dusk"]
    drag(page, "surface", "columns", before="creativity")
    assert shelves_of(page) == {"rows": ["light"], "columns": ["surface", "creativity"], "aside": []}
    assert page.locator(".head.spans").all_inner_texts() == ["slate", "linen"]
    drag(page, "surface", "columns")
    assert shelves_of(page)["columns"] == ["creativity", "surface"]
    expect_every_cell_in_its_place(page)


def test_an_axis_is_dragged_into_the_cell_and_out_again(open_page, address):
    page = open_page(address, viewport=TALL)
    expect(page.locator('.shelf-axes[data-shelf="aside"]')).to_be_hidden()
    drag(page, "creativity", "aside")
    assert shelves_of(page) == {"rows": ["surface"], "columns": ["light"], "aside": ["creativity"]}
    assert {cell["caption"] for cell in cells_of(page)} == {"raw", "low", "high"}
    drag(page, "creativity", "rows")
    assert shelves_of(page) == {"rows": ["surface", "creativity"], "columns": ["light"], "aside": []}
    expect_every_cell_in_its_place(page)


def test_the_menu_of_an_axis_moves_it(open_page, address):
    page = open_page(address, viewport=TALL)
    choose(page, "light", "To the rows")
    assert shelves_of(page)["rows"] == ["surface", "light"]
    choose(page, "light", "Outwards")
    assert shelves_of(page)["rows"] == ["light", "surface"]
    choose(page, "light", "Inwards")
    assert shelves_of(page)["rows"] == ["surface", "light"]
    choose(page, "surface", "To the columns")
    assert shelves_of(page)["columns"] == ["creativity", "surface"]
    choose(page, "creativity", "Into the cell")
    assert shelves_of(page) == {"rows": ["light"], "columns": ["surface"], "aside": ["creativity"]}
    choose(page, "creativity", "Swap rows and columns")
    assert shelves_of(page) == {"rows": ["surface"], "columns": ["light"], "aside": ["creativity"]}
    expect_every_cell_in_its_place(page)


def test_an_axis_is_moved_by_keyboard_and_keeps_the_focus(open_page, address):
    page = open_page(address, viewport=TALL)
    axis = page.locator('li[data-axis="light"] .axis')
    axis.focus()
    page.keyboard.press("Enter")
    expect(axis).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("menuitem", name="Filter values")).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("menuitem", name="To the rows")).to_be_focused()
    page.keyboard.press("Enter")
    assert shelves_of(page)["rows"] == ["surface", "light"]
    expect(axis).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Escape")
    expect(page.locator("#axis-menu")).to_be_hidden()
    expect(axis).to_be_focused()


def test_rows_and_columns_are_swapped_and_swapped_back(open_page, address):
    page = open_page(address, viewport=TALL)
    before = {cell["name"]: (cell["top"], cell["left"]) for cell in cells_of(page)}
    swap = page.get_by_role("button", name="Swap rows and columns of lamp")
    swap.click()
    assert shelves_of(page) == {"rows": ["light", "creativity"], "columns": ["surface"], "aside": []}
    expect_every_cell_in_its_place(page)
    swap.click()
    assert {cell["name"]: (cell["top"], cell["left"]) for cell in cells_of(page)} == before


def test_each_stage_is_arranged_on_its_own(open_page, tmp_path):
    stages = [
        make_stage(name, {"surface": ["slate", "linen"], "light": ["dawn", "dusk"]}) for name in ("draft", "final")
    ]
    page = open_page(write_page(make_report(*stages), tmp_path))
    page.get_by_role("button", name="Swap rows and columns of final").click()
    lists = page.locator('.shelf-axes[data-shelf="rows"]')
    expect(lists).to_have_text(["surface", "light"])
    heads = [page.locator(f'.stage[data-stage="{name}"] .head').all_inner_texts() for name in ("draft", "final")]
    assert heads == [["dawn", "dusk"], ["slate", "linen"]]


@pytest.mark.parametrize(
    ("arrangement", "count"),
    [
        ("", 2),
        ("rows.lamp=ratio&columns.lamp=surface", 3),
        ("columns.lamp=ratio&columns.lamp=surface", 1),
        ("rows.lamp=", 2),
    ],
)
def test_pictures_of_one_line_line_up_whatever_their_ratios(open_page, mixed, arrangement, count):
    page = open_page(f"{mixed}#{arrangement}", viewport=TALL)
    lines = {}
    for cell in cells_of(page):
        lines.setdefault(round(cell["top"]), []).append(cell["slot"])
    assert len(lines) == count
    for slots in lines.values():
        assert len({slot["top"] for slot in slots}) == len({slot["height"] for slot in slots}) == 1


def test_the_slider_makes_cells_larger_and_smaller(open_page, address):
    page = open_page(address, viewport={"width": 1800, "height": 900})
    follow(page, "rows.lamp=surface&columns.lamp=light")
    size = page.get_by_role("slider", name="Size")
    widths = []
    for key in ("End", "Home"):
        size.press(key)
        expect(size).to_have_value({"End": "480", "Home": "80"}[key])
        expect(page).to_have_url(re.compile(f"size={size.input_value()}"))
        widths.append(cell_at(page, 0).bounding_box()["width"])
    assert widths[0] > 4 * widths[1] > 200
    expect(size).to_be_focused()


GROUNDS = {"light": "rgb(247, 247, 247)", "dark": "rgb(22, 22, 22)"}


@pytest.mark.parametrize("system", ["light", "dark"])
def test_the_page_is_as_light_or_dark_as_the_system_until_it_is_told_otherwise(open_page, address, system):
    page = open_page(address, color_scheme=system)
    root = page.locator("html")
    expect(root).to_have_css("background-color", GROUNDS[system])
    for name in ("light", "dark"):
        page.get_by_role("button", name="Light or dark").click()
        expect(root).to_have_css("background-color", GROUNDS[name])
    page.reload()
    expect(root).to_have_css("background-color", GROUNDS["dark"])
