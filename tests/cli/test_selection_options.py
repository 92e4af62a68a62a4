"""`-k`, `--exclude` and `--only-failed`: what they take, with what it needs, on every command that has them."""

import json
from decimal import Decimal

import pytest
from krea_server import GENERATE

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  one:
    prompt: "{{ w }} in {{ creativity }}"
    matrix: {w: [a, b, c], creativity: [raw, high]}
  two: {for_each: one, prompt: "{{ source.prompt }} two", image: "{{ source.image }}", strength: 0.5}
  three: {for_each: two, prompt: "{{ source.prompt }} three", references: [{image: "{{ source.image }}"}]}
  told: {for_each: one, prompt: "{{ source.prompt }} told"}
  last: {prompt: last, needs: [one]}
"""


@pytest.fixture(autouse=True)
def _lamp(project):
    project.write("lamp.yaml", LAMP)


def ids(project, command, *words, env=()):
    done = project.run(command, "lamp.yaml", "--json", *words, env=env)
    assert done.code == 0, done.text
    return [cell["id"] for cell in (done.report if command == "run" else done.json)["cells"]]


def keys(project, command, *words):
    done = project.run(command, "lamp.yaml", "--json", *words)
    return {cell["id"]: cell["key"] for cell in done.json["cells"]}


SELECTIONS = [
    (["-k", "one/a"], ["one/a/raw", "one/a/high"]),
    (["-k", "stage:one and creativity=raw", "--exclude", "b"], ["one/a/raw", "one/c/raw"]),
    (["-k", "one/a/raw", "--select", "one/b/raw"], ["one/a/raw", "one/b/raw"]),
    (["-k", "stage:one", "--exclude", "a", "--exclude", "high"], ["one/b/raw", "one/c/raw"]),
    (["-k", "*ne/[bc]*w"], ["one/b/raw", "one/c/raw"]),
    (["-k", "stage:two and a/raw"], ["one/a/raw", "two/a/raw"]),
    (["-k", "three/b/high"], ["one/b/high", "two/b/high", "three/b/high"]),
    (["-k", "told/b/high"], ["told/b/high"]),
    (["-k", "stage:last"], ["last"]),
]


@pytest.mark.parametrize(("words", "expected"), SELECTIONS)
def test_a_selection_takes_the_same_cells_in_every_command_with_those_whose_images_they_need(project, words, expected):
    """Those of a stage that it only names, or only has to wait for, are not needed."""
    assert ids(project, "expand", *words) == expected
    lines = project.run("expand", "lamp.yaml", "--jsonl", *words).out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == expected
    assert ids(project, "plan", *words) == expected


def test_a_run_draws_what_is_selected_and_what_that_needs_and_nothing_else(project, krea):
    plan = project.run("plan", "lamp.yaml", "--json", "-k", "three/b/high").json
    done = project.run("run", "lamp.yaml", "--json", "-k", "three/b/high")
    assert done.code == 0, done.text
    assert krea.billed_prompts() == ["b in high", "b in high two", "b in high two three"]
    assert done.json["cost"]["spent_usd"] == plan["totals"]["new"]["usd"]
    assert sum(bill.amount for bill in krea.world.bills) == Decimal(plan["totals"]["new"]["usd"])
    assert [row["id"] for row in done.report["cells"]] == ["one/b/high", "two/b/high", "three/b/high"]


def test_an_excluded_cell_whose_image_is_needed_comes_along(project):
    assert ids(project, "plan", "-k", "two/a/raw", "--exclude", "stage:one") == ["one/a/raw", "two/a/raw"]


@pytest.mark.parametrize("words", [words for words, _ in SELECTIONS])
def test_a_selection_never_changes_a_key_or_an_id(project, words):
    whole = keys(project, "expand")
    for command in ("expand", "plan"):
        some = keys(project, command, *words)
        assert some.items() <= whole.items()


@pytest.mark.parametrize("command", ["expand", "plan", "run"])
@pytest.mark.parametrize("words", [["-k", "a and b"], ["-k", "s9"], ["--exclude", "*"], ["-k", "a", "--exclude", "a"]])
def test_a_selection_of_nothing_has_a_code_of_its_own_and_sends_nothing(project, krea, command, words):
    done = project.run(command, "lamp.yaml", *words)
    assert (done.code, done.out) == (7, "")
    assert "no cell matches the selection" in done.err
    done = project.run(command, "lamp.yaml", "--json", *words)
    assert (done.code, done.json["exit_code"], done.json["error"]["code"]) == (7, 7, "nothing_selected")
    assert krea.seen == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-k", "stage:tow"], "--select:1:7: error: there is no stage `tow`"),
        (["-k", "creativty=raw"], "did you mean `creativity`?"),
        (["--exclude", "creativity=rw"], "--exclude:1:12: error:"),
        (["-k", "(a"], "--select:1:1: error: the bracket"),
        (["-k", ""], "the expression is empty"),
        (["-k", "a b"], "`and` or `or` is missing here"),
    ],
)
def test_what_a_selection_names_has_to_be_there(project, words, message):
    for command in ("expand", "plan", "run"):
        done = project.run(command, "lamp.yaml", *words)
        assert (done.code, message in done.err) == (2, True), done.text


@pytest.mark.parametrize("expression", ["stage:picked", "format=wide"])
def test_a_stage_that_waits_for_picks_is_said_to_have_no_cells_yet(project, expression):
    picked = '  picked: {for_each: one, picks: picks.yaml, prompt: "{{ format }}", matrix: {format: [wide, tall]}}\n'
    project.write("lamp.yaml", LAMP + picked)
    for command in ("expand", "plan", "run"):
        done = project.run(command, "lamp.yaml", "-k", expression)
        assert (done.code, "`picked` waits for picks, so its cells cannot be generated yet" in done.err) == (7, True), (
            done.text
        )
    project.write("picks.yaml", "stage: one\npicks: [one/a/raw]\n")
    assert ids(project, "plan", "-k", expression)[0] == "picked/a/raw/wide"


def test_the_status_before_a_run_selects(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"b in raw"')
    done = project.run("run", "lamp.yaml", "--json", "-k", "stage:one")
    assert done.code == 1
    assert ids(project, "plan", "--only-failed") == ["one/b/raw"]
    assert ids(project, "plan", "-k", "status:reused") == [
        cell["id"] for cell in done.report["cells"] if cell["id"] != "one/b/raw"
    ]
    assert len(ids(project, "plan", "-k", "status:new")) == 6 + 6 + 6 + 1 + 6, "with the images that they need"
    krea.rules.clear()
    sent = len(krea.posts)
    again = project.run("run", "lamp.yaml", "--json", "--only-failed")
    assert (again.code, again.counts, len(krea.posts) - sent) == (0, (1, 0, 0), 1)
    assert project.run("run", "lamp.yaml", "--only-failed").code == 7
    assert project.run("plan", "lamp.yaml", "-k", "status:uncertain").code == 7


def test_only_failed_goes_together_with_an_expression(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text="in raw")
    assert project.run("run", "lamp.yaml", "-k", "stage:one").code == 1
    assert ids(project, "plan", "--only-failed", "-k", "a", "-k", "c", "--exclude", "c") == ["one/a/raw"]


def test_a_status_is_not_known_without_the_store(project):
    for words in (["--only-failed"], ["-k", "status:new"]):
        done = project.run("expand", "lamp.yaml", *words)
        assert (done.code, "cells cannot be selected by status here" in done.err) == (2, True)


def test_runs_of_parts_add_up_to_the_whole(project, krea):
    for words in (["-k", "a"], ["-k", "b"], ["--exclude", "stage:last"], []):
        assert project.run("run", "lamp.yaml", *words).code == 0
    prompts = krea.billed_prompts()
    assert len(prompts) == len(set(prompts)) == 6 * 4 + 1


def test_the_report_of_some_cells_stands_beside_the_whole_one(project):
    project.run("run", "lamp.yaml", "--local", "-k", "stage:two")
    done = project.run("report", "-k", "stage:two and a", "--exclude", "high", "--json")
    assert done.code == 0, done.text
    assert [row["id"] for row in done.report["cells"]] == ["two/a/raw"]
    assert done.json["report"].endswith("/selected/report.json")
    whole = project.run("report", "--json").report
    assert len(whole["cells"]) == 12
    assert project.run("report", "-k", "three").code == 7
    assert project.run("report", "--only-failed").code == 7
    assert project.run("report", "-k", "status:new").code == 2, "that is how a cell stands before a run"
    assert project.run("report", "-k", "status:succeeded").code == 0


def test_the_report_finds_what_failed(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"b in raw"')
    project.run("run", "lamp.yaml", "-k", "three/b or one/c/raw")
    done = project.run("report", "--only-failed", "--json")
    assert [row["id"] for row in done.report["cells"]] == ["one/b/raw"]
    done = project.run("report", "-k", "status:pending", "--json")
    assert [row["id"] for row in done.report["cells"]] == ["two/b/raw", "three/b/raw"]
