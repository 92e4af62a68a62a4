"""What `krea-pipe export --picks` delivers: the final image of each pick, under a name, with its decision beside it."""

import json
import zipfile

import pytest

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  explore:
    variant: medium-turbo
    prompt: a lamp on {{ surface }}
    matrix: {surface: [slate, oak], seed: [1, 2]}
  final: {for_each: explore, picks: picks/explore.yaml, promote: {variant: large}}
"""
PRINT = "  print: {for_each: final, picks: picks/final.yaml, promote: {creativity: high}}\n"
PICKED = """\
- {pick: explore/slate/s1, stars: 5, note: keep the droplets, by: Ada}
- {pick: explore/oak/s2, stars: 3, by: Ada}
- {pick: explore/oak/s2, stars: 4, by: Ben}
"""


@pytest.fixture
def lamp(project):
    project.write("lamp.yaml", LAMP)
    project.write("picks/explore.yaml", PICKED)
    run(project)
    return project


def run(project, *words, code=0):
    done = project.run("run", "lamp.yaml", "--local", *words)
    assert done.code == code, done.text


def export(project, *words):
    done = project.run("export", "--picks", "--out", "p.zip", "--json", *words)
    assert done.code == 0, done.text
    return done.json


def chains(project, *words):
    return [one["chain"] for one in export(project, *words)["taken"]]


def files(project):
    with zipfile.ZipFile(project.path / "p.zip") as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def cells(project):
    found = {}
    for file in sorted((project.home / "runs").glob("*/report.json")):
        found |= {one["id"]: one for one in json.loads(file.read_text(encoding="utf-8"))["cells"]}
    return found


def test_each_pick_is_followed_to_its_final_image_and_what_was_taken_is_listed(lamp):
    assert chains(lamp) == [["explore/slate/s1", "final/slate/s1"], ["explore/oak/s2", "final/oak/s2"]]
    packed = files(lamp)
    row = cells(lamp)["final/slate/s1"]
    (side,) = (one for one in map(json.loads, sidecars(packed)) if one["id"] == row["id"])
    assert (side["variant"], side["request"]["variant"]) == ("large", "large")
    assert (side["sha256"], side["job_id"]) == (row["sha256"], row["job_id"])
    assert (side["stars"], side["note"], side["by"]) == (5, "keep the droplets", "Ada")
    assert sum(name.endswith(".png") for name in packed) == 2
    said = lamp.run("export", "--picks", "--out", "p.zip").out
    assert "explore/slate/s1 → final/slate/s1" in said


def sidecars(packed):
    return [data for name, data in packed.items() if name.startswith("images/") and name.endswith(".json")]


def test_a_pick_is_followed_through_several_stages_as_far_as_it_was_promoted(lamp):
    lamp.write("lamp.yaml", LAMP + PRINT)
    lamp.write("picks/final.yaml", "- {pick: final/oak/s2, stars: 2}\n")
    run(lamp)
    assert chains(lamp) == [
        ["explore/slate/s1", "final/slate/s1"],
        ["final/oak/s2", "print/oak/s2"],
    ], "a pick of a final replaces that of its draft"
    assert chains(lamp, "--stage", "print", "--allow-missing", "--replace") == [["final/oak/s2", "print/oak/s2"]]


def test_the_drafts_are_exported_with_their_stage(lamp):
    assert chains(lamp, "--stage", "explore") == [["explore/slate/s1"], ["explore/oak/s2"]]
    assert chains(lamp, "--stage", "final", "-k", "surface=oak") == [["explore/oak/s2", "final/oak/s2"]]


def test_picks_of_a_stage_for_which_nothing_is_generated_are_taken_unchanged(project):
    project.write("lamp.yaml", LAMP.partition("  final:")[0])
    project.write("picks/explore.yaml", PICKED)
    run(project)
    assert chains(project) == [["explore/slate/s1"], ["explore/oak/s2"]]


def test_a_pick_that_is_not_promoted_yet_is_an_error_that_says_what_to_run(lamp):
    lamp.write("picks/explore.yaml", PICKED + "- {pick: explore/oak/s1}\n")
    done = lamp.run("export", "--picks", "--out", "p.zip")
    assert done.code == 2
    assert "1 pick has no final image in" in done.err
    assert "explore/oak/s1 (not yet in `final`)" in done.err
    assert "krea-pipe run lamp.yaml --local" in done.err
    assert not (lamp.path / "p.zip").exists()
    told = export(lamp, "--allow-missing")
    assert (told["images"], told["missing"]) == (2, ["explore/oak/s1"])
    run(lamp)
    assert export(lamp)["images"] == 3


def test_a_pick_whose_final_failed_is_an_error_that_names_it(project, krea):
    project.write("lamp.yaml", LAMP)
    project.write("picks/explore.yaml", PICKED)
    krea.answer("POST", "/generate/image/krea/krea-2/large", 422, {"error": "no"}, text="oak")
    assert project.run("run", "lamp.yaml").code == 1
    done = project.run("export", "--picks")
    assert done.code == 2
    assert "explore/oak/s2 (final/oak/s2: failed)" in done.err
    assert "krea-pipe run lamp.yaml`" in done.err
    assert export(project, "--allow-missing")["images"] == 1


def test_a_final_that_is_rejected_is_left_out_by_name(lamp):
    lamp.write("picks/final.yaml", "- {reject: final/oak/s2}\n")
    done = lamp.run("export", "--picks", "--out", "p.zip")
    assert (done.code, "explore/oak/s2 → final/oak/s2: left out" in done.err) == (0, True), done.text
    told = export(lamp)
    assert (told["images"], told["expected"], told["rejected"]) == (1, 1, ["final/oak/s2"])
