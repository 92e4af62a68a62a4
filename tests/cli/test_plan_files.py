"""Plan files: what was looked at is what is carried out, once."""

import json
import shutil

import pytest
from krea_server import ask, picture, send_answer
from money import change_list, inhabit, job_ids

KEYS = {"KREA_API_KEY": None}


def planned(project, *words, name="plan.json"):
    done = project.run("plan", "p.yaml", "--out", name, "--json", *words, env=KEYS)
    assert done.code == 0, done.text
    return json.loads((project.path / name).read_text())


def applied(project, *words, code=0, name="plan.json"):
    done = project.run("run", name, "--json", *words)
    assert done.code == code, done.text
    return done


def refused(project, *words, code="plan_changed"):
    before = len(project.krea.posts)
    done = applied(project, *words, code=2)
    assert done.json["error"]["code"] == code
    assert len(project.krea.posts) == before
    return done.json["error"]["message"]


def test_a_plan_is_carried_out_once(project):
    project.pipeline(["fox", "owl"])
    plan = planned(project)
    assert (plan["price_usd"], len(plan["sends"])) == ("0.06", 2)
    assert project.krea.seen == []
    assert applied(project).counts == (2, 0, 0)
    assert applied(project).counts == (0, 0, 2)
    assert project.krea.billed_prompts() == ["fox", "owl"]


def test_the_same_plan_gives_the_same_file(project):
    project.pipeline(["fox", "owl"])
    planned(project)
    planned(project, name="again.json")
    assert (project.path / "plan.json").read_bytes() == (project.path / "again.json").read_bytes()


def test_the_price_of_the_plan_is_the_cap_where_there_is_no_other(project):
    project.pipeline(["fox"], more="")
    assert project.run("run", "p.yaml").code == 2
    planned(project)
    assert applied(project).counts == (1, 0, 0)


def test_an_edit_that_changes_nothing_leaves_the_plan_good(project):
    project.pipeline(["fox", "owl"])
    planned(project)
    project.pipeline(["owl", "fox"], more="# a comment\nbudget: {usd: 5.00}")
    assert applied(project).counts == (2, 0, 0)


@pytest.mark.parametrize(
    ("words", "more", "said"),
    [
        (["fox", "elk"], "", "p/owl gone"),
        (["fox", "owl", "elk"], "", "cells that were not planned"),
        (["fox", "owl"], "defaults: {creativity: high}\n", "p/fox, p/owl changed"),
        (["fox", "owl"], 'out: "{{ w }}-new"\n', "paths of images"),
    ],
)
def test_a_plan_of_something_else_is_refused(project, words, more, said):
    project.pipeline(["fox", "owl"])
    planned(project)
    project.pipeline(words, more=f"budget: {{usd: 5}}\n{more}")
    assert said in refused(project)


def test_a_changed_reference_makes_the_plan_stale(project):
    project.write("ref.png", picture(size=(600, 600)))
    project.pipeline(["fox"], more="budget: {usd: 5}\nreferences: [{image: ref.png}]")
    planned(project)
    project.write("ref.png", picture(size=(601, 600)))
    assert "p/fox changed" in refused(project)


def test_what_was_cached_and_is_lost_is_not_sent(project):
    project.pipeline(["fox", "owl"])
    project.run("run", "p.yaml", "-k", "fox")
    planned(project)
    shutil.rmtree(project.home)
    (project.path / "p.lock.jsonl").unlink()
    assert "p/fox would now be sent" in refused(project)


def test_what_was_drawn_since_and_is_lost_is_read_again_and_not_sent(project, krea):
    project.pipeline(["fox"])
    planned(project)
    applied(project)
    for _ in range(2):
        shutil.rmtree(project.path / "out")
        for blob in project.blobs():
            blob.unlink()
        assert applied(project).counts == (1, 0, 0)
    assert len(krea.posts) == 1
    forget(krea, "fox")
    shutil.rmtree(project.path / "out")
    project.blobs()[0].unlink()
    assert applied(project).counts == (1, 0, 0)  # the plan was to send it
    assert len(krea.posts) == 2


def test_what_is_read_from_krea_is_sent_only_when_the_plan_file_says_that_it_may_be(project, krea):
    project.pipeline(["fox", "owl"])
    assert project.run("run", "p.yaml").code == 0
    plans = {}
    for name in ("reused", "read"):
        plans[name] = planned(project)
        shutil.rmtree(project.home, ignore_errors=True)
        shutil.rmtree(project.path / "out", ignore_errors=True)
    forget(krea, "fox", "owl")
    for plan, most in ((plans["reused"], "0.00"), (plans["read"], "0.06")):
        assert (plan["price_usd"], plan["at_most_usd"], plan["sends"]) == ("0.00", most, {})
    (project.path / "plan.json").write_text(json.dumps(plans["reused"]))
    done = applied(project, code=1)
    assert {row["error"]["code"] for row in done.rows.values()} == {"not_planned"}
    shutil.rmtree(project.home)
    (project.path / "plan.json").write_text(json.dumps(plans["read"]))
    assert (applied(project).counts, len(krea.posts)) == ((2, 0, 0), 4)


def test_a_plan_file_says_what_it_may_cost_where_only_krea_can_tell(project):
    project.pipeline(["fox", "owl"])
    assert project.run("run", "p.yaml").code == 0
    project.pipeline(["fox", "owl", "elk"])
    shutil.rmtree(project.home)
    shutil.rmtree(project.path / "out")
    said = project.run("plan", "p.yaml", "--out", "plan.json").out
    assert "sends only 1 request, and up to 2 more for images that Krea no longer has, for $0.03 to $0.09." in said
    project.pipeline(["fox"])
    said = project.run("plan", "p.yaml", "--out", "plan.json").out
    assert "sends at most 1 request, for images that Krea no longer has, for $0.00 to $0.03." in said


def forget(krea, *words):
    """Let Krea have no longer the jobs that it has for some words."""
    gone = [job_id for word in words for job_id in job_ids(krea, word)]
    for job_id in gone:
        krea.answer("GET", f"/jobs/{job_id}", 404, {"error": "Job not found"})
    change_list(krea, lambda jobs: [job for job in jobs if job["job_id"] not in gone])


def test_a_plan_with_a_limit_is_that_part_and_never_more(project):
    project.pipeline(["fox", "owl", "elk"])
    plan = planned(project, "--max-new", "2")
    assert (len(plan["sends"]), len(plan["cells"])) == (2, 2)
    assert applied(project).counts == (2, 0, 0)
    assert applied(project).counts == (0, 0, 2)
    assert len(project.krea.posts) == 2


def test_selected_cells_and_what_stood_over_the_file_are_in_the_plan(project):
    project.pipeline(["fox", "owl"])
    planned(project, "-k", "fox", "--set", "creativity=high")
    done = applied(project)
    assert [row["request"]["creativity"] for row in done.report["cells"]] == ["high"]
    assert done.counts == (1, 0, 0)


@pytest.mark.parametrize("words", [("--set", "creativity=high"), ("-k", "fox"), ("--only-failed",), ("--profile", "x")])
def test_options_that_stand_in_the_plan_are_refused(project, words):
    project.pipeline(["fox", "owl"])
    planned(project)
    assert words[0] in refused(project, *words, code="plan_file_options")


def test_a_plan_for_another_api_is_refused(project):
    project.pipeline(["fox"])
    planned(project, "--local")
    assert applied(project).json["target"] == "local"
    planned(project)
    assert "not for the local Krea" in refused(project, "--local", code="plan_file_target")
    done = project.run("run", "plan.json", "--json", env={"KREA_API_BASE": "http://127.0.0.1:9"})
    assert done.json["error"]["code"] == "plan_file_target"


def test_a_request_that_got_dearer_is_not_sent(project):
    project.pipeline(["fox"])
    planned(project)
    file = project.path / "plan.json"
    file.write_text(file.read_text().replace('"price_usd": "0.03"', '"price_usd": "0.01"'))
    assert "now costs $0.03" in refused(project)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("@1", "@9"),
        lambda text: text.replace('"cells"', '"cell"'),
        lambda text: text.replace('"0.03"', "NaN"),
        lambda text: text.replace('"max_cells": 100000', '"max_cells": -1'),
    ],
)
def test_a_damaged_plan_file_is_said_to_be_one(project, damage):
    project.pipeline(["fox"])
    planned(project)
    file = project.path / "plan.json"
    file.write_text(damage(file.read_text()))
    refused(project, code="bad_plan_file")


def test_a_pipeline_that_is_gone_is_named(project):
    project.pipeline(["fox"])
    planned(project)
    (project.path / "p.yaml").unlink()
    assert "does not exist" in refused(project, code="file_unreadable")


def test_a_held_request_is_in_the_plan_because_the_run_may_send_it(project, krea):
    inhabit(krea)
    project.pipeline(["fox"])

    async def act(scope, seen, send, app):
        """The list is there before the POST, and tells the time; afterwards it is not."""
        found = await ask(app, scope, seen) if not krea.posts else (404, {}, b"")
        await send_answer(send, *found)

    krea.rule("GET", "/jobs", act)
    krea.answer("POST", "/generate/", 502)
    assert project.run("run", "p.yaml").code == 1
    plan = planned(project)
    assert plan["price_usd"] == "0.03"
    file = project.path / "plan.json"
    text = file.read_text()
    file.write_text(json.dumps({**plan, "sends": {}}))
    krea.rules.clear()
    assert "was not planned" in refused(project)
    file.write_text(text)
    assert applied(project).counts == (1, 0, 0)
    assert krea.billed_prompts() == ["fox"]


def test_a_plan_overwrites_no_other_file(project):
    project.pipeline(["fox"])
    planned(project)
    planned(project)
    before = (project.path / "p.yaml").read_bytes()
    assert project.run("plan", "p.yaml", "--out", "p.yaml").code == 2
    assert (project.path / "p.yaml").read_bytes() == before


def test_a_stage_that_stands_above_its_source_comes_after_it(project):
    fine = "{for_each: rough, prompt: again, image: '{{ source.image }}'}"
    rough = "{prompt: fox, matrix: {seed: [1, 2]}}"
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 5}}\nstages:\n  fine: {fine}\n  rough: {rough}\n")
    assert set(planned(project, "--max-new", "3")["cells"]) == {"rough/s1", "rough/s2", "fine/s1"}
    assert applied(project).counts == (3, 0, 0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"vars": ["../secret.yaml"]}, "files below"),
        ({"pipeline": "/etc/passwd"}, "files below"),
        ({"pipeline": ""}, "a folder, not a file"),
        ({"set": ["budget.usd=50"]}, "budget"),
        ({"set": ["prompt=\ud800"]}, "not a complete plan file"),
        ({"pipeline": "a\0b"}, "not a complete plan file"),
    ],
)
def test_a_plan_file_is_no_more_than_a_plan_of_a_pipeline_here(project, change, said):
    project.pipeline(["fox"])
    (project.path.parent / "secret.yaml").write_text("word: hunter22\n")
    plan = planned(project)
    (project.path / "plan.json").write_text(json.dumps({**plan, **change}))
    before = len(project.krea.posts)
    done = applied(project, code=2)
    assert said in done.json["error"]["message"]
    assert "hunter22" not in done.text
    assert len(project.krea.posts) == before


def test_whoever_runs_a_plan_sees_what_stands_over_the_file(project):
    project.pipeline(["fox"])
    planned(project, "--set", "creativity=high")
    assert "p.yaml with --set creativity=high" in project.run("run", "plan.json").err
