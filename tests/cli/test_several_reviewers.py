"""Several people decide: each line has a name, agreement is joined, and what they do not agree on is never guessed."""

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
  final:
    for_each: explore
    picks: {file: picks/explore.yaml, min: 1}
    promote: {variant: large}
"""
KEY = re.compile(r", key: \"?[0-9a-f]{16}\"?")


@pytest.fixture
def pick(project):
    """Decide about the lamps; the lines of the picks file, without their keys."""
    project.write("lamp.yaml", LAMP)

    def run(*words, code=0):
        done = project.run("pick", "lamp.yaml", "explore", *words)
        assert done.code == code, done.text
        return done.err if code else lines_of(project)

    return run


def lines_of(project):
    return KEY.sub("", (project.path / "picks/explore.yaml").read_text(encoding="utf-8")).splitlines()


def test_a_decision_has_the_name_of_git_and_as_names_somebody_else(project, pick):
    assert pick("slate/s1") == ["- {pick: explore/slate/s1}"]
    for words in (("init", "-q"), ("config", "user.name", "Ada  King ")):
        subprocess.run(["git", *words], cwd=project.path, check=True)
    assert pick("slate/s2", "--stars", "4", "--note", "calm")[1:] == [
        "- {pick: explore/slate/s2, stars: 4, note: calm, by: Ada King}"
    ]
    assert pick("oak/s1", "--reject", "--as", "Ben: he")[0] == "- {reject: explore/oak/s1, by: 'Ben: he'}"
    assert pick("oak/s2", "--as", "")[1] == "- {pick: explore/oak/s2}"


def test_each_person_has_a_decision_about_a_cell_and_changes_no_other(pick):
    pick("slate/s1", "--stars", "5", "--as", "Ada")
    pick("slate/s1", "--stars", "2", "--as", "Ben")
    assert pick("slate/s1", "--stars", "4", "--as", "Ada") == [
        "- {pick: explore/slate/s1, stars: 4, by: Ada}",
        "- {pick: explore/slate/s1, stars: 2, by: Ben}",
    ]
    assert pick("slate/s1", "--remove", "--as", "Ada") == ["- {pick: explore/slate/s1, stars: 2, by: Ben}"]
    said = pick("slate/s1", "--remove", "--as", "Ada", code=2)
    assert "explore/slate/s1 is neither picked nor rejected by Ada in explore.yaml" in said
    assert "decided by Ben; add --settle to remove everyone's decision" in said
    assert pick("slate/s1", "--remove", "--settle", "--as", "Ada") == []


def test_a_line_without_a_name_becomes_that_of_the_person_who_changes_it(pick):
    pick("slate/s1", "--stars", "1")
    assert pick("slate/s1", "--stars", "5", "--as", "Ada") == ["- {pick: explore/slate/s1, stars: 5, by: Ada}"]


def test_people_who_agree_are_one_pick_with_the_mean_of_their_stars(project, pick):
    pick("slate/s1", "--stars", "5", "--as", "Ada")
    pick("slate/s1", "--stars", "2", "--as", "Ben")
    pick("slate/s2", "--stars", "4", "--as", "Ben")
    pick("slate/s2", "--as", "Ada")
    assert project.plan("-k", "stage:final", file="lamp.yaml").keys() == {"s1", "s2"}
    # 3.5 stars are 4, as many as the other has: the first in the file stays, by everyone's line
    assert pick("--best-of", "seed") == [
        "- {pick: explore/slate/s1, stars: 5, by: Ada}",
        "- {pick: explore/slate/s1, stars: 2, by: Ben}",
    ]


def test_a_cell_that_people_do_not_agree_on_stops_what_needs_picks_and_names_both(project, pick):
    pick("slate/s1", "--as", "Ada")
    done = project.run("pick", "lamp.yaml", "explore", "slate/s1", "--reject", "--as", "Ben")
    message = "`explore/slate/s1` is picked by Ada on line 1 and rejected by Ben on line 2"
    assert (done.code, message in done.err, "warning" in done.err) == (0, True, True), done.text
    plan = project.run("plan", "lamp.yaml")
    assert (plan.code, f"picks/explore.yaml:2:3: error: {message}" in plan.err) == (2, True), plan.text
    hint = re.search(r"settle it: krea-pipe (pick lamp.yaml explore explore/slate/s1 --settle);", plan.err)
    assert project.run(*hint[1].split(), "--as", "Cy").code == 0
    assert lines_of(project) == ["- {pick: explore/slate/s1, by: Cy}"]
    assert project.run("plan", "lamp.yaml").code == 0


def test_a_dispute_is_not_exported(project, krea, pick):
    assert project.run("run", "lamp.yaml").code == 6
    pick("slate/s1", "--as", "Ada")
    pick("slate/s2", "--as", "Ada", "--stars", "3")
    pick("slate/s2", "--as", "Ben", "--note", "the shade")
    pick("slate/s1", "--reject", "--as", "Ben")
    done = project.run("export", "--picks", "--stage", "explore", "--out", "p.zip")
    assert (done.code, "is picked by Ada on line 1 and rejected by Ben on line 2" in done.err) == (2, True), done.text
    pick("slate/s1", "--reject", "--settle", "--as", "Ada")
    done = project.run("export", "--picks", "--stage", "explore", "--out", "p.zip", "--json")
    assert (done.code, done.json["images"]) == (0, 1), done.text


REVIEW = """\
- {pick: explore/slate/s1, stars: 5, note: this one, by: Ben}
- {reject: explore/oak/s1, by: Ben}
"""


def test_a_review_is_imported_and_other_decisions_stay(project, pick):
    pick("slate/s1", "--stars", "1", "--note", "no", "--as", "Ben")
    pick("slate/s1", "--as", "Ada")
    pick("oak/s2", "--as", "Ben")
    project.write("review.yaml", REVIEW)
    done = project.run("pick", "lamp.yaml", "explore", "--import", "review.yaml")
    assert (done.code, "Imported decisions by Ben: 1 new, 1 changed, 0 unchanged." in done.out) == (0, True), done.text
    assert lines_of(project) == [
        "- {reject: explore/oak/s1, by: Ben}",
        "- {pick: explore/oak/s2, by: Ben}",
        "- {pick: explore/slate/s1, by: Ada}",
        "- {pick: explore/slate/s1, stars: 5, note: this one, by: Ben}",
    ]
    before = (project.path / "picks/explore.yaml").read_bytes()
    done = project.run("pick", "lamp.yaml", "explore", "--import", "review.yaml", "--json")
    assert done.json["imported"] == {"by": "Ben", "new": 0, "changed": 0, "unchanged": 2}
    assert (project.path / "picks/explore.yaml").read_bytes() == before


def test_an_import_takes_stars_and_notes_away_where_the_reviewer_did(project, pick):
    pick("slate/s1", "--stars", "1", "--note", "no", "--as", "Ben")
    project.write("review.yaml", "- {pick: explore/slate/s1, by: Ben}\n")
    assert pick("--import", "review.yaml") == ["- {pick: explore/slate/s1, by: Ben}"]


def test_a_file_of_several_reviewers_needs_a_name_and_decisions_without_one_get_it(project, pick):
    project.write("review.yaml", f"{REVIEW}- {{pick: explore/oak/s2, by: Ada}}\n- {{pick: explore/slate/s2}}\n")
    said = pick("--import", "review.yaml", code=2)
    assert "review.yaml has decisions by Ada and Ben" in said
    assert "--as" in said
    assert pick("--import", "review.yaml", "--as", "Ada") == [
        "- {pick: explore/oak/s2, by: Ada}",
        "- {pick: explore/slate/s2, by: Ada}",
    ]


def test_what_cannot_be_imported_is_said_with_its_place(project, pick):
    project.write("review.yaml", f"{REVIEW}- {{pick: explore/elm/s1, by: Ben}}\n")
    done = project.run("pick", "lamp.yaml", "explore", "--import", "review.yaml")
    assert (done.code, "review.yaml:3:3: warning: `explore/elm/s1` is not a cell" in done.err) == (0, True), done.text
    assert "it is not imported" in done.err
    project.write("review.yaml", "- {reject: explore/elm/s1}\n- {pick: explore/oak/s1, by: Ben}\n")
    done = project.run("pick", "lamp.yaml", "explore", "--import", "review.yaml")
    assert (done.code, "review.yaml:1:3: warning: `explore/elm/s1` is not a cell" in done.err) == (0, True), done.text
    project.write("named.yaml", "- {pick: explore/oak/s1, by: Ben}\n")
    assert "named.yaml has no decisions by Zoe" in pick("--import", "named.yaml", "--as", "Zoe", code=2)
    project.write("none.yaml", "# nothing\n")
    assert "none.yaml has no decisions" in pick("--import", "none.yaml", code=2)
    assert "--stars and --import cannot be combined" in pick("--import", "review.yaml", "--stars", "2", code=2)
    assert "CELL and --import cannot be combined" in pick("oak", "--import", "review.yaml", code=2)


@pytest.mark.parametrize("name", ["a\nb", " Ada", "x" * 101])
def test_a_name_that_cannot_be_one_is_refused(project, pick, name):
    assert "is not a name on one line of up to 100 characters" in pick("oak/s1", "--as", name, code=2)
    text = name.replace("\n", "\\n")
    project.write("picks/explore.yaml", f'- {{pick: explore/oak/s1, by: "{text}"}}\n')
    said = pick("oak/s2", code=2)
    assert re.search(r"picks/explore.yaml:1:\d+: error: `by` must be a name on one line", said)


def test_one_person_who_decides_twice_is_told_so(project, pick):
    project.write("picks/explore.yaml", "- {pick: explore/oak/s1, by: Ada}\n- {reject: explore/oak/s1, by: Ada}\n")
    assert "`explore/oak/s1` is decided twice by Ada: picked on line 1, rejected on line 2" in pick("oak/s2", code=2)
