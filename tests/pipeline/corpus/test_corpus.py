"""Every file of the corpus gives exactly the problems, or the cells, that are written beside it."""

import re

import pytest
from corpus import HERE, problems_of, render, render_cells

INVALID = sorted((HERE / "invalid").glob("*.yaml"))
VALID = sorted((HERE / "valid").glob("*.yaml"))

# What a person who knows neither Python nor JSON Schema cannot read.
JARGON = re.compile(
    r"NoneType|\bdict\b|\bstr\b|\bint\b|\bbool\b|object|[Uu]ndefined|[Jj]inja|[Ss]chema\b|additionalProperties|Error\b"
    r"|None\b|True\b|False\b|Traceback|0x[0-9a-f]{6}|pytest|\$defs"
)


def test_the_corpus_is_there():
    assert len(INVALID) > 230
    assert len(VALID) > 75


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_an_invalid_file_gives_the_problems_written_beside_it(file, folder):
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    assert render(problems_of(copy), copy) == file.with_suffix(".txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_file_gives_the_cells_and_warnings_written_beside_it(file, folder):
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    cells, warnings = render_cells(copy)
    noted = file.with_suffix(".txt")
    assert cells == file.with_suffix(".jsonl").read_text(encoding="utf-8")
    assert warnings == (noted.read_text(encoding="utf-8") if noted.exists() else "")


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_every_problem_stands_in_the_file_in_order_and_in_plain_words(file, folder):
    copy = folder / file.name
    copy.write_bytes(file.read_bytes())
    lines = copy.read_text(encoding="utf-8").split("\n")
    found = problems_of(copy)
    for problem in found:
        own = lines if problem.at.path == copy else problem.at.path.read_text(encoding="utf-8").split("\n")
        assert problem.at.path.is_relative_to(folder)
        piece = own[problem.at.line - 1][problem.at.cut :][: len(problem.at.text)]
        assert problem.at.text == piece or "***" in problem.at.text
        assert 1 <= problem.at.column <= len(own[problem.at.line - 1]) + 1
        assert not JARGON.search(f"{problem.message} {problem.hint or ''}"), problem
        assert problem.message[0] != " "
        assert not problem.message.endswith(".")
    places = [(problem.at.line, problem.at.column) for problem in found if problem.at.path == copy]
    if len({problem.code for problem in found}) > 1:
        assert places == sorted(places)


SUGGESTED = re.compile(r"did you mean `([^`]+)`(?: instead of `([^`]+)`)?\?")


@pytest.mark.parametrize("file", INVALID, ids=lambda file: file.stem)
def test_a_suggestion_works_when_it_is_tried(file, folder):
    """Each `did you mean` in turn is written in place of the word that it is about; its problem is gone then."""
    copy = folder / file.name
    text = file.read_bytes().decode("utf-8")
    copy.write_text(text, encoding="utf-8", newline="")
    before = problems_of(copy)
    for problem in before:
        found = SUGGESTED.search(problem.hint or "")
        if found is None or problem.at.path != copy:
            continue
        changed = with_suggestion(text, problem, *found.groups())
        copy.write_text(changed, encoding="utf-8", newline="")
        at = (problem.code, problem.at.line, problem.at.column)
        after = {(one.code, one.at.line, one.at.column): one.message for one in problems_of(copy) if one.at}
        assert after.get(at) != problem.message, f"{found[0]} does not help: {changed}"
        assert after.get(at) is None or len(after) < len(before), after[at]


def with_suggestion(text, problem, new, old):
    """The text of a pipeline with the suggested word in place of the one that a problem is about."""
    lines = text.split("\n")
    line = lines[problem.at.line - 1]
    words = [old] if old else [word.strip('`",') for word in problem.message.split()]
    start = problem.at.column - 1
    after = [(line.find(word, start), -len(word), word) for word in words if word in line[start:]]
    at, _, word = min(after or [(line.find(word), -len(word), word) for word in words if word in line])
    lines[problem.at.line - 1] = line[:at] + new + line[at + len(word) :]
    return "\n".join(lines)


def test_every_file_of_expectations_has_its_pipeline():
    for expected in [*HERE.glob("*valid/*.txt"), *HERE.glob("*valid/*.jsonl")]:
        assert expected.with_suffix(".yaml").exists()
