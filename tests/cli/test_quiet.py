"""What a run says while it works: nothing but errors with `--quiet`, and JSON lines alone with `--log-format json`."""

import json
import re

import pytest
from krea_server import GENERATE


def warned(project, words):
    """A pipeline that has a warning."""
    project.pipeline(words, more="budget: {usd: 5}\nstyles: {unused: {id: st_1}}")
    assert "warning" in project.run("plan", "p.yaml").err


def lines_of(done):
    """stderr, each line of which is a JSON object."""
    found = [json.loads(line) for line in done.err.splitlines()]
    for line in found:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z", line["t"])
        assert line["level"] in ("info", "warning", "error")
        assert line["event"]
        assert line["message"]
    return found


def test_a_quiet_run_that_goes_well_says_nothing(project, krea):
    warned(project, ["a", "b"])
    done = project.run("run", "p.yaml", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")
    assert krea.billed_prompts() == ["a", "b"]
    assert project.image("a").is_file()


def test_a_quiet_run_prints_its_json_alone(project):
    warned(project, ["a"])
    done = project.run("run", "p.yaml", "--quiet", "--json")
    assert (done.code, done.counts, done.err) == (0, (1, 0, 0), "")


def test_a_quiet_run_says_what_failed_and_keeps_its_exit_code(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no sea here"}, text="sea")
    project.pipeline(["sea", "b"])
    done = project.run("run", "p.yaml", "-q")
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert line.startswith("failed p/sea: ")
    assert "no sea here" in line
    krea.rules.clear()
    krea.answer("POST", GENERATE, 402, {"message": "empty"})
    done = project.run("run", "p.yaml", "-q")
    assert (done.code, done.out) == (4, "")
    assert [line for line in done.err.splitlines() if not line.startswith("  hint")] == [
        "error: Krea refused this account: 402 empty"
    ]
    done = project.run("run", "p.yaml", "-q", env={"KREA_API_KEY": None})
    assert (done.code, done.out, done.err.splitlines()[0]) == (4, "", "error: there is no API key")


def test_every_line_of_a_json_log_is_an_object_and_stdout_stays_as_it_is(project, krea):
    warned(project, ["a", "bad"])
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text="bad")
    done = project.run("run", "p.yaml", "--log-format", "json")
    assert done.code == 1
    assert done.out.splitlines()[0].startswith("2 images: 1 rendered, 1 failed.")
    lines = lines_of(done)
    assert [(line["level"], line["event"]) for line in lines if line["event"] != "progress"] == [
        ("warning", "problem"),
        ("error", "cell"),
    ]
    assert lines[0]["code"] == "unused_definition"
    assert lines[0]["at"]["line"] == 5
    progress = {line["status"]: line for line in lines if line["event"] == "progress"}
    assert {status: line["code"] for status, line in progress.items()} == {"succeeded": None, "failed": "rejected"}
    last = max(progress.values(), key=lambda line: line["done"])
    assert (last["done"], last["total"], last["failed"], last["spent_usd"]) == (2, 2, 1, "0.03")
    assert (lines[-1]["cell"], lines[-1]["code"]) == ("p/bad", "rejected")


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "p.yaml", "--set", "budget.usd=0.01", "--log-format", "json"), "over_budget"),
        (("run", "p.yaml", "--log-format=json", "--nonsense"), "usage"),
        (("run", "none.yaml", "--log-format", "json"), "file_unreadable"),
    ],
)
def test_errors_are_objects_of_a_json_log_too(project, words, code):
    project.pipeline(["a"])
    done = project.run(*words)
    (line,) = lines_of(done)
    assert (line["level"], line["event"], line["code"]) == ("error", "problem", code)
    both = project.run(*words, "--json")
    assert both.json["error"]["code"] == code
    assert lines_of(both)[0]["code"] == code


def test_a_json_log_holds_no_annotations_and_no_bar(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--log-format", "json", env={"KREA_PIPE_ANNOTATIONS": "github"})
    assert [line["event"] for line in lines_of(done)] == ["progress", "cell"]
