"""Suggestions are near in spelling and of the same kind, and each works when it is tried."""

import re

import pytest

FILE = "version: 1\nname: p\nvars: {mood: calm}\nprompt: a {{ mood }} lamp, {{ surface }}\nmatrix: {surface: [slate]}\n"


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (["--max-cots", "1"], "--max-cost"),
        (["--locall"], "--local"),
        (["--output", "images"], "--out"),
        (["--filter", "slate"], "--select"),
    ],
)
def test_an_unknown_option_suggests_one_that_works(project, given, meant):
    project.write("p.yaml", FILE)
    done = project.run("run", "p.yaml", "--local", *given)
    assert (done.code, done.err) == (2, f"error: there is no option {given[0]}\n  hint: did you mean {meant}?\n")
    assert project.run("run", "p.yaml", "--local", meant, *given[1:]).code == 0


@pytest.mark.parametrize("option", ["--force", "--yes", "--sampler"])
def test_an_option_that_is_not_nearly_another_suggests_none(project, option):
    project.write("p.yaml", FILE)
    done = project.run("run", "p.yaml", "--local", option)
    assert (done.code, done.err) == (2, f"error: there is no option {option}\n  hint: see `krea-pipe run --help`\n")


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["plna"], "there is no command plna", "did you mean `krea-pipe plan`?"),
        (["train"], "there is no command train", "did you mean `krea-pipe styles train`?"),
        (["lint"], "there is no command lint", "did you mean `krea-pipe validate`?"),
        (["cache", "psh"], "there is no command psh", "did you mean `krea-pipe cache push`?"),
        (["cache", "plann"], "there is no command plann", "did you mean `krea-pipe plan`?"),
        (["help", "rnu"], "there is no command rnu", "did you mean `krea-pipe run`?"),
        (["zebra"], "there is no command zebra", "see `krea-pipe --help`"),
        (["run", "p.yaml", "--against", "x"], "there is no option --against", "`krea-pipe plan` has --against"),
        (
            ["picks", "rename", "--agianst"],
            "there is no option --agianst",
            "did you mean --against of `krea-pipe plan`?",
        ),
        (["run", "-C", "x"], "there is no option -C", "put it before the command: `krea-pipe -C … run`"),
        (
            ["run", "p.yaml", "--dry-run"],
            "there is no option --dry-run",
            "use `krea-pipe plan`: it shows what the run would do and what it would cost",
        ),
    ],
)
def test_a_mistyped_command_or_option_is_looked_for_among_all_of_them(project, words, error, hint):
    done = project.run(*words)
    assert (done.code, done.err) == (2, f"error: {error}\n  hint: {hint}\n")


def test_set_of_a_variable_by_its_bare_name_suggests_its_path(project):
    project.write("p.yaml", FILE)
    done = project.run("expand", "p.yaml", "--set", "mood=wild")
    assert (done.code, "hint: did you mean `vars.mood`?" in done.err) == (2, True), done.text
    tried = project.run("expand", "p.yaml", "--set", "vars.mood=wild", "--json")
    assert tried.json["cells"][0]["request"]["prompt"] == "a wild lamp, slate"


@pytest.mark.parametrize(
    ("line", "hint", "tried"),
    [
        ("tone: warm", "put it under `vars:`: `vars: {tone: …}`", "vars: {tone: warm}"),
        ("tone: [warm, cold]", "put it under `matrix:`: `matrix: {tone: [ … ]}`", "matrix: {tone: [warm, cold]}"),
        ("steps: 20", "if it is a variable, put it under `vars:`", "vars: {tone: warm, steps: 20}"),
        ("mood: calm", "if it is a variable, put it under `vars:`", "vars: {tone: warm, mood: calm}"),
        ("dog: 3", "if it is a variable, put it under `vars:`", "vars: {tone: warm, dog: 3}"),
    ],
)
def test_an_unknown_key_is_sent_to_its_place_and_not_to_a_key_of_another_kind(project, line, hint, tried):
    head = "version: 1\nprompt: a lamp in {{ tone }} light\n"
    project.write("p.yaml", f"{head}{line}\n")
    done = project.run("validate", "p.yaml")
    found = re.search(r"unknown key .*\n.*\n.*\n  hint: (.*)\n", done.err)
    assert (done.code, found and found[1]) == (2, hint), done.text
    project.write("p.yaml", f"{head}{tried}\n")
    assert project.run("validate", "p.yaml").code == 0


NAMES = """\
version: 1
vars: {mood: calm}
looks: {plain: {}, warm: {intensity: 20}}
stages:
  explore:
    prompt: a {{ colour }} {{ mood }} lamp
    look: plain
    matrix: {colour: [red, blue]}
profiles: {draft: {defaults: {variant: medium-turbo}}}
"""


@pytest.mark.parametrize(
    ("given", "option", "value"),
    [
        ("colour=red", "-k colour=…", "red"),
        ("explore=x", "--set stages.explore.FIELD=…", "5"),
        ("warm=x", "--set look=warm", ""),
        ("draft=x", "--profile draft", ""),
        ("creativty=raw", "--set creativity=…", "raw"),
        ("moood=wild", "vars.mood", "wild"),
    ],
)
def test_set_of_a_name_of_the_file_suggests_the_option_that_uses_it(project, given, option, value):
    project.write("p.yaml", NAMES)
    done = project.run("expand", "p.yaml", "--set", given)
    hint = done.err.partition("hint: ")[2]
    assert (done.code, f"`{option}`" in hint, done.err.startswith("--set: error: unknown key")) == (2, True, True)
    words = option.replace("FIELD", "intensity").replace("…", value).split(" ")
    words = ["--set", f"{option}={value}"] if option.startswith("vars") else words
    tried = project.run("expand", "p.yaml", *words)
    assert tried.code == 0, tried.text


@pytest.mark.parametrize(
    ("given", "message", "hint"),
    [
        ("stages.explor.prompt=x", "the file has no stage `explor`", "did you mean `explore`?"),
        ("looks.wrm.intensity=3", "the file has no look `wrm`", "did you mean `warm`?"),
        ("profiles.drft.budget.usd=3", "the file has no profile `drft`", "did you mean `draft`?"),
        ("prompts.hreo=x", "the file has no prompt `hreo`", "define it under `prompts:`"),
        ("references.brand.strength=0.5", "the file has no reference `brand`", "define it under `references:`"),
    ],
)
def test_set_below_a_name_that_the_file_does_not_have_is_an_error(project, given, message, hint):
    project.write("p.yaml", NAMES)
    done = project.run("expand", "p.yaml", "--set", given)
    path = given.partition("=")[0]
    assert (done.code, done.err) == (2, f"error: --set {path}: {message}\n  hint: {hint}\n")


def test_a_variable_for_an_axis_suggests_selecting_its_values(project):
    project.write("p.yaml", NAMES)
    done = project.run("expand", "p.yaml", "--set", "vars.colour=red")
    assert (done.code, "hint: select values of the axis with `-k colour=…`" in done.err) == (2, True), done.text


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("lmap.yaml", "did you mean lamp.yaml?"),
        ("lamp.yml", "did you mean lamp.yaml?"),
        ("lamp", "did you mean lamp.yaml?"),
        ("jug.yaml", "did you mean pipelines/jug.yaml?"),
        ("zebra.yaml", "check the path and the current folder"),
        ("nowhere/lamp.yaml", "the folder nowhere does not exist either; check the path"),
    ],
)
def test_a_missing_file_has_no_line_and_suggests_the_file_that_was_meant(project, path, hint):
    project.write("lamp.yaml", FILE)
    project.write("pipelines/jug.yaml", FILE)
    for words in (["validate", path], ["plan", path], ["plan", "lamp.yaml", "--vars", path]):
        done = project.run(*words)
        assert (done.code, done.err) == (2, f"{path}: error: the file does not exist\n  hint: {hint}\n")


def test_a_folder_in_place_of_a_file_is_named(project):
    project.write("pipelines/jug.yaml", FILE)
    done = project.run("expand", "pipelines")
    assert (done.code, done.err.splitlines()[0]) == (2, "pipelines: error: this is a folder, not a file")
