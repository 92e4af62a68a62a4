"""`--shard`: each request in one shard, chains whole, and all that a run writes or says is of its shard."""

import json
import shutil
from collections import Counter
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from krea_server import GENERATE

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  one:
    prompt: "{{ w }} in {{ creativity }}"
    matrix: {w: [a, b, c, d], creativity: [raw, high]}
  twin: {prompt: "{{ w }} in raw", matrix: {w: [a, b]}, creativity: raw}
  two: {for_each: one, prompt: "{{ source.prompt }} two", image: "{{ source.image }}", strength: 0.5}
  three: {for_each: two, prompt: "{{ source.prompt }} three", references: [{image: "{{ source.image }}"}]}
"""
WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]


def planned(project, *words, file="p.yaml", env=()):
    done = project.run("plan", file, "--json", *words, env=env)
    assert done.code == 0, done.text
    return done.json


def cells(project, *words, file="p.yaml"):
    return {cell["id"]: cell["key"] for cell in planned(project, *words, file=file)["cells"]}


def numbers(project, total, *words, file="p.yaml"):
    """The shard of each cell, which is in no other."""
    found = [(cell, n) for n in range(1, total + 1) for cell in cells(project, "--shard", f"{n}/{total}", file=file)]
    assert max(Counter(cell for cell, _ in found).values()) == 1
    return dict(found)


def shard_with(project, word, total):
    """A shard that has the cell of a word."""
    return f"{numbers(project, total)[f'p/{word}']}/{total}"


# --- which cells


@pytest.mark.parametrize("total", [1, 2, 5])
def test_each_cell_is_in_one_shard_with_all_that_it_is_drawn_from_and_all_that_shares_its_request(project, total):
    project.write("lamp.yaml", LAMP)
    whole = cells(project, file="lamp.yaml")
    found = numbers(project, total, file="lamp.yaml")
    assert found.keys() == whole.keys()
    for cell, number in found.items():
        root = cell.replace("two/", "one/").replace("three/", "one/")
        assert number == found[root]
    by_key = {whole[cell]: number for cell, number in found.items()}
    assert all(by_key[whole[cell]] == number for cell, number in found.items())
    assert len(set(found.values())) > 1 or total == 1


def test_editing_some_cells_moves_no_other_cell_to_another_shard(project):
    project.pipeline(WORDS)
    before = numbers(project, 3)
    project.pipeline(["zebra", *reversed(WORDS[2:]), "yak"])
    after = numbers(project, 3)
    assert {cell: after[cell] for cell in before if cell in after} == {
        cell: number for cell, number in before.items() if cell in after
    }


def test_all_shards_bill_each_request_once_and_draw_what_one_run_would(project, krea):
    project.write("lamp.yaml", LAMP)
    whole = cells(project, file="lamp.yaml")
    drawn = [project.run("run", "lamp.yaml", "--json", "--shard", f"{number}/3") for number in (1, 2, 3)]
    assert [done.code for done in drawn] == [0, 0, 0], drawn[0].text
    assert sum(done.json["cells"]["total"] for done in drawn) == len(whole)
    assert len(krea.posts) == len(krea.world.bills) == len(set(whole.values()))
    again = project.run("run", "lamp.yaml", "--json")
    assert again.json["cells"]["reused"] == len(whole)


def test_a_request_that_is_held_or_in_flight_is_in_its_own_shard_alone(project, krea):
    project.pipeline(WORDS)
    krea.lose("POST", GENERATE, text="fox", times=1)
    krea.answer("GET", "/jobs", 500, b"{}")
    first = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_SETTLE_SECONDS": "0.01"})
    assert first.rows["fox"]["status"] == "uncertain", first.text
    actions = [(n, cell["action"]) for n in (1, 2) for cell in planned(project, "--shard", f"{n}/2")["cells"]]
    number = numbers(project, 2)["p/fox"]
    assert [n for n, action in actions if action == "hold"] == [number]
    assert Counter(action for _, action in actions) == {"reuse": 7, "hold": 1}


def test_a_selection_is_shared_out_too_and_a_shard_without_cells_has_nothing_to_do(project, krea):
    project.pipeline(WORDS)
    found = [cells(project, "-k", "fox", "-k", "hen", "--shard", f"{n}/4") for n in range(1, 5)]
    assert sorted(cell for one in found for cell in one) == ["p/fox", "p/hen"]
    empty = found.index({}) + 1
    done = project.run("run", "p.yaml", "--json", "-k", "fox", "-k", "hen", "--shard", f"{empty}/4")
    assert (done.code, done.json["cells"]["total"], krea.posts) == (0, 0, [])
    folder = Path(project.path, done.json["report"]).parent
    assert ElementTree.parse(folder / "junit.xml").getroot().get("tests") == "0"
    assert done.report["shard"] == f"{empty}/4"
    assert project.run("run", "p.yaml", "-k", "nothing", "--shard", "1/4").code == 7


# --- --shard auto

ENVIRONMENTS = [
    ("auto", {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "8"}, "2/8"),
    ("auto/8", {"CI_NODE_INDEX": "8", "CI_NODE_TOTAL": "8"}, "8/8"),
    ("auto", {"CI_NODE_TOTAL": "1"}, "1/1"),
    ("auto", {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_COUNT": "8"}, "1/8"),
    ("auto", {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "0", "SLURM_ARRAY_TASK_COUNT": "8"}, "8/8"),
    (
        "auto/4",
        {
            "SLURM_ARRAY_TASK_ID": "14",
            "SLURM_ARRAY_TASK_MIN": "10",
            "SLURM_ARRAY_TASK_COUNT": "4",
            "SLURM_ARRAY_TASK_STEP": "2",
        },
        "3/4",
    ),
    (
        "auto",
        {
            "CI_NODE_TOTAL": "1",
            "SLURM_ARRAY_TASK_ID": "2",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_COUNT": "8",
        },
        "2/8",
    ),
    ("auto/8", {"JOB_COMPLETION_INDEX": "0"}, "1/8"),
    ("auto", {"JOB_COMPLETION_INDEX": "7", "KREA_PIPE_SHARDS": "8"}, "8/8"),
    ("auto", {"KREA_PIPE_SHARD_INDEX": "0", "KREA_PIPE_SHARDS": "8"}, "1/8"),
    ("auto", {"KREA_PIPE_SHARD_INDEX": "7", "KREA_PIPE_SHARDS": "8", "CI_NODE_INDEX": "1"}, "8/8"),
]


@pytest.mark.parametrize(("text", "env", "expected"), ENVIRONMENTS)
def test_auto_takes_the_shard_from_what_ci_systems_and_clusters_set(project, text, env, expected):
    project.pipeline(WORDS)
    found = planned(project, "--shard", text, env=env)
    assert found["shard"] == expected
    assert {cell["id"] for cell in found["cells"]} == cells(project, "--shard", expected).keys()


BAD = [
    ("0/8", {}, "--shard 0/8 is not a shard: the shards are 1/8 to 8/8"),
    ("9/8", {}, "--shard 9/8 is not a shard: the shards are 1/8 to 8/8"),
    ("2/1", {}, "--shard 2/1 is not a shard: the only shard is 1/1"),
    ("1/0", {}, "--shard 1/0 is not a shard: there can be 1 to 10,000 shards"),
    ("second", {}, '"second" is not a shard'),
    ("-1/8", {}, '"-1/8" is not a shard'),
    ("auto", {}, "KREA_PIPE_SHARD_INDEX, CI_NODE_INDEX, SLURM_ARRAY_TASK_ID and JOB_COMPLETION_INDEX are not set"),
    ("auto/8", {"CI_NODE_TOTAL": "1"}, "are not set"),
    ("auto/8", {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, "--shard auto/8 contradicts CI_NODE_TOTAL=4"),
    ("auto", {"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX=0 is not a shard"),
    ("auto", {"CI_NODE_INDEX": "one", "CI_NODE_TOTAL": "4"}, 'CI_NODE_INDEX="one" is not a number'),
    ("auto", {"JOB_COMPLETION_INDEX": "0"}, "cannot tell how many shards there are"),
    ("auto/8", {"JOB_COMPLETION_INDEX": "8"}, "JOB_COMPLETION_INDEX=8, which counts from 0, is not a shard"),
    ("auto", {"KREA_PIPE_SHARD_INDEX": "0"}, "cannot tell how many shards there are"),
    ("auto", {"CI_NODE_INDEX": "1", "JOB_COMPLETION_INDEX": "1"}, "CI_NODE_INDEX and JOB_COMPLETION_INDEX are set"),
    ("auto/8", {"SLURM_ARRAY_TASK_ID": "3"}, "SLURM_ARRAY_TASK_MIN is not set"),
]
ARRAYS = [
    ({"ID": "3", "MIN": "3", "COUNT": "1"}, "is the only task of its array"),
    ({"ID": "7", "MIN": "1", "COUNT": "3"}, "the numbers of the array have gaps"),
    ({"ID": "4", "MIN": "1", "COUNT": "3", "STEP": "2"}, "the numbers of the array have gaps"),
]
BAD += [("auto", {f"SLURM_ARRAY_TASK_{name}": one for name, one in env.items()}, said) for env, said in ARRAYS]


@pytest.mark.parametrize(("text", "env", "said"), BAD)
def test_what_names_no_shard_is_refused_with_what_to_do(project, krea, text, env, said):
    project.pipeline(WORDS)
    for command in ("plan", "run"):
        done = project.run(command, "p.yaml", f"--shard={text}", "--json", env=env)
        assert done.code == 2
        error = done.json["error"]
        assert (error["code"], said in error["message"]) == ("bad_shard", True), error
        assert "--shard" in error["hint"]
    assert krea.seen == []


# --- what a run of a shard writes and says


def test_everything_that_a_run_writes_says_of_which_shard_it_is(project):
    project.pipeline(WORDS)
    shard = shard_with(project, "fox", 2)
    count = len(cells(project, "--shard", shard))
    done = project.run("run", "p.yaml", "--shard", shard, "--events", "log.jsonl")
    assert done.code == 0, done.text
    assert f"Shard {shard}: {count} images: {count} rendered." in done.out
    folder = next((project.home / "runs").iterdir())
    report = json.loads((folder / "report.json").read_text())
    assert (report["shard"], report["totals"]["cells"]["total"], len(report["cells"])) == (shard, count, count)
    root = ElementTree.parse(folder / "junit.xml").getroot()
    assert (root.get("name"), root.get("tests")) == (f"p, shard {shard}", str(count))
    facts = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert facts["shard"] == shard
    for name in ("report.md", "report.html"):
        assert f"Shard {shard}: {count} images" in (folder / name).read_text()
    begun = json.loads((project.path / "log.jsonl").read_text().splitlines()[0])
    assert (begun["event"], begun["shard"], begun["cells"]) == ("run_started", shard, count)
    again = project.run("run", "p.yaml", "--shard", shard, "--json", "--events", "again.jsonl")
    assert (again.json["shard"], again.report["shard"]) == (shard, shard)
    assert json.loads((project.path / "again.jsonl").read_text().splitlines()[0])["shard"] == shard
    assert project.run("run", "p.yaml", "--json").json["shard"] is None


def test_a_plan_counts_its_shard_and_says_which_it_is(project):
    project.pipeline(WORDS, more="budget: {usd: 1.04}")
    shard = shard_with(project, "fox", 2)
    count = len(cells(project, "--shard", shard))
    done = project.run("plan", "p.yaml", "--shard", shard)
    part = Decimal("0.03") * count + (Decimal("1.04") - Decimal("0.24")) / 2
    assert f"Shard {shard}. New: {count} × $0.03 = ${count * Decimal('0.03')}" in done.out
    assert f"below this shard's part of the cap, ${part}." in done.out


def test_a_failure_and_a_refusal_count_for_their_own_shard_alone(project, krea):
    project.pipeline(WORDS)
    shard = shard_with(project, "fox", 2)
    other = "1/2" if shard == "2/2" else "2/2"
    krea.answer("POST", GENERATE, 422, b'{"error": "moderated"}', text="fox")
    assert project.run("run", "p.yaml", "--shard", other).code == 0
    failed = project.run("run", "p.yaml", "--shard", shard, "--json")
    assert (failed.code, failed.json["cells"]["failed"]) == (1, 1)


# --- the lock file


def locked(project):
    return {json.loads(line)["id"]: line for line in (project.path / "p.lock.jsonl").read_text().splitlines()}


def test_a_shard_keeps_the_lock_lines_of_the_others_and_drops_those_of_cells_that_are_gone(project):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    before = locked(project)
    project.pipeline([*WORDS[1:], "yak"])
    shard = shard_with(project, "yak", 3)
    assert project.run("run", "p.yaml", "--shard", shard).code == 0
    after = locked(project)
    assert after.keys() == before.keys() - {"p/ant"} | {"p/yak"}
    assert all(after[cell] == line for cell, line in before.items() if cell != "p/ant")


def test_frozen_looks_at_the_cells_of_its_shard_alone(project, krea):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    project.pipeline([*WORDS, "yak"])
    count = len(krea.posts)
    found = numbers(project, 3)
    for number in (1, 2, 3):
        done = project.run("run", "p.yaml", "--frozen", "--json", "--shard", f"{number}/3")
        assert done.code == (8 if number == found["p/yak"] else 0), done.text
        if done.code:
            own = list(found.values()).count(number)
            said = f"1 of {own} cells of shard {number}/3 is missing from p.lock.jsonl or changed"
            assert said in done.json["error"]["message"]
    assert len(krea.posts) == count


def test_a_frozen_shard_pays_for_nothing_so_that_no_budget_stands_in_its_way(project, krea):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    lock = project.path / "p.lock.jsonl"
    lock.write_text(lock.read_text().replace('"loopback"', '"host-elsewhere"'))
    shutil.rmtree(project.home)
    shutil.rmtree(project.path / "out")
    count = len(krea.posts)
    project.pipeline(WORDS, more="budget: {usd: 0.01}")
    for number in (1, 2):
        done = project.run("run", "p.yaml", "--frozen", "--json", "--shard", f"{number}/2")
        assert {row["error"]["code"] for row in done.report["cells"]} == {"render_not_allowed"}
    assert len(krea.posts) == count


# --- money


def test_the_budget_of_the_file_is_for_all_shards_together(project, krea):
    project.pipeline(WORDS, more="budget: {usd: 0.20}")  # all of them cost 0.24
    for number in (1, 2):
        done = project.run("run", "p.yaml", "--json", "--shard", f"{number}/2")
        assert (done.code, done.json["error"]["code"]) == (5, "over_budget")
        assert "in all 2 shards, 8 new images cost $0.24, above the cap of $0.20" in done.json["error"]["message"]
        assert planned(project, "--shard", f"{number}/2")["verdict"]["code"] == "over_budget"
    assert krea.posts == []


@pytest.mark.parametrize("usd", ["0.24", "0.31", "5"])
def test_the_caps_of_all_shards_add_up_to_the_budget_and_each_suffices(project, usd):
    project.pipeline(WORDS, more=f"budget: {{usd: {usd}, images: 9}}")
    caps = Decimal(0)
    for number in (1, 2, 3):
        found = planned(project, "--shard", f"{number}/3")
        assert Decimal(found["cap_usd"]) >= Decimal(found["totals"]["new"]["usd"])
        assert found["verdict"]["ok"]
        caps += Decimal(found["cap_usd"])
    assert caps == Decimal(usd)


def test_limits_of_the_command_line_are_for_each_shard(project, krea):
    project.pipeline(WORDS, more="budget: {usd: 0.12}")  # all of them cost 0.24
    refused = project.run("run", "p.yaml", "--max-cost", "0.10", "--shard", "1/2")
    assert (refused.code, krea.posts) == (5, [])
    codes = [project.run("run", "p.yaml", "--max-cost", "0.06", "--shard", f"{n}/2").code for n in (1, 2)]
    assert codes == [5, 5]
    assert sum(bill.amount for bill in krea.world.bills) == Decimal("0.12")


def test_a_plan_that_was_looked_at_is_carried_out_shard_by_shard(project, krea):
    project.pipeline(WORDS)
    assert project.run("plan", "p.yaml", "--out", "p.plan.json").code == 0
    refused = project.run("plan", "p.yaml", "--out", "q.plan.json", "--shard", "1/2")
    assert (refused.code, (project.path / "q.plan.json").exists()) == (2, False)
    done = [project.run("run", "p.plan.json", "--json", "--shard", f"{n}/2") for n in (1, 2)]
    assert [one.code for one in done] == [0, 0], done[0].text
    assert sum(one.json["cells"]["total"] for one in done) == len(krea.posts) == len(WORDS)
