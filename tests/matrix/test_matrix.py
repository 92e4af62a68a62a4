"""Cells: how many, in which order, under which ids and paths, and which changes leave their keys alone."""

import itertools
import json

import pytest

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.problem_list import MAX_PROBLEMS
from krea_pipe.matrix.matrix import MAX_CELLS

PIPELINE = """\
version: 1
name: lamp
vars: {place: the shop}
prompt: A lamp on {{ surface }}, {{ product.text }} in {{ place }}
matrix:
  surface: [a marble table, wet slate]
  product:
    - {id: serum, text: amber bottle}
    - {id: cream, text: matte jar, creativity: low}
  seed: {count: 3}
"""


@pytest.fixture
def load(tmp_path):
    """Load a text as a pipeline file."""

    def load_text(text):
        file = tmp_path / "lamp.yaml"
        file.write_text(text, encoding="utf-8")
        return flow.load_pipeline(file)

    return load_text


@pytest.fixture
def cells(load):
    """The cells and keys of a text."""
    return lambda text, **options: list(flow.cells(load(text), **options))


@pytest.fixture
def keys(cells):
    """The keys of a text, in no order."""
    return lambda text: sorted(key for _, key in cells(text))


def problems_of(action, *arguments, **options):
    with pytest.raises(InvalidInput) as caught:
        action(*arguments, **options)
    return caught.value.problems


def test_the_last_axis_varies_fastest_and_positions_count_up(cells):
    found = [cell for cell, _ in cells(PIPELINE)]
    parts = [("a-marble-table", "wet-slate"), ("serum", "cream"), ("s1", "s2", "s3")]
    assert [cell.id for cell in found] == ["/".join(("lamp", *path)) for path in itertools.product(*parts)]
    assert [cell.position for cell in found] == list(range(12))
    assert found[3].axes == ("a marble table", "cream", 1)


def test_positions_have_no_gaps_where_cells_are_excluded(cells):
    found = [cell for cell, _ in cells(PIPELINE + "exclude: [{product: serum, seed: [1, 3]}]\n")]
    assert [cell.position for cell in found] == list(range(8))


@pytest.mark.parametrize(
    "changed",
    [
        PIPELINE.replace("  ", "      "),
        PIPELINE.replace("\n", "  # a remark\n"),
        PIPELINE.replace("\n", "\r\n"),
        PIPELINE.replace("name: lamp", "name: other"),
        PIPELINE.replace("the shop", "\"{{ 'the shop' }}\""),
        PIPELINE.replace("{{ place }}", "the shop").replace("vars: {place: the shop}\n", ""),
        PIPELINE.replace("A lamp on", "  A   lamp\u00a0on"),
        PIPELINE.replace("prompt: ", "prompt: >-\n  "),
        PIPELINE.replace("{count: 3}", "[3, 1, 2.0]"),
        PIPELINE.replace("{count: 3}", "{from: 1, to: 3, steps: 3}"),
        PIPELINE.replace("creativity: low", "set: {creativity: '{{ \"low\" }}'}"),
        PIPELINE + "defaults: {variant: medium, resolution: 1K, intensity: 0}\n",
        PIPELINE + "out: '{{ surface | slug }}/{{ product.id }}-{{ seed }}'\n",
        PIPELINE.replace("prompt: A", "prompts:\n  hero: A") + "prompt: hero\n",
    ],
    ids=[
        *("indented", "commented", "crlf", "renamed", "typed-variable", "inlined-variable", "white-space", "folded"),
        *("listed-seeds", "ranged-seeds", "set", "explicit-defaults", "other-paths", "named-prompt"),
    ],
)
def test_what_does_not_change_a_request_does_not_change_its_key(keys, changed):
    assert changed != PIPELINE
    assert keys(changed) == keys(PIPELINE)


def test_a_stage_of_another_name_and_axes_in_another_order_have_the_same_keys(keys):
    head, _, body = PIPELINE.partition("prompt:")
    prompt, _, axes = body.partition("matrix:\n")
    seed = "  seed: {count: 3}\n"
    reordered = seed + axes.removesuffix(seed)
    stage = "".join(f"    {line}\n" for line in f"prompt:{prompt}matrix:\n{reordered}".splitlines())
    assert keys(f"{head}stages:\n  hero:\n{stage}") == keys(PIPELINE)


def test_what_changes_a_request_changes_every_key(keys):
    for changed in (
        PIPELINE.replace("A lamp", "A vase"),
        PIPELINE.replace("A lamp", "a lamp"),
        PIPELINE + "defaults: {variant: large}\n",
        PIPELINE + "defaults: {movement: 1}\n",
        PIPELINE + "references: [{image: 'https://example.com/a.png'}]\n",
    ):
        assert not set(keys(changed)) & set(keys(PIPELINE))


def test_composed_and_decomposed_letters_have_one_key(keys):
    one = "version: 1\nprompt: a caf{} lamp\n"
    assert keys(one.format("\u00e9")) == keys(one.format("e\u0301"))


def test_one_and_one_point_zero_have_one_key(keys):
    one = "version: 1\nprompt: a lamp\nstyles: [{{id: st, strength: {}}}]\n"
    assert keys(one.format("1")) == keys(one.format("1.0"))
    assert keys(one.format("0")) == keys(one.format("-0.0"))


@pytest.mark.parametrize("pair", [("a b", "A b"), ("a b", "a-b"), ("1", 1), ("true", True), ("none", None)])
def test_two_values_that_would_have_one_id_are_refused_in_either_order(cells, pair):
    for values in (list(pair), list(reversed(pair))):
        with pytest.raises(InvalidInput) as caught:
            cells(f"version: 1\nprompt: a lamp {{{{ v }}}}\nmatrix: {{v: {json.dumps(values)}}}\n")
        assert caught.value.code == "repeated_value"


def test_ids_are_unique_however_alike_the_values(cells):
    values = ["a b", 1, 1.0, True, None, "", "!!", "??"]
    values += ["x" * 60, "x" * 61, "s1", "é", "1-0", "a-b-29c856"]
    text = f"version: 1\nprompt: a lamp {{{{ v | default('-', true) }}}}\nmatrix: {{v: {values!r}}}\n"
    text = text.replace("None", "null").replace("True", "true")
    found = [cell for cell, _ in cells(text)]
    assert len(found) == len(values)
    assert len({cell.id.casefold() for cell in found}) == len(values)
    assert len({cell.out.casefold() for cell in found}) == len(values)
    assert all(cell.id.count("/") == 1 for cell in found)


def test_an_id_does_not_depend_on_other_values(cells):
    one = "version: 1\nprompt: a lamp {{{{ v }}}}\nmatrix: {{v: [{}]}}\n"
    ids = [cell.id for cell, _ in cells(one.format("dawn, noon"))]
    assert [cell.id for cell, _ in cells(one.format("noon, night, dawn"))] == [ids[1], "lamp/night", ids[0]]


def test_a_matrix_above_the_limit_is_refused_before_it_is_made(load):
    loaded = load("version: 1\nprompt: a lamp {{ a }} {{ b }}\nmatrix: {a: {count: 70000}, b: {count: 70000}}\n")
    (problem,) = problems_of(lambda: next(flow.cells(loaded)))
    assert problem.message == ("the matrix has 4,900,000,000 cells (lamp: 70000 x 70000), above the limit of 100,000")
    assert problem.hint == "allow it with --max-cells 4900000000"
    assert MAX_CELLS == 100_000


def test_the_limit_can_be_raised_and_lowered(cells):
    assert len(cells(PIPELINE, max_cells=12)) == 12
    assert problems_of(cells, PIPELINE, max_cells=11)[0].code == "too_many_cells"


def test_cells_are_streamed(load):
    loaded = load("version: 1\nprompt: a lamp\nmatrix: {seed: {count: 100000}}\n")
    first, _ = next(flow.cells(loaded))
    assert first.id == "lamp/s1"


def test_problems_of_cells_come_all_at_once_but_not_without_end(cells):
    rows = "".join(f"    - {{id: r{n}, seed: '{{{{ -1 }}}}'}}\n" for n in range(150))
    found = problems_of(cells, f"version: 1\nprompt: a lamp {{{{ r.id }}}}\nmatrix:\n  r:\n{rows}")
    assert len(found) == MAX_PROBLEMS + 1
    assert [problem.at.line for problem in found[:-1]] == list(range(5, 105))


def test_one_mistake_in_many_cells_is_one_problem(cells):
    found = problems_of(cells, PIPELINE + "out: 'a:b'\n")
    assert len(found) == 1
    assert found[0].code == "path_refused"


def test_names_that_a_path_part_can_not_be_are_refused(cells):
    one = "version: 1\nprompt: a lamp\nout: {}\n"
    for path in ("a//b", "a/./b", "a/../b", "..", "/", "a/", "a\\b", "con", "LPT1.x", "a.", "' a/b '", "'a /b'", "a?b"):
        found = problems_of(cells, one.format(f"'{path}'" if "'" not in path else path)) if path != "' a/b '" else ()
        assert all(problem.code.startswith("path_") for problem in found), path
    ((cell, _),) = cells(one.format("' shots/lamp.png '"))
    assert cell.out == "shots/lamp"


def test_a_reference_is_named_by_a_text(load):
    found = problems_of(
        lambda: list(flow.cells(load("version: 1\nvars: {a: [b]}\nprompt: a\nreferences: ['{{ a }}']\n")))
    )
    assert [problem.code for problem in found] == ["template_not_text"]


def test_templates_of_a_file_make_no_more_data_than_fits(load):
    items = ", ".join(["a"] * 19_000)
    more = "".join(f"  v{number}: '{{{{ items + [{number}] }}}}'\n" for number in range(300))
    found = problems_of(load, f"version: 1\nprompt: a\nvars:\n  items: [{items}]\n{more}")
    assert [problem.message for problem in found] == ["the templates in this file produce too much data"]


def test_a_template_that_reads_one_value_twice_is_not_confused_by_equal_values(cells):
    text = "version: 1\nprompt: a {{ v }} lamp\nmatrix: {v: [1, true, 1.0]}\n"
    assert [cell.request.prompt for cell, _ in cells(text)] == [
        "a 1 lamp",
        "a true lamp",
        "a 1.0 lamp",
    ]
