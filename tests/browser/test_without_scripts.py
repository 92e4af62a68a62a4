"""The page where scripts do not run: every picture, caption and status is plain HTML."""

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from handmade import handmade_report
from krea_server import until
from pictured import write_page
from sample_reports import make_report, make_stage
from static_site import JENKINS, NO_SCRIPTS, REFUSALS, served

from krea_pipe.report import html
from krea_pipe.report.words import STATUS_WORDS, explanation

WINDOWS = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
LOADED = """() => [...document.images].every((image) => {
  image.loading = "eager";
  return image.complete;
})"""
READ = """() => [...document.querySelectorAll("figure[data-status]")].map((figure) => ({
  id: figure.id, text: figure.textContent, seen: figure.checkVisibility(),
  width: figure.querySelector("img")?.naturalWidth ?? 0,
}))"""
GRID = "() => getComputedStyle(document.querySelector('.plain > div')).display"
EDGES = """() => {
  const box = (name) => document.querySelector(name).getBoundingClientRect();
  return [box(".plain > div").left, document.documentElement.clientWidth - box(".plain > div").right, box("h1").left];
}"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture(scope="module")
def report():
    return handmade_report()


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("static")
    decisions = {"draft": {"picks": [{"id": report.rows[0].id, "stars": 4, "note": "warm"}], "rejected": []}}
    write_page(report, folder, decisions)
    return folder


@pytest.fixture(params=["no scripts", "Jenkins", "scripts refused"])
def page(request, open_page, folder):
    """The page in a browser that runs no script of it."""
    if request.param == "no scripts":
        yield open_page((folder / "report.html").as_uri(), java_script_enabled=False)
        return
    for text in REFUSALS:
        open_page.forgive(text)
    with served(folder, JENKINS if request.param == "Jenkins" else NO_SCRIPTS) as address:
        page = open_page(f"{address}report.html")
        yield page
        page.goto("about:blank")  # nothing is being loaded when the server ends


def read(page):
    """Each picture with its caption, once all are loaded: promises of a page without scripts are never kept."""
    until(lambda: page.evaluate(LOADED), "the pictures")
    return page.evaluate(READ)


def expected(report):
    """What is to be seen of each cell: its status, and why it has no image."""
    return {f"cell={row.id}": (STATUS_WORDS[row.status].capitalize(), explanation(row), row) for row in report.rows}


@pytest.mark.parametrize("window", WINDOWS, ids=lambda window: f"{window['width']} px")
def test_every_picture_caption_and_status_is_visible(page, report, window):
    page.set_viewport_size(window)
    found = {cell.pop("id"): cell for cell in read(page)}
    assert list(found) == list(expected(report))
    for name, (word, why, row) in expected(report).items():
        cell = found[name]
        assert cell["seen"]
        assert word in cell["text"]
        assert row.status == "succeeded" or " ".join(why.split())[:20] in " ".join(cell["text"].split())
        assert (cell["width"] > 0) == bool(row.sha256)
    assert "★★★★: warm" in found[f"cell={report.rows[0].id}"]["text"]
    assert page.evaluate(GRID) == "grid", "the style sheet beside the page applies"
    assert page.evaluate(OVERFLOW) <= 0
    left, right, title = page.evaluate(EDGES)
    assert left == right == title > 0, "the pictures stand between the same margins as the title"


def test_the_list_of_problems_leads_to_the_cell(page, report):
    row = next(row for row in report.rows if row.status == "failed")
    page.get_by_role("link", name=row.id).click()
    assert page.evaluate("() => document.querySelector(':target').id") == f"cell={row.id}"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_plain_html(open_page, folder, scheme):
    for text in REFUSALS:
        open_page.forgive(text)
    with served(folder, NO_SCRIPTS) as address:
        page = open_page(f"{address}report.html", color_scheme=scheme)
        find_violations(page)
        page.goto("about:blank")


def find_violations(page):
    page.evaluate(f"() => {{ {AXE_SCRIPT} }}")
    found = page.evaluate(
        "() => axe.run({ preload: false, resultTypes: ['violations'] }).then((all) => all.violations)"
    )
    assert [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in ("serious", "critical")] == []


def test_a_single_file_shows_its_pictures_too(open_page, report, folder, tmp_path):
    pictures = {path.stem: path.read_bytes() for path in (folder / "thumbnails").iterdir()}
    file = tmp_path / "sent.html"
    file.write_bytes(b"".join(html.render_html(report, html.HtmlOptions("single", thumbnails=pictures))))
    shown = read(open_page(file.as_uri(), java_script_enabled=False))
    assert [cell["width"] for cell in shown] == [60 if row.sha256 else 0 for row in report.rows]


def test_hundreds_of_pictures_are_plain_html(open_page, tmp_path):
    report = make_report(make_stage("lamp", {"subject": list("abcdefghij"), "seed": list(range(30))}))
    page = open_page(write_page(report, tmp_path), java_script_enabled=False)
    assert page.locator("figure[data-status] img").count() == sum(bool(row.sha256) for row in report.rows)
    last = page.locator("figure img").last
    last.evaluate("image => image.scrollIntoView()")
    until(lambda: last.evaluate("image => image.complete && image.naturalWidth > 0"), "the last picture")


def test_a_page_with_scripts_has_nothing_of_the_plain_sheet(open_page, folder):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.goto((folder / "report.html").as_uri())
    assert page.locator(".cell").count() > 0
    assert page.locator("figure, main noscript").count() == 0
    assert "report.css" not in asked
