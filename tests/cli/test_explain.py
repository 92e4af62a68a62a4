"""What `explain` says of one cell: who sets each value and where, the prompt, the key, and what a run would do."""

import hashlib
import json

import click
import pytest
from krea_server import picture

from krea_pipe.app.flow import RunOptions, load_pipeline, plan_run
from krea_pipe.cli.commands.explain import explanation_text
from krea_pipe.core.settings import LOCAL_TARGET
from krea_pipe.matrix.selecting import find_cell
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.template import paths_in
from krea_pipe.planning.explain import explain_cell
from krea_pipe.store.space import open_space

FILE = """version: 1
name: autumn
budget: {usd: 12}
vars: {brand: Aurelle, mood: "calm {{ brand }}"}
defaults: {variant: medium, aspect_ratio: 4:5, creativity: high, moodboard: m}
moodboards:
  m: {id: 3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90}
references:
  brand: {images: ["refs/a.png", "refs/b.png"], strength: 0.5}
looks:
  plain: {}
  brand: {references: [brand], intensity: 20}
axes:
  light:
    - {id: dawn, text: low light, set: {creativity: low}}
    - {id: neon, text: street light}
prompts:
  hero: "{{ brand }} {{ light.text }}{% if seed == 2 %}, again{% endif %}, {{ mood }}"
stages:
  explore:
    prompt: hero
    complexity: 5
    matrix:
      light: all
      look: [plain, brand]
      seed: {count: 2}
    patch:
      - {when: {light: neon, look: brand}, set: {complexity: 9}}
  ladder:
    prompt: hero
    with: {light: dawn, look: brand, seed: 41}
    matrix:
      references.brand.strength: [0.1, 0.9]
      creativity: [raw, medium]
    include:
      - {references.brand.strength: 0.3, creativity: raw}
  formats:
    for_each: explore
    picks: picks.yaml
    prompt: "{{ source.prompt }}, {{ format.crop }}"
    references: [{image: "{{ source.image }}", strength: 0.7}, brand]
    matrix:
      format: [{id: wide, aspect_ratio: 16:9, crop: "wide, empty"}]
  large:
    for_each: formats
    promote: {variant: large}
profiles:
  draft: {defaults: {movement: 3}, stages: {explore: {variant: medium-turbo}}}
"""
PICKS = "stage: explore\npicks:\n  - {id: explore/dawn/brand/s1, stars: 4, note: keep the light}\n"


@pytest.fixture
def autumn(project):
    for name in "ab":
        project.write(f"refs/{name}.png", picture(seed=name, size=(600, 600)))
    project.write("picks.yaml", PICKS)
    project.write("p.yaml", FILE)
    return project


def explained(project, cell, *words):
    done = project.run("explain", "p.yaml", cell, "--json", *words, env={"KREA_API_KEY": None})
    assert done.code == 0, done.text
    return done.json


def position(text, *, after="", file=FILE):
    """Line and column at which a text first stands behind another."""
    start = file.index(text, file.index(after))
    return file.count("\n", 0, start) + 1, start - file.rfind("\n", 0, start)


def at(said):
    return said["at"] and (said["at"]["line"], said["at"]["column"])


@pytest.mark.parametrize(
    ("cell", "words", "field", "value", "layer", "place"),
    [
        ("explore/neon/plain/s1", (), "movement", 0, "default", None),
        ("explore/neon/plain/s1", (), "creativity", "high", "defaults", ("high, mood", "defaults")),
        ("explore/neon/plain/s1", (), "complexity", 5, "stage", ("5\n", "prompt: hero")),
        ("explore/neon/brand/s1", (), "intensity", 20, "look brand", ("20", "looks")),
        ("explore/dawn/brand/s1", (), "creativity", "low", "row light=dawn", ("low}", "axes")),
        ("ladder/0.1/raw", (), "seed", 41, "with", ("41", "ladder")),
        ("ladder/0.1/raw", (), "look", "brand", "with", ("brand", "with:")),
        ("ladder/0.1/raw", (), "creativity", "raw", "matrix", ("raw", "ladder")),
        ("ladder/0.3/raw", (), "creativity", "raw", "include", ("raw", "include")),
        ("explore/neon/brand/s1", (), "complexity", 9, "patch", ("9}", "patch")),
        ("explore/neon/brand/s1", ("--set", "complexity=7"), "complexity", 7, "--set", None),
        ("explore/neon/plain/s1", ("--set", "stages.explore.complexity=6"), "complexity", 6, "--set", None),
        ("explore/dawn/plain/s1", ("--profile", "draft"), "movement", 3, "defaults, profile draft", ("3}", "draft")),
        (
            "explore/dawn/plain/s1",
            ("--profile", "draft"),
            "variant",
            "medium-turbo",
            "stage, profile draft",
            ("medium-t", "draft"),
        ),
        ("formats/dawn/brand/s1/wide", (), "aspect_ratio", "16:9", "row format=wide", ("16:9", "format:")),
        ("large/dawn/brand/s1/wide", (), "variant", "large", "promote", ("large}", "promote")),
        ("large/dawn/brand/s1/wide", (), "seed", 1, "source formats/dawn/brand/s1/wide", None),
    ],
)
def test_each_field_names_the_layer_that_sets_it_and_its_place(autumn, cell, words, field, value, layer, place):
    found = explained(autumn, cell, *words)["fields"][field]
    assert (found["value"], found["layer"]) == (value, layer)
    assert at(found) == (place and position(place[0], after=place[1]))
    assert place is None or found["at"]["file"] == "p.yaml"


def test_what_a_value_stands_over_is_told_the_nearest_first(autumn):
    creativity = explained(autumn, "ladder/0.1/raw", "--set", "creativity=medium")["fields"]["creativity"]
    assert [(one["layer"], one["written"]) for one in (creativity, *creativity["over"])] == [
        ("--set", "medium"),
        ("matrix", "raw"),
        ("row light=dawn", "low"),
        ("defaults", "high"),
    ]
    assert at(creativity["over"][1]) == position("low}", after="axes")


def test_every_field_of_every_request_is_explained(autumn):
    cells = autumn.run("expand", "p.yaml", "--json").json["cells"]
    assert len(cells) == 15
    for cell in cells:
        found = explained(autumn, cell["id"])
        sent = cell["request"]
        lists = {"image_style_references": "references", "moodboards": "moodboards"}
        scalars = {name: value for name, value in sent.items() if name != "prompt" and name not in lists}
        assert {name: one["value"] for name, one in found["fields"].items() if name in scalars} == scalars
        assert found["prompt"]["value"] == sent["prompt"]
        for name, kind in lists.items():
            weights = [(one.get("image") or one["id"], one["strength"]) for one in sent.get(name, [])]
            told = [one for one in found["ingredients"] if one["kind"] == kind]
            assert [(one["source"], one["strength"]["value"]) for one in told] == weights
        assert found["key"]["sha256"] == cell["key"]


def test_the_key_is_the_digest_of_the_text_that_is_shown(autumn):
    found = explained(autumn, "ladder/0.9/raw")
    key = found["key"]
    assert hashlib.sha256(key["canonical"].encode()).hexdigest() == key["sha256"]
    assert json.loads(key["canonical"])["key_version"] == key["version"]


def test_the_prompt_comes_with_its_template_and_what_that_reads(autumn):
    prompt = explained(autumn, "explore/dawn/plain/s2")["prompt"]
    assert prompt["value"] == "Aurelle low light, again, calm Aurelle"
    assert (prompt["layer"], at(prompt)) == ("stage", position('"{{ brand }} {{', after="hero"))
    read = {name: (one["value"], one["layer"], at(one)) for name, one in prompt["variables"].items()}
    assert read == {
        "brand": ("Aurelle", "vars", position("Aurelle")),
        "light.text": ("low light", "row light=dawn", position("low light")),
        "seed": (2, "matrix", position("{count: 2}")),
        "mood": ("calm Aurelle", "vars", position('"calm')),
    }


def test_variables_of_the_command_line_name_their_file(autumn):
    autumn.write("v.yaml", "# mine\nbrand: Other\n")
    read = explained(autumn, "explore/dawn/plain/s2", "--vars", "v.yaml")["prompt"]["variables"]
    assert (read["brand"]["value"], read["brand"]["layer"]) == ("Other", "--vars v.yaml")
    assert read["brand"]["at"] == {"file": "v.yaml", "line": 2, "column": 8}
    assert read["mood"]["layer"] == "vars"
    read = explained(autumn, "explore/dawn/plain/s2", "--set", "vars.mood=wild")["prompt"]["variables"]
    assert (read["mood"]["value"], read["mood"]["layer"], read["mood"]["at"]) == ("wild", "--set", None)


def test_references_come_with_file_digest_and_the_origin_of_their_strength(autumn):
    digest = "sha256:" + hashlib.sha256(picture(seed="a", size=(600, 600))).hexdigest()
    found = explained(autumn, "ladder/0.9/raw")["ingredients"]
    assert [(one["kind"], one["name"], one["label"]) for one in found] == [
        ("references", "brand", "refs/a.png"),
        ("references", "brand", "refs/b.png"),
        ("moodboards", "m", "3f0c9c1e-8f1b-4f0e-9f5d-2b7a1c6d4e90"),
    ]
    assert found[0]["source"] == digest
    strength = found[0]["strength"]
    assert (strength["value"], strength["layer"], at(strength)) == (0.9, "matrix", position("0.9"))
    assert [(one["written"], one["layer"]) for one in strength["over"]] == [(0.5, "references brand")]
    assert (found[2]["strength"]["value"], found[2]["strength"]["layer"]) == (0.23, "default")


def test_a_chained_cell_names_its_source_and_the_pick(autumn):
    found = explained(autumn, "formats/dawn/brand/s1/wide")
    upstream = found["upstream"]
    assert upstream["cell"] == "explore/dawn/brand/s1"
    assert upstream["key"] == explained(autumn, "explore/dawn/brand/s1")["key"]["sha256"]
    assert upstream["pick"] == {
        "at": {"file": "picks.yaml", "line": 3, "column": 5},
        "stars": 4,
        "note": "keep the light",
    }
    first = found["ingredients"][0]
    assert (first["source"], first["label"]) == (f"key:{upstream['key']}", "explore/dawn/brand/s1")
    assert explained(autumn, "explore/dawn/brand/s1")["upstream"] is None


def test_what_changed_since_it_was_drawn(project):
    text = "version: 1\nname: p\nbudget: {usd: 5}\ndefaults: {creativity: %s}\nprompt: '{{ w }}'\nmatrix: {w: [a, b]}\n"
    project.write("p.yaml", text % "raw")
    before = explained(project, "p/a")
    assert (before["action"], before["reason"], before["last"]) == ("new", "new", None)
    assert project.run("run", "p.yaml").code == 0
    drawn = explained(project, "p/a")
    assert (drawn["action"], drawn["reason"]) == ("reuse", "cached")
    assert drawn["last"]["is_this_request"]
    assert drawn["last"]["changes"] is None
    project.write("p.yaml", text % "low")
    changed = explained(project, "p/a")
    assert (changed["action"], changed["reason"]) == ("new", "creativity raw → low")
    assert changed["last"]["changes"] == "creativity raw → low"
    assert changed["last"]["key"] == before["key"]["sha256"]
    assert changed["last"]["job_id"] == drawn["last"]["job_id"]
    assert explained(project, "p/a", "--local")["last"] is None
    assert explained(project, "p/a", "--local")["price_usd"] == "0.00"


def test_a_cell_that_shares_its_request_says_so(project):
    project.write("p.yaml", "version: 1\nprompt: a\nmatrix: {w: [x, y]}\nout: '{{ w }}'\n")
    assert explained(project, "p/x")["same_request"] == ["p/y"]


def test_a_cell_that_include_brings_back_comes_from_there(project):
    text = "version: 1\nprompt: a {{ light }}\nmatrix: {light: [dawn, noon], seed: {count: 2}}\n"
    rules = "exclude: [{light: noon, seed: 2}]\ninclude: [{light: noon, seed: 2}]\n"
    project.write("p.yaml", text + rules)
    seed = explained(project, "p/noon/s2")["fields"]["seed"]
    assert (seed["layer"], seed["written"], at(seed)) == (
        "include",
        2,
        position("2}]", after="include", file=text + rules),
    )
    assert explained(project, "p/noon/s1")["fields"]["seed"]["layer"] == "matrix"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("explore/dawn/plain/s1", "explore/dawn/plain/s1"),
        ("dawn/plain/s1", "explore/dawn/plain/s1"),
        ("dawn/brand/s1", "explore/dawn/brand/s1"),
        ("0.1/raw", "ladder/0.1/raw"),
        ("*0.9*med*", "ladder/0.9/medium"),
        ("EXPLORE/neon/plain/s1", "explore/neon/plain/s1"),
        ("formats", "formats/dawn/brand/s1/wide"),
    ],
)
def test_a_cell_is_found_by_a_part_that_it_alone_has(autumn, text, found):
    assert explained(autumn, text)["cell"] == found


@pytest.mark.parametrize(
    ("text", "code", "hint"),
    [
        ("s1", "several_cells", "explore/dawn/plain/s1, explore/dawn/brand/s1, explore/neon/plain/s1"),
        ("explore/down/plain/s1", "unknown_cell", "explore/dawn/plain/s1"),
        ("zzz", "unknown_cell", "krea-pipe expand"),
        ("", "unknown_cell", "krea-pipe expand"),
    ],
)
def test_a_word_that_means_no_cell_or_several_is_refused(autumn, text, code, hint):
    done = autumn.run("explain", "p.yaml", text, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, code)
    assert hint in done.json["error"]["hint"]


def test_a_cell_of_a_stage_that_waits_is_not_there_yet(autumn):
    autumn.write("p.yaml", FILE.partition("  large:")[0])
    (autumn.path / "picks.yaml").unlink()
    hint = autumn.run("explain", "p.yaml", "formats/dawn/brand/s1/wide", "--json").json["error"]["hint"]
    assert hint == "`formats` has no cells yet: it waits for picks of `explore` in picks.yaml"


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize("cell", ["explore/neon/brand/s2", "ladder/0.1/raw", "formats/dawn/brand/s1/wide"])
def test_the_text_fits_the_terminal(autumn, cell, width):
    loaded = load_pipeline(autumn.path / "p.yaml")
    space = open_space(autumn.home, "local")
    made = plan_run(loaded, space, LOCAL_TARGET, RunOptions())
    found = find_cell([one for step in made.steps for one in step.cells], cell)
    explanation = explain_cell(loaded.pipeline, loaded.fingerprints, made, found, space, Overrides())
    text = click.unstyle(explanation_text(explanation, width=width, local=True))
    lines = text.partition("\nKey\n")[0].splitlines()
    # A digest or a path is one word, and one word is never broken: people copy it.
    assert [line for line in lines if len(line) > width and len(max(line.split(), key=len)) + 12 <= width] == []
    for one in explanation.fields:
        assert one.name in text
    assert explanation.step.key in text


def test_people_read_every_part(autumn):
    done = autumn.run("explain", "p.yaml", "formats/dawn/brand/s1/wide", env={"KREA_API_KEY": None})
    assert done.code == 0
    assert "\x1b" not in done.out
    for words in (
        "aspect_ratio  16:9",
        "over 4:5",
        "p.yaml:5:43",
        "{{ source.prompt }}, {{ format.crop }}",
        "result\n    Aurelle low light, calm Aurelle, wide, empty",
        "refs/a.png, sha256:",
        "picks.yaml:3:5, ★★★★",
        "keep the light",
        "price  $0.04",
        "plan   new",
    ):
        assert words in done.out, done.out


def test_the_names_of_a_template_are_what_it_takes_from_outside():
    loop = "{% for one in items %}{{ one.id }}{% endfor %}"
    text = loop + "{{ a.b['c'] }}{{ a.b.d | slug }}{{ e }}{% if f %}{{ a['x'] }}{% endif %}"
    assert set(paths_in(text)) == {("items",), ("a", "b", "c"), ("a", "b", "d"), ("e",), ("f",), ("a", "x")}
    assert paths_in("{{ b }}{{ a.x }}{{ a.x }}") == [("b",), ("a", "x")]


def test_explaining_leaves_the_disk_as_it_is_and_asks_nobody(autumn, krea):
    before, asked = sorted(autumn.path.rglob("*")), len(krea.seen)
    assert autumn.run("explain", "p.yaml", "ladder/0.1/raw", env={"KREA_API_KEY": None}).code == 0
    assert sorted(autumn.path.rglob("*")) == before
    assert len(krea.seen) == asked
