"""What stands over a file for one command: profiles, files of variables, `--set`, and declared environment."""

import json

import pytest
from krea_server import picture

LAMP = """\
version: 1
name: lamp
budget: {usd: 9.00, images: 50}
env: {SEASON: autumn, GREETING: null}
vars: {place: an office, light: daylight, sizes: {small: tiny}}
defaults: {aspect_ratio: 4:5, creativity: low}
references:
  look: {image: ref.png, strength: 0.4}
stages:
  one:
    prompt: "a lamp in {{ place }}, {{ light }}, {{ sizes.small }}, {{ env.SEASON }}"
    references: [look]
    matrix: {creativity: [raw, high], seed: [1, 2]}
  two: {prompt: "{{ env.GREETING }} {{ place }}", intensity: 30}
profiles:
  draft: {vars: {place: a draft}, defaults: {variant: medium-turbo}, stages: {one: {sample: {method: first, n: 1}}}}
  dear: {stages: {one: {variant: large, references: [{image: ref.png, strength: 0.9}]}}}
  ci: {budget: {usd: 0.10}}
"""
ENV = {"GREETING": "hello", "OTHER": "secret"}


@pytest.fixture(autouse=True)
def _lamp(project):
    project.write("ref.png", picture(seed="look", size=(600, 600)))
    project.write("lamp.yaml", LAMP)


def requests(project, *words, code=0, env=()):
    """The requests of an expansion by cell."""
    done = project.run("expand", "lamp.yaml", "--jsonl", *words, env={**ENV, **dict(env)})
    assert done.code == code, done.text
    return {row["id"]: row["request"] for row in map(json.loads, done.out.splitlines())}


def problem(project, *words, command="expand", env=()):
    done = project.run(command, "lamp.yaml", *words, env={**ENV, **dict(env)})
    assert done.code == 2, done.text
    return done.err


def prompts(project, *words, **how):
    return {request["prompt"] for cell, request in requests(project, *words, **how).items() if cell.startswith("one")}


# --- profiles


def test_a_profile_is_merged_over_the_file_key_by_key(project):
    found = requests(project, "--profile", "draft")
    assert list(found) == ["one/raw/s1", "two"]
    assert found["one/raw/s1"]["variant"] == found["two"]["variant"] == "medium-turbo"
    assert found["one/raw/s1"]["prompt"] == "a lamp in a draft, daylight, tiny, autumn"
    assert found["one/raw/s1"]["aspect_ratio"] == "4:5"
    assert found["two"]["intensity"] == 30


def test_without_a_profile_profiles_change_nothing(project):
    whole = requests(project)
    text = LAMP[: LAMP.index("profiles:")]
    project.write("lamp.yaml", text)
    assert requests(project) == whole


def test_a_list_of_a_profile_stands_in_place_of_the_files(project):
    found = requests(project, "--profile", "dear")["one/raw/s1"]
    assert found["variant"] == "large"
    assert [one["strength"] for one in found["image_style_references"]] == [0.9]


def test_the_budget_of_a_profile_is_the_one_that_counts(project, krea):
    done = project.run("run", "lamp.yaml", "--profile", "ci", env=ENV)
    assert (done.code, "above the cap of $0.10" in done.err) == (5, True), done.text
    assert krea.seen == []


@pytest.mark.parametrize("command", ["validate", "expand", "plan", "run"])
def test_every_command_takes_what_stands_over_the_file(project, command):
    project.write("v.yaml", "place: a hall\n")
    words = ("--profile", "draft", "--vars", "v.yaml", "--set", "seed=9")
    done = project.run(command, "lamp.yaml", *words, *(["--local"] if command == "run" else []), env=ENV)
    assert done.code == 0, done.text


# --- --set


@pytest.mark.parametrize(
    ("word", "field", "value"),
    [
        ("variant=large", "variant", "large"),
        ("seed=9", "seed", 9),
        ("creativity=medium", "creativity", "medium"),
        ("aspect_ratio=16:9", "aspect_ratio", "16:9"),
        ("intensity=-12", "intensity", -12),
        ("prompt=a {{ place }}", "prompt", "a an office"),
    ],
)
def test_a_request_field_is_set_in_every_cell_over_everything_and_ids_stay(project, word, field, value):
    before, after = requests(project), requests(project, "--set", word)
    assert list(before) == list(after)
    assert {request.get(field) for request in after.values()} == {value}


def test_null_takes_a_value_away(project):
    found = requests(project, "--set", "references=null", "--set", "seed=~")
    assert not any("image_style_references" in request for request in found.values())


@pytest.mark.parametrize(
    ("word", "prompt"),
    [
        ("vars.place=a hall", "a lamp in a hall, daylight, tiny, autumn"),
        ("vars={place: a hall}", "a lamp in a hall, daylight, tiny, autumn"),
        ("vars.sizes.small=little", "a lamp in an office, daylight, little, autumn"),
        ("env.SEASON=winter", "a lamp in an office, daylight, tiny, winter"),
        ("stages.one.prompt=in {{ place }}", "in an office"),
    ],
)
def test_a_value_at_a_path_is_set_and_what_stands_beside_it_stays(project, word, prompt):
    assert prompts(project, "--set", word) == {prompt}


def test_lists_and_mappings_are_read_as_yaml(project):
    found = requests(
        project, "--set", "stages.one.matrix.seed=[5, 6, 7]", "--set", "stages.one.matrix.creativity=[low]"
    )
    assert list(found) == ["one/low/s5", "one/low/s6", "one/low/s7", "two"]
    found = requests(project, "--set", "stages.one.matrix={seed: {count: 3}, creativity: [raw]}")
    assert len(found) == 4
    found = requests(project, "--set", "references.look.strength=0.75")
    assert found["one/raw/s1"]["image_style_references"][0]["strength"] == 0.75


def test_the_last_of_two_values_wins(project):
    assert {one["seed"] for one in requests(project, "--set", "seed=3", "--set", "seed=4").values()} == {4}
    assert prompts(project, "--set", "vars.place=a", "--set", "vars.place=b") == {"a lamp in b, daylight, tiny, autumn"}


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("variant=lrge", "large"),
        ("seed=[1, 2]", "seed"),
        ("sed=1", "unknown key `sed`"),
        ("stages.one.promt=x", "prompt"),
        ("stages.three.needs=one", "the file has no stage `three`"),
        ("budget.usd=much", "budget"),
        ("nothing", "does not say what to set"),
        ("=1", "does not say what to set"),
        ("vars..place=1", "does not say what to set"),
        ("vars.place=[", "cannot be read"),
        ("vars.place={{ x }}", "quote"),
        ("version=2", "version"),
    ],
)
def test_what_can_not_be_set_is_said(project, word, message):
    found = problem(project, "--set", word)
    assert message in found


# --- files of variables


def test_later_files_win_and_the_rest_stays(project):
    project.write("a.yaml", "place: a hall\nlight: dusk\n")
    project.write("b.yaml", "light: dawn\nsizes: {large: huge}\n")
    assert prompts(project, "--vars", "a.yaml", "--vars", "b.yaml") == {"a lamp in a hall, dawn, tiny, autumn"}
    assert prompts(project, "--vars", "b.yaml", "--vars", "a.yaml") == {"a lamp in a hall, dusk, tiny, autumn"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("place: [", "v.yaml:1:"),
        ("- a\n", "v.yaml:1:1: error: a variables file must be a mapping"),
        ("place: a\nplace: b\n", "v.yaml:2:1: error:"),
        ("", "v.yaml:1:1: error: the file is empty"),
        (b"\xff", "v.yaml:1:1: error: this is not valid UTF-8"),
    ],
)
def test_a_file_of_variables_that_is_wrong_is_located(project, text, message):
    project.write("v.yaml", text)
    assert message in problem(project, "--vars", "v.yaml")


def test_a_problem_of_a_value_stands_where_it_was_written(project):
    project.write("v.yaml", "place: a hall\nlight: '{{ nobody }}'\n")
    assert "nobody" in problem(project, "--vars", "v.yaml")
    assert "the file does not exist" in problem(project, "--vars", "missing.yaml")


# --- environment


def test_declared_variables_alone_reach_a_template_and_the_environment_beats_the_default(project):
    assert prompts(project, env={"SEASON": "spring"}) == {"a lamp in an office, daylight, tiny, spring"}
    assert "GREETING" in problem(project, env={"GREETING": None})
    project.write("lamp.yaml", LAMP.replace("{{ env.SEASON }}", "{{ env.OTHER }}"))
    found = problem(project)
    assert "OTHER" in found
    assert "secret" not in found


# --- order


def test_the_order_is_file_then_profile_then_files_of_variables_then_set(project):
    project.write("v.yaml", "place: a shop\n")

    def place(*words):
        (found,) = prompts(project, *words)
        return found.removeprefix("a lamp in ").split(",")[0]

    assert place() == "an office"
    assert place("--profile", "draft") == "a draft"
    assert place("--vars", "v.yaml", "--profile", "draft") == "a shop"
    assert place("--set", "vars.place=a hall", "--vars", "v.yaml", "--profile", "draft") == "a hall"


def test_a_set_field_stands_over_the_matrix_a_row_and_a_patch(project):
    text = LAMP.replace("seed: [1, 2]}", "seed: [1, 2]}\n    patch: [{when: {seed: 1}, set: {creativity: medium}}]")
    project.write("lamp.yaml", text)
    assert requests(project)["one/raw/s1"]["creativity"] == "medium"
    assert {one["creativity"] for one in requests(project, "--set", "creativity=low").values()} == {"low"}


def test_two_overlays_in_turn_pay_for_what_differs_alone(project, krea):
    assert project.run("run", "lamp.yaml", env=ENV).code == 0
    paid = len(krea.posts)
    done = project.run("run", "lamp.yaml", "--json", "--set", "stages.two.intensity=40", env=ENV)
    assert (done.code, done.counts) == (0, (1, 0, 4))
    assert project.run("run", "lamp.yaml", "--json", env=ENV).counts == (0, 0, 5)
    assert len(krea.posts) == paid + 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--profile", "drfat"], "did you mean `draft`?"),
        (["--profile", ""], "there is no profile ``"),
    ],
)
def test_an_unknown_profile_is_said(project, words, message):
    for command in ("validate", "expand", "plan", "run"):
        assert message in problem(project, *words, command=command)
