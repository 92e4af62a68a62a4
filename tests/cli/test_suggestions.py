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


@pytest.mark.parametrize("option", ["--force", "--yes", "--verbose", "--steps"])
def test_an_option_that_is_not_nearly_another_suggests_none(project, option):
    project.write("p.yaml", FILE)
    done = project.run("run", "p.yaml", "--local", option)
    assert (done.code, done.err) == (2, f"error: there is no option {option}\n  hint: see `krea-pipe run --help`\n")


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
