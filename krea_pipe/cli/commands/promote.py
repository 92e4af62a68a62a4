"""`krea-pipe promote`: draw picked cells on another variant, as an edit of the file."""

import difflib
import os
from pathlib import Path

import click

from krea_pipe.app import flow
from krea_pipe.cli.completing import complete_stage_of_file
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import file_argument, json_option
from krea_pipe.core.contract import VARIANTS
from krea_pipe.matrix.picking import picks_file
from krea_pipe.pipeline.editing.edits import promote as promoted
from krea_pipe.store.atomic import write_atomically


@click.command()
@file_argument
@click.argument("stage", shell_complete=complete_stage_of_file)
@click.option("--to", "variant", type=click.Choice(VARIANTS), required=True, help="The variant to draw on.")
@click.option("--name", help="The name of the new stage.  [default: STAGE-VARIANT]")
@click.option("--dry-run", is_flag=True, help="Show the change, and write nothing.")
@json_option
def promote(file: Path, stage: str, variant: str, name: str | None, *, dry_run: bool, as_json: bool) -> int:
    """Add a stage to FILE that draws the picked cells of STAGE on another variant.

    Prompt, references, seed and all else stay as they were. The edit leaves comments and layout alone; look at it
    with git diff, then plan and run. Needs no network and no key.
    """
    loaded = flow.load(file)
    picks = Path(os.path.relpath(picks_file(loaded.pipeline, stage), file.resolve().parent)).as_posix()
    text = file.read_bytes().decode()  # as it is, with its line ends and any mark of its encoding
    made = promoted(text, stage, variant, picks_file=picks, name=name, file=file)
    if not dry_run:
        write_atomically(file.resolve(), made.text.encode())
    if as_json:
        print_json({"schema": "krea-pipe/promote@1", "stage": made.stage, "file": str(file), "written": not dry_run})
        return 0
    for line in difflib.unified_diff(text.splitlines(), made.text.splitlines(), str(file), str(file), lineterm="", n=2):
        click.echo(line)
    if not dry_run:
        click.echo(f"Added the stage `{made.stage}`. See what it costs: krea-pipe plan {file} -k stage:{made.stage}")
    return 0
