"""Prompts in files, and templates that other templates include or import."""

import pytest

INLINE = "A photo of a {{ size }} {{ item.text }}, in {{ season }} light{% if seed > 1 %}, again{% endif %}"
HEAD = "version: 1\nvars: {season: autumn, size: small}\n"
MATRIX = "matrix: {item: [{id: lamp, text: lamp}, {id: vase, text: vase}], seed: [1, 2]}\n"
FILES = {
    "prompts/whole.txt": f"\n{INLINE}\n",
    "prompts/macros.jinja": (
        "{% macro thing(row, size='large') %}{{ named(size, row.text) }}{% endmacro %}\n"
        "{% macro named(a, b) %}a {{ a }} {{ b }}{% endmacro %}\n"
        "{% macro other() %}{{ nowhere.at_all }}{% endmacro %}"
    ),
    "prompts/deep/light.txt": "in {{ season }} light{% include '../again.txt' %}\n",
    "prompts/again.txt": "{% if seed > 1 %}, again{% endif %}",
    "prompts/module.txt": (
        "{% import 'macros.jinja' as m %}A photo of {{ m.thing(item, size=size) }}, {% include 'deep/light.txt' %}"
    ),
    "prompts/names.txt": (
        "{% from 'macros.jinja' import thing as t, named %}A photo of {{ t(item, size) }}, "
        "{% include 'deep/light.txt' %}"
    ),
}


@pytest.fixture
def words(project):
    for name, text in FILES.items():
        project.write(name, text)
    (project.path / ".git").mkdir()
    return project


def cells(project, text, file="p.yaml"):
    project.write(file, text)
    done = project.run("expand", file, "--json", env={"KREA_API_KEY": None})
    assert done.code == 0, done.text
    return {cell["id"].partition("/")[2]: (cell["request"]["prompt"], cell["key"]) for cell in done.json["cells"]}


def errors(project, text, kind="error"):
    project.write("p.yaml", text)
    done = project.run("validate", "p.yaml")
    assert done.code == (2 if kind == "error" else 0), done.text
    return [line for line in done.err.splitlines() if f": {kind}: " in line]


@pytest.mark.parametrize("name", ["whole", "module", "names"])
def test_the_words_decide_and_not_the_file_that_has_them(words, name):
    expected = cells(words, f'{HEAD}prompt: "{INLINE}"\n{MATRIX}')
    assert expected["vase/s2"][0] == "A photo of a small vase, in autumn light, again"
    said = f"{{file: prompts/{name}.txt}}"
    assert cells(words, f"{HEAD}prompt: {said}\n{MATRIX}") == expected
    assert cells(words, f"{HEAD}prompts: {{hero: {said}}}\nprompt: hero\n{MATRIX}") == expected
    assert cells(words, f"{HEAD}stages: {{p: {{prompt: {said}, {MATRIX[:-1]}}}}}\n") == expected
    words.write("brand/b.yaml", f"{HEAD}prompts: {{hero: {{file: ../prompts/{name}.txt}}}}\n")
    assert cells(words, f"version: 1\nuse: brand/b.yaml\nprompt: hero\n{MATRIX}") == expected


def test_prompts_in_files_are_rows_patches_profiles_and_axes(words):
    words.write("a.txt", "first")
    words.write("b.txt", "second")
    text = (
        "version: 1\nprompt: none\nmatrix:\n  row: [{id: x, prompt: {file: a.txt}}, {id: y}]\n"
        "patch: [{when: {row: y}, set: {prompt: {file: b.txt}}}]\nprofiles: {p: {prompt: {file: b.txt}}}\n"
    )
    assert [prompt for prompt, _ in cells(words, text).values()] == ["first", "second"]
    axis = "version: 1\nmatrix: {prompt: [{file: a.txt}, {file: b.txt}]}\n"
    assert [prompt for prompt, _ in cells(words, axis).values()] == ["first", "second"]


def test_a_macro_from_another_folder_finds_its_own_files(words):
    words.write("brand/lib/m.jinja", "{% macro a(x) %}{% include 'inc.txt' %}{{ x }}{% endmacro %}")
    words.write("brand/lib/inc.txt", "<{{ size }}>")
    words.write("brand/b.yaml", "version: 1\nprompts: {h: \"{% from 'lib/m.jinja' import a %}{{ a(item.text) }}\"}\n")
    found = cells(words, f"{HEAD}use: ../brand/b.yaml\nprompt: h\n{MATRIX}", "pipes/p.yaml")
    assert found["lamp/s1"][0] == "<small>lamp"


HELPERS = {
    "red.j2": "{% macro show() %}{{ tint() }}{% endmacro %}{% macro tint() %}red{% endmacro %}",
    "blue.j2": "{% macro text() %}{{ tint() }}{% endmacro %}{% macro tint() %}blue{% endmacro %}",
    "module.j2": "{% import 'blue.j2' as m %}{% macro show() %}<{{ m.text() }}>{% endmacro %}",
    "names.j2": "{% from 'blue.j2' import text as show %}{% macro text() %}({{ show() }}){% endmacro %}",
}


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("{% from 'red.j2' import show %}{% from 'blue.j2' import text %}{{ show() }} {{ text() }}", "red blue"),
        ("{% import 'red.j2' as m %}{% import 'module.j2' as n %}{{ m.show() }} {{ n.show() }}", "red <blue>"),
        ("{% from 'module.j2' import show %}{% import 'red.j2' as m %}{{ show() }} {{ m.show() }}", "<blue> red"),
        ("{% from 'red.j2' import show %}{% from 'names.j2' import text %}{{ show() }} {{ text() }}", "red (blue)"),
    ],
)
def test_macros_of_one_name_in_two_files_stay_apart(words, prompt, expected):
    for name, text in HELPERS.items():
        words.write(name, text)
    assert [found for found, _ in cells(words, f'version: 1\nprompt: "{prompt}"\n').values()] == [expected]


@pytest.mark.parametrize(
    ("prompt", "files", "expected"),
    [
        ("{file: no.txt}", {}, "p.yaml:2:16: error: no.txt does not exist"),
        ("{file: ../x.txt}", {}, "p.yaml:2:16: error: ../x.txt leads outside the repository"),
        ("{fil: a.txt}", {}, "p.yaml:2:10: error: unknown key `fil`"),
        ("{file: [a]}", {}, "p.yaml:2:16: error: "),
        ("{file: a.txt}", {"a.txt": " \n"}, "p.yaml:2:16: error: a.txt is empty"),
        ("{file: a.txt}", {"a.txt": b"\xff"}, "p.yaml:2:16: error: a.txt is not valid UTF-8 text"),
        ("{file: a.txt}", {"a.txt": "x\n {{ nope }}"}, "a.txt:2:5: error: the template uses `nope`, which is not"),
        ("{file: a.txt}", {"a.txt": "{% if %}"}, "a.txt:1:1: error: "),
        ("{file: a.txt}", {"a.txt": "{% include 'b' %}"}, "a.txt:1:13: error: b does not exist"),
        ("{file: a.txt}", {"a.txt": "{% include 'a.txt' %}"}, "a.txt:1:13: error: these templates include each other"),
        ("\"{% include 'a' %}\"", {"a": "x {{ y.z }}"}, "a:1:6: error: the template uses `y`, which is not defined"),
        ("\"{% include 'a' %}\"", {"a": "x {{ y.z() }}"}, "a:1:1: error: templates cannot call functions"),
        ("\"{% include 'a' %}\"", {"a": "{{ 1 | uper }}"}, "a:1:8: error: unknown filter `uper`"),
        ('"{% include a %}"', {}, "p.yaml:2:13: error: the name of an included file must be a text in quotes"),
        ("\"{% import 'a' as m %}{{ m.b() }}\"", {"a": "{% macro c() %}{% endmacro %}"}, "`m` has no macro `b`"),
        ("\"{% from 'a' import b %}\"", {"a": "{% macro c() %}{% endmacro %}"}, "`a` has no macro `b`"),
        (
            '"{% macro a(n) %}{{ a(n) }}{% endmacro %}{{ a(1) }}"',
            {},
            "p.yaml:2:9: error: an expression in the template",
        ),
    ],
)
def test_an_error_is_in_the_file_with_the_words(words, prompt, files, expected):
    for name, text in files.items():
        words.write(name, text)
    (first, *_) = errors(words, f"version: 1\nprompt: {prompt}\n")
    assert expected in first


def test_macros_have_an_end(words):
    words.write("m.txt", "{% macro a(n) %}{% if n > 0 %}{{ a(n - 1) }}{{ a(n - 1) }}{% endif %}{% endmacro %}")
    text = "version: 1\nprompt: \"{% from 'm.txt' import a %}{{ a(30) }}\"\n"
    assert "the template takes too many steps" in errors(words, text)[0]
    words.write("m.txt", "{% macro a(x) %}{{ x }}{{ x }}{% endmacro %}")
    long = "{% from 'm.txt' import a %}{{ " + "a(" * 12 + "'long text'" + ")" * 12 + " }}"
    assert "the text is longer than 20,000 characters" in errors(words, f'version: 1\nprompt: "{long}"\n')[0]


def test_templates_in_files_count_for_the_limit_of_templates(words, monkeypatch):
    monkeypatch.setattr("krea_pipe.pipeline.spec.problems.MAX_TEMPLATE_WORK", 2_000)
    words.write("a.txt", "{{ seed }}" * 40)
    assert "too many different templates" in errors(words, "version: 1\nprompt: \"{% include 'a.txt' %}\"\n")[0]


def test_a_prompt_that_looks_like_a_path_is_a_warning(words):
    (said,) = errors(words, "version: 1\nprompt: prompts/hero.txt\n", "warning")
    assert said.endswith("warning: this prompt is a path, which would be sent as text")
    assert errors(words, "version: 1\nprompt: a photo of hero.txt\n", "warning") == []


def test_a_secret_in_a_text_file_is_refused_and_not_shown(words):
    secret = "AK" + "IA" + "QRSTUVWXYZABCDEF"
    words.write("a.txt", f"a lamp {secret}")
    for prompt in ("{file: a.txt}", "\"{% include 'a.txt' %}\""):
        (said,) = errors(words, f"version: 1\nprompt: {prompt}\n")
        assert "a.txt contains a value that looks like a secret key" in said
        assert secret not in said


def test_a_variable_of_an_included_file_is_used(words):
    words.write("a.txt", "{{ inside }}")
    words.write("b.txt", "in a file: {{ other }}")
    text = "version: 1\nvars: {inside: 1, other: 2}\nstages:\n"
    text += "  a: {prompt: \"{% include 'a.txt' %}\"}\n  b: {prompt: {file: b.txt}}\n"
    assert errors(words, text, "warning") == []
