"""`krea-pipe cache`: what is stored."""

import os
from collections.abc import Iterable

import click

from krea_pipe.app.maintenance.cache import (
    CacheFinding,
    SpaceTotals,
    StoredImage,
    diff_bytes,
    space_totals,
    stored_images,
    verify_space,
)
from krea_pipe.app.maintenance.stored import spaces_of
from krea_pipe.app.workspace import open_workspace
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import json_option
from krea_pipe.cli.tables import counted, print_table, size
from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.pricing import exact, usd
from krea_pipe.store.home import open_home

ROWS = 60
_MAX_ROWS = 20


@click.group(invoke_without_command=True, subcommand_metavar="[COMMAND] [ARGS]...")
@click.pass_context
def cache(ctx: click.Context) -> None:
    """List, total or check the stored images. Needs no network and no key."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@cache.command("ls", short_help="List the stored images, newest first.")
@click.option("--local", is_flag=True, help="List the proofs of the local Krea.")
@click.option("--all", "shows_all", is_flag=True, help=f"List all images, not only the newest {ROWS}.")
@json_option
def list_images(*, local: bool, shows_all: bool, as_json: bool) -> int:
    """List the stored images of the API at KREA_API_BASE, newest first."""
    workspace = open_workspace(os.environ, local=local)
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
        click.echo(f"Comparisons of runs: {size(diffs)}.")
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


def _print_images(images: Iterable[StoredImage]) -> None:
    columns = ["cell", "variant", "generated (UTC)", "price", "size", "key"]
    rows = [
        [_cell(one), one.variant, one.drawn_at[:19].replace("T", " "), usd(one.usd), size(one.size), one.key[:12]]
        for one in images
    ]
    print_table(columns, rows, numbers=["price", "size"], long=["cell"])


def _cell(one: StoredImage) -> str:
    if not one.cells:
        return "–"
    return one.cells[0] if len(one.cells) == 1 else f"{one.cells[0]} and {len(one.cells) - 1} more"


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
