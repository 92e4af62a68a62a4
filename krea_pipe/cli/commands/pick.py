"""`krea-pipe pick` and `promote`: write down which images were chosen, and draw them on another variant."""

import difflib
import os
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.picks import Decision, decide, promote_picks
from krea_pipe.cli.completing import stage_argument
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import FILE, file_argument, json_option
from krea_pipe.core.contract import VARIANTS


@click.command()
@file_argument
@stage_argument
@click.argument("cells", nargs=-1, metavar="CELL...")
@click.option("--stars", type=click.IntRange(1, 5), help="How many stars to give them.")
@click.option("--note", default="", help="A note to store with them.")
@click.option("--reject", is_flag=True, help="Reject them.")
@click.option("--remove", is_flag=True, help="Remove the decision about them.")
@click.option(
    "--best-of", metavar="AXIS", help="Of picks that differ only in this axis, keep the one with the most stars."
)
@click.option("--to", "target", type=FILE, help="The picks file.  [default: the one that FILE names for STAGE]")
@json_option
def pick(file: Path, stage: str, target: Path | None, *, as_json: bool, **decision: Unpack[Decision]) -> int:
    """Pick cells of STAGE in FILE by id, or by expression as for -k. Chained stages generate images for the picked
    cells.

    The picks file belongs in git: comments are kept, and each decision is one line. Needs no network and no key.
    """
    path, picks = decide(file, stage, decision, target, os.environ)
    path = Path(os.path.relpath(path))
    if as_json:
        rows = [{"id": one.id, "stars": one.stars, "note": one.note} for one in picks]
        print_json({"schema": "krea-pipe/pick@1", "file": str(path), "picks": rows})
        return 0
    for one in picks:
        click.echo(f"{'★' * (one.stars or 0):5}  {one.id}{f'  {one.note}' if one.note else ''}")
    click.echo(f"{len(picks)} {'pick' if len(picks) == 1 else 'picks'} in {path}")
    return 0


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
