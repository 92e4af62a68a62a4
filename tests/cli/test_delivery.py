"""What `krea-pipe export --picks` delivers: the final image of each pick, under a name, with its decision beside it."""

import csv
import json
import shutil
import subprocess
import zipfile
from xml.etree import ElementTree

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


def table(packed):
    return list(csv.DictReader(packed["images.csv"].decode("utf-8-sig").splitlines()))


def pictures(packed):
    return sorted(name.removeprefix("images/") for name in packed if name.endswith(".png"))


def names(project, template, *words):
    export(project, "--names", template, *words)
    return pictures(files(project))


DESCRIPTION = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
RATING = "{http://ns.adobe.com/xap/1.0/}Rating"
IPTC = "{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"


def description(data):
    (found,) = ElementTree.fromstring(data.decode()).iter(DESCRIPTION)
    return found


def test_after_promote_the_finals_are_exported_and_no_draft(project):
    project.write("lamp.yaml", LAMP.partition("  final:")[0])
    run(project)
    assert project.run("pick", "lamp.yaml", "explore", "slate", "--stars", "4").code == 0
    assert project.run("promote", "lamp.yaml", "explore", "--to", "large").code == 0
    run(project)
    assert [one[-1] for one in chains(project)] == ["explore-large/slate/s1", "explore-large/slate/s2"]
    assert {one["variant"] for one in table(files(project))} == {"large"}


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


def test_of_several_finals_of_a_draft_the_picked_one_is_taken(project):
    finals = "picks/explore.yaml, promote: {variant: large}, matrix: {creativity: [low, high]}}"
    project.write("lamp.yaml", LAMP.replace("picks/explore.yaml, promote: {variant: large}}", finals))
    project.write("picks/explore.yaml", PICKED)
    run(project)
    assert len(chains(project)) == 4
    project.write("picks/final.yaml", "- {pick: final/slate/s1/low}\n")
    assert chains(project, "--replace") == [
        ["final/slate/s1/low"],
        ["explore/oak/s2", "final/oak/s2/low"],
        ["explore/oak/s2", "final/oak/s2/high"],
    ]


def test_a_draft_that_a_rule_excludes_from_the_finals_is_exported_itself(project):
    rule = """matrix: {creativity: [low]}, exclude: [{if: "source.axes.surface == 'oak'"}]"""
    project.write("lamp.yaml", LAMP.replace("{variant: large}}", f"{{variant: large}}, {rule}}}"))
    project.write("picks/explore.yaml", PICKED)
    run(project)
    assert chains(project) == [["explore/oak/s2"], ["explore/slate/s1", "final/slate/s1/low"]]


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
    project.write("lamp.yaml", LAMP + PRINT.replace("picks: picks/final.yaml, ", ""))
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


def test_images_of_picks_are_in_one_folder_under_names_of_their_cells(lamp):
    export(lamp)
    assert pictures(files(lamp)) == ["oak-s2.png", "slate-s1.png"]


def test_images_of_two_stages_with_one_name_get_that_of_their_stage_too(project):
    other = "  other: {prompt: '{{ surface }} lamp', matrix: {surface: [slate, tin], seed: [1]}}\n"
    project.write("lamp.yaml", LAMP + other)
    project.write("picks/explore.yaml", PICKED)
    project.write("picks/other.yaml", "- {pick: other/slate/s1}\n- {pick: other/tin/s1}\n")
    run(project)
    export(project)
    assert pictures(files(project)) == ["final-slate-s1.png", "oak-s2.png", "other-slate-s1.png", "tin-s1.png"]


def test_a_template_names_the_images_by_axes_request_source_and_decision(lamp):
    assert names(lamp, "{{ surface }}-{{ seed }}") == ["oak-2.png", "slate-1.png"]
    assert names(lamp, "{{ pipeline }}_{{ stage }}_{{ cell }}_{{ variant }}.png") == [
        "lamp_final_oak-s2_large.png",
        "lamp_final_slate-s1_large.png",
    ]
    assert names(lamp, "{{ stars }} {{ by | slug }} {{ source.axes.surface | upper }} {{ source.variant }}") == [
        "4 ada-ben OAK medium-turbo.png",
        "5 ada SLATE medium-turbo.png",
    ]
    assert lamp.run("export", "--names", "{{ stage }}-{{ cell }}", "--out", "all.zip").code == 0
    both = lamp.run("export", "--names", "{{ cell }}", "--out", "both.zip")
    assert (both.code, "add {{ stage }} to the template" in both.err) == (2, True), both.text


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("lamp", "explore/slate/s1 and explore/oak/s2 would both be named lamp"),
        ("{{ 'A' if seed == 1 else 'a' }}", "add {{ surface }} to the template"),
        ("{{ surfce }}", "`surfce` is not defined\n  hint: the names are variant, prompt, "),
        ("{{ surface", "--names"),
        ("{{ surface }}/{{ seed }}", 'the name "slate/1" has a /'),
        ("{{ surface }}:{{ seed }}", "some file systems refuse"),
        ("{{ '' }}", "the name is empty"),
    ],
)
def test_a_template_that_gives_no_unique_usable_names_is_an_error(lamp, template, message):
    done = lamp.run("export", "--picks", "--stage", "explore", "--out", "p.zip", "--names", template)
    assert (done.code, message in done.err) == (2, True), done.text
    assert not (lamp.path / "p.zip").exists()


def test_a_table_lists_the_images_with_decision_and_price_also_if_an_earlier_run_paid(project, krea):
    project.write("lamp.yaml", LAMP)
    project.write("picks/explore.yaml", PICKED)
    for _ in range(2):
        assert project.run("run", "lamp.yaml").code == 0
    export(project)
    first, second = table(files(project))
    row = cells(project)["final/slate/s1"]
    assert row["status"] == "reused"
    assert first == {
        "name": "slate-s1.png",
        "id": "final/slate/s1",
        "stars": "5",
        "note": "keep the droplets",
        "by": "Ada",
        "variant": "large",
        "seed": "1",
        "job_id": row["job_id"],
        "sha256": row["sha256"],
        "price_usd": "0.06",
    }
    assert (second["name"], second["stars"], second["by"]) == ("oak-s2.png", "4", "Ada, Ben")


def test_a_note_can_not_be_a_formula_in_the_table(lamp):
    lamp.write("picks/explore.yaml", "- {pick: explore/slate/s1, note: '=1+1'}\n")
    run(lamp)
    export(lamp)
    assert [one["note"] for one in table(files(lamp))] == ["'=1+1"]


def test_stars_and_the_origin_are_in_xmp_beside_each_image(project, krea):
    project.write("lamp.yaml", LAMP.replace("a lamp on", "a <lamp> & more on"))
    project.write("picks/explore.yaml", PICKED + "- {pick: explore/slate/s2}\n")
    assert project.run("run", "lamp.yaml").code == 0
    export(project)
    packed = files(project)
    found = description(packed["images/slate-s1.xmp"])
    assert (found.get(RATING), description(packed["images/oak-s2.xmp"]).get(RATING)) == ("5", "4")
    kind = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
    assert found.get(f"{IPTC}DigitalSourceType") == kind
    assert found.findtext(f"{IPTC}AIPromptInformation") == "a <lamp> & more on slate\nSeed: 1"
    assert description(packed["images/slate-s2.xmp"]).get(RATING) is None, "no stars"
    run(project)
    export(project)
    assert (
        description(files(project)["images/slate-s1.xmp"]).get(f"{IPTC}DigitalSourceType").endswith("/algorithmicMedia")
    ), "a proof comes from no trained model"


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="needs exiftool")
def test_exiftool_reads_the_stars(lamp):
    export(lamp)
    lamp.write("slate-s1.xmp", files(lamp)["images/slate-s1.xmp"])
    told = subprocess.run(
        ["exiftool", "-j", "-n", "slate-s1.xmp"], cwd=lamp.path, capture_output=True, check=True, timeout=60
    )
    (found,) = json.loads(told.stdout)
    assert (found["Rating"], found["Description"]) == (5, "a lamp on slate")
    assert found["DigitalSourceType"].endswith("/algorithmicMedia")
