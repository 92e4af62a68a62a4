"""Where everything stands on a contact sheet, known before any picture is opened."""

from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from sheet_reports import RUN, make_report, make_row, make_stage

from krea_pipe.core.errors import UsageError
from krea_pipe.report.sheet.arrange import AxisChoice, arrange_stage, check_axes, list_cells, stages_of
from krea_pipe.report.sheet.pages import PageLimits, make_sheet
from krea_pipe.report.sheet.typeface import FontSet

FONTS = FontSet(())
SIZES = ((1024, 1024), (1344, 768), (768, 1344), (1536, 640), (640, 1536), None)


def laid_out(*stages, limits=PageLimits(), wanted=AxisChoice(), kind="live"):  # noqa: B008 (frozen)
    report = make_report(*stages, kind=kind)
    found = [arrange_stage(stage, rows, wanted) for stage, rows in stages_of(report, ())]
    return make_sheet(report, found, limits, title="Lamps", fonts=FONTS)


def strings(page):
    return [text.string for text in page.texts]


def tiles_of(sheet):
    return {tile.row.id: tile for page in sheet.pages for tile in page.tiles}


def boxes_of(page):
    """Everything that must not touch anything else."""
    pictures = [tile.box for tile in page.tiles]
    captions = [text.box for tile in page.tiles for text in tile.caption]
    return [*pictures, *captions, *(text.box for text in page.texts), *page.rules]


def overlap(one, other):
    return one.left < other.right and other.left < one.right and one.top < other.bottom and other.top < one.bottom


labels = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60) | st.sampled_from(
    [
        "raw",
        "Größenänderung",
        "Ένα φως",
        "朝の光" * 20,
        "x" * 300,
        "wet slate, in the rain, at night, seen from above " * 6,
    ]
)
axis_values = st.lists(labels, min_size=1, max_size=5, unique=True)


@st.composite
def stages(draw):
    count = draw(st.integers(0, 4))
    axes = {f"axis{number}": draw(axis_values) for number in range(count)}
    if draw(st.booleans()):
        axes["seed"] = list(range(draw(st.integers(1, 30))))
    seeds = draw(st.randoms(use_true_random=False))

    def row_of(stage, one):
        if axes and seeds.random() < 0.1:
            return None
        status = seeds.choice(["succeeded", "reused", "failed", "uncertain", "pending"])
        error = "Krea refused the prompt: " + "policy " * 30 if status == "failed" else None
        return make_row(stage, one, size=seeds.choice(SIZES), status=status, error=error)

    stage, rows = make_stage("look", axes, row_of)
    return stage, rows[:400] or [make_row("look", {name: values[0] for name, values in axes.items()})]


page_limits = st.builds(
    PageLimits, st.sampled_from([32, 96, 256, 360, 900]), st.sampled_from([0.5, 2, 12, 40]), st.booleans()
)


@settings(max_examples=30)
@given(stages(), page_limits)
def test_everything_stands_inside_its_page_and_nothing_on_anything_else(stage, limits):
    try:
        sheet = laid_out(stage, limits=limits)
    except UsageError:
        assume(limits.side < 256 or limits.megapixels > 2)
        raise
    for page in sheet.pages:
        assert page.width * page.height <= limits.megapixels * 1_000_000
        boxes = boxes_of(page)
        assert all(box.left >= 0 and box.top >= 0 for box in boxes)
        assert all(box.right <= page.width and box.bottom <= page.height for box in boxes)
        assert all(box.width > 0 and box.height > 0 for box in boxes)
        near = sorted(boxes, key=lambda box: box.top)
        for at, box in enumerate(near):
            for other in near[at + 1 :]:
                if other.top >= box.bottom:
                    break
                assert not overlap(box, other), (box, other)
    shown = [tile.row.id for page in sheet.pages for tile in page.tiles]
    assert sorted(shown) == sorted(row.id for row in stage[1])


@settings(max_examples=30)
@given(stages(), page_limits)
def test_notes_stay_inside_the_box_of_their_cell(stage, limits):
    try:
        sheet = laid_out(stage, limits=limits)
    except UsageError:
        return
    for tile in tiles_of(sheet).values():
        for text in tile.note:
            assert tile.box.left <= text.box.left
            assert text.box.right <= tile.box.right
            assert tile.box.top <= text.box.top
            assert text.box.bottom <= tile.box.bottom


def test_the_last_axis_runs_over_the_columns_and_the_one_before_over_the_rows():
    sheet = laid_out(make_stage("look", {"product": ["serum", "cream"], "light": ["dawn", "neon"], "seed": [1, 2, 3]}))
    tiles = tiles_of(sheet)
    first, second = tiles["look/serum/dawn/1"].box, tiles["look/serum/dawn/2"].box
    below = tiles["look/serum/neon/1"].box
    assert (first.top, first.left) == (second.top, below.left)
    assert first.left < second.left
    assert first.top < below.top
    texts = strings(sheet.pages[0])
    assert {"serum", "cream", "dawn", "neon", "1", "2", "3", "light", "seed", "product"} <= set(texts)


def test_axes_go_where_they_are_wanted_alone_and_together():
    stage = make_stage("look", {"product": ["serum", "cream"], "light": ["dawn", "neon"], "seed": [1, 2]})
    turned = tiles_of(laid_out(stage, wanted=AxisChoice(columns=("product",), rows=("seed",))))
    assert turned["look/serum/dawn/1"].box.top == turned["look/cream/dawn/1"].box.top
    assert turned["look/serum/dawn/1"].box.left == turned["look/serum/dawn/2"].box.left
    both = laid_out(stage, wanted=AxisChoice(columns=("light", "seed")))
    tiles = tiles_of(both)
    assert len({tiles[f"look/serum/{light}/{seed}"].box.top for light in ("dawn", "neon") for seed in (1, 2)}) == 1
    assert "dawn · 1" in strings(both.pages[0])


def test_an_axis_that_does_not_vary_is_said_once_and_takes_no_room():
    sheet = laid_out(make_stage("look", {"light": ["dawn", "neon"], "variant": ["large"], "seed": [1, 2]}))
    assert "4 images · variant large" in strings(sheet.pages[0])
    assert strings(sheet.pages[0]).count("large") == 0


def test_pictures_of_mixed_ratio_share_their_top_and_their_left_edge():
    sizes = {"wide": (1344, 768), "square": (1024, 1024), "tall": (768, 1344)}
    stage = make_stage(
        "look", {"light": ["dawn", "neon"], "format": list(sizes)}, lambda s, a: make_row(s, a, size=sizes[a["format"]])
    )
    tiles = tiles_of(laid_out(stage))
    for light in ("dawn", "neon"):
        boxes = [tiles[f"look/{light}/{name}"].box for name in sizes]
        assert len({box.top for box in boxes}) == 1
        assert max(box.height for box in boxes) - min(box.height for box in boxes) <= 2
        for box, (width, height) in zip(boxes, sizes.values(), strict=True):
            assert box.width / box.height == pytest.approx(width / height, rel=0.02)
    for name in sizes:
        assert tiles[f"look/dawn/{name}"].box.left == tiles[f"look/neon/{name}"].box.left


def test_a_matrix_that_is_too_wide_goes_on_with_its_row_labels_said_again():
    stage = make_stage("look", {"light": ["dawn", "neon", "clean"], "seed": list(range(90))})
    sheet = laid_out(stage, limits=PageLimits(megapixels=4))
    assert len(sheet.pages) > 1
    columns = {text for page in sheet.pages for text in strings(page)}
    assert {str(seed) for seed in range(90)} <= columns
    for page in sheet.pages:
        heights = {tile.row.axes["light"] for tile in page.tiles}
        assert heights <= set(strings(page))
        assert {str(tile.row.axes["seed"]) for tile in page.tiles} <= set(strings(page))


def test_pages_are_numbered_and_say_their_run_and_whether_they_are_proofs():
    stage = make_stage("look", {"light": ["dawn", "neon"], "seed": list(range(60))})
    pages = laid_out(stage, limits=PageLimits(megapixels=4), kind="local").pages
    assert len(pages) > 2
    for number, page in enumerate(pages, 1):
        assert {f"page {number} of {len(pages)}", RUN, "LOCAL PROOFS"} <= set(strings(page))
    assert not any("LOCAL PROOFS" in strings(page) for page in laid_out(stage).pages)


def test_each_stage_starts_a_page():
    one, two = make_stage("explore", {"seed": [1, 2]}), make_stage("final", {"seed": [1]})
    pages = laid_out(one, two).pages
    assert [{tile.row.stage for tile in page.tiles} for page in pages] == [{"explore"}, {"final"}]


def test_pages_for_print_are_alike_and_others_end_with_their_cells():
    stage = make_stage("look", {"seed": list(range(50))})
    loose = {page.height for page in laid_out(stage, limits=PageLimits(megapixels=4)).pages}
    even = {page.height for page in laid_out(stage, limits=PageLimits(megapixels=4, even=True)).pages}
    assert len(loose) > 1
    assert len(even) == 1


def test_cells_of_one_axis_follow_each_other_in_lines_of_a_good_shape():
    stage = make_stage("look", {"light": [f"light {number}" for number in range(12)]})
    (page,) = laid_out(stage).pages
    assert 1 < page.width / page.height < 2
    assert len({tile.box.top for tile in page.tiles}) == 3
    assert [tile.caption[0].string for tile in page.tiles][:2] == ["light 0", "light 1"]


def test_a_long_table_is_cut_into_pieces_beside_each_other_rather_than_printed_as_a_strip():
    (page,) = laid_out(make_stage("look", {"n": list(range(60)), "seed": [1, 2]}), limits=PageLimits(side=128)).pages
    assert 0.7 < page.width / page.height < 2.8
    assert strings(page).count("seed") > 1


def test_what_did_not_come_is_a_box_with_the_word_and_the_reason():
    statuses = iter([("failed", "policy says no"), ("uncertain", "lost"), ("pending", None), ("reused", None)])

    def row_of(stage, axes):
        status, error = next(statuses)
        return make_row(stage, axes, status=status, error=error, reason="not sent")

    tiles = tiles_of(laid_out(make_stage("look", {"light": ["dawn"], "seed": [1, 2, 3, 4]}, row_of)))
    notes = {name: [text.string for text in tile.note] for name, tile in tiles.items()}
    assert notes["look/dawn/1"] == ["failed", "policy says no"]
    assert notes["look/dawn/2"] == ["uncertain", "lost"]
    assert notes["look/dawn/3"] == ["pending", "not sent"]
    assert notes["look/dawn/4"] == []
    assert tiles["look/dawn/4"].caption[-1].string == "dawn/4 · reused"


def test_picks_follow_each_other_with_what_was_said_about_them():
    stage, rows = make_stage("look", {"light": ["dawn", "neon"], "seed": [1, 2]})
    report = make_report((stage, rows))
    made = list_cells(stage, rows, {"look/neon/2": "5 stars · keep the droplets"})
    sheet = make_sheet(report, [made], PageLimits(), title="Picks", fonts=FONTS)
    captions = {name: [text.string for text in tile.caption] for name, tile in tiles_of(sheet).items()}
    assert captions["look/neon/2"][:2] == ["neon · 2", "5 stars · keep the droplets"]


def test_cells_with_the_same_values_get_lines_of_their_own():
    stage, rows = make_stage("look", {"light": ["dawn", "neon"], "seed": [1, 2]})
    twin = make_row("look", dict(rows[0].axes), id="look/dawn/1/again")
    tiles = tiles_of(laid_out((stage, [*rows, twin])))
    assert len(tiles) == 5
    assert not any(overlap(one.box, other.box) for one, other in combinations(tiles.values(), 2))


def test_axes_and_stages_that_are_not_there_are_refused_with_the_nearest():
    report = make_report(make_stage("look", {"light": ["dawn"], "seed": [1]}))
    with pytest.raises(UsageError, match=r"there is no axis `lihgt`.*did you mean `light`"):
        check_axes(report.stages, AxisChoice(rows=("lihgt",)))
    with pytest.raises(UsageError, match="named twice"):
        check_axes(report.stages, AxisChoice(rows=("light",), columns=("light",)))
    with pytest.raises(UsageError, match="no stage `lok`"):
        stages_of(report, ("lok",))


def test_a_picture_that_no_page_can_hold_is_refused_with_what_to_do():
    with pytest.raises(UsageError, match=r"2000 px .* more than 1 megapixels.*raise --max-megapixels, or lower --size"):
        laid_out(make_stage("look", {"seed": [1]}), limits=PageLimits(2000, 1))
