"""However much is wrong with a file, what is said about it stays short, and shows no secret, also not a part of one."""

import pytest
from command_line import Project

from krea_pipe.errors import InvalidInput
from krea_pipe.flow import load

HEAD = "version: 1\nprompt: a lamp\n"
SECRET = "sk-proj-" + "Ab1Cd2Ef3Gh4" * 4


def problems_of(file):
    with pytest.raises(InvalidInput) as caught:
        load(file)
    return caught.value.problems


def lines_of(key, item, count):
    return f"{key}:\n" + "".join(f"  {item.format(i)}\n" for i in range(count))


@pytest.mark.parametrize(
    "wrong",
    [
        "vars: {" + "a: 1, " * 500 + "}\n",
        "vars: [" + "!x 1, " * 500 + "]\n",
        "vars: {" + "1: 1, " * 500 + "}\n",
        lines_of("vars", "a: 1", 500),
        lines_of("stages", "s{}: {{prompt: 1}}", 500),
        lines_of("references", "r{0}: {{images: missing{0}.png}}", 500),
        "".join(f"unknown{i}: 1\n" for i in range(500)),
        "vars: {" + ", ".join(f'a{i}: "{{{{ b{i} }}}}"' for i in range(500)) + "}\n",
    ],
)
def test_after_a_hundred_problems_the_last_says_that_there_are_more(tmp_path, wrong):
    file = tmp_path / "p.yaml"
    file.write_text(HEAD + wrong)
    found = problems_of(file)
    assert [problem.code for problem in found[100:]] == ["more_problems"]
    assert all(problem.at is not None and len(problem.at.text) <= 400 for problem in found[:100])


def test_picks_and_locks_stop_at_a_hundred_problems_too(project: Project):
    chain = "version: 1\nstages:\n  a: {prompt: '{{ w }}', matrix: {w: [b, c]}}\n"
    project.write("p.yaml", f"{chain}  b: {{prompt: x, for_each: a, picks: picks.yaml}}\n")
    for wrong in ("a/b, " * 500, "1, " * 500, "{id: a/b, star: 1}, " * 500, "".join(f"a/{i}, " for i in range(500))):
        project.write("picks.yaml", f"stage: a\npicks: [{wrong}]\n")
        found = project.run("validate", "p.yaml", "--json").json["files"][0]["problems"]
        assert len(found) == 101
        assert found[-1]["code"] == "more_problems"
    project.pipeline(["a"])
    project.write("p.lock.jsonl", "{}\n" * 500)
    found = project.run("run", "p.yaml", "--frozen", "--json").json["problems"]
    assert len(found) == 101
    assert found[-1]["code"] == "more_problems"


@pytest.mark.parametrize("before", [0, 150, 199, 201, 399, 5_000])
@pytest.mark.parametrize("after", [0, 150, 300, 5_000])
def test_a_long_line_is_shown_around_the_caret(project: Project, before, after):
    project.write("p.yaml", f"{HEAD}vars: {{b: [{'x ' * before}], a: 1, a: 2, c: [{'x ' * after}]}}\n")
    done = project.run("validate", "p.yaml")
    column = len(f"vars: {{b: [{'x ' * before}], a: 1, ") + 1
    assert f"p.yaml:3:{column}: error: the key `a` is already set in line 3" in done.err
    _, shown, caret, _ = done.err.splitlines()
    assert len(shown) < 130
    assert shown[caret.index("^") :].startswith("a: 2")
    assert shown[: caret.index("^")].endswith("a: 1, ")


@pytest.mark.parametrize("distance", [*range(0, 460, 7), 2_000, 4_000])
def test_no_part_of_a_secret_is_shown_where_a_line_is_cut(project: Project, distance):
    """Also in a comment or a key, and before or behind the piece of the line that is shown."""
    space = "x " * (distance // 2)
    for line in (
        f"vars: {{s: {SECRET}, b: '{space}', a: 1, a: 2, e: '{'y ' * 400}'}}",
        f"vars: {{b: '{'y ' * 400}', a: 1, a: 2, e: '{space}', s: {SECRET}}}",
        f"vars: {{b: '{'y ' * 400}', a: 1, a: 2, e: '{space}'}}  # {SECRET}",
    ):
        project.write("p.yaml", f"{HEAD}{line}\n")
        for words in (("validate", "p.yaml"), ("validate", "p.yaml", "--json")):
            done = project.run(*words)
            assert "already set in line 3" in done.text
            assert SECRET[:12] not in done.text
            assert SECRET[-12:] not in done.text


@pytest.mark.parametrize("length", range(0, 60, 3))
def test_no_part_of_a_secret_is_shown_where_a_word_is_cut(project: Project, length):
    for line in (
        f"look: '{'x' * length} {SECRET}'",
        f"matrix: {{look: ['{'x' * length} {SECRET}']}}",
        f"matrix: {{creativity: ['{'x' * length} {SECRET}']}}",
        f"matrix: {{a: [1], '{'x' * length} {SECRET}': [2]}}",
        f"vars: {{? '{'x' * length} {SECRET}' : 1, ? '{'x' * length} {SECRET}' : 2}}",
    ):
        project.write("p.yaml", f"{HEAD}{line}\n")
        done = project.run("validate", "p.yaml")
        assert done.code == 2
        assert SECRET[:16] not in done.text
        assert SECRET[-12:] not in done.text


def test_near_names_are_looked_for_as_long_as_a_file_may_take(tmp_path):
    """Then hints do without: 2,000 looks that are nearly right would be compared with 2,000 others."""
    file = tmp_path / "p.yaml"
    looks = lines_of("looks", "look_{0:05}: {{intensity: 1}}", 2_000)
    file.write_text(f"{HEAD}{looks}matrix: {{look: [{', '.join(f'lok_{i:05}' for i in range(2_000))}]}}\n")
    found = problems_of(file)
    assert found[0].hint == "did you mean `look_00000`?"
    assert "did you mean" not in found[99].hint
    assert problems_of(file) == found  # each file has a budget of its own
