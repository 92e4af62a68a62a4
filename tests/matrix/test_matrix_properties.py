"""Whatever a pipeline says: ids are its own, layout and order change no key, and its price is the sum of its rows."""

import json
import random
from decimal import Decimal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES
from krea_pipe.planning.plan import PlanOptions, Submit, make_plan
from krea_pipe.store.known import Known
from krea_pipe.store.replay import Replay

WORDS = ["amber", "wet slate", "no", "16:9", "a b/c", "Ünïcode é", "x" * 60, "dawn: low", "#1", "'quoted'", "- dash"]
CREATIVITY = ["raw", "low", "medium", "high"]
NOTHING_KNOWN = Known({}, frozenset(), frozenset(), {}, Replay(), frozenset())

words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=3, unique=True)
numbers = st.lists(st.integers(0, 99), min_size=1, max_size=3, unique=True)
plain = st.one_of(words, numbers, st.builds(lambda n: {"count": n}, st.integers(1, 3)))
ranges = st.builds(
    lambda low, n: {"from": low / 10, "to": low / 10 + n / 10, "by": 0.1}, st.integers(0, 9), st.integers(0, 3)
)
zips = words.map(lambda found: {"zip": {"text": found, "number": list(range(len(found)))}})


@st.composite
def rows(draw):
    """Rows with a text, and fields that no other axis of a test sets."""
    found = []
    for number in range(draw(st.integers(1, 3))):
        row = {"id": f"r{number}", "text": draw(st.sampled_from(WORDS))}
        if draw(st.booleans()):
            row["set"] = {"movement": draw(st.integers(-100, 100))}
        if draw(st.booleans()):
            row["aspect_ratio"] = draw(st.sampled_from(["16:9", "4:5"]))
        found.append(row)
    return found


FIELD_AXES = {
    "seed": st.builds(lambda n: {"count": n}, st.integers(1, 3)),
    "creativity": st.lists(st.sampled_from(CREATIVITY), min_size=1, max_size=3, unique=True),
    "intensity": st.lists(st.integers(-100, 100), min_size=1, max_size=2, unique=True),
    "look": st.lists(st.sampled_from(["plain", "warm"]), min_size=1, max_size=2, unique=True),
}


@st.composite
def matrices(draw):
    """Axes of every kind: rows, plain values, ranges, zipped lists, request fields."""
    matrix = {"row": draw(rows())}
    if draw(st.booleans()):
        matrix["word"] = draw(st.one_of(plain, ranges))
    if draw(st.booleans()):
        matrix["pair"] = draw(zips)
    for name in draw(st.lists(st.sampled_from(sorted(FIELD_AXES)), max_size=2, unique=True)):
        matrix[name] = draw(FIELD_AXES[name])
    return matrix


def values_of(axis):
    """What a rule may call the values of an axis; None for those that it would have to compute."""
    if isinstance(axis, dict):
        return list(range(1, axis["count"] + 1)) if "count" in axis else None
    return [value["id"] if isinstance(value, dict) else value for value in axis]


@st.composite
def rules(draw, matrix):
    """A rule about some values of some axes."""
    named = [name for name in matrix if values_of(matrix[name])]
    chosen = draw(st.lists(st.sampled_from(named), min_size=1, max_size=2, unique=True))
    return {name: draw(st.lists(st.sampled_from(values_of(matrix[name])), min_size=1, max_size=2)) for name in chosen}


@st.composite
def stages(draw):
    """A stage with a matrix, or a list of two, and rules for it."""
    matrix = draw(matrices())
    reads = ["{{ row.text }}"]
    reads += ["{{ word }}"] * ("word" in matrix) + ["{{ pair.text }} {{ pair.number }}"] * ("pair" in matrix)
    stage = {"prompt": f"a lamp {' and '.join(reads)}", "matrix": matrix}
    if draw(st.booleans()):
        stage["exclude"] = [{**draw(rules(matrix)), "allow_unused": True}]
    if draw(st.booleans()):
        stage["patch"] = [{"when": draw(rules(matrix)), "set": {"complexity": 7}, "allow_unused": True}]
    if draw(st.booleans()):
        stage["sample"] = draw(st.sampled_from([{"method": "pairwise"}, {"method": "random", "n": 4, "seed": 3}]))
    if "seed" not in matrix and draw(st.booleans()):
        stage |= {"seed": None, "takes": draw(st.integers(1, 2))}
    elif draw(st.booleans()):
        stage["matrix"] = [matrix, {**matrix, "movement": [100]}]
    return stage


@st.composite
def pipelines(draw):
    """A pipeline of one stage, or of a second one that is drawn for each cell of the first."""
    first = draw(stages())
    second = {
        "for_each": "first",
        "prompt": "{{ source.prompt }}, {{ crop }}",
        "references": [{"image": "{{ source.image }}", "strength": 0.7}],
        "matrix": {"crop": draw(words)},
    }
    promoted = {"for_each": "first", "promote": {"variant": "large"}}
    found = {"first": first}
    found |= draw(st.sampled_from([{}, {"second": second}, {"third": promoted}, {"second": second, "third": promoted}]))
    defaults = {"variant": draw(st.sampled_from(["medium", "medium-turbo"]))}
    return {"version": 1, "defaults": defaults, "looks": {"plain": {}, "warm": {"complexity": 5}}, "stages": found}


STYLES = [
    json.dumps,
    lambda data: json.dumps(data, indent=3, ensure_ascii=False),
    lambda data: yaml.safe_dump(data, sort_keys=False, allow_unicode=True),
    lambda data: yaml.safe_dump(data, sort_keys=False, default_flow_style=True, width=40),
    lambda data: "# a remark\n" + yaml.safe_dump(data, sort_keys=False, indent=6, explicit_start=True, width=1_000),
]


@pytest.fixture(scope="session")
def expand(tmp_path_factory):
    """The cells and keys of a pipeline; none where rules leave nothing."""
    file = tmp_path_factory.mktemp("properties") / "a.yaml"

    def expand_data(data, style=STYLES[0]):
        file.write_text(style(data), encoding="utf-8")
        try:
            return list(flow.cells(flow.load_pipeline(file)))
        except InvalidInput as error:
            if {problem.code for problem in error.problems} != {"empty_matrix"}:
                raise
            return []

    return expand_data


def shuffled(data, chance):
    """The same pipeline with stages, keys, axes, rows and values in another order; of rules the order counts."""
    if isinstance(data, dict):
        names = chance.sample([*data], len(data))
        return {name: data[name] if name in ("patch", "exclude") else shuffled(data[name], chance) for name in names}
    if isinstance(data, list) and len(data) > 1:
        return [shuffled(item, chance) for item in chance.sample(data, len(data))]
    return data


def unzipped(data):
    """Whether nothing in it hangs on the order of two lists."""
    return "zip" not in json.dumps(data)


def by_key(found):
    return {key for _, key in found}


@given(data=pipelines())
@settings(max_examples=60)
def test_ids_and_paths_are_unique_and_positions_have_no_gaps(expand, data):
    found = [cell for cell, _ in expand(data)]
    assert len({cell.id.casefold() for cell in found}) == len(found)
    assert len({cell.out.casefold() for cell in found}) == len(found)
    assert [cell.position for cell in found] == list(range(len(found)))
    assert all(cell.id.startswith(f"{cell.stage}/") for cell in found)


@given(data=pipelines())
@settings(max_examples=40)
def test_layout_changes_nothing(expand, data):
    one, *others = [expand(data, style) for style in STYLES]
    assert all(other == one for other in others)


@given(data=pipelines().filter(unzipped), chance=st.integers(0, 1_000))
@settings(max_examples=60)
def test_another_order_of_stages_keys_axes_rows_and_values_has_the_same_keys(expand, data, chance):
    assert by_key(expand(shuffled(data, random.Random(chance)))) == by_key(expand(data))


@given(data=pipelines())
@settings(max_examples=40)
def test_the_price_is_the_sum_of_its_rows_and_each_request_is_paid_once(expand, data):
    found = expand(data)
    plan = make_plan(found, NOTHING_KNOWN, None, PlanOptions("p", ""))
    distinct = {key: cell.request for cell, key in found}
    assert plan.total(Submit).usd == sum((BUILT_IN_PRICES.of(one).usd for one in distinct.values()), Decimal(0))
    assert [step.key for step in plan.steps] == list(distinct)
    assert sum(len(step.cells) for step in plan.steps) == len(found)
    stages = {cell.stage for cell, _ in found}
    assert sum((plan.total(Submit, stage).usd for stage in stages), Decimal(0)) == plan.total(Submit).usd


@given(data=pipelines(), n=st.integers(1, 8), seed=st.integers(0, 3))
@settings(max_examples=40)
def test_a_larger_sample_keeps_every_cell_of_a_smaller_one(expand, data, n, seed):
    first = {key: one for key, one in data["stages"]["first"].items() if key != "sample"}
    for method in ("random", "first", "pairwise"):
        grown = []
        for size in (n, n + 1, n + 3):
            sample = {"method": method, "n": size, "seed": seed}
            grown.append({cell.id for cell, _ in expand({**data, "stages": {"first": {**first, "sample": sample}}})})
        assert grown[0] <= grown[1] <= grown[2]
        assert len(grown[0]) <= n


@given(data=pipelines())
@settings(max_examples=30)
def test_a_chained_request_holds_the_key_of_the_request_whose_image_it_needs(expand, data):
    found = expand(data)
    keys = {cell.id: key for cell, key in found}
    for cell, _ in found:
        wanted = [keys[cell.source]] if cell.stage == "second" else []
        assert list(cell.request.upstream) == wanted
