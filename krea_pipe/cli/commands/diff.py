"""`krea-pipe diff`: two runs cell by cell."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.run_argument import RunPlace, previous_run, resolve_run
from krea_pipe.cli.cell_options import SelectFlags, select_options, selection
from krea_pipe.cli.completing import complete_run
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import FILE, json_option
from krea_pipe.cli.tables import distance_words, print_table
from krea_pipe.core.images import likeness_of, small_picture
from krea_pipe.core.json_data import writable
from krea_pipe.report.folder import read_report, space_of
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.rendered_forms import write_report
from krea_pipe.report.run_diff import (
    Pair,
    RunSide,
    check_diff_folder,
    join_reports,
    most_changed_first,
    pair_cells,
    select_pairs,
)
from krea_pipe.report.thumbnails import digests_of, import_thumbnails, link_thumbnails, make_thumbnails, with_signatures
from krea_pipe.store.plain import check_folders

_MAX_ROWS = 40


@click.command()
@click.argument("run_a", shell_complete=complete_run)
@click.argument("run_b", required=False, shell_complete=complete_run)
@select_options
@click.option("-o", "--out", type=FILE, help="The folder for the page.  [default: diffs/RUN_A..RUN_B in .krea-pipe]")
@click.option("--exit-code", "asks", is_flag=True, help="Exit with 1 if the runs differ, like `git diff`.")
@json_option
def diff(
    run_a: str, run_b: str | None, *, out: Path | None, asks: bool, as_json: bool, **chosen: Unpack[SelectFlags]
) -> int:
    """Compare RUN_A (before) with RUN_B (after): list the changes and write a page with the images side by side.

    Name a run by its id, the start of its id, its folder, or the file or the name of a pipeline for its latest run.
    With one name, that run is compared with the one before it of the same pipeline and target. Cells are matched by id,
    or else by request. A distance ranges from 0 (identical) to 1 (black against white); below 0.01, two images look
    alike. Needs no network and no key.
    """
    which = selection(chosen)
    places = [resolve_run(one, os.environ) for one in (run_a, run_b) if one is not None]
    if len(places) == 1:
        places.insert(0, previous_run(places[0]))
    before, after = map(_side, places)
    home = places[1].home
    pairs = pair_cells(before.report, after.report)
    if not which.is_all:
        pairs = select_pairs(pairs, which)
    own = home / "diffs" / f"{_plain_id(before)}..{_plain_id(after)}"
    check_folders(own, own / "selected")
    folder = out or own / ("" if which.is_all else "selected")
    check_diff_folder(folder)
    joined = join_reports(before, after, pairs, folder)
    for side in (before, after):
        link_thumbnails(digests_of(side.report), side.space, folder / "thumbnails")
    page = write_report(joined, folder, after.space, small_picture, HtmlOptions(), has_originals=False)
    if as_json:
        ids = {"schema": "krea-pipe/diff@1", "before": before.report.run_id, "after": after.report.run_id}
        print_json({**ids, **_as_json(pairs), "report": str(folder / "report.json"), "page": str(page)})
    else:
        _print(pairs)
        click.echo(f"page  {page}")
    return int(asks and not all(pair.is_identical for pair in pairs))


def _side(place: RunPlace) -> RunSide:
    """One of the runs, with small pictures and signatures of all its images that are still there."""
    folder = place.folder
    report = read_report(folder)
    space = space_of(report, place.home)
    import_thumbnails(folder / "thumbnails", digests_of(report), space)
    make_thumbnails(digests_of(report), space, small_picture)
    return RunSide(with_signatures(report, space, likeness_of), folder, space)


def _plain_id(side: RunSide) -> str:
    """The id of a run as a part of a folder's name, whatever its report says."""
    return re.sub(r"[^\w-]", "_", side.report.run_id)


def _print(pairs: Sequence[Pair]) -> None:
    changed = most_changed_first(pairs)
    if changed:
        rows = [[distance_words(pair.distance), _name(pair), _change(pair)] for pair in changed[:_MAX_ROWS]]
        print_table(["distance", "cell", "change"], rows, numbers=["distance"], long=["cell", "change"])
    if len(changed) > _MAX_ROWS:
        click.echo(f"… and {len(changed) - _MAX_ROWS} more; see the page for the rest")
    for word, alone in _alone(pairs).items():
        if alone:
            more = f" and {len(alone) - _MAX_ROWS} more" if len(alone) > _MAX_ROWS else ""
            click.echo(writable(f"only {word}: {', '.join(alone[:_MAX_ROWS])}{more}"))
    counts = {"identical": _identical(pairs), "changed": len(changed)}
    counts |= {f"only {word}": len(alone) for word, alone in _alone(pairs).items()}
    found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    click.echo(f"{len(pairs)} {'cell' if len(pairs) == 1 else 'cells'}: {found}.")


def _identical(pairs: Sequence[Pair]) -> int:
    return sum(pair.is_identical for pair in pairs)


def _alone(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    """The ids of cells that only one of the runs has."""
    return {
        "before": [pair.id for pair in pairs if pair.after is None],
        "after": [pair.id for pair in pairs if pair.before is None],
    }


def _name(pair: Pair) -> str:
    return " → ".join(row.id for row in pair.rows) if pair.is_moved else pair.id


def _change(pair: Pair) -> str:
    lacking = [(word, row) for word, row in zip(("before", "after"), pair.rows, strict=True) if row.sha256 is None]
    lacks = [f"no image {word}: {row.error.message if row.error else row.status}" for word, row in lacking]
    words = [*lacks, *([pair.change] if pair.change else [])]
    return "; ".join(words) or "same request, regenerated"


def _as_json(pairs: Sequence[Pair]) -> dict[str, object]:
    changed = [_pair_json(pair) for pair in most_changed_first(pairs)]
    alone = {f"only_{word}": ids for word, ids in _alone(pairs).items()}
    return {"identical": _identical(pairs), "changed": changed, **alone}


def _pair_json(pair: Pair) -> dict[str, object]:
    named = zip(("before", "after"), pair.rows, strict=True)
    rows = {word: {"id": row.id, "status": row.status, "sha256": row.sha256} for word, row in named}
    return {"id": pair.id, "distance": pair.distance, "change": pair.change, **rows}
