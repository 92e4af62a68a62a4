"""What becomes of each cell between two states, whatever their ids and requests are."""

from collections import Counter
from decimal import Decimal
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from krea_pipe.core.request import Request, key_of
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.report.compare.comparison import PipelineState, compare

NOTHING = Fingerprints(Path(), Path())


def request(prompt):
    return Request("medium", prompt, "1:1", "1K", 1, "raw", 50, 50, 50)


def side(prompts):
    cells = [
        Cell(at, name, name.partition("/")[0], (), (), name, request(prompt))
        for at, (name, prompt) in enumerate(prompts.items())
    ]
    return PipelineState([(cell, key_of(cell.request)) for cell in cells], ("s",))


STATES = st.dictionaries(st.sampled_from([f"s/{name}" for name in "abcdef"]), st.sampled_from("uvwxy"))


@given(STATES, STATES)
def test_each_cell_is_told_once_and_each_request_paid_once(before, now):
    rows = compare(side(before), side(now), NOTHING)
    told = {row.id: row for row in rows if row.kind != "gone"}
    gone = [row.id for row in rows if row.kind == "gone"]
    assert [row.id for row in rows] == [*now, *gone]
    for name, prompt in now.items():
        same = before.get(name) == prompt
        free = not same and prompt in before.values()
        expected = "same" if same else "moved" if free else "changed" if name in before else "new"
        assert told[name].kind == expected
    fresh = set(now.values()) - set(before.values())
    assert sum((row.price for row in rows), Decimal(0)) == len(fresh) * BUILT_IN_PRICES.of(request("u")).usd

    taken = Counter(row.was for row in rows if row.was)
    assert set(taken.values()) <= {1}
    assert all(before[row.was] == now[row.id] for row in rows if row.was)
    assert gone == [name for name in before if name not in now and name not in taken]
    for row in rows:  # a cell that took nobody's place has the request of one that stayed, or whose place is taken
        if row.kind == "moved" and row.was is None:
            left = [one for one, prompt in before.items() if prompt == now[row.id]]
            assert all(one in taken or now.get(one) == before[one] for one in left)


def test_what_the_store_has_is_priced_but_not_paid():
    head = side({"s/a": "u", "s/b": "u", "s/c": "v"})
    rows = compare(side({}), head, NOTHING, stored={head.found[0][1]})
    assert [(row.stored, bool(row.price)) for row in rows] == [(True, True), (True, False), (False, True)]
