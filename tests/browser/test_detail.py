"""A cell that is open: how it is opened and left, and what it says."""

import re
import shutil
from dataclasses import replace

import pytest
from handmade import handmade_report
from krea_server import picture
from pictured import write_page
from playwright.sync_api import expect
from sample_reports import JOB, make_report, make_stage

from krea_pipe.report import html
from krea_pipe.report.model import DeliveredFile

AXES = {"surface": ["slate", "linen"], "creativity": ["raw", "low", "high"]}


@pytest.fixture(scope="module")
def handmade(tmp_path_factory):
    return write_page(handmade_report(), tmp_path_factory.mktemp("handmade"))


@pytest.fixture(scope="module")
def lamps(tmp_path_factory):
    """Six cells on two axes, in two rows of three."""
    return write_page(make_report(make_stage("lamp", AXES)), tmp_path_factory.mktemp("lamps"))


def frame(page, cell):
    """The button of a cell in the sheet."""
    return page.locator(f'.cell > .frame[title^="{cell}"]')


def fact(page, name):
    """The value beside a name in the tables of the open cell."""
    return page.locator("#detail-text > table tr", has=page.locator("th", has_text=re.compile(f"^{name}$"))).locator(
        "td"
    )


def test_a_cell_opens_by_click_and_by_enter_and_escape_gives_the_focus_back(open_page, lamps):
    page = open_page(lamps)
    opened, title = page.locator("#detail"), page.locator("#detail-text .id")
    frame(page, "lamp/slate/low").click()
    expect(title).to_have_text("lamp/slate/low")
    page.keyboard.press("Escape")
    expect(opened).to_be_hidden()
    expect(frame(page, "lamp/slate/low")).to_be_focused()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(title).to_have_text("lamp/slate/high")
    expect(page).to_have_url(re.compile("cell=lamp%2Fslate%2Fhigh"))
    page.locator("#previous").click()
    page.locator("#close").click()
    expect(frame(page, "lamp/slate/low")).to_be_focused()
    assert "cell=" not in page.url


def test_a_link_opens_its_cell_and_escape_leaves_it_in_sight(open_page, lamps):
    page = open_page(f"{lamps}#cell=lamp%2Flinen%2Fhigh")
    expect(page.locator("#detail-text .id")).to_have_text("lamp/linen/high")
    page.keyboard.press("Escape")
    expect(frame(page, "lamp/linen/high")).to_be_focused()
    expect(frame(page, "lamp/linen/high")).to_be_in_viewport()


def test_next_and_previous_walk_the_cells_as_they_stand_on_the_page(open_page, lamps):
    page = open_page(f"{lamps}#cell=lamp%2Fslate%2Fraw&search=raw")
    title, position = page.locator("#detail-text .id"), page.locator("#position")
    expect(position).to_have_text("1 of 2")
    expect(page.locator("#previous")).to_be_disabled()
    page.locator("#next").click()
    expect(title).to_have_text("lamp/linen/raw")
    expect(page.locator("#next")).to_be_disabled()
    expect(position).to_have_text("2 of 2")
    page.keyboard.press("ArrowLeft")
    expect(title).to_have_text("lamp/slate/raw")
    page.keyboard.press("ArrowDown")
    expect(title).to_have_text("lamp/linen/raw")


def test_the_original_is_loaded_only_when_its_cell_is_opened(open_page, lamps):
    page = open_page(lamps)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.locator(".cell .picture[data-painted]")).to_have_count(6)
    assert [url for url in asked if "/out/" in url] == []
    frame(page, "lamp/slate/low").click()
    large = page.locator("#detail-image")
    expect(large).to_have_attribute("data-shows", "original")
    assert large.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [300, 200]
    assert {url.partition("/out/")[2] for url in asked if "/out/" in url} == {"lamp/slate/low.png"}


def test_without_its_original_a_cell_shows_its_thumbnail_and_says_so(open_page, tmp_path):
    # The browser says itself that a file is not there, which no page can keep from the console.
    open_page.forgive("ERR_FILE_NOT_FOUND")
    page = open_page(write_page(make_report(make_stage("lamp", {"seed": [1, 2]})), tmp_path))
    (lost,) = tmp_path.rglob("out/**/1.png")
    lost.unlink()
    frame(page, "lamp/1").click()
    expect(page.locator("#detail-lost")).to_contain_text("The original is missing; this is its thumbnail")
    large = page.locator("#detail-image")
    expect(large).to_have_attribute("data-shows", "thumbnail")
    assert large.evaluate("image => image.naturalWidth") == 60
    page.keyboard.press("ArrowRight")
    expect(large).to_have_attribute("data-shows", "original")
    expect(page.locator("#detail-lost")).to_be_hidden()


def test_a_picture_is_zoomed_by_key_button_and_wheel_and_the_next_one_is_whole_again(open_page, lamps):
    page = open_page(f"{lamps}#cell=lamp%2Fslate%2Fraw")
    large, level = page.locator("#detail-image"), page.locator("#zoom-fit")
    expect(large).to_have_attribute("data-shows", "original")
    expect(level).to_have_text("Fit")
    whole = large.bounding_box()
    page.keyboard.press("+")
    expect(level).to_have_text("140 %")
    assert large.bounding_box()["width"] == pytest.approx(whole["width"] * 1.4, rel=0.01)
    page.locator("#zoom-in").click()
    expect(level).to_have_text("196 %")
    page.keyboard.press(".")
    expect(level).to_have_text("Fit")
    large.hover()
    page.mouse.wheel(0, -100)
    expect(level).to_have_text("120 %")
    page.mouse.down()
    page.mouse.move(whole["x"] + whole["width"] / 2 + 40, whole["y"] + whole["height"] / 2)
    page.mouse.up()
    moved = large.bounding_box()
    assert moved["x"] + moved["width"] / 2 > whole["x"] + whole["width"] / 2 + 20
    page.locator("#next").click()
    expect(level).to_have_text("Fit")
    assert large.bounding_box() == whole


def test_the_prompt_stands_with_its_template_and_the_values_that_it_reads(open_page, handmade):
    page = open_page(f"{handmade}#cell=draft%2Fmarble%2Fraw%2Fs7")
    prompt = page.locator("#detail-text .prompt")
    expect(prompt).to_have_text("a glass lamp on marble")
    assert prompt.locator(".read").all_inner_texts() == ["a glass lamp", "marble"]
    page.locator("#template > summary").click()
    expect(page.locator("#template .template")).to_have_text("{{ subject.text }} on {{ surface }}")
    rows = page.locator("#template tr").all_inner_texts()
    assert [row.split("\t") for row in rows] == [["subject.text", "a glass lamp"], ["surface", "marble"]]


def test_time_cost_attempts_and_job_of_a_cell_are_said(open_page, handmade):
    page = open_page(f"{handmade}#cell=draft%2Fmarble%2Fraw%2Fs7")
    row = handmade_report().rows[0]
    expect(fact(page, "Cost")).to_have_text("$0.02")
    expect(fact(page, "Submitted")).to_have_text("2026-10-12 09:14:01 UTC")
    expect(fact(page, "Took")).to_have_text("12.8 s")
    expect(fact(page, "Pixels")).to_have_text("1536 × 1024")
    expect(fact(page, "Job")).to_have_text(row.job_id)
    expect(fact(page, "SHA-256").get_by_role("button")).to_have_attribute("title", f"Copy {row.sha256}")
    expect(fact(page, "2026-10-12 09:14:05 UTC")).to_have_text(f"submitted: {row.job_id}")
    expect(fact(page, "2026-10-12 09:14:17 UTC")).to_have_text(f"done: {row.sha256}")
    expect(fact(page, "surface")).to_have_text("a marble table")
    expect(fact(page, "aspect_ratio")).to_have_text("3:2")


def test_a_cell_without_a_picture_says_what_became_of_it(open_page, handmade):
    lost = handmade_report().rows[6]
    page = open_page(f"{handmade}#cell={lost.id.replace('/', '%2F')}")
    expect(page.locator("#detail-note")).to_contain_text("the connection broke after the request was sent")
    expect(page.locator("#detail-text .state")).to_contain_text("answer_lost, uncertain")
    expect(fact(page, "Possible cost")).to_have_text("$0.02")
    expect(fact(page, "May be")).to_have_text(" ".join(lost.error.candidates))
    expect(page.locator("#detail-image")).to_be_hidden()


def test_references_stand_with_picture_digest_strength_and_what_they_fed(open_page, handmade):
    page = open_page(f"{handmade}#cell=draft%2Fmarble%2Fraw%2Fs7")
    owned, linked = (
        page.locator(f'#detail-text .input[data-source="{one.source}"]') for one in handmade_report().references
    )
    expect(owned.locator(".input-name")).to_have_text(handmade_report().references[0].label)
    expect(owned.locator(".input-facts")).to_contain_text("strength 0.5")
    expect(owned.locator(".digest")).to_have_attribute("title", f"Copy {'ab' * 32}")
    expect(owned.locator("> img")).to_have_js_property("naturalWidth", 60)
    expect(linked).to_contain_text("strength 1")
    expect(linked.locator("> img")).to_have_count(0)
    owned.locator("summary").click()
    expect(owned.locator("summary")).to_have_text("used in 11 cells")
    expect(owned.locator(".cell-link")).to_have_count(11)
    owned.locator('.cell-link[data-cell="draft/marble/low/s7"]').click()
    expect(page.locator("#detail-text .id")).to_have_text("draft/marble/low/s7")


def test_one_goes_from_a_cell_to_its_source_and_to_what_is_drawn_from_it(open_page, handmade):
    page = open_page(f"{handmade}#cell=final%2Fmarble%2Fraw%2Fs7%2Ftrue")
    title = page.locator("#detail-text .id")
    source = page.locator("#detail-text .input", has_text="strength 0.8")
    source.locator(".input-name a").click()
    expect(title).to_have_text("draft/marble/raw/s7")
    downstream = page.locator("#detail-text h3", has_text="Used in").locator("+ ul a")
    assert [link.get_attribute("data-cell") for link in downstream.all()] == ["final/marble/raw/s7/true"]
    downstream.first.click()
    expect(title).to_have_text("final/marble/raw/s7/true")


def test_the_inputs_of_all_cells_stand_at_the_end_of_the_page(open_page, tmp_path):
    report = make_report(make_stage("lamp", {"seed": [1, 2]}))
    rows = [
        replace(row, request={**row.request, "moodboards": [{"id": "calm", "strength": 0.3}]}) for row in report.rows
    ]
    page = open_page(write_page(replace(report, rows=tuple(rows)), tmp_path))
    boards = page.locator("#references .input", has_text="calm")
    expect(boards).to_contain_text("strength 0.3")
    boards.locator("summary").click()
    boards.locator('.cell-link[data-cell="lamp/2"]').click()
    expect(page.locator("#detail-text .id")).to_have_text("lamp/2")
    expect(fact(page, "Job")).to_have_text(JOB)


def test_the_way_back_closes_what_was_opened(open_page, lamps):
    page = open_page(lamps)
    page.locator(".cell > .frame").first.click()
    expect(page.locator("#detail")).to_be_visible()
    page.go_back()
    expect(page.locator("#detail")).to_be_hidden()
    expect(page.locator(".cell").first).to_be_visible()


def test_delivered_files_are_listed_with_their_sizes_and_pictures(open_page, tmp_path):
    made = DeliveredFile("web", "webp", "out/web/a b.webp", 300, 200, 84_300, "ab" * 32, ("it is not signed",))
    lost = DeliveredFile("jpeg", "jpeg", "out/print/a.jpg", error="cannot write it")
    report = make_report(make_stage("lamp", {"seed": [1, 2]}))
    rows = (replace(report.rows[0], delivered=(made, lost)), report.rows[1])
    write_page(replace(report, rows=rows), tmp_path)
    shutil.copytree(tmp_path, tmp_path / "run")
    (tmp_path / "out/web").mkdir(parents=True)
    (tmp_path / made.path).write_bytes(picture("WEBP", "a", (300, 200)))
    page_file = tmp_path / "run/report.html"
    page_file.write_bytes(b"".join(html.render_html(replace(report, base="..", rows=rows))))
    page = open_page(f"{page_file.as_uri()}#cell=lamp%2F1")
    first, second = page.locator("#detail-text .delivered > li").all()
    expect(first.locator(".input-facts").first).to_have_text("webWEBP300 × 20084.3 kB")
    expect(first).to_contain_text("it is not signed")
    expect(first.locator("a")).to_have_attribute("href", "../out/web/a%20b.webp")
    assert first.locator("img").evaluate("one => one.decode().then(() => one.naturalWidth)") == 300
    expect(second).to_contain_text("Not delivered: cannot write it")
    expect(second.locator("a, img")).to_have_count(0)
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail-text .id")).to_have_text("lamp/2")
    expect(page.locator("#detail-text .delivered")).to_have_count(0)
