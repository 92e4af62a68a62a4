"""`krea-pipe reroll`: takes with other seeds, beside each other, and one of them as a patch of exactly one cell."""

import json

import pytest

from krea_pipe.core.request import canonical_json

LAMP = """\
version: 1
name: lamp
budget: {usd: 1.00}        # for one run
prompt: a lamp on {{ surface }}, {{ light }}
matrix:
  surface: [slate, oak]
  light: [dawn, noon]      # two

# the end
profiles: {draft: {defaults: {variant: medium-turbo}}}
"""
STAGES = """\
version: 1
name: lamp
budget: {usd: 5}
stages:
  draft:
    prompt: a lamp on {{ surface.word }}
    matrix: {surface: [{id: slate, word: grey slate}, {id: oak, word: pale oak}], seed: [1, 2]}
    patch:
    - when: {surface: slate}
      set: {creativity: high}   # why
  close: {for_each: draft, prompt: c, image: "{{ source.image }}"}
  final: {for_each: draft, promote: {variant: large}}
  one: {prompt: alone, seed: null}
"""


def rows(project, file="lamp.yaml"):
    done = project.run("expand", file, "--jsonl")
    assert done.code == 0, done.text
    return {row["id"]: row for row in map(json.loads, done.out.splitlines())}


def reroll(project, *words, code=0):
    done = project.run("reroll", "lamp.yaml", *words)
    assert done.code == code, done.text
    return done


@pytest.fixture
def lamp(project):
    file = project.write("lamp.yaml", LAMP)
    assert project.run("run", "lamp.yaml").code == 0
    return file


def test_takes_are_drawn_beside_the_original_and_a_higher_count_reuses_them(project, krea, lamp):
    lock = (project.path / "lamp.lock.jsonl").read_bytes()
    plan = reroll(project, "oak/dawn", "--plan", "--json").json
    assert (plan["price_usd"], plan["totals"]["new"]["requests"], len(krea.posts)) == ("0.12", 4, 4)
    assert plan["takes"] == [{"cell": "lamp/oak/dawn", "seed": 1, "given": 1, "takes": [2, 3, 4, 5]}]
    done = reroll(project, "oak/dawn", "--count", "2", "--json")
    report = done.report
    found = [(row["id"], row["axes"], row["request"]["seed"], row["status"]) for row in report["cells"]]
    assert found == [
        ("lamp/oak/dawn", {"surface": "oak", "light": "dawn", "seed": 1}, 1, "reused"),
        ("lamp/oak/dawn/s2", {"surface": "oak", "light": "dawn", "seed": 2}, 2, "succeeded"),
        ("lamp/oak/dawn/s3", {"surface": "oak", "light": "dawn", "seed": 3}, 3, "succeeded"),
    ]
    assert (report["pipeline"]["name"], report["view"]["rows"], report["view"]["columns"]) == (
        "lamp-reroll",
        ["surface", "light"],
        ["seed"],
    )
    images = [f"out/lamp/rerolls/lamp/oak/dawn/s{seed}.png" for seed in (1, 2, 3)]
    assert [row["image"].rpartition("out/")[2] for row in report["cells"]] == [one[4:] for one in images]
    assert all((project.path / image).is_file() for image in images)
    assert reroll(project, "lamp/oak/dawn", "--json").counts == (2, 0, 3)
    assert (project.path / "lamp.lock.jsonl").read_bytes() == lock
    assert lamp.read_text() == LAMP
    assert project.plan(file="lamp.yaml")["dawn"] == ("reuse", "cached")
    explained = project.run("explain", "lamp.yaml", "oak/dawn")
    assert "takes  seeds 2, 3, 4, 5; `krea-pipe reroll` shows them" in explained.out
    assert project.run("explain", "lamp.yaml", "oak/noon", "--json").json["takes"] == []
    text = reroll(project, "oak/dawn").out
    assert "krea-pipe reroll lamp.yaml lamp/oak/dawn --take SEED    SEED: 2, 3, 4, 5" in text


def test_a_limit_stops_a_reroll_as_it_stops_a_run(project, krea, lamp):
    done = reroll(project, "surface=oak", "--max-cost", "0.07", "--json", code=5)
    assert (done.json["error"]["code"], done.counts, len(krea.posts)) == ("limit_reached", (2, 0, 2), 6)
    assert reroll(project, "stage:lamp", "--count", "9", "--json", code=5).json["error"]["code"] == "over_budget"
    local = reroll(project, "surface=oak", "--local", "--count", "1", "--json")
    assert (local.counts, len(krea.posts)) == ((2, 0, 0), 6)  # no proof of an original yet
    assert (project.path / "proofs/lamp/rerolls/lamp/oak/noon/s2.png").is_file()
    assert "lamp/oak/dawn, lamp/oak/noon have no image yet" in reroll(project, "surface=oak", "--local").err


def test_a_take_becomes_a_patch_of_this_cell_alone_is_paid_and_can_be_taken_back(project, krea, lamp):
    before = rows(project)
    reroll(project, "oak/dawn", "--count", "2")
    dry = reroll(project, "oak/dawn", "--take", "3", "--dry-run")
    assert ("+patch:" in dry.out.splitlines(), lamp.read_text()) == (True, LAMP)
    done = reroll(project, "oak/dawn", "--take", "s3")
    patch = "patch:\n  - {when: {surface: oak, light: dawn}, set: {seed: 3}}\n"
    assert lamp.read_text() == LAMP.replace("# two\n", f"# two\n{patch}")
    assert "Its image is paid" in done.out
    assert "To go back: krea-pipe reroll lamp.yaml lamp/oak/dawn --take 1" in done.out
    after = rows(project)
    assert {one for one in after if after[one]["key"] != before[one]["key"]} == {"lamp/oak/dawn"}
    changed = {**before["lamp/oak/dawn"]["request"], "seed": 3}
    assert canonical_json(after["lamp/oak/dawn"]["request"]) == canonical_json(changed)
    run = project.run("run", "lamp.yaml", "--json")
    assert (run.code, run.counts, len(krea.posts)) == (0, (0, 0, 4), 6)
    again = reroll(project, "oak/dawn", "--count", "2", "--json").report["cells"]
    assert [(row["id"].removeprefix("lamp/oak/"), row["axes"]["seed"], row["status"]) for row in again] == [
        ("dawn/s1", 1, "reused"),
        ("dawn", 3, "reused"),
        ("dawn/s2", 2, "reused"),
    ]
    other = reroll(project, "oak/dawn", "--take", "2", "--json").json
    assert [other[name] for name in ("former", "seed", "given", "is_stored", "written")] == [3, 2, 1, True, True]
    assert lamp.read_text().count("seed:") == 1
    missing = reroll(project, "oak/noon", "--take", "77")
    assert "Its image is not stored, so the next run pays for it" in missing.out
    assert lamp.read_text().count("seed:") == 2
    for cell in ("oak/noon", "oak/dawn"):
        reroll(project, cell, "--take", "1")
    assert lamp.read_text() == LAMP
    assert "has the seed 1 already" in reroll(project, "oak/dawn", "--take", "1").out


@pytest.mark.parametrize(
    ("cell", "given", "patch"),
    [
        ("draft/slate/s2", 2, "    - {when: {surface: slate, seed: 2}, set: {seed: 4}}\n"),
        ("draft/oak/s1", 1, "    - {when: {surface: oak, seed: 1}, set: {seed: 4}}\n"),
        ("close/oak/s1", 1, "patch: [{when: {if: source.id == 'draft/oak/s1'}, set: {seed: 4}}]"),
        ("one", None, "patch: [{when: {if: 'true'}, set: {seed: 4}}]"),
    ],
)
def test_a_cell_of_any_stage_gets_its_own_patch(project, cell, given, patch):
    file = project.write("lamp.yaml", STAGES)
    before = rows(project)
    done = reroll(project, cell, "--take", "4", "--json").json
    assert (done["given"], done["is_stored"]) == (given, False)
    assert patch in file.read_text()
    after = rows(project)
    changed = [one for one in after if after[one]["key"] != before[one]["key"]]
    assert changed == [cell, *done["following"]]
    assert done["following"] == [cell.replace("draft", name) for name in ("close", "final") if "draft" in cell]
    reroll(project, cell, "--take", "none" if given is None else str(given))
    assert file.read_text() == STAGES


def test_what_cannot_be_rerolled_is_refused_where_it_stands(project, krea):
    file = project.write("lamp.yaml", STAGES + "  many: {prompt: m, seed: null, takes: 2}\n")
    promoted = reroll(project, "final/oak/s1", code=2)
    assert "lamp.yaml:12:3: error: final/oak/s1 has the seed of draft/oak/s1, which it promotes" in promoted.err
    assert "increase `takes:`" in reroll(project, "many", code=2).err
    assert (
        "draft/oak/s1, from which a take is generated, has no image yet" in reroll(project, "close/oak/s1", code=2).err
    )
    warned = reroll(project, "surface=oak and seed=1 and not stage:close", "--plan")
    assert "warning: final/oak/s1 has the seed of draft/oak/s1" in warned.err.replace("lamp.yaml:12:3: ", "")
    assert "no cell matches `elm`" in reroll(project, "elm", code=7).err
    several = reroll(project, "draft", "--take", "4", code=2)
    assert "--take is for one cell, and 4 match" in several.err
    assert file.read_text().startswith(STAGES)
    project.write("lamp.yaml", LAMP.replace("{{ light }}", "{{ light }}{% if seed > 1 %} at dusk{% endif %}"))
    seeded = reroll(project, "oak/dawn", code=2)
    assert "the seed of lamp/oak/dawn also decides its prompt" in seeded.err
    rule = "[{when: {light: dawn}, set: {creativity: high}}]"
    project.write("lamp.yaml", f"{LAMP}x-rules: &rules {rule}\npatch: *rules\n")
    unsafe = reroll(project, "oak/dawn", "--take", "4", code=2)
    assert "add to `patch:`: - {when: {surface: oak, light: dawn}, set: {seed: 4}}" in unsafe.err
    assert krea.posts == []
    for words in (["--dry-run"], ["--plan", "--take", "2"], ["--take", "x"], ["--take", "2147483648"]):
        reroll(project, "oak/dawn", *words, code=2)


def test_a_take_that_another_cell_has_is_warned_about(project):
    project.write("lamp.yaml", STAGES)
    done = reroll(project, "draft/oak/s1", "--take", "2")
    assert "now has the same request as draft/oak/s2" in done.err
    assert "The next run generates 2 cells from it: close/oak/s1, final/oak/s1" in done.out


def test_columns_of_takes_have_one_name_where_the_seed_is_an_axis(project):
    project.write("lamp.yaml", STAGES)
    assert project.run("run", "lamp.yaml", "-k", "stage:draft").code == 0
    done = reroll(project, "stage:draft", "--count", "1", "--json")
    assert done.counts == (4, 0, 4)
    cells = done.report["cells"]
    assert [(row["id"], row["axes"]["take"]) for row in cells[:2]] == [
        ("draft/slate/s1", "original"),
        ("draft/slate/s1/s3", 3),
    ]
    assert len({row["key"] for row in cells}) == 6  # cells that differ in the seed alone share their takes
    assert done.json["cost"]["spent_usd"] == "0.06"


FORMS = {
    "shorthand": ("prompt: a {{ s }}\nmatrix: {s: [x, y]}   # axes\n\n# end\nvars: {a: 1}\n"),
    "bracket": ("prompt: a {{ s }}\nmatrix: {s: [x, y]}\npatch: [{when: {s: y}, set: {intensity: 9}}]  # c\n"),
    "brackets over lines": (
        "prompt: a {{ s }}\nmatrix: {s: [x, y]}\npatch: [\n  {when: {s: y}, set: {intensity: 9}},  # c\n]\n"
    ),
    "no comma at the end": (
        "prompt: a {{ s }}\nmatrix: {s: [x, y]}\npatch: [\n  {when: {s: y}, set: {intensity: 9}}  # c\n]\n"
    ),
    "block": (
        "stages:\n    one:\n        prompt: a {{ s }}\n        matrix: {s: [x, y]}\n        patch:\n"
        "          # first\n          - when: {s: y}\n            set: {intensity: 9}   # why\n\n"
        "    two: {prompt: b}\n"
    ),
    "braces": ("stages: {one: {prompt: 'a {{ s }}', matrix: {s: [x, y]}}, two: {prompt: b}}\n"),
    "quoted": ('"prompt": "a {{ s }}"\n"matrix":\n    "s":\n    - x\n    - y\n'),
    "values": ("prompt: a {{ s }}\nmatrix: {s: ['x', 'no', 1.50, true, 1, 'a: b']}\n"),
}


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("form", FORMS)
def test_a_patch_is_written_in_the_form_of_the_file_and_removed_without_a_trace(project, form, end):
    text = ("\ufeffversion: 1\nname: p\n" + FORMS[form]).replace("\n", end)
    file = project.write("lamp.yaml", text)
    before = rows(project)
    cells = [cell for cell in before if not cell.startswith("two")]
    for number, cell in enumerate(cells):
        reroll(project, cell, "--take", str(8 + number))
    after = rows(project)
    assert [after[cell]["request"]["seed"] for cell in cells] == list(range(8, 8 + len(cells)))
    assert {cell: {**row["request"], "seed": 1} for cell, row in after.items()} == {
        cell: row["request"] for cell, row in before.items()
    }
    edited = file.read_bytes().decode()
    assert edited.count("\n") == edited.count(end)
    old, new = text.split(end), edited.split(end)
    if "[" not in text.partition("patch")[2] and form != "braces":
        assert [line for line in new if line in old] == old
    reroll(project, cells[0], "--take", "20")
    for cell in cells:
        reroll(project, cell, "--take", "1")
    assert file.read_bytes().decode() == text


def test_a_patch_that_would_change_another_cell_is_not_written(project):
    text = 'version: 1\nname: p\nprompt: "a {{ s }}{{ n | default(0) }}"\nmatrix: [{s: [x]}, {s: [x], n: [1]}]\n'
    file = project.write("lamp.yaml", text)
    refused = reroll(project, "p/x", "--take", "4", code=2)
    assert "a patch for p/x would also change p/x/1" in refused.err
    assert "- {when: {s: x}, set: {seed: 4}}" in refused.err
    assert file.read_text() == text
    assert reroll(project, "p/x/1", "--take", "4", "--json").json["written"]


def test_the_cells_that_fail_a_check_can_be_rerolled(project):
    text = LAMP.replace("matrix:", "checks: [{measure: width, min: 9000, name: big}]\nmatrix:")
    project.write("lamp.yaml", text)
    assert "no cell is named" in reroll(project, code=2).err
    assert reroll(project, "--failed-checks", code=7).out == ""
    assert project.run("run", "lamp.yaml", "--local", "-k", "light=dawn").code in (0, 9)
    takes = reroll(project, "--failed-checks", "--local", "--plan", "--json").json["takes"]
    assert [one["cell"] for one in takes] == ["lamp/slate/dawn", "lamp/oak/dawn"]
    takes = reroll(project, "surface=oak", "--failed-checks", "--local", "--plan", "--json").json["takes"]
    assert [one["cell"] for one in takes] == ["lamp/oak/dawn"]
    assert reroll(project, "check:big", "--local", "--plan", "--json").json["takes"][0]["cell"] == "lamp/slate/dawn"


@pytest.mark.parametrize("named", ["take", "cell"])
def test_a_pick_follows_the_take_and_its_final_image_with_it(project, named):
    stages = (
        'stages:\n  draft: {prompt: "a {{ s }}", matrix: {s: [x, y]}}\n'
        "  final: {for_each: draft, picks: picks/draft.yaml, promote: {variant: large}}\n"
    )
    project.write("lamp.yaml", f"version: 1\nname: lamp\n{stages}")
    report = reroll(project, "draft/x", "--local", "--count", "1", "--json").report
    take = report["cells"][0]
    cell = take["id"] if named == "take" else "draft/x"
    project.write("picks/draft.yaml", f"- {{pick: {cell}, stars: 5, key: {take['key'][:16]}}}\n")
    before = rows(project)
    done = reroll(project, "draft/x", "--local", "--take", "2", "--json").json
    assert done["following"] == ["final/x"]
    after = rows(project)
    assert after["final/x"]["request"]["seed"] == 2
    assert {one for one in after if after[one] != before.get(one)} == {"draft/x", "final/x"}


def test_a_reroll_is_not_the_latest_run_of_its_pipeline_unless_it_is_named(project):
    project.write("lamp.yaml", LAMP)
    run = project.run("run", "lamp.yaml", "--local", "--json").json["run_id"]
    takes = reroll(project, "oak/dawn", "--local", "--count", "1", "--json").json["run_id"]
    for word, found in (("lamp.yaml", run), ("lamp", run), ("lamp-reroll", takes), (takes, takes)):
        assert found in project.run("report", word).out, word
