"""What a sample promises: every pair is met, the same cells for ever, and growing it takes nothing away."""

from itertools import combinations, product
from math import prod

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from krea_pipe.pipeline.sampling import Sample, choose

promise = settings(database=None, deadline=None, max_examples=60)

seeds = st.integers(0, 2**32)
methods = st.sampled_from(["pairwise", "random", "first"])


def matrix(*sizes, axes="abcdefgh"):
    """The cells of a matrix without exclusions, the last axis varying fastest."""
    spans = [[(axis, f"{n}") for n in range(size)] for axis, size in zip(axes, sizes, strict=False)]
    return [tuple(cell) for cell in product(*spans)]


def cells_of(cells, chosen):
    return sorted(sorted(cells[index]) for index in chosen)


def pairs_of(cells):
    return {frozenset(pair) for cell in cells for pair in combinations(cell, 2)}


@st.composite
def matrices(draw, axes="abcde"):
    """A matrix of up to five axes in any order, of which any cells are excluded."""
    names = draw(st.lists(st.sampled_from(axes), min_size=1, unique=True))
    cells = matrix(*[draw(st.integers(1, 4 if len(names) < 5 else 3)) for _ in names], axes=names)
    kept = draw(st.lists(st.booleans(), min_size=len(cells), max_size=len(cells)) | st.just([True] * len(cells)))
    return [cell for cell, keep in zip(cells, kept, strict=True) if keep]


@st.composite
def stages(draw):
    """The cells of one or two matrices, which may share axes and values, each cell once."""
    cells = [cell for some in draw(st.lists(matrices("abcd") | matrices("cdef"), max_size=2)) for cell in some]
    return list({frozenset(cell): cell for cell in cells}.values())


@given(stages(), seeds)
@promise
def test_pairwise_meets_every_pair_that_is_left_after_exclusions(cells, seed):
    chosen = choose(cells, Sample("pairwise", None, seed))
    assert pairs_of(cells[index] for index in chosen) == pairs_of(cells)


@given(stages(), seeds)
@promise
def test_pairwise_loses_no_value_even_of_a_lone_axis(cells, seed):
    chosen = choose(cells, Sample("pairwise", None, seed))
    assert {value for index in chosen for value in cells[index]} == {value for cell in cells for value in cell}


@given(stages(), seeds)
@promise
def test_each_cell_of_pairwise_adds_as_many_new_pairs_as_any_other_would(cells, seed):
    met, before, kept = set(), set(), len(choose(cells, Sample("pairwise", None, seed)))
    for n in range(1, kept + 1):
        chosen = set(choose(cells, Sample("pairwise", n, seed)))
        (new,) = chosen - before
        added = pairs_of([cells[new]]) - met
        assert all(len(pairs_of([cell]) - met) <= max(1, len(added)) for cell in cells)
        assert added or len(cells[new]) < 2
        met, before = met | added, chosen


@given(st.lists(st.integers(1, 5), min_size=2, max_size=5).filter(lambda sizes: prod(sizes) <= 1024), seeds)
@promise
def test_pairwise_needs_at_most_twice_the_least_that_could_do(sizes, seed):
    least = prod(sorted(sizes)[-2:])
    assert least <= len(choose(matrix(*sizes), Sample("pairwise", None, seed))) <= 2 * least


@pytest.mark.parametrize(
    ("sizes", "most"), [((2, 3, 4), 13), ((4, 4, 4, 4), 22), ((4, 4, 4, 4, 4), 24), ((3, 3, 3, 3, 3, 3, 3), 17)]
)
def test_pairwise_of_a_full_matrix_is_small(sizes, most):
    assert all(len(choose(matrix(*sizes), Sample("pairwise", None, seed))) <= most for seed in range(5))


@given(stages(), st.sampled_from(["pairwise", "random"]), st.none() | st.integers(1, 12), seeds, st.data())
@promise
def test_the_order_of_axes_and_values_in_the_file_changes_nothing(cells, method, n, seed, data):
    sample = Sample(method, n, seed)
    shuffled = [data.draw(st.permutations(cell)) for cell in data.draw(st.permutations(cells))]
    assert cells_of(shuffled, choose(shuffled, sample)) == cells_of(cells, choose(cells, sample))


@given(stages(), methods, st.integers(0, 12), st.integers(0, 12), seeds)
@promise
def test_growing_keeps_what_was_there(cells, method, n, more, seed):
    small, large = choose(cells, Sample(method, n, seed)), choose(cells, Sample(method, n + more, seed))
    assert set(small) <= set(large)


@given(stages(), methods, st.integers(1, 12), seeds)
@promise
def test_indexes_ascend_stand_once_and_are_no_more_than_asked_for(cells, method, n, seed):
    chosen = choose(cells, Sample(method, n, seed))
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= set(range(len(cells)))
    most = len(choose(cells, Sample("pairwise", None, seed))) if method == "pairwise" else len(cells)
    assert len(chosen) == min(n, most)


@given(stages(), st.integers(0, 5), seeds)
@promise
def test_a_sample_larger_than_the_cells_takes_all(cells, more, seed):
    for method in ("first", "random"):
        assert choose(cells, Sample(method, len(cells) + more, seed)) == list(range(len(cells)))


@given(stages(), st.integers(0, 5), seeds)
@promise
def test_pairwise_takes_no_more_than_it_needs_however_large_n_is(cells, more, seed):
    chosen = choose(cells, Sample("pairwise", None, seed))
    assert choose(cells, Sample("pairwise", len(chosen) + more, seed)) == chosen


@given(stages(), st.integers(1, 12), seeds, st.data())
@promise
def test_a_cell_that_was_not_drawn_can_be_excluded_and_random_stays(cells, n, seed, data):
    drawn = choose(cells, Sample("random", n, seed))
    kept = [cell for index, cell in enumerate(cells) if index in drawn or data.draw(st.booleans())]
    assert cells_of(kept, choose(kept, Sample("random", n, seed))) == cells_of(cells, drawn)


def test_a_lone_axis_is_taken_whole_and_a_stage_without_axes_stays():
    assert choose(matrix(3), Sample("pairwise", None, 7)) == [0, 1, 2]
    assert choose([()], Sample("pairwise", None, 7)) == [0]
    assert choose([], Sample("pairwise", None, 7)) == []


@pytest.mark.parametrize("seed", range(8))
def test_cells_that_read_alike_when_joined_are_told_apart(seed):
    for one, other in [
        ([("a", "b=c")], [("a=b", "c")]),
        ([("a", "1"), ("b", "2")], [("a", "1,b=2")]),
        ([("a", '1"], ["b", "2')], [("a", "1"), ("b", "2")]),
    ]:
        sample = Sample("random", 1, seed)
        (first,), (second,) = choose([one, other], sample), choose([other, one], sample)
        assert first != second


# These are promises to files in people's repositories: a choice that changes here is drawn, and paid, anew.
LIGHTS = [
    (("light", light), ("references.brand.strength", strength), ("größe", size))
    for light in ("dawn", "neon", "clean")
    for strength in ("0.1", "0.5")
    for size in ("4:5", "16:9")
]


@pytest.mark.parametrize(
    ("sample", "chosen"),
    [
        (Sample("first", 1, 7), [0]),
        (Sample("first", 5, 7), [0, 1, 2, 3, 4]),
        (Sample("first", 5, 8), [0, 1, 2, 3, 4]),
        (Sample("random", 1, 7), [7]),
        (Sample("random", 3, 7), [7, 8, 10]),
        (Sample("random", 5, 7), [0, 7, 8, 10, 11]),
        (Sample("random", 5, 8), [0, 3, 5, 7, 9]),
        (Sample("random", 5, -(2**70)), [4, 7, 8, 9, 11]),
        (Sample("pairwise", 1, 7), [7]),
        (Sample("pairwise", 4, 7), [0, 7, 9, 10]),
        (Sample("pairwise", None, 7), [0, 3, 4, 7, 9, 10]),
        (Sample("pairwise", None, 8), [0, 3, 5, 6, 9, 10]),
    ],
    ids=str,
)
def test_the_choice_is_the_same_for_ever(sample, chosen):
    assert choose(LIGHTS, sample) == chosen


def test_a_pairwise_choice_of_many_steps_is_the_same_for_ever():
    chosen = [5, 7, 14, 19, 28, 32, 40, 45, 48, 56, 61, 71]
    assert choose(matrix(4, 3, 3, 2), Sample("pairwise", None, 41)) == chosen
