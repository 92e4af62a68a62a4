"""`krea-pipe pick`, `picks` and `promote`: record picked images, and generate them with another variant."""

import difflib
import os
from dataclasses import asdict
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.picks import Decided, Decision, decide, import_picks, promote_picks, rename_picks
from krea_pipe.cli.completing import stage_argument
from krea_pipe.cli.messages import print_json, print_problems
from krea_pipe.cli.options import FILE, file_argument, json_option
from krea_pipe.cli.tables import counted
from krea_pipe.core.contract import VARIANTS
from krea_pipe.core.errors import Problem, UsageError


@click.command()
@file_argument
@stage_argument
@click.argument("cells", nargs=-1, metavar="CELL...")
@click.option("--stars", type=click.IntRange(1, 5), help="The number of stars to give them.")
@click.option("--note", default="", help="A note to store with them.")
@click.option("--reject", is_flag=True, help="Reject them.")
@click.option("--remove", is_flag=True, help="Remove the decision about them.")
@click.option(
    "--best-of", metavar="AXIS", help="Of picks that differ only in this axis, keep the one with the most stars."
)
@click.option(
    "--as",
    "by",
    metavar="NAME",
    help="Your name, for the decision.  [default: git's user.name; with --import, the name in that file]",
)
@click.option("--settle", is_flag=True, help="Replace everyone's decisions about them.")
@click.option("--import", "review", type=FILE, help="Import the decisions that a reviewer has exported from a report.")
@click.option("--to", "target", type=FILE, help="The picks file.  [default: the one that FILE names for STAGE]")
@json_option
def pick(
    file: Path, stage: str, target: Path | None, review: Path | None, *, as_json: bool, **decision: Unpack[Decision]
) -> int:
    """Pick cells of STAGE in FILE by id, or by expression as for -k. Chained stages generate images for the picked
    cells.

    The picks file belongs in git: it keeps its comments, and has one line per decision and person. The line has the key
    of the request, so the decision stays valid if the cell gets another id. A cell that one person picks and another
    rejects is disputed: no stage that needs the picks can run until someone uses --settle. In a git repository, this
    command also adds a line to `.gitattributes`, so that git can merge picks files. Needs no network and no key.
    """
    if review is None:
        decided = decide(file, stage, decision, target, os.environ)
    else:
        _check_import(decision)
        decided = import_picks(file, stage, review, decision["by"], target, os.environ)
    path, picks = Path(os.path.relpath(decided.file)), decided.picks
    if as_json:
        more = {"imported": asdict(decided.imported)} if decided.imported else {}
        print_json({"schema": "krea-pipe/pick@1", "file": str(path), **more, "picks": _rows(decided)})
        print_problems(decided.warnings, kind="warning")
        return 0
    for one in picks:
        by = f"  ({one.by})" if one.by else ""
        click.echo(f"{'★' * (one.stars or 0):5}  {one.id}{f'  {one.note}' if one.note else ''}{by}")
    if (imported := decided.imported) is not None:
        by = f" by {imported.by}" if imported.by else ""
        counts = f"{imported.new} new, {imported.changed} changed, {imported.unchanged} unchanged"
        click.echo(f"Imported decisions{by}: {counts}.")
    click.echo(f"{counted(len(picks), 'pick')} in {path}")
    _say_more(decided)
    return 0


def _check_import(decision: Decision) -> None:
    """Refuse what would decide about cells together with --import."""
    given = [name for name in ("stars", "note", "reject", "remove", "best_of", "settle") if decision[name]]
    if decision["cells"] or given:
        name = f"--{given[0].replace('_', '-')}" if given else "CELL"
        raise UsageError(Problem("usage", f"{name} and --import cannot be combined", hint="import first, then pick"))


@click.group(invoke_without_command=True, subcommand_metavar="COMMAND [ARGS]...")
@click.pass_context
def picks(ctx: click.Context) -> None:
    """Maintain picks files. Needs no network and no key."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


@picks.command(short_help="Update the cell ids in a picks file.")
@file_argument
@stage_argument
@click.argument("names", nargs=-1, metavar="[OLD NEW]")
@click.option("--to", "target", type=FILE, help="The picks file.  [default: the one that FILE names for STAGE]")
@json_option
def rename(file: Path, stage: str, names: tuple[str, ...], target: Path | None, *, as_json: bool) -> int:
    """Update the cell ids in the picks file of STAGE in FILE.

    As long as its request stays the same, a cell keeps its decision under any id, and this command only makes the
    file easier to read. If both the id and the request have changed, use both names: OLD is an id in the picks file,
    NEW the id of a cell. They can also be parts of ids, such as slate and stone. Needs no network and no key.
    """
    if len(names) not in (0, 2):
        raise UsageError(Problem("usage", "one name is missing", hint="use both OLD and NEW, or neither"))
    decided = rename_picks(file, stage, (names[0], names[1]) if names else None, target, os.environ)
    path, renamed = Path(os.path.relpath(decided.file)), decided.renamed or {}
    if as_json:
        more = {"renamed": renamed, "picks": _rows(decided)}
        print_json({"schema": "krea-pipe/picks-rename@1", "file": str(path), **more})
        return 0
    for old, new in renamed.items():
        click.echo(f"{old} → {new}")
    click.echo(f"{counted(len(renamed), 'decision')} renamed in {path}")
    _say_more(decided)
    return 0


def _rows(decided: Decided) -> list[dict[str, object]]:
    return [
        {"id": one.id, "stars": one.stars, "note": one.note, **({"by": one.by} if one.by else {})}
        for one in decided.picks
    ]


def _say_more(decided: Decided) -> None:
    """Say what else was written, and what is probably a mistake."""
    print_problems(decided.warnings, kind="warning")
    if decided.attributes is not None:
        name = os.path.relpath(decided.attributes)
        click.echo(f"added a line to {name}, so that git merges picks line by line; commit it", err=True)


@click.command()
@file_argument
@stage_argument
@click.option("--to", "variant", type=click.Choice(VARIANTS), required=True, help="The variant to generate with.")
@click.option("--name", help="The name of the new stage.  [default: STAGE-VARIANT]")
@click.option("--dry-run", is_flag=True, help="Show the change without writing it.")
@json_option
def promote(file: Path, stage: str, variant: str, name: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Add a stage to FILE that regenerates the picked cells of STAGE with another variant.

    Prompt, references, seed and everything else stay the same. The edit keeps comments and layout; review it with git
    diff, then plan and run. Needs no network and no key.
    """
    edit = promote_picks(file, stage, variant, name, writes=not dry_run)
    if as_json:
        print_json({"schema": "krea-pipe/promote@1", "stage": edit.stage, "file": str(file), "written": not dry_run})
        return 0
    before, after = edit.before.splitlines(), edit.after.splitlines()
    for line in difflib.unified_diff(before, after, str(file), str(file), lineterm="", n=2):
        click.echo(line)
    if not dry_run:
        click.echo(f"Added the stage `{edit.stage}`. See what it costs: krea-pipe plan {file} -k stage:{edit.stage}")
    return 0
