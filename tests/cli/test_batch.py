"""Several pipelines in one command: sent as one run, with one cap, one exit code and a page that links the reports."""

import json
import re
from decimal import Decimal
from pathlib import Path
from urllib.parse import unquote

import pytest
from krea_server import GENERATE, until
from money import draw

CHAIN = """version: 1
budget: {usd: 5}
stages:
  explore: {prompt: "#", matrix: {seed: [1, 2]}}
  final: {for_each: explore, prompt: "# {{ source.prompt }}", image: "{{ source.image }}", variant: large}
  late: {prompt: "late #", needs: explore}
"""


@pytest.fixture
def house(project, krea):
    """Three pipelines in a folder; `a` and `b` share the request of the word `both`."""
    draw(krea)
    project.pipeline(["a1", "both"], name="house/a.yaml")
    project.pipeline(["both", "b1"], name="house/b.yaml")
    project.pipeline(["c1", "c2"], name="house/deep/c.yaml")
    project.write("house/words.yaml", "version: 1\nvars: {w: 1}\n")
    project.write("house/other.yaml", "name: ci\non: push\n")
    (project.path / ".git").mkdir()
    return project


def spent(done):
    return Decimal(done.json["cost"]["spent_usd"])


def ends(done):
    return {Path(one["file"]).stem: one["exit_code"] for one in done.json["files"]}


def test_all_pipelines_of_a_folder_are_one_run(house, krea):
    plan = house.run("plan", "house", "--json").json
    assert (plan["totals"]["new"], len(plan["files"])) == ({"requests": 5, "usd": "0.15"}, 3)
    done = house.run("run", "house", "--json")
    assert (done.code, done.json["cells"]["succeeded"], spent(done)) == (0, 6, Decimal("0.15"))
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both", "c1", "c2"]
    assert {line["cell"] for line in house.events("submitting")} == {
        *("a/a/a1", "a/a/both", "b/b/b1", "c/c/c1", "c/c/c2"),
    }
    for name, word in (("a", "both"), ("b", "both"), ("c", "c2")):
        assert (house.path / f"out/{name}/{word}.png").is_file()
    assert [
        len((house.path / f"house/{name}.lock.jsonl").read_text().splitlines()) for name in ("a", "b", "deep/c")
    ] == [
        *(2, 2, 2),
    ]
    costs = [Decimal(one["result"]["cost"]["spent_usd"]) for one in done.json["files"]]
    assert costs == [Decimal("0.06"), Decimal("0.03"), Decimal("0.06")]
    page = house.path / done.json["page"]
    links = re.findall(r'(?:href|src)="([^"]+)"', page.read_text(encoding="utf-8"))
    assert len(links) >= 3 * 3
    assert all((page.parent / unquote(link)).is_file() for link in links)
    again = house.run("run", "house/a.yaml", "house/b.yaml", "house/deep/*.yaml", "--json")
    assert (again.code, again.json["cells"]["reused"], spent(again)) == (0, 6, 0)
    for command in ("check", "verify", "accept"):
        found = house.run(command, "house", "--json")
        assert (found.code, ends(found), found.json["command"]) == (0, {"a": 0, "b": 0, "c": 0}, command)
    assert house.run("plan", "house", "--check").code == 0


def test_a_file_without_work_leaves_the_journal_to_those_that_have_some(house, krea):
    """The plan of stored images reads a summary of the journal, which is not enough for what is sent."""
    for _ in range(2):
        assert house.run("run", "house/a.yaml").code == 0
    assert (house.space / "journal-summary-1.json").is_file()
    done = house.run("run", "house", "--json")
    assert (done.code, done.counts, spent(done)) == (0, (3, 0, 3), Decimal("0.09")), done.text
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both", "c1", "c2"]


def test_one_cap_is_for_all(house, krea):
    said = house.run("plan", "house", "--max-cost", "0.10")
    assert "A run would send 3 of them for $0.09, then stop at the limit." in said.out
    done = house.run("run", "house", "--max-cost", "0.10", "--json")
    assert (done.code, spent(done)) == (5, Decimal("0.09"))
    assert (len(krea.billed_prompts()), ends(done)["a"]) == (3, 0)
    assert 5 in ends(done).values()
    text = house.run("run", "house", "--max-cost", "0.03")
    assert (text.code, len(krea.billed_prompts())) == (5, 4)
    assert "To continue (nothing is charged twice)" in text.err
    assert house.run("run", "house", "--max-new", "5").code == 0
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both", "c1", "c2"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("version: 1\npromt: x\n", 2, "house/deep/c.yaml:2:1: error: unknown key `promt`"),
        ('version: 1\nprompt: "{{ w }}"\nmatrix: {w: [x]}\n', 2, "no cap is set"),
        ('version: 1\nbudget: {usd: 0.01}\nprompt: "{{ w }}"\nmatrix: {w: [x]}\n', 5, "above the cap of $0.01"),
        ("version: 1\nbudget: {usd: 1}\nprompt: x\nreferences: [{image: no.png}]\n", 2, "no.png does not exist"),
    ],
    ids=["invalid", "no cap", "over its budget", "missing image"],
)
def test_a_file_with_an_error_does_not_stop_the_others(house, krea, text, code, said):
    house.write("house/deep/c.yaml", text)
    done = house.run("run", "house")
    assert done.code == code
    assert done.err.count(said) == 1
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both"]
    plan = house.run("plan", "house")
    assert said in plan.text
    found = house.run("run", "house", "--json")
    assert ends(found) == {"a": 0, "b": 0, "c": code}
    assert said.rpartition(": ")[2] in found.json["files"][2]["problems"][0]["message"]
    assert said.rpartition(": ")[2] in (house.path / found.json["page"]).read_text(encoding="utf-8")


def test_an_account_that_is_refused_stops_all(house, krea):
    done = house.run("run", "house", env={"KREA_API_KEY": None})
    assert (done.code, krea.posts) == (4, [])
    krea.answer("POST", GENERATE, 402, {"error": "no credit"}, text='"both"')
    done = house.run("run", "house", "--json")
    assert done.code == 4
    assert set(krea.billed_prompts()) <= {"a1"}
    krea.rules.clear()
    draw(krea)
    assert house.run("run", "house").code == 0
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both", "c1", "c2"]


@pytest.mark.parametrize("count", [1, 4])
def test_a_batch_that_is_killed_is_gone_on_with(house, krea, count):
    krea.reset(latency=1e6)
    draw(krea)
    process = house.start("run", "house", "--concurrency", "4")
    until(lambda: len(house.events("submitted")) >= count or process.poll() is not None)
    process.kill()
    process.communicate(timeout=60)
    krea.catch_up()
    krea.finish_jobs()
    done = house.run("run", "house", "--json")
    assert (done.code, done.json["cells"]["total"]) == (0, 6), done.text
    assert sorted(krea.billed_prompts()) == ["a1", "b1", "both", "c1", "c2"]
    assert spent(done) == Decimal("0.15")


def test_stages_of_one_name_wait_for_their_own_file(project, krea):
    draw(krea)
    for name in ("one", "two"):
        project.write(f"{name}.yaml", CHAIN.replace("#", name))
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"one"')
    done = project.run("run", "one.yaml", "two.yaml", "--json")
    assert done.code == 1
    billed = krea.billed_prompts()
    assert sorted(billed) == ["late two", "two", "two", "two two", "two two"]
    assert max(billed.index("two two"), billed.index("late two")) > billed.index("two")
    states = [cell["status"] for cell in json.loads(Path(project.path, report_of(done, 0)).read_text())["cells"]]
    assert states == ["failed", "failed", "pending", "pending", "pending"]


def report_of(done, number):
    return done.json["files"][number]["result"]["report"]


def test_homes_of_several_repositories_share_the_cap(project, krea):
    draw(krea)
    for name in ("x", "y"):
        project.pipeline([f"{name}1", f"{name}2"], name=f"{name}/p-{name}.yaml")
        (project.path / name / ".krea-pipe").mkdir(mode=0o700)
    done = project.run("run", "x", "y", "--max-cost", "0.1", "--json", env={"KREA_PIPE_HOME": None})
    assert (done.code, len(krea.billed_prompts())) == (5, 3)
    assert (project.path / "y/.krea-pipe/loopback/journal.jsonl").is_file()
    assert project.run("run", "x", "y", "--max-cost", "0.1").code == 0
    assert sorted(krea.billed_prompts()) == ["x1", "x2", "y1", "y2"]


def test_events_and_people_are_told_of_a_batch_as_of_one_run(house):
    house.run("run", "house", "--events", "events.jsonl")
    lines = [json.loads(line) for line in (house.path / "events.jsonl").read_text().splitlines()]
    starts = [line for line in lines if line["event"] == "run_started"]
    stops = [line for line in lines if line["event"] == "run_ended"]
    assert [len(starts), len(stops)] == [1, 1]
    assert (starts[0]["cells"], stops[0]["cells"]["succeeded"], stops[0]["spent_usd"]) == (6, 6, "0.15")
    assert {line["run"] for line in lines} == {starts[0]["run"]}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "house", "--out", "x"), "--out is for one file"),
        (("run", "house", "--lock", "x.lock.jsonl"), "--lock is for one file"),
        (("run", "house", "--on", "ray", "--shards", "2"), "--on is for one file"),
        (("run", "house", "--allow-render"), "--allow-render needs --frozen"),
        (("plan", "house", "--out", "x"), "--out is for one file"),
        (("verify", "house", "--out", "x"), "--out is for one file"),
        (("run", "empty"), "there is no pipeline in empty"),
        (("plan", "none/*.yaml"), "no file matches none/*.yaml"),
        (("validate", "empty"), "there is no pipeline in empty"),
    ],
)
def test_what_several_files_cannot_have_is_refused(house, krea, words, said):
    (house.path / "empty").mkdir()
    done = house.run(*words)
    assert (done.code, krea.posts) == (2, [])
    assert said in done.err


def test_two_pipelines_of_one_name_do_not_share_a_folder(house, krea):
    house.pipeline(["other"], name="house/deep/a.yaml")
    done = house.run("run", "house")
    assert (done.code, sorted(krea.billed_prompts())) == (2, ["a1", "b1", "both", "c1", "c2"])
    assert "house/deep/a.yaml: error: house/a.yaml has the same name" in done.err


def test_accept_takes_files_and_then_cells(house):
    house.run("run", "house")
    for name in ("a", "b"):
        (house.path / f"house/{name}.lock.jsonl").unlink()
    done = house.run("accept", "house/a.yaml", "house/b.yaml", "both", "--json")
    assert [one["result"]["accepted"] for one in done.json["files"]] == [["a/both"], ["b/both"]]


def test_the_local_krea_draws_all(house, krea):
    done = house.run("run", "house", "--local", "--json", env={"KREA_API_KEY": None})
    assert (done.code, done.json["cells"]["succeeded"], krea.posts) == (0, 6, [])
    assert "6 images: 6 reused." in house.run("run", "house", "--local").out
