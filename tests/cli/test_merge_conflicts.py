"""Marks of a merge conflict, in every file that is read, are named as such with their line."""

import subprocess

import pytest

HEAD = "version: 1\nname: p\nbudget: {usd: 9}\n"
CONFLICT = "<<<<<<< HEAD\n{}=======\n{}>>>>>>> night\n"


def conflict(ours, theirs):
    return CONFLICT.format(ours, theirs)


@pytest.fixture
def lamp(project):
    project.write("p.yaml", f"{HEAD}vars: {{mood: calm}}\nprompt: a lamp, {{{{ mood }}}}\nmatrix: {{seed: [1, 2]}}\n")
    return project


@pytest.mark.parametrize(
    "marks",
    [
        conflict("prompt: a lamp\n", "prompt: a vase\n"),
        conflict("prompt: a lamp\n", "prompt: a vase\n").replace("=====", "|||||||| base\n====="),
        "prompt: a lamp\n>>>>>>> night\n",
        "prompt: a lamp\n||||||| merged common ancestors\n",
    ],
)
def test_a_pipeline_with_marks_is_said_to_have_a_merge_conflict(project, marks):
    project.write("p.yaml", HEAD + marks)
    line = 4 + (not marks.startswith("<"))
    for command in ("validate", "plan", "run"):
        done = project.run(command, "p.yaml")
        assert (done.code, done.err.count("error:")) == (2, 1), done.text
        assert f"p.yaml:{line}:1: error: this is a merge conflict marker" in done.err
        assert "keep the correct parts of both sides" in done.err


def test_what_only_looks_like_a_mark_is_text(project):
    project.write("p.yaml", f"{HEAD}prompt: |\n  <<<<<<< a lamp\n  =======\n# =======\n")
    assert project.run("validate", "p.yaml").code == 0


def test_marks_that_git_wrote_in_a_real_merge_are_found(project):
    def git(*words):
        return subprocess.run(["git", *words], cwd=project.path, capture_output=True, text=True, check=False)

    git("init", "-q", "-b", "main")
    git("config", "user.email", "a@example.com")
    git("config", "user.name", "a")
    for branch, prompt in (("main", "a lamp"), ("night", "a lamp at night"), ("main", "a lamp at noon")):
        git("switch", "-q", branch) if branch == "main" else git("switch", "-q", "-c", branch)
        project.write("p.yaml", f"{HEAD}prompt: {prompt}\n")
        git("add", "p.yaml")
        git("commit", "-q", "-m", prompt)
    assert git("merge", "night").returncode == 1
    done = project.run("validate", "p.yaml")
    assert (done.code, "p.yaml:4:1: error: this is a merge conflict marker" in done.err) == (2, True), done.text


@pytest.mark.parametrize(
    ("name", "text", "words", "place"),
    [
        ("v.yaml", conflict("mood: dark\n", "mood: bright\n"), ["plan", "p.yaml", "--vars", "v.yaml"], "v.yaml:1:1: "),
        ("p.lock.jsonl", conflict("", ""), ["verify", "p.yaml"], "p.lock.jsonl:1:1: "),
        ("faults.yaml", f"rules: []\n{conflict('', '')}", ["serve", "--faults", "faults.yaml"], "faults.yaml:2:1: "),
        ("api.json", conflict("{}\n", "{}\n"), ["prices", "--check", "api.json"], "api.json:1:1: "),
    ],
)
def test_every_other_file_with_marks_is_named_with_the_line(lamp, name, text, words, place):
    lamp.write(name, text)
    done = lamp.run(*words)
    assert (done.code, f"{place}error: this is a merge conflict marker" in done.err) == (2, True), done.text


@pytest.mark.parametrize(
    ("axis", "text", "line"),
    [
        ("{csv: t.csv}", "id,text\na,b\n" + conflict("c,d\n", "c,e\n"), 3),
        ("{words: t.csv}", conflict("a\n", "b\n"), 1),
    ],
)
def test_tables_and_lists_with_marks_are_named_with_the_line(project, axis, text, line):
    project.write("t.csv", text)
    project.write("p.yaml", f"{HEAD}prompt: a {{{{ s }}}}\nmatrix: {{s: {axis}}}\n")
    done = project.run("validate", "p.yaml")
    assert (done.code, f"line {line} of t.csv is a merge conflict marker" in done.err) == (2, True), done.text


def test_a_plan_file_with_marks_is_said_to_have_a_merge_conflict(lamp):
    assert lamp.run("plan", "p.yaml", "--out", "plan.json").code == 0
    text = (lamp.path / "plan.json").read_text(encoding="utf-8")
    first, _, rest = text.partition("\n")
    lamp.write("plan.json", f"{first}\n<<<<<<< HEAD\n{rest}")
    done = lamp.run("run", "plan.json")
    assert (done.code, "plan.json:2:1: error: this is a merge conflict marker" in done.err) == (2, True), done.text
    assert "create a new plan" in done.err
