"""One value rendered: types kept, text made readable, everything dangerous refused."""

import tracemalloc

import pytest

from krea_pipe.pipeline.template import MAX_RENDERED, TemplateProblem, as_text, compile_template, reset_budgets, slug
from krea_pipe.pipeline.template.limits import MAX_WORK, MAX_WORK_IN_ALL


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


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (1, "1"), (0.1, "0.1"), ("é", "é")])
def test_inside_a_text_values_read_as_in_yaml(value, text):
    assert render("<{{ x }}>", x=value) == f"<{text}>"
    assert as_text(value) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{% for x in m %}{{ x }}{% if not loop.last %}, {% endif %}{% endfor %}", "a, b"),
        (
            "{% for x in m %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.length }}{% endfor %}",
            "10222112",
        ),
        (
            "{% for x in m %}{{ '-' if not loop.first }}{{ x }}{% endfor %}".replace("first }}", "first else '' }}"),
            "a-b",
        ),
        ("no {{ '%03d' | format(n) }}", "no 007"),
        ("{{ '%s of %.2f%%' | format('a', n) }} ", "a of 7.00% "),
    ],
)
def test_loops_count_and_numbers_have_a_form(text, expected):
    assert render(text, m=["a", "b"], n=7) == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("{{ n | uppercase }}", "did you mean `upper`?"),
        ("{{ n | zfill(3) }}", "did you mean `format`?"),
        ("{{ n | slugify }}", "did you mean `slug`?"),
        ("{{ m | list }}", "remove it; the value can be used without it"),
        ("{{ n | e }}", "remove it; the value can be used without it"),
        ("{{ n | to_sentence }}", "did you mean `join_and`?"),
        ("{% for x in m %}{{ loop.indx }}{% endfor %}", "did you mean `index`?"),
        ("{% for x in m %}{{ loop }}{% endfor %}", "write {{ loop.index }}"),
        ("a {#ff0000 lamp", "write `{ #` with a space, or end the comment with #}"),
        ("{{ '%0999d' | format(n) }}", "write one of %d, %03d, %s or %.2f for each value: {{ '%03d' | format(seed) }}"),
    ],
)
def test_what_other_tools_have_gets_a_hint(text, hint):
    assert problem_of(text, n=7, m=["a"]).hint == hint


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
        ("<{% for y in x %}{{ y }};{% endfor %}>", {"x": [1, True]}, "<1;true;>"),
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
        ("a {{ x }}", {}, "`x` is not defined", None),
        ("{{ x }}", {}, "`x` is not defined", None),
        ("{{ x.txt }}", {"x": {"id": "a", "text": 1}}, "the row `a` has no field `txt`", "did you mean `text`?"),
        ("{{ x.zz }}", {"x": {"text": 1}}, "this mapping has no field `zz`", "known: text"),
        ("{{ x.a }}", {"x": "b"}, "a plain value has no field `a`", "only rows and mappings have fields"),
        ("{{ x[3] }}", {"x": [1]}, "this list has no item 3", "it has 1, counted from 0"),
        ("{{ 1 / 0 }}", {}, "the template divides by zero", None),
        ("{{ x + 1 }}", {"x": "a"}, "+ needs two values of the same kind; ~ joins text", None),
        (
            "{{ x | join(1) }}",
            {"x": 1},
            "a filter or an operator in the template got a value of the wrong kind",
            None,
        ),
        (
            "a {{ x }}",
            {"x": {"id": "a", "text": 1}},
            "a row or mapping cannot be part of text",
            "use one of its fields: id, text",
        ),
        (
            "a {{ x | upper }}",
            {"x": {"a": 1}},
            "a row or mapping cannot be part of text",
            "use one of its fields: a",
        ),
        ("a {{ x }}", {"x": [1]}, "a list cannot be part of text", "join its items: {{ items | join_and }}"),
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


MANY = ["a"] * 100_000
LONG = "a" * (MAX_RENDERED - 1)


@pytest.mark.parametrize(
    "text",
    [
        "{{ many | join(long) }}",
        "{{ many | join_and(long) }}",
        "{{ [many, many] | join }}",
        "{{ many ~ many }}",
        "{{ " + " ~ ".join(["long"] * 2_000) + " }}",
        "{{ long + long }}",
        "{{ many + many }}",
        "{{ longs | sort | first }}",
        "{{ many | sort(attribute=long) }}",
        "{{ [many] | sum(start=[]) }}",
        "{{ long | trim(long) }}",
        "{{ 1 | round(1000000000) }}",
        "{{ 1 | round(-1000000000) }}",
        "a {% for a in many %}{% for b in many %}{% endfor %}{% endfor %}",
        "a {% for a in many if a == 'b' %}{% endfor %}",
        "a {% for a in thousand %}" + "{{ empty }}" * 1_000 + "{% endfor %}",
        "a {% for a in thousand %}{% if longs == copies %}{% endif %}{% endfor %}",
        "a {% for a in thousand %}{% if longs is eq(copies) %}{% endif %}{% endfor %}",
        "a {% for a in thousand %}{% if a in longs %}{% endif %}{% endfor %}",
        "a {% for a in thousand %}{% if longs[1:] %}{% endif %}{% endfor %}",
        "a {% for a in thousand %}{{ long | slug | length }}{% endfor %}",
        "{{ " + "not " * 3_000 + "long }}",
        "{{ " + "1 + " * 3_000 + "1 }}",
        "{{ " + "1 * " * 200 + "1 }}",
        "{{ " + "(" * 500 + "1" + ")" * 500 + " }}",
        "{{ " + "[" * 60 + "1" + "]" * 60 + " }}" + "{{ many }}",
        "{{ " + "9" * 5_000 + " }}",
        "{% if 1 %}" * 200 + "{% endif %}" * 200,
        "{{ long[1:2, 3] }}",
        "x" * (MAX_RENDERED + 1),
    ],
    ids=range(30),
)
def test_no_template_takes_long_or_fills_the_memory(text):
    names = {"many": MANY, "long": LONG, "thousand": ["a"] * 1_000, "empty": ""}
    problem = problem_of(text, **names, longs=[LONG] * 200, copies=[LONG] * 200)
    assert problem.code in ("template_too_large", "template_not_text", "template_render")
    assert "wrong kind" not in str(problem)


@pytest.mark.parametrize(
    "text",
    [
        "{{ many | join(long) }}",
        "{{ many | join_and(long) }}",
        "{{ " + " ~ ".join(["long"] * 2_000) + " }}",
        "{{ " + " + ".join(["texts"] * 50) + " }}",
        "{{ longs ~ longs }}",
        "{{ texts | join }}",
    ],
)
def test_what_would_be_too_long_is_not_made_at_all(text):
    names = {"many": ["a"] * 1_000, "long": LONG, "longs": [LONG] * 1_000, "texts": [[LONG] * 1_000] * 5}
    names["texts"] = ["a"] * 100_000 if "+" in text else names["texts"]
    template = compile_template(text)
    tracemalloc.start()
    with pytest.raises(TemplateProblem):
        template.render(names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


def test_a_text_is_never_formatted_to_see_whether_it_is_even():
    assert render("{{ '%09999999999d' is even }}") is False
    assert [render("{{ n is even }}", n=n) for n in (1, 2, 3.0)] == [False, True, False]


def test_ordinary_loops_are_far_from_the_limit():
    text = "{% for a in x %}{% for b in y %}{% if a != b %}{{ a | upper }}{{ b }} {% endif %}{% endfor %}{% endfor %}"
    assert len(render(text, x=list(range(50)), y=list(range(50)))) > 5_000


def test_all_renderings_of_a_pipeline_have_one_budget():
    reset_budgets()
    half = ["a"] * (MAX_WORK // 2)
    text = "a {% for a in x %}{% endfor %}"
    for _ in range(MAX_WORK_IN_ALL // (len(half) + 1)):
        render(text, x=half)
    assert str(problem_of(text, x=half)) == "all templates together take too many steps"
    reset_budgets()
    assert render(text, x=half) == "a "


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1e308 * 10 }}",
        "a {{ 1e308 * 10 }}",
        "{{ 1e999 }}",
        "{{ 'nan' | float }}",
        "{{ [x - x] }}",
        "{{ " + "n * " * 9 + "n }}",
    ],
)
def test_numbers_that_are_none_or_grow_are_refused(text):
    assert problem_of(text, x=float("inf"), n=10**12).code == "number_not_finite"


@pytest.mark.parametrize("escape", ["\\u0000", "\\u001b[31m", "\\ud800", "\\u007f", "\\u009b31m", "\\uffff"])
@pytest.mark.parametrize("text", ['{{ "%s" }}', 'a {{ "%s" }}', '{{ ["%s"] }}', '{{ {"%s": 1} }}'])
def test_no_template_gives_control_characters(text, escape):
    assert problem_of(text % escape).code == "control_character"


def test_messages_hold_no_control_characters_and_end():
    problem = problem_of('{{ x["\\u001b[31m"] }}', x={"a": 1})
    assert str(problem) == "this mapping has no field `-[31m`"
    problem = problem_of("{{ x[y] }}", x={"a" * 10_000: 1}, y="b" * 10_000)
    assert max(len(str(problem)), len(problem.hint)) < 500


def test_joined_values_read_as_in_yaml():
    assert render("<{{ x | join(', ') }}>", x=[1, True, "é"]) == "<1, true, é>"
    assert render("<{{ x ~ y ~ 1 }}>", x=True, y=2) == "<true21>"
    assert render("{{ x | join('/', attribute='id') }}", x=[{"id": "a"}, {"id": "b"}]) == "a/b"
    assert render("{{ x | sort(reverse=true) | join }}", x=["b", "a"]) == "ba"
    assert (render("{{ 2.345 | round(1) }}"), render("{{ x | sum }}", x=[1, 2])) == (2.3, 3)
    assert render("{{ x[1:] }}", x=[1, 2, 3]) == [2, 3]
