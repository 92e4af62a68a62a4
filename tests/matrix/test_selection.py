"""Which cells `-k`, `--exclude` and `--only-failed` take, and what is said of an expression that cannot be read."""

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import krea_pipe.matrix.selection
from krea_pipe.cli.messages import print_problems
from krea_pipe.core.errors import UsageError
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.matrix.selection import Subject, parse_selection

BOUNDED = settings(deadline=None, database=None, derandomize=True, max_examples=300)


def cell(identity, status="", **axes):
    """A cell; each axis has the texts of its value, separated by |."""
    named = {name.replace("__", "."): tuple(texts.split("|")) for name, texts in axes.items()}
    return Subject(identity, identity.partition("/")[0], named, status)


CELLS = [
    cell("explore/serum/dawn/s1", "succeeded", product="serum", light="dawn|low dawn light, long", seed="s1|1|1"),
    cell("explore/serum/neon/s10", "failed", product="serum", light="neon|Neon (street)", seed="s10|10|10"),
    cell("explore/cream/dawn/s1", "uncertain", product="cream", light="dawn|low dawn light, long", seed="s1|1|1"),
    cell("ladder/0.1/raw", "failed", references__brand__strength="0.1|0.1|0.1", creativity="raw"),
    cell("ladder/0.5/low", "", references__brand__strength="0.5|0.5|0.5", creativity="low"),
    cell("amber-glass/none", "pending", note="none|none|"),
]
STAGES = ("explore", "ladder", "amber-glass")
AXES = ("product", "light", "seed", "references.brand.strength", "creativity", "note")
STATUSES = ("succeeded", "reused", "failed", "uncertain", "pending")
CHECKS = ("sharp", "brand")


def taken(select=(), exclude=(), cells=CELLS, **options):
    select = [select] if isinstance(select, str) else select
    selection = parse_selection(select, exclude, **options)
    return [index for index, one in enumerate(cells) if selection.takes(one)]


def problems_of(call, *arguments):
    with pytest.raises(UsageError) as caught:
        call(*arguments)
    assert caught.value.exit_code == 2
    return caught.value.problems


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        # a word is a whole part of the id, or several in a row
        ("serum", [0, 1]),
        ("s1", [0, 2]),
        ("glass", []),
        ("amber-glass", [5]),
        ("serum/dawn", [0]),
        ("explore/dawn", []),
        ("explore/serum/dawn/s1", [0]),
        ("explore/", [0, 1, 2]),
        ("/s10", [1]),
        ("SERUM", [0, 1]),
        ('"serum"', [0, 1]),
        # a glob too, over any number of parts
        ("s1*", [0, 1, 2]),
        ("*glass", [5]),
        ("er*", []),
        ("explore/*/s1", [0, 2]),
        ("s?", [0, 2]),
        ("[dn]*n", [0, 1, 2]),
        ("[!a-e]*w", [3, 4]),
        ("0.[0-4]", [3]),
        ("*", [0, 1, 2, 3, 4, 5]),
        ("'s*'", []),
        # facts
        ("stage:explore", [0, 1, 2]),
        ("stage: ladder , Amber*", [3, 4, 5]),
        ("STAGE:LADDER", [3, 4]),
        ("status:failed", [1, 3]),
        ("status:failed,pending", [1, 3, 5]),
        ("not status:*e*", [4]),
        # axes
        ("product=serum", [0, 1]),
        ("product=ser", []),
        ("product = serum,cream", [0, 1, 2]),
        ("product=Serum", [0, 1]),
        ("light=d*", [0, 2]),
        ('light="low dawn light, long"', [0, 2]),
        ("light='neon (street)'", [1]),
        ('light="d*"', []),
        ("seed=1", [0, 2]),
        ("seed=s1", [0, 2]),
        ("seed=1.0,+10", [0, 1, 2]),
        ("references.brand.strength=0.50", [4]),
        ("references.brand.strength=1e-1", [3]),
        ('references.brand.strength="0.50"', []),
        ('"creativity"=raw', [3]),
        ('note=""', [5]),
        ("creativity!=raw", [0, 1, 2, 4, 5]),
        ("creativity!=raw,low", [0, 1, 2, 5]),
        ("Product=serum", []),
        # joining
        ("serum and dawn", [0]),
        ("serum AND Not dawn", [1]),
        ("cream or serum and neon", [1, 2]),
        ("(cream or serum) and dawn", [0, 2]),
        ("not serum and not cream", [3, 4, 5]),
        ("not(serum or cream)", [3, 4, 5]),
        ("not not not serum", [2, 3, 4, 5]),
        ('"and" or "or"', []),
        ("status:failed and(stage:ladder)", [3]),
        ("  serum\t\n", [0, 1]),
    ],
)
def test_an_expression_takes_the_cells_that_it_describes(expression, expected):
    assert taken(expression) == expected


def test_every_example_of_the_documentation_can_be_read():
    examples = re.findall(r"^    (\S+)", krea_pipe.matrix.selection.__doc__, re.MULTILINE)
    assert len(examples) == 7
    for example in examples:
        parse_selection([example], [])


def test_any_select_takes_a_cell_and_no_exclude_may():
    assert taken(["neon", "cream"]) == [1, 2]
    assert taken([], ["neon", "cream"]) == [0, 3, 4, 5]
    assert taken(["explore", "ladder"], ["s1", "low"]) == [1, 3]


def test_only_failed_takes_failed_cells_and_leaves_those_that_may_be_paid():
    assert taken(only_failed=True) == [1, 3]
    assert taken("explore", only_failed=True) == [1]
    assert taken("explore", ["neon"], only_failed=True) == []


def test_a_selection_says_when_nothing_was_asked():
    assert parse_selection([], []).is_all
    assert taken() == list(range(len(CELLS)))
    for asked in (parse_selection(["*"], []), parse_selection([], ["x"]), parse_selection([], [], only_failed=True)):
        assert not asked.is_all


def test_a_selection_says_when_it_needs_the_status():
    assert parse_selection(["a and not (b or status:failed)"], []).needs_status
    assert parse_selection([], ["status:pending"]).needs_status
    assert parse_selection([], [], only_failed=True).needs_status
    assert not parse_selection(["stage:status and status"], ["'status:failed'"]).needs_status


def test_numbers_are_compared_without_rounding():
    long = "0.1000000000000000000000000000000000001"
    cells = [cell("a", x="0.1"), cell("b", x=long), cell("c", x="1e9999"), cell("d", x="-0"), cell("e", x="010")]
    assert taken("x=0.10", cells=cells) == [0]
    assert taken(f"x={long}", cells=cells) == [1]
    assert taken("x=10e9998", cells=cells) == [2]
    assert taken("x=0", cells=cells) == [3]
    assert taken("x=10", cells=cells) == []


def test_characters_are_compared_in_any_of_their_forms():
    cells = [cell("explore/café"), cell("explore/straße"), cell("explore/été-1")]
    for form in ("NFC", "NFD"):
        assert taken(unicodedata.normalize(form, "CAFÉ"), cells=cells) == [0]
        assert taken(unicodedata.normalize(form, "?t?-1"), cells=cells) == [2]
    assert taken("STRASSE", cells=cells) == [1]


@pytest.mark.parametrize(
    ("expression", "column", "message", "hint"),
    [
        ("", 1, "is empty", "remove the option"),
        (" \t", 1, "is empty", "remove the option"),
        ("and", 1, "a condition is missing before `and`", "for example"),
        ("serum and", 10, "a condition is missing at the end", "for example"),
        ("not", 4, "a condition is missing at the end", "for example"),
        ("serum or or dawn", 10, "a condition is missing before `or`", "for example"),
        ("()", 2, "a condition is missing before `)`", "for example"),
        ("=serum", 1, "a condition is missing before `=`", "for example"),
        ("serum dawn", 7, "`and` or `or` is missing here", "goes in quotes"),
        ("serum not dawn", 7, "`and` or `or` is missing here", "goes in quotes"),
        ("product=serum(dawn)", 14, "`and` or `or` is missing here", "goes in quotes"),
        ("serum,cream", 6, "a comma is only allowed between values", "`and` or `or`"),
        ("a=b=c", 4, "one axis and one operator", "`and` or `or`"),
        ("product=serum,light!=dawn", 20, "one axis and one operator", "`and` or `or`"),
        ("stage:explore,status:failed", 15, "status: starts another condition", "`and` or `or`"),
        ("product=", 9, "a value is missing after `=`", "product=serum,cream"),
        ("product==serum", 9, "a value is missing after `=`", "product=serum,cream"),
        ("product=serum,", 15, "a value is missing after `,`", "product=serum,cream"),
        ("Stage:", 7, "a value is missing after `Stage:`", "product=serum,cream"),
        ("product!=and", 10, "a value is missing after `!=`", 'put the value in quotes: "and"'),
        ("(a or (b)", 1, "never closed", "close it with )"),
        ("a)", 2, "this bracket has no opening bracket", "remove it"),
        ('x or "abc', 6, "the quote that opens here is never closed", 'close it with "'),
        ("x=it's", 5, "the quote that opens here is never closed", "close it with '"),
        ("a && b", 3, "& has no meaning here", "write `and`"),
        ("a || b", 3, "| has no meaning here", "write `or`"),
        ("!a", 1, "! has no meaning here", "write `not`"),
        ("seed>3", 5, "> has no meaning here", "seed=1,2,3"),
        ("product:serum", 8, "ids do not contain colons", "write product=serum"),
        ("//", 1, "not part of an id", "for example"),
        ("a or ''", 6, "not part of an id", "for example"),
        ("(" * 10_000, 51, "more than 50 levels deep", "remove the redundant"),
        ("(" * 51 + "a" + ")" * 51, 51, "more than 50 levels deep", "remove the redundant"),
        ("a or " * 4_001, 20_001, "longer than 20,000 characters", "repeat the option"),
        ("b or " + "x" * 2_001, 6, "up to 2,000 characters", "glob"),
        ("b or " + "x" * 200 + "*", 6, "up to 200 characters", "shorter"),
        ("x=" + "x" * 200 + "*", 3, "up to 200 characters", "shorter"),
    ],
)
def test_a_malformed_expression_is_told_with_its_place(expression, column, message, hint):
    for option, arguments in (("--select", ([expression], [])), ("--exclude", ([], [expression]))):
        (problem,) = problems_of(parse_selection, *arguments)
        assert problem.code == "bad_selection"
        assert message in problem.message
        assert hint in problem.hint
        assert (str(problem.at.path), problem.at.line, problem.at.column) == (option, 1, column)


def test_a_person_sees_the_expression_with_a_caret(capsys):
    print_problems(problems_of(parse_selection, ["serum\ndawn"], []))
    assert capsys.readouterr().err.splitlines() == [
        "--select:1:7: error: `and` or `or` is missing here",
        "  1 | serum dawn",
        "    |       ^",
        "  hint: write one between two conditions; a value with a space goes in quotes",
    ]


def test_all_malformed_expressions_are_told_at_once():
    found = problems_of(parse_selection, ["a b", "fine", ""], ["c d e"])
    assert [(str(one.at.path), one.at.text) for one in found] == [
        ("--select", "a b"),
        ("--select", ""),
        ("--exclude", "c d e"),
    ]


def test_as_many_brackets_as_allowed_work():
    assert taken("(not " * 50 + "serum" + ")" * 50) == [0, 1]
    assert taken("not " * 4_000 + "serum") == [0, 1]
    assert taken(" or ".join(["x"] * 2_000 + ["serum"])) == [0, 1]


def test_no_glob_takes_for_ever():
    assert taken("*a" * 99 + "*b", cells=[cell("a" * 5_000)]) == []
    assert taken("x=" + "*a" * 99 + "*b", cells=[cell("a", x="a" * 5_000)]) == []


def test_unknown_names_are_told_at_once_with_the_nearest():
    selection = parse_selection(["stage:explor and prodct=x or light=y"], ["status:fail", "Seed!=1", "stage:x*"])
    found = problems_of(selection.check_names, STAGES, AXES, STATUSES, CHECKS)
    assert [(one.code, str(one.at), one.hint) for one in found] == [
        ("unknown_stage", "--select:1:7", "did you mean `explore`?"),
        ("unknown_axis", "--select:1:18", "did you mean `product`?"),
        ("unknown_status", "--exclude:1:8", "did you mean `failed`?"),
        ("unknown_axis", "--exclude:1:1", "did you mean `seed`?"),
        ("unknown_stage", "--exclude:1:7", "known: amber-glass, explore, ladder"),
    ]
    assert [one.message for one in found][:2] == ["there is no stage `explor`", "there is no axis `prodct`"]


def test_known_names_pass_however_they_are_written():
    text = "stage:EXPLORE,lad* and references.brand.strength=1 or status:Failed,'pending' or 'note'!=none"
    parse_selection([text, "word"], [], only_failed=True).check_names(STAGES, AXES, STATUSES, CHECKS)


def test_a_name_is_told_on_one_line_and_found_whatever_its_case():
    selection = parse_selection(["'CREATI\nVTY'=raw"], [])
    (problem,) = problems_of(selection.check_names, STAGES, AXES, STATUSES, CHECKS)
    assert (problem.message, problem.hint) == ("there is no axis `CREATI VTY`", "did you mean `creativity`?")


def test_checks_are_selected_by_name_and_all_that_fail_at_once():
    cells = [
        Subject(f"a/{place}", "a", {}, failed=failed) for place, failed in enumerate([(), ("sharp",), ("brand", "x")])
    ]
    assert taken("check:sharp", cells=cells) == [1]
    assert taken("check:FAILED and not check:'sharp'", cells=cells) == [2]
    assert taken("check:b*,sharp", cells=cells) == [1, 2]
    assert taken("not check:failed", cells=cells) == [0]
    selection = parse_selection(["check:failed or check:shrp"], ["check=brand"])
    found = problems_of(selection.check_names, STAGES, AXES, STATUSES, CHECKS)
    assert [(one.code, one.hint) for one in found] == [
        ("unknown_check", "did you mean `sharp`?"),
        ("unknown_axis", "write `check:` instead of `check=`"),
    ]


def test_a_quoted_glob_is_no_name():
    selection = parse_selection(["stage:'lad*'"], [])
    (problem,) = problems_of(selection.check_names, STAGES, AXES, STATUSES, CHECKS)
    assert problem.code == "unknown_stage"


def test_a_stage_or_status_that_is_written_like_an_axis_is_explained():
    selection = parse_selection(["stage=explore"], [])
    (problem,) = problems_of(selection.check_names, STAGES, AXES, STATUSES, CHECKS)
    assert problem.hint == "write `stage:` instead of `stage=`"
    parse_selection(["status=sale"], []).check_names(STAGES, ("status",), STATUSES, CHECKS)


def test_values_that_an_axis_does_not_have_are_told():
    values = {"product": [("serum",), ("cream", "Cream")], "seed": [("s1", "1")]}
    selection = parse_selection(["product=serm,cream,x*"], ["seed=1.0,2", "light=any"])
    found = problems_of(selection.check_values, values)
    assert [(one.code, str(one.at), one.message, one.hint) for one in found] == [
        ("unknown_value", "--select:1:9", "there is no value `serm` of the axis `product`", "did you mean `serum`?"),
        (
            "unknown_value",
            "--select:1:20",
            "there is no value `x*` of the axis `product`",
            "known: Cream, cream, serum",
        ),
        ("unknown_value", "--exclude:1:10", "there is no value `2` of the axis `seed`", "known: 1, s1"),
    ]


def test_hints_stay_short_however_many_values_there_are():
    values = {"seed": [(f"s{number}", str(number)) for number in range(5_000)] + [("0" * 10_000,)]}
    selection = parse_selection(["seed=dawn"], [])
    (problem,) = problems_of(selection.check_values, values)
    assert problem.hint.startswith("known: 0, 1, 10, ")
    assert problem.hint.endswith("…")
    assert len(problem.hint) <= 200


PIECES = st.sampled_from(
    [
        *"()=,*?[]!:/&|<-\\'\"éﷺ＊ß \n\x1b\udcff",
        *["and", "or", "not", "!=", "[!", "stage:", "status:", "serum", "s1", "product", "0.5", "1e9999"],
    ]
)
TEXTS = st.text() | st.lists(PIECES, max_size=30).map("".join) | st.lists(PIECES, max_size=15).map(" ".join)


@BOUNDED
@given(TEXTS, st.booleans())
def test_any_text_is_read_or_refused_with_a_place_in_it(text, excluded):
    try:
        selection = parse_selection([], [text]) if excluded else parse_selection([text], [])
        for one in CELLS:
            assert selection.takes(one) in (True, False)
        selection.check_values({"product": [("serum",)]})
        selection.check_names(STAGES, AXES, STATUSES, CHECKS)
    except UsageError as error:
        for problem in error.problems:
            assert problem.hint
            assert 1 <= problem.at.column <= len(problem.at.text) + 1
            told = f"{problem}{problem.at.text}"
            assert not CONTROL_CHARACTERS.search(told)
            assert not set(told) & set("\n\r\t\v\f")


ATOMS = [
    "serum",
    "s1*",
    "stage:explore,ladder",
    "status:failed",
    "product=serum,cream",
    "seed=1",
    "creativity!=raw",
    "x",
]
ANSWERS = {atom: [parse_selection([atom], []).takes(one) for one in CELLS] for atom in ATOMS}
EXPRESSIONS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        inner.map("not {}".format),
        inner.map("({})".format),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(" ".join),
    ),
    max_leaves=8,
)


@BOUNDED
@given(EXPRESSIONS)
def test_conditions_are_joined_as_in_python(expression):
    pattern = "|".join(re.escape(atom) for atom in sorted(ATOMS, key=len, reverse=True))
    for index, one in enumerate(CELLS):
        known = re.sub(pattern, lambda atom, index=index: str(ANSWERS[atom[0]][index]), expression)
        assert parse_selection([expression], []).takes(one) is eval(known), known


@BOUNDED
@given(EXPRESSIONS, EXPRESSIONS)
def test_de_morgan_holds_and_options_are_joined_in_the_same_way(one, other):
    every = set(range(len(CELLS)))
    assert taken(f"not (({one}) or ({other}))") == taken(f"not ({one}) and not ({other})")
    assert taken(f"not (({one}) and ({other}))") == taken(f"not ({one}) or not ({other})")
    assert taken(f"not not ({one})") == taken(one)
    assert taken([one, other]) == taken(f"({one}) or ({other})")
    assert taken([one], [other]) == taken(f"({one}) and not ({other})")
    assert set(taken([], [one, other])) == every - set(taken([one, other]))
    assert taken([one], only_failed=True) == taken(f"({one}) and status:failed")


@BOUNDED
@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=40))
def test_a_value_in_quotes_is_found_whatever_it_is(text):
    quote = "'" if '"' in text else '"'
    if quote not in text:
        assert (
            taken(f"x={quote}{text}{quote}", cells=[cell("a", x="b"), Subject("b", "b", {"x": ("?", text)})])[-1] == 1
        )
