"""`krea-pipe cache`: what is stored."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.app.maintenance.cache import (
    CacheFinding,
    SpaceTotals,
    StoredImage,
    diff_bytes,
    space_totals,
    stored_images,
    verify_space,
)
from krea_pipe.app.maintenance.remote_cache import (
    PullState,
    PushState,
    RemoteImage,
    Transfer,
    pull,
    push,
    remote_images,
)
from krea_pipe.app.maintenance.stored import spaces_of
from krea_pipe.app.shared_store import shared_store
from krea_pipe.app.workspace import Workspace, open_workspace
from krea_pipe.cli.cell_options import CellFlags, cell_options, selection
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import FILE, file_argument, json_option, overrides
from krea_pipe.cli.tables import counted, print_table, size
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import iso
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.plan import Plan
from krea_pipe.store.home import open_home

ROWS = 60
_MAX_ROWS = 20
PUSH_WORDS: Mapping[PushState, str] = {
    "sent": "copied",
    "present": "already in the store",
    "other": "not copied, because the store has a different image of the same request",
    "ignored": "not copied, because the record in the store cannot be trusted",
    "damaged": "not copied, because the stored image is damaged",
}
PULL_WORDS: Mapping[PullState, str] = {
    "fetched": "copied",
    "present": "already stored locally",
    "absent": "not in the store",
    "ignored": "not copied, because the record in the store cannot be trusted or its image is missing",
    "in_flight": "in flight locally; the next run collects them",
}
remote_option = click.option(
    "--remote", is_flag=True, help="List the shared store, as with `ls --remote`; nothing is changed locally."
)


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@click.pass_context
def cache(ctx: click.Context) -> None:
    """List, total or check stored images, or copy them to and from the shared store. Needs no key; only the
    shared store needs the network."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cache.command("ls", short_help="List the stored images, newest first.")
@click.option("--local", is_flag=True, help="List the proofs of the local Krea.")
@click.option("--remote", is_flag=True, help="List the images in the shared store (KREA_PIPE_REMOTE).")
@click.option("--all", "shows_all", is_flag=True, help=f"List all images, not only the newest {ROWS}.")
@json_option
def list_images(*, local: bool, remote: bool, shows_all: bool, as_json: bool) -> int:
    """List the stored images of the API at KREA_API_BASE, newest first.

    With --remote, it lists the images in the shared store, with the cells for which this home last used them.
    """
    if local and remote:
        raise UsageError(Problem("bad_option", "proofs are not in the shared store", hint="remove --local"))
    workspace = open_workspace(os.environ, local=local)
    if remote:
        return _list_remote(workspace, shows_all=shows_all, as_json=as_json)
    found, target = stored_images(workspace.space), workspace.target
    shown = found if shows_all else found[:ROWS]
    if as_json:
        rows = [_image_json(one) for one in shown]
        print_json({"schema": "krea-pipe/cache-ls@1", "space": target.space, "total": len(found), "images": rows})
    elif not found:
        click.echo(f"No image of {target.base} is stored.")
    else:
        _print_images(shown)
        if len(found) > len(shown):
            click.echo(f"… and {counted(len(found) - len(shown), 'more image')}; list all with --all")
    return 0


@cache.command("push", short_help="Copy stored images to the shared store.")
@click.argument("file", type=FILE, required=False)
@remote_option
@cell_options
def push_images(file: Path | None, *, remote: bool, as_json: bool, **flags: Unpack[CellFlags]) -> int:  # noqa: ARG001
    """Copy the stored images of this home to the shared store (KREA_PIPE_REMOTE), unless they are already in the store.

    With FILE, only the images of its cells. No object in the store is replaced. Needs no key.
    """
    workspace, plan = (open_workspace(os.environ), None) if file is None else _planned(file, flags)
    with shared_store(os.environ, workspace.target, _warn, writes=True) as store:
        done = push(store, workspace.space, plan)
    _print_transfer("push", store.bucket.address, done, PUSH_WORDS, as_json=as_json)
    return int(any(done.counts.get(state) for state in ("ignored", "damaged")))


@cache.command("pull", short_help="Copy images from the shared store.")
@file_argument
@remote_option
@cell_options
def pull_images(file: Path, *, remote: bool, as_json: bool, **flags: Unpack[CellFlags]) -> int:  # noqa: ARG001
    """Copy the images of FILE's cells from the shared store (KREA_PIPE_REMOTE), unless this home already has them.

    Each image is verified by its digest. The next run reuses them and puts them into the output folder. Needs no key.
    """
    workspace, plan = _planned(file, flags)
    with shared_store(os.environ, workspace.target, _warn) as store:
        done = pull(store, workspace.space, plan)
    _print_transfer("pull", store.bucket.address, done, PULL_WORDS, as_json=as_json)
    return int(bool(done.counts.get("ignored")))


@cache.command(short_help="Show totals for each name space.")
@json_option
def stats(*, as_json: bool) -> int:
    """Show totals for each name space: images, their price, and the bytes on disk."""
    home = open_home(os.environ)
    sums, diffs = space_totals(home), diff_bytes(home)
    if as_json:
        rows = [_sums_json(one) for one in sums]
        print_json({"schema": "krea-pipe/cache-stats@1", "home": str(home), "diffs_bytes": diffs, "spaces": rows})
        return 0
    if not sums:
        click.echo(f"Nothing is stored in {home}.")
        return 0
    sizes = ["image bytes", "thumbnails", "facts", "journal", "runs", "run folders", "all"]
    columns = ["space", "images", "price", *sizes]
    print_table(columns, [_sums_row(one) for one in sums], numbers=columns[1:])
    if diffs:
        click.echo(f"Comparisons and assembled reports: {size(diffs)}.")
    return 0


@cache.command(short_help="Read everything that is stored and report damage.")
@json_option
def verify(*, as_json: bool) -> int:
    """Read everything that is stored and report damage. Changes nothing; exits with 1 if anything is damaged."""
    home = open_home(os.environ)
    spaces = spaces_of(home)
    found = [finding for space in spaces for finding in verify_space(space)]
    is_damaged = any(finding.is_damage for finding in found)
    if as_json:
        rows = [_finding_json(one) for one in found]
        names = [space.folder.name for space in spaces]
        print_json({"schema": "krea-pipe/cache-verify@1", "ok": not is_damaged, "spaces": names, "findings": rows})
        return int(is_damaged)
    print_problems(_problems(one for one in found if one.is_damage))
    for one in found:
        if not one.is_damage:
            click.echo(f"{one.space}: {one.message} ({one.hint})")
    count = counted(sum(one.is_damage for one in found), "damage")
    click.echo(f"{count} in {home}." if is_damaged else f"Everything stored in {home} is intact.")
    return int(is_damaged)


def _planned(file: Path, flags: CellFlags) -> tuple[Workspace, Plan]:
    """The requests of a file, and which of them are stored in this home."""
    loaded = flow.load_pipeline(file, overrides(flags))
    workspace = open_workspace(os.environ, file, engine=loaded.pipeline.engine)
    options = flow.RunOptions(max_cells=flags["max_cells"], selection=selection(flags))
    return workspace, flow.plan_run(loaded, workspace.space, workspace.target, options)


def _warn(problem: Problem) -> None:
    print_problems([problem], kind="warning")


def _print_transfer(
    verb: str, address: str, done: Transfer, words: Mapping[PushState, str] | Mapping[PullState, str], *, as_json: bool
) -> None:
    if as_json:
        counts = {state: done.counts.get(state, 0) for state in words}
        head = {"schema": f"krea-pipe/cache-{verb}@1", "store": address}
        print_json({**head, "counts": counts, "bytes": done.size, "cost_usd": exact(done.usd)})
        return
    said = [f"{done.counts[state]:,} {text}" for state, text in words.items() if done.counts.get(state)]
    way = "to" if verb == "push" else "from"
    click.echo(f"{counted(sum(done.counts.values()), 'image')}: {'; '.join(said) or 'nothing to do'}.")
    if done.size:
        click.echo(f"Copied {size(done.size)} {way} {address}; these images cost {usd(done.usd)}.")


def _list_remote(workspace: Workspace, *, shows_all: bool, as_json: bool) -> int:
    with shared_store(os.environ, workspace.target, _warn) as store:
        found = remote_images(store, workspace.space, None if shows_all else ROWS)
    address = store.bucket.address
    if as_json:
        totals = {"results": found.results, "images": found.blobs, "bytes": found.size}
        rows = [_remote_json(one) for one in found.images]
        print_json({"schema": "krea-pipe/cache-ls-remote@1", "store": address, "total": totals, "images": rows})
        return 0
    if found.images:
        columns = ["cell", "written (UTC)", "price", "size", "key"]
        print_table(columns, [_remote_row(one) for one in found.images], numbers=["price", "size"], long=["cell"])
    if found.results > len(found.images):
        click.echo(f"… and {counted(found.results - len(found.images), 'more result')}; list all with --all")
    click.echo(
        f"{counted(found.results, 'result')} and {counted(found.blobs, 'image')} ({size(found.size)}) in {address}."
    )
    return 0


def _remote_row(one: RemoteImage) -> list[str]:
    price = "–" if one.result is None else usd(one.result.cost_usd)
    room = "missing" if one.size is None else size(one.size)
    return [_cell(one.cells), f"{one.written_at:%Y-%m-%d %H:%M:%S}", price, room, one.key[:12]]


def _remote_json(one: RemoteImage) -> dict[str, object]:
    result = one.result
    return {
        "cells": list(one.cells),
        "written_at": iso(one.written_at),
        "cost_usd": None if result is None else exact(result.cost_usd),
        "bytes": one.size,
        "key": one.key,
        "sha256": None if result is None else result.sha256,
    }


def _print_images(images: Iterable[StoredImage]) -> None:
    columns = ["cell", "variant", "generated (UTC)", "price", "size", "key"]
    rows = [
        [_cell(one.cells), one.variant, one.drawn_at[:19].replace("T", " "), usd(one.usd), size(one.size), one.key[:12]]
        for one in images
    ]
    print_table(columns, rows, numbers=["price", "size"], long=["cell"])


def _cell(cells: tuple[str, ...]) -> str:
    if not cells:
        return "–"
    return cells[0] if len(cells) == 1 else f"{cells[0]} and {len(cells) - 1} more"


def _image_json(one: StoredImage) -> dict[str, object]:
    return {
        "cells": list(one.cells),
        "variant": one.variant,
        "drawn_at": one.drawn_at,
        "cost_usd": exact(one.usd),
        "bytes": one.size,
        "key": one.key,
        "sha256": one.sha256,
    }


def _sums_row(one: SpaceTotals) -> list[str]:
    sizes = [size(count) for count in (one.blobs, one.thumbnails, one.facts, one.journal)]
    return [one.name, f"{one.images:,}", usd(one.usd), *sizes, f"{one.runs:,}", size(one.run_bytes), size(one.size)]


def _sums_json(one: SpaceTotals) -> dict[str, object]:
    names = ("blobs", "thumbnails", "facts", "journal")
    sizes = {f"{name}_bytes": getattr(one, name) for name in names}
    head = {"space": one.name, "images": one.images, "cost_usd": exact(one.usd)}
    return {**head, **sizes, "runs": one.runs, "runs_bytes": one.run_bytes, "bytes": one.size}


def _problems(findings: Iterable[CacheFinding]) -> list[Problem]:
    found = [Problem("damaged", one.message, hint=one.hint) for one in findings]
    more = f"{len(found) - _MAX_ROWS} more items are damaged"
    return [
        *found[:_MAX_ROWS],
        *([Problem("damaged", more, hint="list all with --json")] if len(found) > _MAX_ROWS else []),
    ]


def _finding_json(one: CacheFinding) -> dict[str, object]:
    return {"space": one.space, "damage": one.is_damage, "message": one.message, "hint": one.hint}
