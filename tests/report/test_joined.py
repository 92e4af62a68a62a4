"""Two runs side by side: which cells belong together, what changed, and the report that holds both."""

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from sample_reports import make_report, make_stage, to_json

from krea_pipe.core.errors import NothingSelected, UsageError
from krea_pipe.core.likeness import VERSION
from krea_pipe.matrix.selection import parse_selection
from krea_pipe.report.model import ReferenceView, TargetView
from krea_pipe.report.record import from_json
from krea_pipe.report.run_diff import RunSide, join_reports, labels_of, most_changed_first, pair_cells, select_pairs
from krea_pipe.report.thumbnails import signatures, with_signatures
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.space import open_space

BLACK, GREY, WHITE = (VERSION + level * 96 + "00" * 64 for level in ("00", "20", "ff"))


def lamps(*words, **options):
    return make_report(make_stage("lamp", {"w": list(words)}), **options)


def change(report, word, **changes):
    """The report with one of its rows changed."""
    rows = tuple(replace(row, **changes) if row.id == f"lamp/{word}" else row for row in report.rows)
    return replace(report, rows=rows)


def change_request(report, word, **fields):
    row = next(row for row in report.rows if row.id == f"lamp/{word}")
    return change(report, word, request={**row.request, **fields}, key=f"{row.key}-{word}", sha256="1" * 64)


def pairs_by_id(before, after):
    return {pair.id: pair for pair in pair_cells(before, after)}


@pytest.fixture
def space(tmp_path):
    return open_space(tmp_path / "home", "live")


@pytest.fixture
def side(tmp_path, space):
    """A report in a folder of its own."""

    def make(report, name):
        return RunSide(report, tmp_path / "home/runs" / name, space)

    return make


def joined(one, two, folder):
    return join_reports(one, two, pair_cells(one.report, two.report), folder)


def test_a_run_is_identical_to_itself():
    pairs = pair_cells(lamps("a", "b"), lamps("a", "b"))
    assert [(pair.id, pair.is_identical, pair.distance, pair.change) for pair in pairs] == [
        ("lamp/a", True, 0.0, ""),
        ("lamp/b", True, 0.0, ""),
    ]


def test_cells_pair_by_id_and_what_is_left_stands_alone():
    found = pairs_by_id(lamps("a", "b"), lamps("b", "c"))
    assert {name: [row.id for row in pair.rows] for name, pair in found.items()} == {
        "lamp/a": ["lamp/a"],
        "lamp/b": ["lamp/b", "lamp/b"],
        "lamp/c": ["lamp/c"],
    }
    assert (found["lamp/a"].after, found["lamp/c"].before) == (None, None)
    assert not found["lamp/a"].is_identical


def test_a_cell_that_moved_is_found_by_its_request():
    before = lamps("a", "b")
    rows = tuple(replace(row, id=f"{row.id}/x", axes={**row.axes, "more": "x"}) for row in before.rows)
    found = pairs_by_id(before, replace(before, rows=rows))
    assert [(pair.is_moved, pair.is_identical) for pair in found.values()] == [(True, True)] * 2
    assert [row.id for row in found["lamp/b"].rows] == ["lamp/b", "lamp/b/x"]


def test_an_id_goes_before_a_request():
    before = lamps("a", "b")
    one, two = before.rows
    swapped = replace(before, rows=(replace(two, id=one.id), replace(one, id=two.id)))
    assert not any(pair.is_moved for pair in pair_cells(before, swapped))


def test_a_new_cell_with_the_same_request_takes_no_partner_away():
    before = lamps("a")
    twin = replace(before.rows[0], id="lamp/twin")
    first, second = pair_cells(before, replace(before, rows=(twin, *before.rows)))
    assert [row.id for row in first.rows] == ["lamp/a", "lamp/a"]
    assert [row.id for row in second.rows] == ["lamp/twin"]


def test_each_cell_of_one_request_has_a_partner_of_its_own():
    before = lamps("a", "b")
    rows = tuple(replace(row, key="k") for row in before.rows)
    after = tuple(replace(row, id=f"other/{number}", key="k") for number, row in enumerate(before.rows))
    pairs = pair_cells(replace(before, rows=rows), replace(before, rows=(*after, replace(after[0], id="other/2"))))
    assert [[row.id for row in pair.rows] for pair in pairs] == [
        ["lamp/a", "other/0"],
        ["lamp/b", "other/1"],
        ["other/2"],
    ]


def test_the_distance_of_a_pair_is_that_of_its_signatures():
    before = change(lamps("a", "b", "c"), "a", likeness=BLACK)
    after = change(lamps("a", "b", "c"), "a", likeness=WHITE, sha256="1" * 64)
    after = change(after, "b", sha256="2" * 64)
    found = pairs_by_id(before, after)
    assert [pair.distance for pair in found.values()] == [1.0, None, 0.0]


def test_what_changed_in_a_request_is_said_in_words():
    before = lamps("a")
    refs = [{"image": "sha256:new", "strength": 0.5}]
    after = change_request(before, "a", prompt="other", creativity="raw", image_style_references=refs)
    after = replace(after, references=(ReferenceView("sha256:new", "refs/new.jpg", None),))
    (pair,) = pair_cells(before, after)
    assert pair.change == "prompt changed, creativity medium → raw, refs/new.jpg changed"


def test_an_image_drawn_again_changes_no_request():
    (pair,) = pair_cells(lamps("a"), change(lamps("a"), "a", sha256="1" * 64))
    assert (pair.change, pair.is_identical) == ("", False)


def test_what_has_no_image_for_the_same_reason_is_identical():
    failed = make_report(make_stage("lamp", {"w": ["a"]}, lambda _: "failed"))
    pending = make_report(make_stage("lamp", {"w": ["a"]}, lambda _: "pending"))
    assert pair_cells(failed, failed)[0].is_identical
    assert not pair_cells(failed, pending)[0].is_identical
    assert not pair_cells(lamps("a"), failed)[0].is_identical


def test_what_changed_most_comes_first():
    before = lamps("same", "little", "much", "lost", "gone")
    for word in ("little", "much"):
        before = change(before, word, likeness=BLACK)
    after = change(lamps("same", "little", "much", "lost", "new"), "little", likeness=GREY, sha256="1" * 64)
    after = change(after, "much", likeness=WHITE, sha256="2" * 64)
    after = change(after, "lost", sha256=None, image=None, status="failed")
    found = most_changed_first(pair_cells(before, after))
    assert [pair.id for pair in found] == ["lamp/lost", "lamp/much", "lamp/little"]


def test_a_selection_takes_a_pair_for_either_of_its_cells():
    pairs = pair_cells(lamps("a", "b"), change(lamps("a", "b", "c"), "b", status="failed"))
    chosen = {
        text: [pair.id for pair in select_pairs(pairs, parse_selection([text], []))]
        for text in ("a", "w=c", "status:failed")
    }
    assert chosen == {"a": ["lamp/a"], "w=c": ["lamp/c"], "status:failed": ["lamp/b"]}
    with pytest.raises(NothingSelected):
        select_pairs(pairs, parse_selection(["w=d"], []))
    with pytest.raises(UsageError):
        select_pairs(pairs, parse_selection(["x=a"], []))


def test_rows_stand_in_pairs_and_say_which_run_they_are_of(side, tmp_path):
    after = change_request(lamps("a", "c"), "a", creativity="raw")
    made = joined(side(lamps("a", "b"), "one"), side(after, "two"), tmp_path / "diff")
    assert [(row.id, row.axes, row.pair, row.same) for row in made.rows] == [
        ("before/lamp/a", {"w": "a", "run": "before"}, "lamp/a", False),
        ("after/lamp/a", {"w": "a", "run": "after"}, "lamp/a", False),
        ("before/lamp/b", {"w": "b", "run": "before"}, "lamp/b", False),
        ("after/lamp/c", {"w": "c", "run": "after"}, "lamp/c", False),
    ]
    assert [row.reason for row in made.rows] == ["new", "creativity medium → raw", "new", "new"]
    assert (made.cells.total, made.cells.succeeded) == (4, 4)
    assert made.cost.spent_usd == Decimal("0.08")


def test_identical_cells_are_marked(side, tmp_path):
    made = joined(side(lamps("a"), "one"), side(lamps("a"), "two"), tmp_path / "diff")
    assert [(row.same, row.distance) for row in made.rows] == [(True, 0.0), (True, 0.0)]


def test_stages_and_axes_of_both_runs_are_there_and_the_runs_are_the_innermost_axis(side, tmp_path):
    before = make_report(make_stage("lamp", {"w": ["a", "b"]}), make_stage("old", {}))
    after = make_report(make_stage("lamp", {"w": ["b", 1], "size": ["s"]}), make_stage("fresh", {"x": [True]}))
    made = joined(side(before, "one"), side(after, "two"), tmp_path / "diff")
    views = {
        stage.name: {axis.name: [value for value, _ in axis.values] for axis in stage.axes} for stage in made.stages
    }
    runs = ["before", "after"]
    assert views == {
        "lamp": {"w": ["a", "b", 1], "size": ["s"], "run": runs},
        "old": {"run": runs},
        "fresh": {"x": [True], "run": runs},
    }
    assert [stage.axes[-1].name for stage in made.stages] == ["run"] * 3


def test_an_axis_of_the_file_keeps_its_name(side, tmp_path):
    report = make_report(make_stage("lamp", {"run": [1, 2]}))
    made = joined(side(report, "one"), side(report, "two"), tmp_path / "diff")
    assert [axis.name for axis in made.stages[0].axes] == ["run", "run_"]
    assert made.rows[1].axes == {"run": 1, "run_": "after"}


def test_runs_are_labelled_by_what_tells_them_apart():
    one = lamps("a")
    local = replace(one, target=TargetView("local", "http://local"))
    other = replace(one, pipeline=replace(one.pipeline, name="winter"))
    later = replace(one, started_at="2026-10-13T10:00:00Z")
    twin = replace(one, run_id="twin")
    assert [list(labels_of(one, two).values()) for two in (local, other, later, twin)] == [
        ["before: live", "after: local"],
        ["before: autumn-lamp", "after: winter"],
        ["before: 2026-10-12 09:14", "after: 2026-10-13 10:00"],
        ["before: 20261012-091403-7f3a", "after: twin"],
    ]


def test_images_are_those_that_krea_sent_whatever_stands_in_the_output_folder(side, space, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept = space.blobs.put(b"what the first run drew")
    before = change(lamps("a", "b"), "a", sha256=kept)
    made = joined(side(before, "one"), side(lamps("a", "b"), "two"), tmp_path / "elsewhere/diff")
    images = {row.id: Path(tmp_path, "elsewhere/diff", made.base, row.image).resolve() for row in made.rows}
    assert images["before/lamp/a"].read_bytes() == b"what the first run drew"
    assert {name: path.name for name, path in images.items()} == {row.id: row.sha256 for row in made.rows}


def test_templates_sources_and_references_stay_right(side, tmp_path):
    view = ReferenceView("sha256:x", "x.jpg", None)
    before = replace(change(lamps("a"), "a", template=1), templates=("one", "two"), references=(view,))
    after = replace(
        change(lamps("a"), "a", template=1, source="lamp/z"), templates=("two", "three"), references=(view,)
    )
    made = joined(side(before, "one"), side(after, "two"), tmp_path / "diff")
    assert [made.templates[row.template] for row in made.rows] == ["two", "three"]
    assert made.templates == ("one", "two", "three")
    assert [row.source for row in made.rows] == [None, "after/lamp/z"]
    assert made.references == (view,)


def test_the_joined_report_is_a_report(side, tmp_path):
    made = joined(side(lamps("a"), "one"), side(lamps("a", "b"), "two"), tmp_path / "diff")
    assert from_json(to_json(made)) == made
    assert made.run_id == "20261012-091403-7f3a..20261012-091403-7f3a"


def test_missing_signatures_are_made_from_small_pictures(space):
    report = change(lamps("a", "b", "c"), "b", likeness="kept")
    digests = [row.sha256 for row in report.rows]
    for digest in digests[:2]:
        write_atomically(space.thumbnail(digest), digest[:4].encode())
    assert [row.likeness for row in with_signatures(report, space, bytes.decode).rows] == [digests[0][:4], "kept", ""]
    assert signatures([*digests, *digests], space, bytes.decode) == {one: one[:4] for one in digests[:2]}


def test_a_report_that_lacks_nothing_stays_as_it_is(space):
    report = change(lamps("a"), "a", likeness="kept")
    assert with_signatures(report, space, bytes.decode) is report
