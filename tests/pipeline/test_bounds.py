"""However much is wrong with a file, what is said about it stays short, and shows no secret, also not a part of one."""

import pytest
from command_line import Project

from krea_pipe.app.flow import load_pipeline
from krea_pipe.core.errors import InvalidInput

HEAD = "version: 1\nprompt: a lamp\n"
SECRET = "sk-proj-" + "Ab1Cd2Ef3Gh4" * 4


def problems_of(file):
    with pytest.raises(InvalidInput) as caught:
        load_pipeline(file)
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
    for wrong in ("a/b, " * 500, "1, " * 500, "{id: a/b, star: 1}, " * 500):
        project.write("picks.yaml", f"stage: a\npicks: [{wrong}]\n")
        found = project.run("validate", "p.yaml", "--json").json["files"][0]["problems"]
        assert len(found) == 101
        assert found[-1]["code"] == "more_problems"
    project.write("picks.yaml", "".join(f"- {{pick: a/{i}}}\n" for i in range(500)))
    assert len(project.run("validate", "p.yaml", "--json").json["files"][0]["warnings"]) == 100
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
    assert f"p.yaml:3:{column}: error: the key `a` is already set on line 3" in done.err
    _, shown, caret, _ = done.err.splitlines()
    assert len(shown) <= 80
    assert shown[caret.index("^") :].startswith("a: 2")
    assert shown[: caret.index("^")].endswith("a: 1, ")


WIDTHS = {"漢": 2, "\u0301": 0}


@pytest.mark.parametrize("letter", ["x", "漢", "e\u0301"])
@pytest.mark.parametrize(("before", "after"), [(0, 0), (0, 90), (20, 20), (90, 0), (90, 90), (2_000, 2_000)])
def test_a_line_of_any_script_fits_80_columns_with_the_caret_in_place(project, letter, before, after):
    line = f'prompt: "{letter * before}{{{{ nope }}}}{letter * after}"'
    project.write("p.yaml", f"version: 1\n{line}\n")
    _, shown, caret, _ = project.run("validate", "p.yaml").err.splitlines()
    assert caret == f"    | {' ' * (columns_of(shown.partition('nope')[0]) - 6)}^"
    assert columns_of(shown) <= 80
    assert ("…" in shown) == (columns_of(f"  2 | {line}") > 80)


def columns_of(text):
    return sum(WIDTHS.get(letter, 1) for letter in text)


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
            assert "already set on line 3" in done.text
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
    file.write_text(f"{HEAD}{looks}matrix: {{look: [{', '.join(f'lxxk_{i:05}' for i in range(2_000))}]}}\n")
    found = problems_of(file)
    assert found[0].hint == "did you mean `look_00000`?"
    assert "did you mean" not in found[99].hint
    assert problems_of(file) == found  # each file has a budget of its own


def square(side, rules):
    values = ", ".join(f"v{i}" for i in range(side))
    return f"version: 1\nprompt: '{{{{ a }}}} {{{{ b }}}}'\nmatrix: {{a: [{values}], b: [{values}]}}\n{rules}"


def test_conditions_that_would_be_looked_at_too_often_are_refused_before_they_are(project: Project):
    project.write("p.yaml", square(300, "exclude: [" + "{if: a == 'v1', allow_unused: true}, " * 6 + "]\n"))
    done = project.run("validate", "p.yaml")
    assert "p.yaml:4:1: error: the rules of the stage `p` test `if:` for 540,000 cells" in done.err
    assert "hint: allow it with --max-cells 108000" in done.err
    project.write("p.yaml", square(300, "exclude: [" + "{a: v1, if: b == 'v2', allow_unused: true}, " * 6 + "]\n"))
    assert project.run("validate", "p.yaml").out == "p.yaml: valid, 89,999 images\n"


@pytest.mark.parametrize("key", ["exclude", "patch"])
def test_so_many_rules_are_refused(project: Project, key):
    rule = {"exclude": "{a: v1, b: v1}", "patch": "{when: {a: v1}, set: {seed: 1}}"}[key]
    project.write("p.yaml", square(2, f"{key}: [{f'{rule}, ' * 3_001}]\n"))
    assert f"p.yaml:4:1: error: `{key}` has 3,001 rules" in project.run("validate", "p.yaml").err
    more = "include: [" + ", ".join(f"{{a: w{i}, b: w}}" for i in range(100)) + "]\n"
    project.write("p.yaml", square(2, f"{more}patch: [{'{when: {a: v1}, set: {seed: 1}}, ' * 600}]\n"))
    assert "p.yaml:5:1: error: 600 rules for 101 matrices" in project.run("validate", "p.yaml").err


def test_many_matrices_are_refused(project: Project):
    project.write("p.yaml", square(2, "include: [" + ", ".join(f"{{a: w{i}, b: w}}" for i in range(2_001)) + "]\n"))
    assert "error: the stages have more than 2,000 matrices" in project.run("validate", "p.yaml").err
    listed = "".join(f"- {{a: [v{i}]}}\n" for i in range(2_001))
    project.write("p.yaml", f"version: 1\nprompt: a {{{{ a }}}}\nmatrix:\n{listed}")
    assert "p.yaml:3:1: error: the stages have more than 2,000 matrices" in project.run("validate", "p.yaml").err


def test_many_axes_are_refused(project: Project):
    names = [f"a{i}" for i in range(101)]
    prompt = " ".join(f"{{{{ {name} }}}}" for name in names)
    project.write("p.yaml", f"version: 1\nprompt: '{prompt}'\nmatrix: {{{', '.join(f'{n}: [1]' for n in names)}}}\n")
    assert "p.yaml:3:1: error: a matrix can have at most 100 axes" in project.run("validate", "p.yaml").err


def test_many_stages_are_refused(project: Project):
    project.write("p.yaml", "version: 1\nstages:\n" + "".join(f"  s{i}: {{prompt: a}}\n" for i in range(501)))
    assert "p.yaml:2:1: error: a pipeline can have at most 500 stages" in project.run("validate", "p.yaml").err


def test_aliases_do_not_nest_deeper_than_what_is_written(tmp_path):
    file = tmp_path / "p.yaml"
    chain = "".join(f"  a{i}: &a{i} {'[' * 30}*a{i - 1}{']' * 30}\n" for i in range(1, 26))
    file.write_text(f"{HEAD}vars:\n  a0: &a0 [1]\n{chain}")
    (problem,) = problems_of(file)
    assert (problem.code, problem.at.line) == ("too_deep", 7)
