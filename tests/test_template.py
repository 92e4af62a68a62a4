"""One value rendered: types kept, text made readable, everything dangerous refused."""

import pytest

from krea_pipe.sandbox import MAX_RENDERED, TemplateProblem, as_text, slug
from krea_pipe.template import compile_template


def render(text, **names):
    return compile_template(text).render(names)


def problem_of(text, **names):
    with pytest.raises(TemplateProblem) as caught:
        render(text, **names)
    return caught.value


@pytest.mark.parametrize("value", [1, 1.5, True, None, "2024", "16:9", [1, 2], {"a": 1}])
def test_a_lone_expression_keeps_its_type(value):
    found = render("{{ x }}", x=value)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "true"), (False, "false"), (1, "1"), (0.1, "0.1"), ("é", "é")]
)
def test_inside_a_text_values_read_as_in_yaml(value, text):
    assert render("<{{ x }}>", x=value) == f"<{text}>"
    assert as_text(value) == text


def test_two_expressions_are_text_and_no_tuple():
    assert render("{{ a }}, {{ b }}", a=1, b=2) == "1, 2"
    assert render("{{ a }} ", a=1) == "1 "


def test_plain_text_is_left_alone():
    assert render("a { b } % c") == "a { b } % c"


@pytest.mark.parametrize(
    ("template", "names", "text"),
    [
        ("<{{ x | slug }}>", {"x": "Ä b/c_16:9"}, "<ä-b-c-16x9>"),
        ("<{{ x | join_and }}>", {"x": ["a", "b", 3]}, "<a, b and 3>"),
        ("<{{ x | join_and }}>", {"x": ["a"]}, "<a>"),
        ("<{{ x | join_and('or') }}>", {"x": ["a", "b"]}, "<a or b>"),
        ("<{{ x | title }}>", {"x": "wet slate"}, "<Wet Slate>"),
        ("<{{ x | default('y') }}>", {}, "<y>"),
        ("<{{ x | replace('a', 'b') }}>", {"x": "aa"}, "<bb>"),
        ("<{% if x == 'a' %}1{% else %}2{% endif %}>", {"x": "a"}, "<1>"),
        ("<{% for y in x %}{{ y }};{% endfor %}>", {"x": [1, None]}, "<1;;>"),
        ("<{{ x.items }}>", {"x": {"items": "data, no method"}}, "<data, no method>"),
    ],
)
def test_filters_and_statements(template, names, text):
    assert render(template, **names) == text


def test_choice_depends_on_its_seed_alone():
    drawn = [render("{{ x | choice(n) }}", x=["a", "b", "c"], n=n) for n in range(20)]
    assert drawn == [render("{{ x | choice(n) }}", x=["a", "b", "c"], n=n) for n in range(20)]
    assert set(drawn) == {"a", "b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__ }}",
        "{{ x.__class__.__mro__ }}",
        "{{ x['__class__'] }}",
        "{{ x.upper() }}",
        "{{ range(9) }}",
        "{{ lipsum() }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{ 2 ** 999999 }}",
        "{{ 'a' * 10**9 }}",
        "{{ [1] * 10**9 }}",
        "{{ 'a' % 1 }}",
        "{% set y = 1 %}",
        "{% include 'a' %}",
        "{% import 'a' as b %}",
        "{% macro m() %}{% endmacro %}",
        "{% filter upper %}a{% endfilter %}",
        "{% for a in x %}{% for b in x %}{% for c in x %}{% endfor %}{% endfor %}{% endfor %}",
        "{{ x | attr('upper') }}",
        "{{ x | map('upper') }}",
        "{{ x | format(1) }}",
        "{{ x | center(100000000) }}",
    ],
)
def test_templates_read_data_and_do_nothing_else(text):
    assert problem_of(text, x="abc").code.startswith(("template_", "undefined_"))


@pytest.mark.parametrize(
    "text",
    ["{{ x | replace('a', x) }}", "{% for a in l %}{% for b in l %}{{ x }}{% endfor %}{% endfor %}", "{{ x ~ x }}"],
)
def test_text_can_not_grow_without_bound(text):
    assert problem_of(text, x="a" * MAX_RENDERED, l=list(range(400))).code == "template_too_large"


@pytest.mark.parametrize(
    ("text", "names", "message", "hint"),
    [
        ("a {{ x }}", {}, "nothing defines `x`", None),
        ("{{ x }}", {}, "nothing defines `x`", None),
        ("{{ x.txt }}", {"x": {"id": "a", "text": 1}}, "the row `a` has no field `txt`", "did you mean `text`?"),
        ("{{ x.zz }}", {"x": {"text": 1}}, "this mapping has no field `zz`", "there is text"),
        ("{{ x.a }}", {"x": "b"}, "a plain value has no field `a`", "only rows and mappings have fields"),
        ("{{ x[3] }}", {"x": [1]}, "this list has no item 3", "it has 1, counted from 0"),
        ("{{ 1 / 0 }}", {}, "the template divides by zero", None),
        ("{{ x + 1 }}", {"x": "a"}, "+ needs two values of one kind; ~ joins text", None),
        (
            "{{ x | join(1) }}",
            {"x": 1},
            "a filter or an operator in the template got a value of the wrong kind",
            None,
        ),
        (
            "a {{ x }}",
            {"x": {"id": "a", "text": 1}},
            "a row or mapping can not be a part of a text",
            "name one of its fields: id, text",
        ),
        (
            "a {{ x | upper }}",
            {"x": {"a": 1}},
            "a row or mapping can not be a part of a text",
            "name one of its fields: a",
        ),
        ("a {{ x }}", {"x": [1]}, "a list can not be a part of a text", "join its items: {{ items | join_and }}"),
    ],
)
def test_problems_say_what_and_what_to_do(text, names, message, hint):
    problem = problem_of(text, **names)
    assert (str(problem), problem.hint) == (message, hint)


def test_names_and_fields_are_known_without_rendering():
    template = compile_template("{{ a.b }} {{ c }} {{ a.b.d }} {{ e['f'] }}")
    assert template.names == template.required == {"a", "c", "e"}
    assert template.fields == {("a", "b")}


def test_names_that_a_condition_looks_at_may_be_missing():
    template = compile_template("{% if a is defined %}{{ a.b }}{% endif %}")
    assert (template.names, template.required, template.fields) == ({"a"}, frozenset(), frozenset())
    assert render("{{ x | default('y') }}") == "y"


@pytest.mark.parametrize(
    ("text", "part"), [("Ä  b", "ä-b"), ("16:9", "16x9"), ("a/b\\c", "a-b-c"), (".a.", "a"), ("!!", ""), ("ﬁ", "fi")]
)
def test_slugs_are_parts_of_paths(text, part):
    assert slug(text) == part
