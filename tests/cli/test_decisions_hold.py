"""Picks, stars, lock lines and promoted images hold as long as the request is the same, whatever cells are called."""

import json
import re

import pytest

AXES = "{surface: [slate, oak], seed: [1, 2]}"
HEAD = "version: 1\nbudget: {usd: 9}\n"
PIPELINE = f"""\
{HEAD}name: lamp
stages:
  explore:
    prompt: a lamp on {{{{ surface }}}}
    matrix: {AXES}
  large:
    for_each: explore
    picks: picks/explore.yaml
    promote: {{variant: large}}
"""
RENAMED = {
    "axes swapped": {AXES: "{seed: [1, 2], surface: [slate, oak]}"},
    "an axis renamed": {"surface": "ground"},
    "a stage renamed": {"explore:": "sketch:", "for_each: explore": "for_each: sketch"},
    "values renamed": {
        "[slate, oak]": "[{id: stone, text: slate}, {id: wood, text: oak}]",
        "{{ surface }}": "{{ surface.text }}",
    },
    "values and axes swapped": {
        AXES: "{seed: [2, 1], surface: [{id: oak, text: slate}, {id: slate, text: oak}]}",
        "{{ surface }}": "{{ surface.text }}",
    },
    "an axis of one value added": {AXES: "{surface: [slate, oak], seed: [1, 2], creativity: [medium]}"},
}


def changed(changes, text=PIPELINE):
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


def decisions(project, name="explore"):
    """The lines of a picks file, without keys."""
    text = (project.path / f"picks/{name}.yaml").read_text(encoding="utf-8")
    return re.sub(r", key: \"?[0-9a-f]{16}\"?", "", text).splitlines()


def lock_lines(project, name="lamp"):
    text = (project.path / f"{name}.lock.jsonl").read_text(encoding="utf-8")
    return {one["id"]: one for one in map(json.loads, text.splitlines())}


def images(project, name="lamp"):
    return {(one["key"], one["sha256"], one["job_id"]) for one in lock_lines(project, name).values()}


@pytest.fixture
def lamp(project):
    """A sweep with a pick and a rejection, all of which is drawn and in the lock file."""
    project.write("lamp.yaml", PIPELINE)
    assert project.run("pick", "lamp.yaml", "explore", "slate/s1", "--stars", "4").code == 0
    assert project.run("pick", "lamp.yaml", "explore", "oak/s2", "--reject").code == 0
    assert project.run("run", "lamp.yaml").code == 0
    return project


# --- other names of cells


@pytest.mark.parametrize("changes", RENAMED.values(), ids=RENAMED)
def test_other_names_lose_nothing_and_cost_nothing(lamp, krea, changes):
    before, posts = images(lamp), len(krea.posts)
    lamp.write("lamp.yaml", changed(changes))
    plan = lamp.run("plan", "lamp.yaml", "--json").json
    assert plan["warnings"] == []
    assert (plan["totals"]["new"]["requests"], plan["totals"]["reuse"]["requests"]) == (0, 5)
    for command in (["run", "--frozen"], ["verify"], ["check"], ["run"]):
        done = lamp.run(command[0], "lamp.yaml", *command[1:])
        assert done.code == 0, done.text
    assert len(krea.posts) == posts
    assert images(lamp) == before
    ids = {cell["id"] for cell in lamp.run("expand", "lamp.yaml", "--json").json["cells"]}
    assert set(lock_lines(lamp)) == ids


def test_a_lock_line_of_a_cell_that_a_run_leaves_out_is_kept_under_its_new_name(lamp):
    before = images(lamp)
    lamp.write("lamp.yaml", changed(RENAMED["axes swapped"]))
    assert lamp.run("run", "lamp.yaml", "-k", "s1/slate").code == 0
    assert images(lamp) == before


def test_lock_lines_of_a_stage_that_waits_are_kept_under_its_old_name(lamp, krea):
    before, posts = images(lamp), len(krea.posts)
    picks = (lamp.path / "picks/explore.yaml").read_bytes()
    lamp.write("lamp.yaml", changed({"large:": "final:"}))
    lamp.write("picks/explore.yaml", "")
    assert lamp.run("run", "lamp.yaml").code == 6
    assert images(lamp) == before
    lamp.write("picks/explore.yaml", picks)
    assert lamp.run("run", "lamp.yaml", "--frozen").code == 0
    assert (images(lamp), len(krea.posts)) == (before, posts)


def test_an_axis_more_keeps_the_pick_of_the_request_that_was_picked(lamp, krea):
    posts = len(krea.posts)
    lamp.write("lamp.yaml", changed({AXES: "{surface: [slate, oak], seed: [1, 2], creativity: [high, medium]}"}))
    plan = lamp.run("plan", "lamp.yaml", "--json").json
    assert plan["warnings"] == []
    assert [one["id"] for one in plan["cells"] if one["id"].startswith("large/")] == ["large/slate/s1/medium"]
    assert lamp.run("run", "lamp.yaml").code == 0
    assert len(krea.posts) - posts == 4


def test_two_axes_with_the_same_values_are_told_apart_by_request(project):
    text = changed({AXES: "{ground: [red, blue], shade: [red, blue]}", "{{ surface }}": "{{ ground }} in {{ shade }}"})
    project.write("lamp.yaml", text)
    project.run("pick", "lamp.yaml", "explore", "red/blue")
    project.write(
        "lamp.yaml", text.replace("ground: [red, blue], shade: [red, blue]", "shade: [red, blue], ground: [red, blue]")
    )
    cells = project.run("expand", "lamp.yaml", "--json").json["cells"]
    assert [one["request"]["prompt"] for one in cells if one["stage"] == "large"] == ["a lamp on red in blue"]


def test_picked_cells_stay_in_a_sample_under_another_name(project):
    text = changed({AXES: f"{AXES}\n    sample: {{method: first, n: 1}}"})
    project.write("lamp.yaml", changed({AXES: AXES}))
    project.run("pick", "lamp.yaml", "explore", "oak/s2")
    project.write("lamp.yaml", changed(RENAMED["axes swapped"], text))
    cells = project.run("expand", "lamp.yaml", "--json").json["cells"]
    assert [one["id"] for one in cells] == ["explore/s1/slate", "explore/s2/oak", "large/s2/oak"]


def test_a_changed_prompt_keeps_the_pick_by_its_id(lamp):
    lamp.write("lamp.yaml", changed({"a lamp": "a brass lamp"}))
    plan = lamp.run("plan", "lamp.yaml", "--json").json
    assert plan["warnings"] == []
    assert [one["id"] for one in plan["cells"] if one["id"].startswith("large/")] == ["large/slate/s1"]


@pytest.mark.parametrize("changes", [RENAMED["axes swapped"], RENAMED["a stage renamed"]])
def test_a_picks_file_of_the_first_form_without_keys_is_followed_by_ids(lamp, changes):
    lamp.write("picks/explore.yaml", "stage: explore\npicks: [{id: explore/slate/s1, stars: 4}]\n")
    lamp.write("lamp.yaml", changed(changes))
    plan = lamp.run("plan", "lamp.yaml", "--json").json
    assert (plan["warnings"], plan["totals"]["new"]["requests"]) == ([], 0)


def test_explain_export_and_best_of_know_a_renamed_cell(lamp):
    lamp.run("pick", "lamp.yaml", "explore", "slate/s2", "--stars", "2")
    lamp.write("lamp.yaml", changed(RENAMED["axes swapped"]))
    assert lamp.run("run", "lamp.yaml").code == 0
    assert "picks/explore.yaml:2:3" in lamp.run("explain", "lamp.yaml", "large/s1/slate").out
    done = lamp.run("export", "--picks", "--stage", "explore", "--json")
    assert (done.code, done.json["images"]) == (0, 2), done.text
    assert lamp.run("pick", "lamp.yaml", "explore", "--best-of", "seed").out.startswith(
        "★★★★   explore/s1/slate\n1 pick "
    )
    assert decisions(lamp) == ["- {reject: explore/oak/s2}", "- {pick: explore/slate/s1, stars: 4}"]


# --- deciding about renamed cells


def test_a_decision_about_a_renamed_cell_changes_its_line(lamp):
    lamp.write("lamp.yaml", changed(RENAMED["axes swapped"]))
    done = lamp.run("pick", "lamp.yaml", "explore", "s1/slate", "--note", "calm")
    assert done.out == "★★★★   explore/s1/slate  calm\n1 pick in picks/explore.yaml\n"
    assert decisions(lamp) == ["- {reject: explore/oak/s2}", "- {pick: explore/s1/slate, stars: 4, note: calm}"]


@pytest.mark.parametrize(
    "words", ["explore/s1/slate", "s1/slate", "surface=slate", "*slate*", "slate and s1", "explore/slate/s1"]
)
def test_a_decision_about_a_renamed_cell_is_taken_back_by_every_form_that_adds(lamp, words):
    lamp.write("lamp.yaml", changed(RENAMED["axes swapped"]))
    done = lamp.run("pick", "lamp.yaml", "explore", words, "--remove")
    assert done.code == 0, done.text
    assert decisions(lamp) == ["- {reject: explore/oak/s2}"]


def test_all_ids_are_written_as_they_are_now(lamp):
    lamp.write("lamp.yaml", changed(RENAMED["axes swapped"]))
    done = lamp.run("picks", "rename", "lamp.yaml", "explore")
    assert done.out == (
        "explore/slate/s1 → explore/s1/slate\n"
        "explore/oak/s2 → explore/s2/oak\n"
        "2 decisions renamed in picks/explore.yaml\n"
    )
    assert decisions(lamp) == ["- {reject: explore/s2/oak}", "- {pick: explore/s1/slate, stars: 4}"]
    assert lamp.run("picks", "rename", "lamp.yaml", "explore", "--json").json["renamed"] == {}


# --- decisions about no cell


@pytest.fixture
def lost(lamp):
    """The same where neither the id nor the request is what was picked."""
    lamp.write("lamp.yaml", changed({"slate": "stone", "a lamp": "a brass lamp"}))
    return lamp


def test_a_pick_of_no_cell_is_a_warning_with_its_place_and_never_a_stop(lost):
    where = "picks/explore.yaml:2:3: warning: `explore/slate/s1` is not a cell of the stage `explore`"
    rename = "krea-pipe picks rename lamp.yaml explore explore/slate/s1 explore/stone/s1"
    for command, code in (("validate", 0), ("expand", 0), ("plan", 0), ("run", 6)):
        done = lost.run(command, "lamp.yaml")
        assert (done.code, where in done.err, rename in done.err) == (code, True, True), done.text
        assert "remove" not in done.err
        assert "error" not in done.err
    assert decisions(lost)[1] == "- {pick: explore/slate/s1, stars: 4}"


def test_the_command_that_a_warning_names_brings_the_pick_back(lost):
    (warning,) = lost.run("validate", "lamp.yaml", "--json").json["files"][0]["warnings"]
    words = warning["hint"].partition("krea-pipe ")[2].split()
    assert lost.run(*words).out.startswith("explore/slate/s1 → explore/stone/s1\n1 decision renamed")
    done = lost.run("plan", "lamp.yaml", "--json")
    assert done.json["warnings"] == []
    assert [one["id"] for one in done.json["cells"] if one["id"].startswith("large/")] == ["large/stone/s1"]
    rows = {
        "[slate, oak]": "[{id: rock, text: stone}]",
        "{{ surface }}": "{{ surface.text }}",
        "a lamp": "a brass lamp",
    }
    lost.write("lamp.yaml", changed(rows))
    assert lost.run("plan", "lamp.yaml", "--json").json["warnings"] == [], "it has the key of the cell that was named"


def test_parts_of_ids_are_renamed_everywhere(lamp):
    lamp.run("pick", "lamp.yaml", "explore", "slate/s2")
    lamp.write("lamp.yaml", changed({"slate": "stone", "a lamp": "a brass lamp"}))
    done = lamp.run("picks", "rename", "lamp.yaml", "explore", "slate", "stone")
    assert done.code == 0, done.text
    assert [line for line in decisions(lamp) if "pick" in line] == [
        "- {pick: explore/stone/s1, stars: 4}",
        "- {pick: explore/stone/s2}",
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["elm", "oak"], "explore.yaml contains no decision about `elm`"),
        (["slate", "elm"], "`explore/elm/s1` is not a cell of the stage `explore`"),
        (["explore/slate/s1", "explore/oak/s2"], "already contains a decision about `explore/oak/s2`"),
        (["slate"], "one name is missing"),
    ],
)
def test_what_cannot_be_renamed_is_said_and_nothing_is_written(lost, words, message):
    before = decisions(lost)
    done = lost.run("picks", "rename", "lamp.yaml", "explore", *words)
    assert (done.code, message in done.err) == (2, True), done.text
    assert decisions(lost) == before


def test_an_error_that_follows_from_a_lost_pick_is_not_shown(lost):
    rules = "    patch: [{when: {if: source.axes.surface == 'stone'}, set: {seed: 3}}]\n"
    text = (lost.path / "lamp.yaml").read_text(encoding="utf-8")
    lost.write("picks/explore.yaml", "- {pick: explore/slate/s1}\n- {pick: explore/oak/s1}\n")
    lost.write("lamp.yaml", text + rules)
    done = lost.run("plan", "lamp.yaml")
    assert (done.code, "error" in done.err) == (0, False), done.text
    lost.write("picks/explore.yaml", "- {pick: explore/oak/s1}\n")
    assert "this rule matches no cell" in lost.run("plan", "lamp.yaml").err


def test_a_lost_pick_does_not_count_against_the_most_that_a_stage_takes(lost):
    text = (lost.path / "lamp.yaml").read_text(encoding="utf-8")
    lost.write("lamp.yaml", text.replace("picks: picks/explore.yaml", "picks: {file: picks/explore.yaml, max: 1}"))
    assert lost.run("pick", "lamp.yaml", "explore", "oak/s1").code == 0
    assert lost.run("plan", "lamp.yaml").code == 0


# --- files with other names


def rename_files(project, *names):
    for old, new in names:
        (project.path / old).rename(project.path / new)


@pytest.fixture
def vase(project):
    """A file with one stage, which is named after the file, with a pick."""
    project.write("vase.yaml", f"{HEAD}prompt: a vase on {{{{ s }}}}\nmatrix: {{s: [slate, oak]}}\n")
    assert project.run("pick", "vase.yaml", "vase", "oak", "--stars", "3").code == 0
    assert project.run("run", "vase.yaml").code == 0
    rename_files(project, ("vase.yaml", "jug.yaml"))
    return project


def test_a_file_that_is_renamed_with_its_lock_and_picks_loses_nothing(vase, krea):
    posts, before = len(krea.posts), images(vase, "vase")
    rename_files(vase, ("vase.lock.jsonl", "jug.lock.jsonl"), ("picks/vase.yaml", "picks/jug.yaml"))
    for words in (["run", "--frozen"], ["check"], ["run"]):
        done = vase.run(words[0], "jug.yaml", *words[1:])
        assert (done.code, done.err.count("warning")) == (0, 0), done.text
    assert len(krea.posts) == posts
    assert images(vase, "jug") == before
    assert set(lock_lines(vase, "jug")) == {"jug/slate", "jug/oak"}
    assert vase.run("pick", "jug.yaml", "jug", "slate").out.startswith("       jug/slate\n★★★    jug/oak\n2 picks")


def test_a_lock_file_that_was_not_renamed_is_named(vase):
    done = vase.run("run", "jug.yaml", "--frozen")
    assert done.code == 8
    assert "vase.lock.jsonl contains 2 of these requests; rename it: git mv vase.lock.jsonl jug.lock.jsonl" in done.err
    warned = "jug.lock.jsonl does not exist, but vase.lock.jsonl contains 2 of these requests"
    assert warned in vase.run("plan", "jug.yaml").err
    vase.write("vase.yaml", "version: 1\nprompt: x\n")
    assert warned not in vase.run("plan", "jug.yaml").err, "it belongs to that file"


def test_a_picks_file_that_was_not_renamed_is_named(vase):
    done = vase.run("pick", "jug.yaml", "jug", "slate")
    assert "picks/jug.yaml does not exist, but picks/vase.yaml contains 1 decision about these requests" in done.err
    assert "git mv picks/vase.yaml picks/jug.yaml" in done.err


def test_a_picks_file_that_a_stage_waits_for_is_looked_for_under_another_name(lamp):
    lamp.write("lamp.yaml", PIPELINE.replace("picks/explore.yaml", "picks/sketch.yaml"))
    done = lamp.run("plan", "lamp.yaml")
    assert (
        "lamp.yaml:10:12: warning: picks/sketch.yaml does not exist, but picks/explore.yaml contains 2 decisions"
        in done.err
    ), done.text
