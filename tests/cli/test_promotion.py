"""Promotion: picked cells on another variant, as an edit of the file that a person can review."""

import json

import pytest
from krea_server import picture

PICKED = "stage: explore\npicks: [explore/slate/s1, explore/oak/s2]\n"

RICH = """\
version: 1
name: lamp
budget: {usd: 9}
references:
  look: {image: ref.png, strength: 0.4}
stages:
  explore:                        # what we look at
    prompt: "a lamp on {{ surface }}{% if seed == 2 %} at dusk{% endif %}"
    references: [look]
    creativity: low
    aspect_ratio: 4:5
    matrix: {surface: [slate, oak], seed: [1, 2]}
    patch: [{when: {surface: oak}, set: {creativity: high}}]

  chained: {for_each: explore, prompt: c, image: "{{ source.image }}", intensity: 20}   # of each

# the end
profiles: {draft: {defaults: {variant: medium-turbo}}}
"""


@pytest.fixture
def rich(project):
    project.write("ref.png", picture(seed="look", size=(600, 600)))
    return project.write("lamp.yaml", RICH)


def rows(project, *words, file="lamp.yaml"):
    done = project.run("expand", file, "--jsonl", *words)
    assert done.code == 0, done.text
    return {row["id"]: row for row in map(json.loads, done.out.splitlines())}


def promote(project, stage="explore", *words, to="large"):
    done = project.run("promote", "lamp.yaml", stage, "--to", to, *words)
    assert done.code == 0, done.text
    return done


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_diff_of_a_promotion_is_the_new_lines_alone(project, rich, newline):
    before = ("\ufeff" + RICH).replace("\n", newline).encode()
    rich.write_bytes(before)
    done = promote(project)
    old, new = before.decode().split(newline), rich.read_bytes().decode().split(newline)
    added = [line for line in new if line not in old]
    assert [line.split("#")[0].strip() for line in added] == [
        "explore-large:",
        "for_each: explore",
        "picks: picks/explore.yaml",
        "promote: {variant: large}",
    ]
    start = new.index(added[0])
    assert [*new[: start - 1], *new[start + 4 :]] == old or [*new[:start], *new[start + 5 :]] == old
    assert [line[1:] for line in done.out.splitlines() if line.startswith("+  ")] == added


def test_promoted_requests_differ_in_the_variant_alone(project, rich):
    project.write("picks/explore.yaml", PICKED)
    before = rows(project)
    promote(project)
    after = rows(project)
    assert {cell: after[cell] for cell in before} == before
    new = {cell.removeprefix("explore-large/"): row for cell, row in after.items() if cell not in before}
    assert list(new) == ["slate/s1", "oak/s2"]
    for cell, row in new.items():
        old = before[f"explore/{cell}"]
        assert row["request"] == {**old["request"], "variant": "large"}
        assert row["axes"] == old["axes"]
        assert row["key"] != old["key"]


def test_a_chained_cell_is_promoted_with_the_image_that_it_was_drawn_from(project, rich):
    project.write("picks/chained.yaml", "stage: chained\npicks: [chained/oak/s1]\n")
    promote(project, "chained")
    found = rows(project)
    old, new = found["chained/oak/s1"]["request"], found["chained-large/oak/s1"]["request"]
    assert new == {**old, "variant": "large"}
    assert new["image"]["image"] == f"key:{found['explore/oak/s1']['key']}"


def test_a_promotion_that_is_tried_writes_nothing(project, rich):
    done = promote(project, "explore", "--dry-run")
    assert "+  explore-large:" in done.out
    assert rich.read_text(encoding="utf-8") == RICH
    assert promote(project, "explore", "--dry-run", "--json").json["written"] is False
    assert rich.read_text(encoding="utf-8") == RICH


def test_running_draws_what_was_promoted_and_pays_for_nothing_again(project, krea, rich):
    project.write("picks/explore.yaml", PICKED)
    assert project.run("run", "lamp.yaml").code == 0
    paid = len(krea.posts)
    promote(project)
    done = project.run("run", "lamp.yaml", "--json")
    assert (done.code, done.counts) == (0, (2, 0, 8))
    assert [post.path.rpartition("/")[2] for post in krea.posts[paid:]] == [
        krea.posts[paid].path.rpartition("/")[2]
    ] * 2
    assert krea.posts[paid].path != krea.posts[0].path
    assert (project.path / "out/lamp/explore-large/oak/s2.png").exists()


def test_promoting_twice_needs_another_name_and_shares_its_requests(project, krea, rich):
    project.write("picks/explore.yaml", PICKED)
    promote(project)
    again = project.run("promote", "lamp.yaml", "explore", "--to", "large", "--json")
    assert (again.code, again.json["error"]["code"]) == (2, "name_taken")
    promote(project, "explore", "--name", "again")
    promote(project, "explore", "--name", "finals", to="medium-turbo")
    found = rows(project)
    assert found["explore-large/oak/s2"]["key"] == found["again/oak/s2"]["key"]
    assert found["finals/oak/s2"]["request"]["variant"] == "medium-turbo"
    new = project.run("plan", "lamp.yaml", "--json").json["totals"]["new"]
    assert new["requests"] == 8 + 2 + 2


def test_what_was_promoted_can_be_promoted_and_waits_for_picks_of_its_own(project, rich):
    project.write("picks/explore.yaml", PICKED)
    promote(project)
    promote(project, "explore-large", to="medium")
    assert project.run("run", "lamp.yaml", "--local").code == 6
    project.run("pick", "lamp.yaml", "explore-large", "oak")
    assert rows(project)["explore-large-medium/oak/s2"]["key"] == rows(project)["explore/oak/s2"]["key"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["exploer", "--to", "large"], "did you mean `explore`?"),
        (["explore", "--to", "lrge"], "'lrge' is not one of"),
        (["explore", "--to", "large", "--name", "a b"], "is not a valid stage name"),
        (["explore"], "--to"),
    ],
)
def test_what_can_not_be_promoted_is_said_and_the_file_stays(project, rich, words, message):
    done = project.run("promote", "lamp.yaml", *words)
    assert (done.code, message in done.err) == (2, True), done.text
    assert rich.read_text(encoding="utf-8") == RICH


def test_a_link_to_a_file_stays_a_link(project, rich):
    rich.rename(project.path / "real.yaml")
    rich.symlink_to("real.yaml")
    promote(project)
    assert rich.is_symlink()
    assert "explore-large" in (project.path / "real.yaml").read_text(encoding="utf-8")
