"""Thousands of cells: the page holds, and asks for, only what is near the window."""

from dataclasses import replace

import pytest
from large_report import large_report, write_folder
from playwright.sync_api import expect
from reading import cell_at, cells_of, follow

NEAR = 200
NESTED = "rows.lamp=subject&rows.lamp=light&rows.lamp=ratio&rows.lamp=creativity&columns.lamp=seed"
# All that the page wants to draw is drawn, and its pictures are there.
SETTLED = """async () => {
  for (let frame = 0; frame < 3; frame += 1) await new Promise(requestAnimationFrame);
  while (document.querySelector(".cell .picture:not([data-painted])")) await new Promise(requestAnimationFrame);
}"""

# In each frame until the pictures of the window are painted: what there is out of sight.
OPENING = """
window.early = [];
window.opening = (async () => {
  const isSeen = (element) => element.getBoundingClientRect().top < innerHeight;
  for (;;) {
    await new Promise(requestAnimationFrame);
    const cells = [...document.querySelectorAll(".cell")];
    const pictures = cells.filter(isSeen).map((cell) => cell.querySelector(".picture"));
    if (pictures.length && pictures.every((picture) => picture.dataset.painted)) return pictures.length;
    early.push(...cells.filter((cell) => !isSeen(cell)), ...document.querySelectorAll(".references > *"));
  }
})();
"""
BELOW = "() => [...document.querySelectorAll('.cell')].some((cell) => cell.getBoundingClientRect().top >= innerHeight)"


@pytest.fixture(scope="module")
def report():
    return replace(large_report(), base=".")


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    """The page, its thumbnails, and one original: that of the first cell."""
    folder = tmp_path_factory.mktemp("large")
    write_folder(report, folder)
    original = folder / report.rows[0].image
    original.parent.mkdir(parents=True)
    original.write_bytes((folder / "thumbnails" / f"{report.rows[0].sha256}.webp").read_bytes())
    return folder


@pytest.fixture
def opened(open_page, folder):
    """The page, and what it has asked for."""
    page, asked = open_page("about:blank"), []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "report.html").as_uri())
    return page, asked


def pictures_in(asked):
    return {url.rpartition("/")[2].removesuffix(".webp") for url in asked if "/thumbnails/" in url}


def test_only_cells_near_the_window_have_elements_however_they_are_arranged(opened):
    page, _ = opened
    expect(page.locator(".count")).to_have_text("5000 images, 100 failed")
    assert 20 <= page.locator(".cell").count() < NEAR
    for place in (
        "rows.lamp=creativity&columns.lamp=subject&columns.lamp=light&columns.lamp=ratio",
        "rows.lamp=&size=130",
    ):
        follow(page, place)
        expect(page.locator(".cell").first).to_be_visible()
        assert page.locator(".cell").count() < 2 * NEAR


def test_a_grid_says_how_large_it_is_to_those_who_can_not_see_it(opened):
    page, _ = opened
    follow(page, NESTED)
    grid = page.get_by_role("grid", name="lamp")
    expect(grid).to_have_attribute("aria-rowcount", str(1 + 25 * 5 * 2 + 1000))
    expect(grid).to_have_attribute("aria-colcount", "6")
    cell_at(page, 0).focus()
    page.keyboard.press("Control+End")
    last = grid.get_by_role("row").filter(has=page.locator("#c4999"))
    expect(last).to_have_attribute("aria-rowindex", str(1 + 25 * 5 * 2 + 1000))


def test_pictures_are_asked_for_where_one_looks_and_originals_only_when_a_cell_is_opened(opened, report, folder):
    page, asked = opened
    expect(cell_at(page, 0).locator(".picture")).to_be_visible()
    page.evaluate(SETTLED)
    near = {row.sha256 for row in report.rows[:NEAR]}
    assert pictures_in(asked)
    assert pictures_in(asked) <= near
    original = (folder / report.rows[0].image).as_uri()
    assert {url for url in asked if "/thumbnails/" not in url} == {(folder / "report.html").as_uri()}
    with page.expect_request(original):
        cell_at(page, 0).click()
    expect(page.locator("#detail-image")).to_have_attribute("data-shows", "original")
    assert [url for url in asked if "/thumbnails/" not in url][1:] == [original]


def test_the_last_cell_is_one_key_away_and_what_lies_between_is_not_loaded(opened, report):
    page, asked = opened
    cell_at(page, 0).focus()
    page.keyboard.press("Control+End")
    expect(cell_at(page, 4999)).to_be_focused()
    expect(cell_at(page, 4999)).to_be_in_viewport(ratio=1)
    expect(cell_at(page, 4998).locator(".picture")).to_be_visible()
    page.evaluate(SETTLED)
    ends = {row.sha256 for row in (*report.rows[:NEAR], *report.rows[-NEAR:])}
    references = {one.sha256 for one in report.references}  # stand at the foot of the page
    assert pictures_in(asked) <= ends | references
    assert page.locator(".cell").count() < NEAR
    page.keyboard.press("Control+Home")
    expect(cell_at(page, 0)).to_be_focused()
    expect(cell_at(page, 0)).to_be_in_viewport(ratio=1)


def test_pictures_that_pass_by_are_not_asked_for_and_those_that_stay_are_shown(opened):
    page, asked = opened
    expect(cell_at(page, 0).locator(".picture")).to_be_visible()
    page.evaluate(SETTLED)
    page.evaluate("""async () => {
      for (let step = 0; step < 30; step += 1) {
        scrollBy(0, innerHeight * 0.8);
        await new Promise(requestAnimationFrame);
      }
    }""")
    page.evaluate(SETTLED)
    widths = page.locator(".cell .picture[data-painted]").evaluate_all("all => all.map(({ width }) => width)")
    assert len(widths) > 20
    assert all(widths)
    assert len(pictures_in(asked)) < 2 * NEAR


def test_what_the_window_shows_does_not_wait_for_what_is_out_of_sight(open_page, folder):
    page = open_page("about:blank")
    page.add_init_script(OPENING)
    page.goto((folder / "report.html").as_uri())
    assert page.evaluate("opening") >= 10
    assert page.evaluate("early.length") == 0
    page.wait_for_function(BELOW)
    expect(page.locator("#references li").first).to_be_attached()


def test_what_is_scrolled_to_is_drawn_with_its_own_heads(opened):
    page, _ = opened
    follow(page, NESTED)
    page.evaluate("() => scrollTo(0, document.body.scrollHeight / 2)")
    middle = page.locator('.cell[data-index="2500"]')
    expect(middle).to_be_attached()
    found = cells_of(page)
    for cell in found:
        _, _, _, creativity, seed = cell["name"].split(" · ")
        assert (cell["columns"], cell["row"]) == ([seed], creativity)
    under = [cell for cell in found if cell["heading"]]  # a block's heading can be far over the window
    assert under
    for cell in under:
        subject, light, ratio, *_ = cell["name"].split(" · ")
        assert cell["heading"].split("/") == [f"subject {subject}", f"light {light}", f"ratio {ratio}"]


@pytest.mark.parametrize(
    ("words", "count"), [("subject 25", 200), ("SUBJECT 25 neon", 40), ("candle 16:9 high", 125), ("lighthouse", 0)]
)
def test_search_narrows_to_the_right_number_of_cells(opened, words, count):
    page, _ = opened
    page.get_by_role("searchbox").fill(words)
    expect(page.locator("#shown")).to_have_text(f"{count} of 5000 shown")
    expect(page.locator("#nothing")).to_be_visible(visible=count == 0)


def test_the_list_of_problems_leads_to_a_cell_far_down(opened):
    page, _ = opened
    page.locator(".problems summary").click()
    page.locator(".problems a").last.click()
    expect(cell_at(page, 4999)).to_be_focused()
    expect(cell_at(page, 4999)).to_be_in_viewport(ratio=1)
