"""`krea-pipe gc`: free disk space in the home folder."""

import os
import re
from collections import Counter
from datetime import timedelta
from pathlib import Path

import click

from krea_pipe.app.maintenance.garbage import GARBAGE_KINDS, Holder, Removed, Survey, collect
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import json_option
from krea_pipe.cli.tables import counted, print_table, size
from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.pricing import exact, usd
from krea_pipe.store.home import open_home

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_MAX_ROWS = 10
WORDS: dict[Holder, str] = {
    "lock": "in lock files",
    "run": "from runs that are kept",
    "open": "in flight or not reported yet",
    "recent": "generated since then",
}


class Span(click.ParamType[timedelta]):
    """A length of time: `12h`, `30d`, `8w`."""

    name = "TIME"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Turn text into a time."""
        if isinstance(value, timedelta):
            return value
        found = re.fullmatch(r"(\d{1,4})([hdw])", str(value))
        if found is None:
            self.fail(f"{value!r} is not a time like 12h, 30d or 8w", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.command()
@click.option("--keep", type=Span(), default="30d", show_default=True, help="Keep the images of runs from this period.")
@click.option("--delete", "deletes", is_flag=True, help="Delete. Without this option, only list what would be deleted.")
@click.option(
    "--forget-missing",
    "forgets",
    is_flag=True,
    help="Also delete images of pipelines whose folders are missing, for example on a disk that is not mounted.",
)
@json_option
def gc(*, keep: timedelta, deletes: bool, forgets: bool, as_json: bool) -> int:
    """Free disk space: delete old runs and images that nothing needs any more.

    Never deleted: the journal; images in a lock file, in the surrounding git repository and at the tips of all its
    branches and tags; images of runs within --keep, or generated since; images in flight or not reported yet. Output
    folders are not touched. If a pipeline needs a deleted image, it is fetched from Krea again at no cost; if Krea no
    longer has it, a run with `--uncertain resubmit` pays for it again.

    Examples of TIME: 12h, 30d, 8w; 0d keeps no run. Needs no network and no key.
    """
    home = open_home(os.environ)
    found, removed = collect(home, keep, os.environ, forgets=forgets, deletes=deletes)
    if as_json:
        print_json(_as_json(home, found, removed))
    else:
        _print(home, found, removed)
    failures = removed.failures if removed else ()
    for failure in failures[:_MAX_ROWS]:
        print_problems([Problem("not_removed", f"cannot remove {failure}", hint="check the folder's permissions")])
    return int(bool(failures))


def _print(home: Path, found: Survey, removed: Removed | None) -> None:
    waste, freed = found.waste, found.waste.freed()
    rows = [[kind, f"{len(waste.of(kind)):,}", size(freed[kind])] for kind in GARBAGE_KINDS if waste.of(kind)]
    if rows:
        print_table(["what", "count", "size"], rows, numbers=["count", "size"])
        for piece in waste.of("run folders")[:_MAX_ROWS]:
            click.echo(f"  {Path(piece.path).name}")
        if len(waste.of("run folders")) > _MAX_ROWS:
            click.echo(f"  … and {len(waste.of('run folders')) - _MAX_ROWS} more runs; list all with --json")
        images = counted(len(waste.of("images")), "image")
        price = f" Regenerating {images} would cost {usd(waste.usd)}." if waste.of("images") else ""
        click.echo(f"{'Freed' if removed else 'Would free'} {size(sum(freed.values()))} in {home}.{price}")
    else:
        click.echo(f"Nothing to delete in {home}.")
    held = [f"{count:,} {WORDS[holder]}" for holder, count in _held(found).items()]
    click.echo(f"Images kept: {'; '.join(held) or 'none'}. Lock files read: {len(found.locks.places)}.")
    if found.locks.away:
        places = ", ".join(sorted({str(file.parent) for file in found.locks.away})[:_MAX_ROWS])
        click.echo(f"Kept for pipelines whose folders are missing (delete with --forget-missing): {places}")
    if rows and removed is None:
        click.echo("Nothing was deleted. Add --delete to delete.")
    if found.listing.alive and removed is None:
        click.echo(f"Runs are in progress, so --delete would be refused: {', '.join(sorted(found.listing.alive)[:3])}")


def _held(found: Survey) -> Counter[Holder]:
    """How many stored images each holder keeps."""
    stored = {digest for holding in found.listing.holdings for digest in holding.blobs}
    counts = Counter(holder for digest, holder in found.reach.holders.items() if digest in stored)
    return Counter({holder: counts[holder] for holder in WORDS if counts[holder]})


def _as_json(home: Path, found: Survey, removed: Removed | None) -> dict[str, object]:
    waste, freed = found.waste, found.waste.freed()
    return {
        "schema": "krea-pipe/gc@1",
        "home": str(home),
        "deleted": removed is not None,
        "bytes": sum(freed.values()),
        "redraw_usd": exact(waste.usd),
        "waste": {
            kind.replace(" ", "_"): {"count": len(waste.of(kind)), "bytes": freed[kind]} for kind in GARBAGE_KINDS
        },
        "runs": [Path(piece.path).name for piece in waste.of("run folders")],
        "images": [{"space": piece.space, "sha256": piece.digest} for piece in waste.of("images")],
        "kept_images": {holder: _held(found)[holder] for holder in WORDS},
        "lock_files": list(found.locks.places),
        "alive": sorted(found.listing.alive),
        "failures": list(removed.failures) if removed else [],
    }
