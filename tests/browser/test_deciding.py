"""Picks, rejections, stars and notes: how they are made, where they are seen, and how they leave the page."""

from pathlib import Path

import pytest
from pictured import write_page
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

from krea_pipe.pipeline.editing.picks import parse_picks
from krea_pipe.report.decisions import decisions_json, read_stage, stage_of

REPORT = make_report(make_stage("lamp", {"seed": [1, 2, 3, 4]}))
OLD_KEY = "0123456789012345"
PICKS = f"""\
# what we liked in spring
- {{pick: lamp/1, stars: 3, note: keep the glow}}
- {{pick: lamp/gone, stars: 5, note: "of an older run: #1", key: "{OLD_KEY}"}}
- {{reject: lamp/2}}
"""
NOTE = 'yes: "no" # {a}, [b] – ランプ \\ tab'


@pytest.fixture(scope="module")
def undecided(tmp_path_factory):
    return write_page(REPORT, tmp_path_factory.mktemp("undecided"))


@pytest.fixture(scope="module")
def decided(tmp_path_factory):
    """A page that was made when the picks file had two decisions about this run, and one about another."""
    folder = tmp_path_factory.mktemp("decided")
    file = folder / "picks/lamp.yaml"
    file.parent.mkdir()
    file.write_text(PICKS)
    return write_page(REPORT, folder, decisions_json({"lamp": read_stage(file, stage_of(REPORT, "lamp"), folder)}))


def frame(page, seed):
    return page.locator(f'.cell > .frame[title^="lamp/{seed}"]')


def marks(page):
    """What a cell shows of its decision, by seed: the mark on its picture, and whether its caption has a note."""
    found = {
        seed: (verdict(page, seed), frame(page, seed).locator("+ .caption .marks").inner_text())
        for seed in (1, 2, 3, 4)
    }
    return {seed: " ".join(filter(None, texts)) for seed, texts in found.items() if any(texts)}


def verdict(page, seed):
    """The stars of a picture, else the word of its mark."""
    mark = frame(page, seed).locator(".verdict")
    return (
        mark.get_attribute("aria-label")
        if mark.locator(".mark").count()
        else "".join(mark.locator(".stars").all_inner_texts())
    )


def press(page, seed, *keys):
    frame(page, seed).focus()
    for key in keys:
        page.keyboard.press(key)


def exported(page):
    """The downloaded file, as the tool reads it: the picked and the rejected as (id, stars, note).

    Each has the key of its request.
    """
    with page.expect_download() as download:
        page.locator('.decisions [data-act="export"]').click()
    assert download.value.suggested_filename == "lamp.yaml"
    picks = parse_picks(Path(download.value.path()).read_text(encoding="utf-8"), Path("lamp.yaml"))
    known = {row.id: row.key[:16] for row in REPORT.rows} | {"lamp/gone": OLD_KEY}
    assert [one.key for one in picks.decisions] == [known[one.id] for one in picks.decisions]
    assert len(picks.document.text.splitlines()) == len(picks.decisions)
    return tuple([(one.id, one.stars, one.note) for one in some] for some in (picks.picks, picks.rejected))


def test_keys_decide_about_the_cell_with_the_focus_and_its_caption_says_so(open_page, undecided):
    page = open_page(undecided)
    for count, key in enumerate("12345", 1):
        press(page, 1, key)
        assert marks(page) == {1: "★" * count}
    press(page, 2, "x")
    press(page, 3, "p")
    press(page, 4, "2", "n")
    page.keyboard.type("too warm")
    page.keyboard.press("Enter")
    assert marks(page) == {1: "★★★★★", 2: "rejected", 3: "picked", 4: "★★ note"}
    expect(frame(page, 4)).to_be_focused()
    expect(frame(page, 4).locator("+ .caption .noted")).to_have_attribute("title", "too warm")
    expect(page.locator(".decisions .counts")).to_have_text("3 picked, 1 rejected, 0 open")
    press(page, 1, "x")
    press(page, 2, "4")
    press(page, 4, "0")
    assert marks(page) == {1: "rejected", 2: "★★★★", 3: "picked"}


def test_the_last_decision_is_taken_back_wherever_the_focus_is(open_page, undecided):
    page = open_page(undecided)
    press(page, 1, "3")
    press(page, 2, "x")
    press(page, 4, "z")
    assert marks(page) == {1: "★★★"}
    expect(frame(page, 2)).to_be_focused()
    page.keyboard.press("z")
    assert marks(page) == {}


def test_one_decides_in_the_open_cell_by_key_by_button_and_by_note(open_page, undecided):
    page = open_page(f"{undecided}#cell=lamp%2F1")
    editor = page.locator("#detail .decision")
    page.keyboard.press("4")
    expect(editor.get_by_role("button", name="4 stars")).to_have_attribute("aria-pressed", "true")
    editor.get_by_role("button", name="2 stars").click()
    expect(editor.locator("button.lit")).to_have_count(2)
    page.keyboard.press("n")
    page.keyboard.type("x marks 5")
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#detail-text .id")).to_have_text("lamp/2")
    editor.get_by_role("button", name="Reject").click()
    expect(editor.get_by_role("button", name="Reject")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("ArrowLeft")
    expect(editor.locator("textarea")).to_have_value("x marks 5")
    expect(editor.locator("button.lit")).to_have_count(2)
    page.keyboard.press("Escape")
    assert marks(page) == {1: "★★ note", 2: "rejected"}


def test_a_note_alone_waits_for_a_decision(open_page, undecided):
    page = open_page(undecided)
    press(page, 1, "n")
    page.keyboard.type("ask Ines")
    page.keyboard.press("Enter")
    expect(page.locator(".decisions .waits")).to_have_text("1 note waits for a pick or a rejection")
    press(page, 1, "p")
    expect(page.locator(".decisions .waits")).to_have_count(0)
    assert exported(page) == ([("lamp/1", None, "ask Ines")], [])


def test_the_sheet_is_filtered_by_decision_and_a_new_one_leaves_it_at_once(open_page, undecided):
    page = open_page(undecided)
    press(page, 1, "5")
    press(page, 2, "x")
    press(page, 3, "2")
    cells = page.locator(".cell > .frame")
    for wanted, seeds in {"picked": [1, 3], "rejected": [2], "open": [4], "4": [1]}.items():
        page.locator("#decided").select_option(wanted)
        expect(cells).to_have_count(len(seeds))
        assert [frame(page, seed).count() for seed in seeds] == [1] * len(seeds)
    page.locator("#decided").select_option("open")
    press(page, 4, "p")
    expect(cells).to_have_count(0)
    expect(page.locator("#nothing")).to_be_visible()


def test_decisions_outlive_a_reload(open_page, undecided):
    page = open_page(undecided)
    other = page.context.new_page()
    other.goto(undecided)
    press(page, 1, "4", "n")
    page.keyboard.type(NOTE)
    page.keyboard.press("Enter")
    press(page, 3, "x")
    # What another tab has heard of is kept; the browser takes a moment for it.
    expect(other.locator(".decisions .standing")).to_have_text("2 changes not exported yet")
    page.reload()
    expect(page.locator(".decisions .standing")).to_have_text("2 changes not exported yet")
    assert marks(page) == {1: "★★★★ note", 3: "rejected"}
    expect(frame(page, 1).locator("+ .caption .noted")).to_have_attribute("title", NOTE)


def test_the_export_is_a_picks_file_with_exactly_these_decisions(open_page, undecided):
    page = open_page(undecided)
    press(page, 3, "4", "n")
    page.keyboard.type(NOTE)
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("no")
    page.keyboard.press("Enter")
    press(page, 1, "p")
    press(page, 2, "3", "x", "n")
    page.keyboard.type("null")
    page.keyboard.press("Enter")
    assert exported(page) == ([("lamp/1", None, ""), ("lamp/3", 4, f"{NOTE}\nno")], [("lamp/2", None, "null")])
    expect(page.locator(".decisions .standing")).to_have_text("Exported: save the file as picks/lamp.yaml")
    press(page, 1, "5")
    expect(page.locator(".decisions .standing")).to_have_text("1 change not exported yet")


def test_what_the_picks_file_says_is_shown_and_exported_with_the_changes(open_page, decided):
    page = open_page(decided)
    assert marks(page) == {1: "★★★ note", 2: "rejected"}
    expect(page.locator(".decisions .standing")).to_have_text("as in picks/lamp.yaml")
    expect(page.locator(".decisions .counts")).to_contain_text("1 in the file is not in this run")
    press(page, 2, "4")
    press(page, 3, "x")
    picks, rejected = exported(page)
    older = ("lamp/gone", 5, "of an older run: #1")
    assert sorted(picks) == [("lamp/1", 3, "keep the glow"), ("lamp/2", 4, ""), older]
    assert rejected == [("lamp/3", None, "")]


def test_discarding_asks_first_and_goes_back_to_the_picks_file(open_page, decided):
    page = open_page(decided)
    press(page, 1, "5")
    press(page, 4, "x")
    discard, asked = page.locator('.decisions [data-act="discard"]'), page.locator("dialog.asks[open]")
    discard.click()
    expect(asked).to_contain_text("Discard 2 decisions about lamp? The page returns to picks/lamp.yaml.")
    page.keyboard.press("Enter")
    assert marks(page) == {1: "★★★★★ note", 2: "rejected", 4: "rejected"}
    discard.click()
    asked.get_by_role("button", name="Discard").click()
    expect(asked).to_have_count(0)
    assert marks(page) == {1: "★★★ note", 2: "rejected"}
    page.keyboard.press("z")
    assert marks(page) == {1: "★★★★★ note", 2: "rejected", 4: "rejected"}
