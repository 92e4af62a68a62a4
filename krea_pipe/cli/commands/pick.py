"""`krea-pipe pick`: write down which images were chosen."""

import os
from pathlib import Path
from typing import TypedDict, Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.completing import complete_stage_of_file
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import FILE, file_argument, json_option
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.matrix.picking import best_of, check_count, decided_cells, named_cells, picks_file
from krea_pipe.pipeline.editing.pick_changes import change_picks
from krea_pipe.pipeline.editing.picks import Pick, Picks, parse_picks, read_picks
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.home import open_home
from krea_pipe.store.lock import exclusive, picks_lock


class _How(TypedDict):
    """What is said about the cells."""

    stars: int | None
    note: str
    reject: bool
    remove: bool
    best_of: str | None
    target: Path | None


@click.command()
@file_argument
@click.argument("stage", shell_complete=complete_stage_of_file)
@click.argument("cells", nargs=-1, metavar="CELL...")
@click.option("--stars", type=click.IntRange(1, 5), help="How good they are.")
@click.option("--note", default="", help="A remark that is kept with them.")
@click.option("--reject", is_flag=True, help="Reject them.")
@click.option("--remove", is_flag=True, help="Take the decision about them back.")
@click.option(
    "--best-of", metavar="AXIS", help="Of picks that differ in this axis alone, keep the one with most stars."
)
@click.option("--to", "target", type=FILE, help="The picks file.  [default: the one that FILE names for STAGE]")
@json_option
def pick(file: Path, stage: str, cells: tuple[str, ...], *, as_json: bool, **how: Unpack[_How]) -> int:
    """Pick cells of STAGE in FILE: their ids, or expressions as of -k. A chained stage is drawn for what was picked.

    The picks file is for git: comments in it stay, and each decision is one line. Needs no network and no key.
    """
    if (how["reject"] and how["remove"]) or not (cells or how["best_of"]):
        both = how["reject"] and how["remove"]
        message = "--reject and --remove contradict each other" if both else "nothing was picked"
        raise UsageError(Problem("usage", message, hint=None if both else "name cells, or say --best-of AXIS"))
    loaded = flow.load(file)
    path = how["target"] or picks_file(loaded.pipeline, stage)
    found = flow.stage_cells(loaded, stage)
    with exclusive(picks_lock(open_home(os.environ, file))):
        picks = _rewrite(path, stage, cells, how, found, loaded.pipeline)
    _say(picks.picks, Path(os.path.relpath(path)), as_json=as_json)
    return 0


def _rewrite(
    path: Path, stage: str, cells: tuple[str, ...], how: _How, found: list[flow.Found], pipeline: Pipeline
) -> Picks:
    """Write the decisions down; what the file holds then."""
    text = before = _read(path)
    if cells:
        if how["remove"]:
            ids = decided_cells(_held(text, path), found, stage, cells, pipeline)
        else:
            ids = named_cells(found, stage, cells, pipeline)
        chosen = [Pick(one, how["stars"], how["note"]) for one in ids]
        is_pick = not how["reject"] and not how["remove"]
        text = change_picks(
            text,
            stage,
            add=chosen if is_pick else (),
            reject=chosen if how["reject"] else (),
            remove=ids if how["remove"] else (),
            file=path,
        )
    if how["best_of"] is not None:
        text = _thinned(text, stage, how["best_of"], found, path)
    picks = parse_picks(text or "", path)
    if before is None or len(picks.picks) > len(parse_picks(before, path).picks):  # a file with too many can be thinned
        check_count(pipeline, stage, picks, path)
    write_atomically(path.resolve(), (text or "").encode())
    return picks


def _read(path: Path) -> str | None:
    """The text of a picks file, line ends and all; None when it is not there.

    Raises:
        InvalidInput: it cannot be read.
    """
    if not path.is_file():
        return None
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError):
        return read_picks(path).document.text  # which says what is wrong with it


def _held(text: str | None, path: Path) -> Picks:
    """The decisions of a picks file.

    Raises:
        UsageError: there is none.
    """
    if text is None:
        raise UsageError(Problem("no_picks", f"{path} is not there yet", hint="pick cells first"))
    return parse_picks(text, path)


def _thinned(text: str | None, stage: str, axis: str, found: list[flow.Found], path: Path) -> str | None:
    dropped = best_of(_held(text, path), found, axis)
    return change_picks(text, stage, remove=dropped, file=path) if dropped else text


def _say(picks: tuple[Pick, ...], path: Path, *, as_json: bool) -> None:
    if as_json:
        rows = [{"id": one.id, "stars": one.stars, "note": one.note} for one in picks]
        print_json({"schema": "krea-pipe/pick@1", "file": str(path), "picks": rows})
        return
    for one in picks:
        click.echo(f"{'★' * (one.stars or 0):5}  {one.id}{f'  {one.note}' if one.note else ''}")
    click.echo(f"{len(picks)} {'pick' if len(picks) == 1 else 'picks'} in {path}")
