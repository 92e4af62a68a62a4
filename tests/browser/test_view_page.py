"""The page that `krea-pipe view` serves: it follows the run and the picks file, and writes decisions down."""

import re

import pytest
from krea_server import until
from playwright.sync_api import expect
from served_view import viewed

from krea_pipe.pipeline.editing.picks import read_picks

PICKS = """\
# what we liked
- {pick: p/a, stars: 3}  # the droplets
# too dark
- {reject: p/c}
"""


def frame(page, word):
    return page.locator(f'.cell > .frame[title^="p/{word}"]')


def marks(page, word):
    return frame(page, word).locator("+ .caption .marks")


def verdict(page, word):
    """The mark on a picture: stars, or what its words say."""
    return frame(page, word).locator(".verdict")


def hold_back(krea, *prompts):
    """Prompts whose jobs do not end before they are taken away from this set."""
    stuck = set(prompts)

    def change(job):
        held = krea.world.job(job["job_id"]).brief.order.prompt in stuck
        return {**job, "status": "processing", "result": None, "completed_at": None} if held else job

    krea.mutate_job(change)
    return stuck


@pytest.fixture
def view(project, krea):
    """A run of three cells that has ended, one of them picked and one rejected."""
    project.pipeline(["a", "b", "c"])
    project.write("picks/p.yaml", PICKS)
    assert project.spawn("run", "p.yaml").code == 0
    with viewed(project) as view:
        yield view


def test_a_star_is_saved_in_place_and_an_edit_of_the_file_appears(open_page, project, view):
    page = open_page(view.url)
    file = project.path / "picks/p.yaml"
    expect(verdict(page, "a").locator(".stars")).to_have_text("★★★")
    frame(page, "a").focus()
    page.keyboard.press("5")
    expect(page.locator(".decisions .standing")).to_have_text("saved in picks/p.yaml")
    starred = file.read_text()
    assert re.sub(", key: [^}]+", "", starred) == PICKS.replace("stars: 3", "stars: 5")
    lines = starred.replace("stars: 5", "stars: 2, note: cooler").splitlines(keepends=True)
    file.write_text("".join(lines[:-1]) + "- {reject: p/b}\n")
    expect(verdict(page, "a").locator(".stars")).to_have_text("★★")
    expect(marks(page, "a")).to_have_text("note")
    expect(verdict(page, "b")).to_have_attribute("aria-label", "rejected")
    expect(verdict(page, "c")).to_have_count(0)
    page.keyboard.press("n")
    page.keyboard.type("warmer")
    page.keyboard.press("Enter")
    until(lambda: read_picks(file).picks[0].note == "warmer", "the note")
    assert "# the droplets" in file.read_text()


def test_two_people_decide_one_after_the_other_and_each_sees_the_other(open_page, project, view):
    file = project.path / "picks/p.yaml"
    file.write_text("- {pick: p/a, stars: 5, by: Ada}\n- {pick: p/b, stars: 4, by: Ada}\n")
    with viewed(project, "--as", "Ben") as as_ben:
        page = open_page(as_ben.url)
        expect(verdict(page, "a")).to_have_count(0)
        expect(marks(page, "a")).to_contain_text("Ada 5★")
        expect(page.locator(".decisions .reviewer")).to_have_text("deciding as Ben")
        frame(page, "a").focus()
        page.keyboard.press("x")
        expect(page.locator(".decisions .standing")).to_have_text("saved in picks/p.yaml")
        page.get_by_role("button", name="1 disputed").click()
        expect(page.locator(".cell")).to_have_count(1)
        assert {(one.id, one.by, one.stars) for one in read_picks(file).picks} == {("p/a", "Ada", 5), ("p/b", "Ada", 4)}
        assert [(one.id, one.by) for one in read_picks(file).rejected] == [("p/a", "Ben")]


def test_a_save_that_is_refused_says_why_and_keeps_the_change_for_the_next_try(open_page, project, view):
    # The browser says itself that a request was refused.
    open_page.forgive("422 (Unprocessable")
    page = open_page(view.url)
    file = project.path / "picks/p.yaml"
    file.write_text("stage: [")
    problem = page.locator(".decisions .problem")
    expect(problem).to_contain_text("picks/p.yaml")
    frame(page, "b").focus()
    page.keyboard.press("4")
    expect(problem).to_contain_text("1 change not saved: ")
    expect(problem).to_contain_text("p.yaml")
    expect(verdict(page, "b").locator(".stars")).to_have_text("★★★★")
    expect(verdict(page, "a").locator(".stars")).to_have_text("★★★")
    assert file.read_text() == "stage: ["
    file.write_text(PICKS)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator(".decisions .standing")).to_have_text("saved in picks/p.yaml")
    expect(problem).to_have_count(0)
    assert [(one.id, one.stars) for one in read_picks(file).picks] == [("p/a", 3), ("p/b", 4)]


def test_cells_fill_in_while_the_run_goes_on_and_the_line_says_how_it_stands(open_page, project, krea):
    # The browser says itself that nobody answers, once the server has ended.
    open_page.forgive("net::ERR_")
    stuck = hold_back(krea, "b", "c")
    project.pipeline(["a", "b", "c"])
    run = project.start("run", "p.yaml", "--json")
    until(lambda: len(krea.posts) == 3, "three requests")
    with viewed(project) as view:
        page = open_page(view.url)
        live = page.locator("#live")
        expect(frame(page, "a").locator(".picture")).to_have_js_property("width", 256)
        expect(frame(page, "b")).to_contain_text("not done yet")
        expect(live).to_have_text("1 of 3 done · $0.03 of $5.00 · running")
        stuck.remove("b")
        expect(frame(page, "b").locator(".picture")).to_have_js_property("width", 256)
        expect(frame(page, "c")).to_contain_text("not done yet")
        expect(live).to_have_text("2 of 3 done · $0.06 of $5.00 · running")
        krea.rules.clear()
        expect(frame(page, "c").locator(".picture")).to_have_js_property("width", 256)
        expect(live).to_have_text("3 of 3 done · $0.09 of $5.00 · ended")
        assert project.finish(run).code == 0
    expect(live).to_contain_text("The server has stopped")
    frame(page, "a").focus()
    page.keyboard.press("4")
    expect(page.locator(".decisions .problem")).to_contain_text("1 change not saved: The server has stopped")
    expect(verdict(page, "a").locator(".stars")).to_have_text("★★★★")


def test_the_line_tells_the_pace_and_the_time_left_and_when_a_run_has_died(open_page, project, krea):
    hold_back(krea, "d", "e")
    project.pipeline(list("abcde"))
    run = project.start("run", "p.yaml", "--json")
    until(lambda: len(krea.posts) == 5, "five requests")
    with viewed(project) as view:
        page = open_page(view.url)
        live = page.locator("#live")
        pace = r"[\d.,]+ a minute, about \d+ min left"
        expect(live).to_have_text(re.compile(rf"^3 of 5 done · {pace} · \$0\.09 of \$5\.00 · running$"))
        run.kill()
        expect(live).to_contain_text("This run ended without a report.")
        expect(live).to_contain_text("krea-pipe run p.yaml")
        page.goto("about:blank")


def test_the_line_names_the_command_when_a_run_ends_before_all_cells_are_done(open_page, project, krea):
    hold_back(krea, "a", "b", "c")
    project.pipeline(["a", "b", "c"])
    run = project.start("run", "p.yaml", "--json", "--max-new", "1")
    until(lambda: len(krea.posts) == 1, "one request")
    with viewed(project) as view:
        page = open_page(view.url)
        live = page.locator("#live")
        expect(live).to_contain_text("running")
        krea.rules.clear()
        expect(live).to_contain_text("1 of 3 done · $0.03 of $5.00 · ended before all cells were done.")
        expect(live).to_contain_text("krea-pipe run p.yaml")
        assert project.finish(run).code == 5
        page.goto("about:blank")


def test_the_page_of_the_latest_run_becomes_that_of_a_rerun(open_page, project, view):
    page = open_page(f"{view.url}#only.w=%22a%22")
    expect(page.locator(".cell")).to_have_count(1)
    project.pipeline(["a", "b", "c", "d"])
    assert project.spawn("run", "p.yaml").code == 0
    expect(page.locator(".count")).to_have_text("1 of 4 images")
    assert page.url.endswith("#only.w=%22a%22")


def test_a_note_that_is_being_written_is_not_lost_to_a_rerun(open_page, project, view):
    page = open_page(view.url)
    frame(page, "b").focus()
    page.keyboard.press("n")
    page.keyboard.type("almost")
    assert project.spawn("run", "p.yaml").code == 0
    expect(page.locator("#live")).to_contain_text("A new run of this pipeline has started. Reload the page to see it.")
    expect(page.locator("#note-dialog textarea")).to_have_value("almost")
