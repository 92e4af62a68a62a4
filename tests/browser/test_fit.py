"""The first view: most of a long page is pictures, and one always sees where one is."""

from dataclasses import replace

import pytest
from pictured import write_page
from playwright.sync_api import expect
from reading import cell_at, cells_of, follow, shelves_of
from sample_reports import make_report, make_stage

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
SWEEPS = {
    "five axes": {
        "subject": [f"subject {number}" for number in range(1, 6)],
        "light": ["dawn", "noon", "dusk"],
        "look": ["plain", "brand", "brand and grain"],
        "creativity": ["raw", "low", "high"],
        "seed": [1, 2, 3],
    },
    "four axes": {
        "subject": [f"subject {number}" for number in range(1, 10)],
        "light": ["dawn", "noon", "dusk", "neon", "candle"],
        "look": ["plain", "brand", "brand and grain"],
        "seed": [1, 2, 3],
    },
    "most values last": {
        "product": ["serum", "cream", "balm"],
        "surface": ["slate", "oak", "linen"],
        "light": ["dawn", "noon", "dusk"],
        "creativity": ["raw", "low", "medium"],
        "seed": [1, 2, 3, 4, 5],
    },
    "one long axis": {"subject": [f"subject {number}" for number in range(1, 82)], "seed": [1, 2, 3, 4, 5]},
}
SHAPES = {"portrait": (1024, 1280), "square": (1024, 1024), "landscape": (1344, 768)}
SCREENS = "() => document.documentElement.scrollHeight / innerHeight"
SIDEWAYS = """() => Math.max(
  document.documentElement.scrollWidth - innerWidth,
  ...[...document.querySelectorAll(".lines")].map((lines) => lines.scrollWidth - lines.clientWidth))"""


def sweep_of(axes, shape=SHAPES["square"]):
    report = make_report(make_stage("lamp", axes, lambda at: "failed" if at % 50 == 49 else "succeeded"))
    rows = [replace(row, width=shape[0], height=shape[1]) for row in report.rows]
    return replace(report, rows=tuple(rows))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """The page of 405 cells on five axes."""
    return write_page(sweep_of(SWEEPS["five axes"]), tmp_path_factory.mktemp("swept"))


@pytest.mark.parametrize(
    ("axes", "shape"),
    [("five axes", "portrait"), ("five axes", "landscape"), *((axes, "square") for axes in SWEEPS)],
)
def test_405_cells_are_at_most_eight_screens(open_page, tmp_path, axes, shape):
    page = open_page(write_page(sweep_of(SWEEPS[axes], SHAPES[shape]), tmp_path), viewport=DESK)
    expect(cell_at(page, 0)).to_be_visible()
    assert page.evaluate(SCREENS) <= 8
    assert page.evaluate(SIDEWAYS) <= 0
    assert min(cell["width"] for cell in cells_of(page)) >= 60


@pytest.mark.parametrize("axes", SWEEPS)
def test_on_a_phone_nothing_is_beside_the_window_and_pictures_are_near(open_page, tmp_path, axes):
    page = open_page(write_page(sweep_of(SWEEPS[axes]), tmp_path), viewport=PHONE)
    expect(cell_at(page, 0)).to_be_visible()
    assert page.evaluate(SIDEWAYS) <= 0
    assert cell_at(page, 0).evaluate("cell => cell.getBoundingClientRect().top / innerHeight") < 1.4


@pytest.mark.parametrize(("seeds", "is_wide"), [(12, False), (40, True)])
def test_a_short_stage_with_many_columns_stays_in_the_window_where_its_pictures_can(
    open_page, tmp_path, seeds, is_wide
):
    axes = {"light": ["dawn", "noon", "dusk"], "seed": list(range(seeds))}
    page = open_page(write_page(sweep_of(axes), tmp_path), viewport=DESK)
    expect(cell_at(page, 0)).to_be_visible()
    assert (page.evaluate(SIDEWAYS) > 0) == is_wide
    assert (min(cell["width"] for cell in cells_of(page)) > 130) == is_wide


def test_a_short_stage_keeps_large_pictures(open_page, tmp_path):
    axes = {"light": ["dawn", "noon"], "seed": [1, 2, 3]}
    page = open_page(write_page(sweep_of(axes), tmp_path), viewport=DESK)
    assert {cell["width"] for cell in cells_of(page)} == {260}


def test_a_link_decides_over_what_fits(open_page, swept):
    page = open_page(f"{swept}#rows.lamp=subject&columns.lamp=look&size=200", viewport=DESK)
    assert shelves_of(page)["columns"] == ["look"]
    assert {cell["width"] for cell in cells_of(page)} == {200}


ROWS = "rows.lamp=subject&rows.lamp=light&rows.lamp=look&columns.lamp=creativity&columns.lamp=seed&size=200"
CELL = "lamp/subject 3/noon/brand/raw/1"
MIDDLE = 2 * 81 + 1 * 27 + 1 * 9  # subject 3, noon, brand: neither the first nor the last row of its block
TO_THE_TOP = """async (index) => {
  for (const _ of [1, 2, 3]) {
    const cell = document.querySelector(`#c${index}`);
    scrollBy({ top: cell.getBoundingClientRect().top - 260, behavior: "instant" });
    await new Promise(requestAnimationFrame);
    await new Promise(requestAnimationFrame);
  }
}"""


@pytest.fixture(params=[DESK, PHONE], ids=["desk", "phone"])
def inside(request, open_page, swept):
    """The page, scrolled to the middle of a block."""
    open_page.forgive("net::ERR_FILE_NOT_FOUND")  # of the original
    page = open_page(f"{swept}#{ROWS}", viewport=request.param)
    expect(page.locator(".here")).to_be_hidden()
    follow(page, f"{ROWS}&cell={CELL}")
    expect(page.locator("#detail")).to_be_visible()
    page.keyboard.press("Escape")
    expect(cell_at(page, MIDDLE)).to_be_focused()
    page.evaluate(TO_THE_TOP, MIDDLE)
    return page


def test_the_heading_of_a_block_stays_in_sight(inside):
    here = inside.locator(".here")
    expect(here).to_be_in_viewport(ratio=1)
    expect(here).to_contain_text("subject 3 / noon")


def test_a_phone_names_the_row_as_well(open_page, swept):
    page = open_page(f"{swept}#rows.lamp=look&columns.lamp=seed&size=300", viewport=PHONE)
    page.evaluate("() => scrollTo(0, document.documentElement.scrollHeight / 2)")
    expect(page.locator(".here")).to_have_text("brand")


def test_a_cell_that_gets_the_focus_is_not_under_the_heading(inside):
    inside.keyboard.press("ArrowUp")
    heading, cell = inside.locator(".here").bounding_box(), inside.locator(".frame:focus").bounding_box()
    assert heading is None or cell["y"] >= heading["y"] + heading["height"]
    assert "brand" not in inside.locator(".frame:focus").get_attribute("aria-label")


AUTHORED = """\
version: 1
name: p
report: {rows: [w], columns: [light], size: 180}
prompt: "{{ w }} at {{ light }}"
matrix: {w: [a, b], light: [dawn, noon], seed: [1, 2]}
"""


@pytest.fixture
def authored(project):
    """The page of a run whose pipeline says how it opens."""

    def authored(text):
        project.write("p.yaml", text)
        done = project.run("run", "p.yaml", "--local", "--json")
        assert done.code == 0, done.text
        return (project.path / done.json["report"]).with_name("report.html").as_uri()

    return authored


def test_the_author_of_a_pipeline_sets_the_first_view(open_page, authored):
    page = open_page(authored(AUTHORED))
    assert shelves_of(page) == {"rows": ["w"], "columns": ["light"], "aside": ["seed"]}
    assert {cell["width"] for cell in cells_of(page)} == {180}
    expect(page).to_have_url(page.url.partition("#")[0])


def test_one_list_of_axes_puts_the_others_on_the_other_side(open_page, authored):
    page = open_page(authored(AUTHORED.replace("columns: [light], ", "")))
    assert shelves_of(page) == {"rows": ["w"], "columns": ["light", "seed"], "aside": []}


def test_a_link_with_a_view_decides_over_the_author(open_page, authored):
    address = authored(AUTHORED.replace("size: 180", "size: 180, sort: -axis.light"))
    page = open_page(address)
    assert [cell["name"].split(" · ")[1] for cell in cells_of(page)] == ["noon"] * 4 + ["dawn"] * 4
    page.get_by_label("Sort", exact=True).select_option(label="Pivot")
    assert page.url.endswith("#sort=pivot")
    other = open_page(f"{address}#sort=pivot&size=120&rows.p=seed&columns.p=w&columns.p=light")
    assert shelves_of(other) == {"rows": ["seed"], "columns": ["w", "light"], "aside": []}
    assert {cell["width"] for cell in cells_of(other)} == {120}


def test_the_view_of_the_report_is_part_of_no_request(project):
    project.write("p.yaml", AUTHORED)
    assert project.run("run", "p.yaml", "--local").code == 0
    project.write("p.yaml", AUTHORED.replace("size: 180", "size: 90"))
    assert project.run("run", "p.yaml", "--local", "--json").json["cells"]["reused"] == 8
