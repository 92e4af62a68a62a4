"""Waiting for picks, and picking: a decision is a small diff, and what it will cost is known first."""

import re
from decimal import Decimal

import pytest

HEAD = "version: 1\nname: lamp\nbudget: {usd: 9}\nstages:\n"
EXPLORE = """\
  explore:                        # what we look at
    prompt: a lamp on {{ surface }}
    matrix: {surface: [slate, oak], seed: [1, 2]}
"""
LARGE = """\
  large:
    for_each: explore
    picks: {file: picks/explore.yaml, min: 2, max: 3}
    variant: large
    prompt: "{{ source.prompt }}, {{ aspect_ratio }}"
    matrix: {aspect_ratio: [16:9, 9:16]}
"""
PICKED = "- {pick: explore/slate/s1}\n- {pick: explore/oak/s2}\n"
OLD_FORM = "stage: explore\npicks: [explore/slate/s1, explore/oak/s2]\n"
KEY = re.compile(r", key: \"?[0-9a-f]{16}\"?")


@pytest.fixture
def lamp(project):
    return project.write("lamp.yaml", HEAD + EXPLORE + LARGE)


@pytest.fixture
def pick(project, lamp):
    """Pick, and give the lines of the picks file, without the keys that end them."""

    def run(*words, code=0, stage="explore"):
        done = project.run("pick", "lamp.yaml", stage, *words)
        assert done.code == code, done.text
        file = project.path / "picks/explore.yaml"
        if code != 0:
            return done.err
        lines = file.read_text(encoding="utf-8").splitlines()
        assert all(KEY.search(line) for line in lines)
        return [KEY.sub("", line) for line in lines]

    return run


# --- waiting


def test_a_stage_without_picks_waits_and_everything_else_is_drawn(project, krea, lamp):
    done = project.run("run", "lamp.yaml", "--json")
    assert (done.code, done.json["exit_code"], done.report["exit_code"]) == (6, 6, 6)
    assert done.counts == (4, 0, 0)
    assert [one["stage"] for one in done.json["waiting"]] == ["large"]
    again = project.run("run", "lamp.yaml")
    assert again.code == 6
    assert "`large` waits for 2 to 3 picks of `explore` in picks/explore.yaml (none so far)" in again.out
    assert len(krea.posts) == 4


def test_a_plan_says_what_the_stage_that_waits_will_come_to_by_its_own_price(project, lamp):
    waits = project.run("plan", "lamp.yaml").out.splitlines()[-1]
    assert waits.endswith("(none so far): 4 to 6 images, $0.24 to $0.36. Pick with `krea-pipe pick`.")
    done = project.run("plan", "lamp.yaml", "--json").json
    assert done["waiting"] == [
        {
            "stage": "large",
            "for_each": "explore",
            "file": "picks/explore.yaml",
            "picked": 0,
            "min": 2,
            "max": 3,
            "images_per_pick": 2,
            "usd_min": "0.24",
            "usd_max": "0.36",
        }
    ]
    assert done["totals"]["new"] == {"requests": 4, "usd": "0.12"}
    project.write("picks/explore.yaml", PICKED)
    prices = {
        cell["id"]: Decimal(cell["price_usd"]) for cell in project.run("plan", "lamp.yaml", "--json").json["cells"]
    }
    large = [price for cell, price in prices.items() if cell.startswith("large/")]
    assert Decimal("0.24") == sum(large)


def test_the_range_has_no_end_without_a_most(project):
    project.write("lamp.yaml", HEAD + EXPLORE + LARGE.replace(", max: 3", ""))
    assert "at least 4 images, at least $0.24" in project.run("plan", "lamp.yaml").out
    waiting = project.run("plan", "lamp.yaml", "--json").json["waiting"]
    assert (waiting[0]["max"], waiting[0]["usd_max"]) == (None, None)


def test_a_plan_that_is_checked_tells_work_from_waiting_from_nothing(project, lamp):
    def check():
        return project.run("plan", "lamp.yaml", "--check").code

    assert check() == 3
    project.run("run", "lamp.yaml")
    assert check() == 6
    project.write("picks/explore.yaml", PICKED)
    assert check() == 3
    assert project.run("run", "lamp.yaml").code == 0
    assert check() == 0


@pytest.mark.parametrize(("picked", "code"), [(0, 6), (1, 6), (2, 0), (3, 0), (4, 2)])
def test_least_and_most_are_the_first_and_the_last_number_that_will_do(project, lamp, picked, code):
    cells = ["slate/s1", "slate/s2", "oak/s1", "oak/s2"][:picked]
    project.write("picks/explore.yaml", "".join(f"- {{pick: explore/{one}}}\n" for one in cells))
    done = project.run("run", "lamp.yaml", "--local", "--json")
    assert done.code == code, done.text
    if code == 2:
        assert "this stage accepts at most 3" in done.text
    else:
        assert done.json["cells"]["total"] == (4 if code else 4 + 2 * picked)


def test_a_stage_below_one_that_waits_has_no_cells_and_is_no_error(project):
    project.write("lamp.yaml", HEAD + EXPLORE + LARGE + "  last: {for_each: large, prompt: last}\n")
    done = project.run("run", "lamp.yaml", "--local", "--json")
    assert (done.code, done.json["cells"]["total"]) == (6, 4)


def test_rules_of_a_stage_that_waits_count_for_its_price_and_are_no_error(project):
    rules = "    exclude: [{aspect_ratio: 9:16}]\n    patch: [{when: {aspect_ratio: 16:9}, set: {variant: medium}}]\n"
    project.write("lamp.yaml", HEAD + EXPLORE + LARGE + rules)
    assert "2 to 3 images, $0.06 to $0.09" in project.run("plan", "lamp.yaml").out
    assert project.run("run", "lamp.yaml", "--local").code == 6


def test_what_is_selected_does_not_wait(project, lamp):
    assert project.run("run", "lamp.yaml", "--local", "-k", "stage:explore").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (OLD_FORM.replace("explore", "large"), "contains picks of `large`, but this stage uses `explore`"),
        (OLD_FORM.replace("oak/s2", "slate/s1"), "picks/explore.yaml:2:27: error: `explore/slate/s1` is decided twice"),
        ("- {pick: explore/oak/s1}\n- explore/oak/s2\n", "picks/explore.yaml:2:3: error: a decision cannot be"),
        ("stage: explore\npicks: {a: b}\n", "picks/explore.yaml:2:8: error: `picks` must be a list"),
        (b"\xff\xfe", "picks/explore.yaml:1:1: error: this is not valid UTF-8 text"),
    ],
)
def test_a_picks_file_that_is_wrong_is_a_located_error_of_every_command(project, krea, lamp, text, message):
    project.write("picks/explore.yaml", text)
    for command in ("validate", "expand", "plan", "run"):
        done = project.run(command, "lamp.yaml")
        assert (done.code, message in done.text) == (2, True), done.text
    assert krea.seen == []


# --- picking


def test_cells_are_picked_by_id_by_the_end_of_it_and_by_expression(pick):
    pick("explore/oak/s2")
    pick("slate/s1")
    assert pick("seed=1 and not slate") == [
        "- {pick: explore/oak/s1}",
        "- {pick: explore/oak/s2}",
        "- {pick: explore/slate/s1}",
    ]


def test_stars_and_notes_are_kept_and_one_word_more_is_one_line_of_diff(pick):
    before = pick("slate/s1", "oak/s2", "--stars", "4", "--note", "the shadow: keep it")
    after = pick("oak/s2", "--stars", "5")
    assert [line for line in after if line not in before] == [
        "- {pick: explore/oak/s2, stars: 5, note: 'the shadow: keep it'}"
    ]
    assert len(before) == len(after)


def test_a_rejected_cell_is_no_pick_and_a_removed_one_is_neither(pick):
    pick("slate", "--note", "both")
    assert "- {reject: explore/slate/s2, note: both}" in pick("slate/s2", "--reject")
    assert pick("slate", "--remove") == []
    assert "has no decision about it" in pick("slate", "--remove", code=7)


@pytest.mark.parametrize("word", ["explore/elm/s2", "elm/s2", "elm", "*lm*", "elm/*"])
def test_the_pick_of_a_cell_that_is_no_more_is_removed_by_every_form_that_adds(project, pick, word):
    project.write("picks/explore.yaml", PICKED.replace("oak", "elm"))
    assert pick(word, "--remove") == ["- {pick: explore/slate/s1}"]


def test_the_best_of_those_that_differ_in_one_axis_alone_stays(pick):
    pick("oak/s1", "--stars", "2")
    pick("oak/s2", "--stars", "4")
    kept = pick("slate/s1", "--stars", "1", "--best-of", "seed")
    assert kept == ["- {pick: explore/oak/s2, stars: 4}", "- {pick: explore/slate/s1, stars: 1}"]
    pick("slate/s2")
    assert pick("--best-of", "surface") == kept


def test_rivals_without_stars_are_not_thinned_by_chance(pick):
    pick("oak")
    assert "none of these has stars: explore/oak/s1, explore/oak/s2" in pick("--best-of", "seed", code=2)


def test_picking_more_than_the_stage_takes_writes_nothing(project, pick):
    before = pick("slate")
    assert "would contain 4 picks; the stage `large` accepts at most 3" in pick("oak", code=2)
    kept = (project.path / "picks/explore.yaml").read_text(encoding="utf-8")
    assert KEY.sub("", kept).splitlines() == before
    assert len(pick("oak", "--stars", "3", "--best-of", "seed", code=2)) > 0, "the two of slate have no stars"
    pick("slate", "--stars", "1")
    assert len(pick("oak", "--stars", "3", "--best-of", "seed")) == 2


def test_a_file_with_too_many_picks_can_be_thinned(project, pick):
    cells = ["slate/s1", "slate/s2", "oak/s1", "oak/s2"]
    picks = "".join(f"- {{pick: explore/{cell}, stars: {stars}}}\n" for stars, cell in enumerate(cells, 1))
    project.write("lamp.yaml", HEAD + EXPLORE + LARGE.replace("min: 2, max: 3", "max: 1"))
    project.write("picks/explore.yaml", picks)
    assert project.run("plan", "lamp.yaml").code == 2
    pick("slate/s1", "--remove")
    assert pick("--best-of", "seed") == ["- {pick: explore/slate/s2, stars: 2}", "- {pick: explore/oak/s2, stars: 4}"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["elm"], 7, "no cell of the stage `explore` matches elm"),
        (["explore/oak/s3"], 7, "did you mean `explore/oak/s"),
        (["surfce=oak"], 2, "there is no axis `surfce`"),
        (["status:failed"], 2, "cells cannot be picked by status"),
        (["("], 2, "a condition is missing"),
        ([], 2, "nothing was picked"),
        (["oak", "--reject", "--remove"], 2, "cannot be combined"),
        (["--best-of", "seed"], 2, "does not exist yet"),
        (["oak", "--remove"], 2, "does not exist yet"),
        (["oak", "--stars", "6"], 2, "6 is not in the range"),
    ],
)
def test_what_can_not_be_picked_is_said_and_no_file_is_made(project, pick, words, code, message):
    assert message in pick(*words, code=code)
    assert not (project.path / "picks").exists()


def test_line_ends_and_the_mark_of_the_encoding_survive(project, pick):
    file = project.write("picks/explore.yaml", "\ufeff- {pick: explore/oak/s1} # nice\r\n")
    pick("slate/s1")
    expected = "\ufeff- {pick: explore/oak/s1}  # nice\r\n- {pick: explore/slate/s1}\r\n"
    assert KEY.sub("", file.read_bytes().decode()) == expected


@pytest.mark.parametrize("text", [b"\xff\xfe", b"stage: [", b"stage: 3\n"])
def test_a_picks_file_that_no_stage_names_is_checked_too(project, text):
    project.write("lamp.yaml", HEAD + EXPLORE)
    file = project.write("picks/explore.yaml", text)
    done = project.run("pick", "lamp.yaml", "explore", "oak")
    assert (done.code, "picks/explore.yaml:1:" in done.err) == (2, True), done.text
    assert file.read_bytes() == text


def test_picks_for_programs(project, lamp):
    done = project.run("pick", "lamp.yaml", "explore", "oak/s1", "--stars", "3", "--json")
    assert done.json == {
        "schema": "krea-pipe/pick@1",
        "file": "picks/explore.yaml",
        "picks": [{"id": "explore/oak/s1", "stars": 3, "note": ""}],
    }


def test_picks_that_are_made_at_once_are_all_kept(project, lamp):
    cells = [f"explore/{surface}/s{seed}" for surface in ("slate", "oak") for seed in (1, 2)]
    started = [project.start("pick", "lamp.yaml", "explore", "--reject", cell) for cell in cells]
    assert [project.finish(one).code for one in started] == [0] * 4
    kept = (project.path / "picks/explore.yaml").read_text(encoding="utf-8")
    assert [cell in kept for cell in cells] == [True] * 4
