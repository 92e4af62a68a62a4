"""Picks of two branches, merged by git: both are kept, each means what it meant, and what contradicts is said."""

import re
import subprocess

import pytest

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  explore:
    prompt: a lamp on {{ surface }}
    matrix: {surface: [slate, oak], seed: [1, 2]}
"""
OLD_FORM = "# ours\nstage: explore\npicks:\n  - {id: explore/slate/s1, stars: 4}\nrejected:\n  - explore/oak/s1\n"
RULE = "picks/*.yaml merge=union\n"


class Repository:
    """A project in git with two branches."""

    def __init__(self, project):
        self.project = project
        self.git("init", "-q", "-b", "main")
        self.git("config", "user.email", "a@example.com")
        self.git("config", "user.name", "a")
        project.write("lamp.yaml", LAMP)
        project.write(".gitignore", ".krea-pipe/\n")
        self.commit()

    def git(self, *words, code=0):
        done = subprocess.run(["git", *words], cwd=self.project.path, capture_output=True, text=True, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def commit(self):
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")

    def pick(self, *words):
        done = self.project.run("pick", "lamp.yaml", "explore", *words)
        assert done.code == 0, done.text
        return done

    def decide(self, branch, *decisions):
        """Decide on a branch of its own, and go back."""
        self.git("switch", "-q", "-c", branch)
        for words in decisions:
            self.pick(*words)
        self.commit()
        self.git("switch", "-q", "main")

    def merge(self, *branches):
        for branch in branches:
            self.git("merge", "-q", "--no-edit", branch)
        return self.decisions()

    def decisions(self):
        text = (self.project.path / "picks/explore.yaml").read_text(encoding="utf-8")
        return re.sub(r"(?:, by: a)?, key: \"?[0-9a-f]{16}\"?", "", text).splitlines()


@pytest.fixture
def repository(project):
    return Repository(project)


def test_two_branches_that_pick_different_cells_merge_and_both_picks_are_there(repository):
    repository.decide("a", ["slate/s1", "--stars", "5"])
    repository.decide("b", ["oak/s2", "--stars", "3"])
    assert sorted(repository.merge("a", "b")) == [
        "- {pick: explore/oak/s2, stars: 3}",
        "- {pick: explore/slate/s1, stars: 5}",
    ]
    assert repository.pick("slate/s2").out.count("★") == 8
    assert len(repository.decisions()) == 3


def test_neighbouring_lines_merge_and_each_decision_keeps_its_meaning(repository):
    repository.pick("slate/s1")
    repository.commit()
    repository.decide("a", ["slate/s2", "--stars", "2"], ["oak/s1"])
    repository.decide("b", ["oak/s2", "--reject", "--note", "too dark"])
    assert sorted(repository.merge("a", "b")) == [
        "- {pick: explore/oak/s1}",
        "- {pick: explore/slate/s1}",
        "- {pick: explore/slate/s2, stars: 2}",
        "- {reject: explore/oak/s2, note: too dark}",
    ]


def test_branches_that_both_write_a_file_of_the_first_form_anew_merge(repository):
    repository.project.write("picks/explore.yaml", OLD_FORM)
    repository.commit()
    repository.decide("a", ["slate/s2"])
    repository.decide("b", ["oak/s2", "--reject"])
    repository.merge("a", "b")  # git keeps lines that both sides have twice where it cannot line them up
    repository.pick("slate/s1")
    assert sorted(repository.decisions()) == [
        "# ours",
        "- {pick: explore/slate/s1, stars: 4}",
        "- {pick: explore/slate/s2}",
        "- {reject: explore/oak/s1}",
        "- {reject: explore/oak/s2}",
    ]


def test_branches_that_decide_the_same_merge_into_one_decision(repository):
    repository.decide("a", ["slate/s1", "--stars", "5"], ["slate/s2"])
    repository.decide("b", ["slate/s1", "--stars", "5"], ["oak/s2"])
    repository.merge("a", "b")
    assert repository.pick("oak/s1", "--reject").out.count("★") == 5
    assert sum("slate/s1" in line for line in repository.decisions()) == 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--reject"], ["picked with 5 stars on line", "rejected on line"]),
        (["--stars", "2"], ["picked with 5 stars on line", "picked with 2 stars on line"]),
    ],
)
def test_a_cell_that_two_branches_decide_otherwise_is_an_error_that_names_both_lines(repository, words, said):
    repository.pick("oak/s1")
    repository.commit()
    repository.decide("a", ["slate/s1", "--stars", "5"])
    repository.decide("b", ["slate/s1", *words])
    repository.merge("a", "b")
    lines = [number for number, line in enumerate(repository.decisions(), 1) if "slate/s1" in line]
    assert len(lines) == 2
    done = repository.project.run("pick", "lamp.yaml", "explore", "oak/s2")
    assert (done.code, "`explore/slate/s1` is decided twice" in done.err) == (2, True), done.text
    assert all(word in done.err for word in said)
    assert f"picks/explore.yaml:{lines[1]}:3: error" in done.err
    assert {int(one) for one in re.findall(r"on line (\d+)", done.err)} == set(lines)


def test_one_request_that_is_decided_under_two_names_is_an_error_that_names_both_lines(repository):
    repository.pick("oak/s1")
    repository.commit()
    repository.decide("a", ["slate/s1", "--stars", "5"])
    repository.project.write(
        "lamp.yaml", LAMP.replace("surface: [slate, oak], seed: [1, 2]", "seed: [1, 2], surface: [slate, oak]")
    )
    repository.commit()
    repository.decide("b", ["s1/slate", "--reject"])
    repository.merge("a", "b")
    done = repository.project.run("pick", "lamp.yaml", "explore", "s2/oak")
    assert (done.code, "one request is decided twice" in done.err) == (2, True), done.text
    assert {int(one) for one in re.findall(r"on line (\d+)", done.err)} == {2, 3}


def test_a_picks_file_and_a_pipeline_that_git_has_renamed_keep_their_decisions(repository):
    project = repository.project
    project.write("vase.yaml", "version: 1\nprompt: a vase on {{ s }}\nmatrix: {s: [slate, oak]}\n")
    assert project.run("pick", "vase.yaml", "vase", "oak", "--stars", "2").code == 0
    repository.commit()
    repository.git("mv", "vase.yaml", "jug.yaml")
    repository.git("mv", "picks/vase.yaml", "picks/jug.yaml")
    done = project.run("pick", "jug.yaml", "jug", "oak", "--note", "calm")
    assert (done.out, done.err) == ("★★     jug/oak  calm  (a)\n1 pick in picks/jug.yaml\n", "")


def test_marks_of_a_conflict_in_a_picks_file_are_named_with_their_line(repository):
    repository.project.write(".gitattributes", "picks/*.yaml merge=text\n")
    repository.pick("oak/s1")
    repository.commit()
    repository.decide("a", ["slate/s1"])
    repository.decide("b", ["slate/s2"])
    repository.merge("a")
    repository.git("merge", "-q", "b", code=1)
    done = repository.project.run("pick", "lamp.yaml", "explore", "oak/s2")
    assert (done.code, "picks/explore.yaml:2:1: error: this is a merge conflict marker" in done.err) == (2, True)
    assert "`picks/*.yaml merge=union` in .gitattributes does that" in done.err


# --- .gitattributes


def attributes(project, name=".gitattributes"):
    return (project.path / name).read_text(encoding="utf-8")


def test_a_first_pick_writes_the_rule_for_git_and_says_so_once(repository):
    done = repository.pick("oak/s1")
    assert done.err == "added a line to .gitattributes, so that git merges picks line by line; commit it\n"
    assert attributes(repository.project) == RULE
    assert repository.pick("oak/s2").err == ""
    assert attributes(repository.project) == RULE


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("*.png binary", f"*.png binary\n{RULE}"),
        ("*.yaml merge=ours\n", "*.yaml merge=ours\n"),
        ("picks/* merge=union\n", "picks/* merge=union\n"),
    ],
)
def test_what_is_said_of_merging_already_stays(repository, before, after):
    repository.project.write(".gitattributes", before)
    repository.pick("oak/s1")
    assert attributes(repository.project) == after


def test_the_rule_names_the_folder_of_the_picks_below_the_top_or_the_file_alone(repository):
    repository.project.write("my lamps/lamp.yaml", LAMP)
    repository.project.run("pick", "my lamps/lamp.yaml", "explore", "oak/s1")
    repository.project.run("pick", "lamp.yaml", "explore", "oak/s1", "--to", "chosen [1].yaml")
    assert (
        attributes(repository.project)
        == '"my lamps/picks/*.yaml" merge=union\n"/chosen \\\\[1\\\\].yaml" merge=union\n'
    )
    for name in ("my lamps/picks/explore.yaml", "chosen [1].yaml"):
        assert repository.git("check-attr", "merge", "--", name).endswith("merge: union\n")


def test_outside_of_a_repository_no_rule_is_written(project):
    project.write("lamp.yaml", LAMP)
    assert project.run("pick", "lamp.yaml", "explore", "oak/s1").err == ""
    assert not (project.path / ".gitattributes").exists()


def test_a_link_in_place_of_the_rules_is_left_alone(repository, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "attributes"
    elsewhere.write_text("")
    (repository.project.path / ".gitattributes").symlink_to(elsewhere)
    repository.pick("oak/s1")
    assert elsewhere.read_text() == ""


def test_init_writes_the_rules_for_picks_and_lock_files(project):
    assert project.run("init", "--json").json["attributes"] == ["picks/*.yaml merge=union", "*.lock.jsonl merge=union"]
    assert attributes(project) == f"{RULE}*.lock.jsonl merge=union\n"
