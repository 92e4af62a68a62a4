"""`krea-pipe gc`: free disk space in the home folder, or room in the shared store."""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import click

from krea_pipe.app.maintenance.garbage import GARBAGE_KINDS, Holder, Removed, Survey, collect
from krea_pipe.app.maintenance.remote_garbage import (
    REMOTE_HOLDERS,
    REMOTE_KINDS,
    RemoteHolder,
    RemoteSurvey,
    collect_remote,
)
from krea_pipe.app.shared_store import shared_store
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import FILE, Span, json_option
from krea_pipe.cli.tables import counted, print_table, size
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.money import exact
from krea_pipe.core.settings import live_target
from krea_pipe.pipeline.pricing import usd
from krea_pipe.store.home import open_home

_MAX_ROWS = 10
WORDS: dict[Holder, str] = {
    "lock": "in lock files",
    "run": "from runs that are kept",
    "open": "in flight or not reported yet",
    "recent": "generated since then",
}
REMOTE_WORDS: dict[RemoteHolder, str] = {
    "lock": "in lock files",
    "run": "from runs that are kept",
    "shard": "from runs of shards since then",
    "recent": "written since then",
    "claim": "with a claim since then",
    "unreadable": "that cannot be read",
}


@click.command()
@click.option("--keep", type=Span(), default="30d", show_default=True, help="Keep the images of runs from this period.")
@click.option("--delete", "deletes", is_flag=True, help="Delete. Without this option, only list what would be deleted.")
@click.option(
    "--forget-missing",
    "forgets",
    is_flag=True,
    help="Also delete images of pipelines whose folders are missing, for example on a disk that is not mounted.",
)
@click.option("--remote", is_flag=True, help="Clean up the shared store (KREA_PIPE_REMOTE), for all homes that use it.")
@click.argument("folders", metavar="[FOLDER]...", nargs=-1, type=FILE)
@json_option
def gc(*, keep: timedelta, deletes: bool, forgets: bool, remote: bool, folders: tuple[Path, ...], as_json: bool) -> int:
    """Free disk space: delete old runs and images that nothing needs any more.

    Never deleted: the journal; images in a lock file, in the surrounding git repository and at the tips of all its
    branches and tags; images of runs within --keep, or generated since; images in flight or not reported yet. Output
    folders are not touched. If a pipeline needs a deleted image, it is fetched again if Krea still has it; if Krea no
    longer has it, a run with `--uncertain resubmit` pays for it again.

    With --remote, it deletes from the shared store the results and images that are older than --keep by the store's
    own clock, and that no lock file needs. It reads the lock files around the working folder and around each FOLDER,
    and those of this home's pipelines: name the folders of all repositories that share the store. Claims are deleted
    with their result, or when they are older than --keep. Claims without a result, names of jobs and unknown objects
    are never deleted. Nothing is deleted while any home has an active run.

    Examples of TIME: 12h, 30d, 8w; 0d keeps no run. Needs no key; only --remote needs the network.
    """
    home = open_home(os.environ)
    if remote:
        return _remote(home, keep, _existing(folders), forgets=forgets, deletes=deletes, as_json=as_json)
    if folders:
        raise UsageError(Problem("bad_option", "folders need --remote", hint="add --remote, or remove the folders"))
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
    """The number of stored images that each holder keeps."""
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


def _existing(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """The folders, which have to be there: one that is not may have lock files.

    Raises:
        UsageError: one is missing.
    """
    for folder in folders:
        if not folder.is_dir():
            hint = "specify the folders of repositories, or of pipelines with their lock files"
            raise UsageError(Problem("no_folder", f"{folder} is not a folder", hint=hint))
    return folders


def _remote(
    home: Path, keep: timedelta, folders: tuple[Path, ...], *, forgets: bool, deletes: bool, as_json: bool
) -> int:
    target = live_target(os.environ)
    with shared_store(os.environ, target, lambda one: print_problems([one], kind="warning"), writes=deletes) as store:
        found = collect_remote(store, home, keep, folders, os.environ, forgets=forgets, deletes=deletes)
    if as_json:
        print_json(_remote_json(store.bucket.address, found, deletes=deletes))
    else:
        _print_remote(store.bucket.address, found, deletes=deletes)
    return 0


def _print_remote(address: str, found: RemoteSurvey, *, deletes: bool) -> None:
    going = {kind: found.going[kind] for kind in REMOTE_KINDS if found.going[kind]}
    if going:
        rows = [[kind, f"{len(one):,}", size(sum(each.size for each in one))] for kind, one in going.items()]
        print_table(["what", "count", "size"], rows, numbers=["count", "size"])
        results = counted(len(found.keys), "image")
        price = f" Regenerating {results} would cost {usd(found.usd)}." if found.keys else ""
        click.echo(f"{'Deleted' if deletes else 'Would delete'} {size(found.size)} in {address}.{price}")
    else:
        click.echo(f"Nothing to delete in {address}.")
    held = [f"{found.kept[holder]:,} {REMOTE_WORDS[holder]}" for holder in REMOTE_HOLDERS if found.kept[holder]]
    click.echo(f"Results kept: {'; '.join(held) or 'none'}. Lock files read: {len(found.locks.places)}.")
    never = f"claims of {counted(found.open, 'request')} without a result, {counted(found.jobs, 'name')} of jobs"
    click.echo(f"Never deleted: {never}, {counted(found.unknown, 'unknown object')}.")
    if found.locks.away:
        places = ", ".join(sorted({str(file.parent) for file in found.locks.away})[:_MAX_ROWS])
        click.echo(f"Kept for pipelines whose folders are missing (delete with --forget-missing): {places}")
    if going and not deletes:
        click.echo("Nothing was deleted. Add --delete to delete.")
    if found.alive and not deletes:
        click.echo(f"Runs are in progress, so --delete would be refused: {', '.join(sorted(found.alive)[:3])}")


def _remote_json(address: str, found: RemoteSurvey, *, deletes: bool) -> dict[str, object]:
    return {
        "schema": "krea-pipe/gc-remote@1",
        "store": address,
        "deleted": deletes,
        "bytes": found.size,
        "redraw_usd": exact(found.usd),
        "waste": {
            kind: {"count": len(found.going[kind]), "bytes": sum(one.size for one in found.going[kind])}
            for kind in REMOTE_KINDS
        },
        "results": found.keys,
        "kept_results": {holder: found.kept[holder] for holder in REMOTE_HOLDERS},
        "never_deleted": {"open_requests": found.open, "jobs": found.jobs, "unknown": found.unknown},
        "lock_files": list(found.locks.places),
        "alive": sorted(found.alive),
    }
