"""Templates that only insert values give without Jinja what they give with it."""

import math
import random

import pytest

from krea_pipe.core.written import WrittenFloat, WrittenInt, WrittenNull, WrittenTruth
from krea_pipe.pipeline.template import NO_FILES, TemplateProblem, compile_template, paths_in
from krea_pipe.pipeline.template.inserting import inserted_paths
from krea_pipe.pipeline.template.jinja_template import compile_with_jinja, paths_outside
from krea_pipe.pipeline.template.limits import MAX_RENDERED

PIECES = ["{{ a }}", "{{a}}", "{{ a.b }}", "{{ a.b.c }}", "{{\n a }}", "{{ b }}", "{{ items.items }}", "{{ a.a }}"]
PIECES += ["{{ true }}", "{{ none }}", "{{ self }}", "{{ loop }}", "{{ if }}", "{{ a.if }}", "{{ _a }}", "{{ é }}"]
PIECES += [
    "{{ a . b }}",
    "{{- a -}}",
    "{{ a | title }}",
    "{{ a.0 }}",
    "{# a #}",
    "{% if a %}x{% endif %}",
    "{{ a",
    "{{ }}",
]
PIECES += [" ", "\n", "\r\n", "\r", "{", "}", "{{", "}}", "%}", "#", "a lamp", "é", "\u2028", "\x07", ".", "x" * 9_000]
VALUES = ["", "red", "a\nb", "é", "\x07", 0, 1, -3, 2.5, math.inf, 10**40, True, None, [], ["b"], {"b": "c"}]
VALUES += [{"b": {"c": 1}}, {"b": ["c"]}, {"items": {"items": "x"}}, {"a": None}, "x" * 15_000, {"id": "row", "b": ""}]
VALUES += [WrittenInt(33, "+33"), WrittenFloat(1.1, "1.10"), WrittenNull("NULL"), WrittenTruth(True, "TRUE"), (1, 2)]
PLAIN = {"a": "red", "b": 2, "items": {"items": "x"}}


def result(make):
    """What a template gives, or what it says is wrong."""
    try:
        found = make()
        return type(found), repr(found)
    except TemplateProblem as error:
        return error.code, str(error), error.word, error.hint


@pytest.mark.parametrize("seed", range(3))
def test_a_template_gives_what_it_gives_with_jinja(seed):
    chance = random.Random(seed)
    inserting = 0
    for _ in range(300):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 4)))
        if len(text) > MAX_RENDERED or not any(sign in text for sign in ("{{", "{%", "{#")):
            continue
        inserting += inserted_paths(text) is not None
        context = {name: chance.choice(VALUES) for name in ("a", "b", "items") if chance.random() < 0.9}
        for values in (context, PLAIN):
            ours = result(lambda text=text, values=values: compile_template(text).render(values))
            jinja = result(lambda text=text, values=values: compile_with_jinja(text, NO_FILES).render(values))
            assert ours == jinja, (text, values)
    assert inserting > 15


@pytest.mark.parametrize("text", [piece for piece in PIECES if inserted_paths(piece)])
def test_the_names_of_a_template_are_those_that_jinja_finds(text):
    text = f"a {text} and {{{{ items.items }}}} lamp"
    ours, jinja = compile_template(text), compile_with_jinja(text, NO_FILES)
    assert (ours.names, ours.required, ours.fields) == (jinja.names, jinja.required, jinja.fields)
    assert {*paths_in(text)} <= paths_outside(text, NO_FILES)


@pytest.mark.parametrize("text", ["{{ a }}", "A {{ a }} lamp", "{{ row.text }}, {{ light }}", "{{a}}{{b}}"])
def test_common_templates_need_no_jinja(text):
    assert inserted_paths(text)


@pytest.mark.parametrize(
    "text",
    [
        "{{ a | title }}",
        "{{ a ~ b }}",
        "{{- a }}",
        "{{{ a }}}",
        "{{ a }}\n",
        "{{ true }}",
        "{{ a }}{# b #}",
        "a{{ b.0 }}",
    ],
)
def test_other_templates_are_left_to_jinja(text):
    assert inserted_paths(text) is None


def test_a_long_path_is_refused_as_by_jinja():
    text = "{{ a" + ".b" * 80 + " }}"
    assert result(lambda: compile_template(text))[0] == "template_too_large"
