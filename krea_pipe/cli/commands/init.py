"""`krea-pipe init`: a starter pipeline to edit."""

import shlex
from pathlib import Path

import click

from krea_pipe.app.starter import write_starter
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import FILE, json_option


@click.command()
@click.argument("folder", metavar="[DIR]", default=".", type=FILE)
@json_option
def init(folder: Path, *, as_json: bool) -> int:
    """Write a commented starter pipeline into DIR (default: the current folder), its schema for editors, and lines for
    git.

    An existing pipeline.yaml or pipeline.schema.json is never overwritten. The lines in .gitignore exclude generated
    files; those in .gitattributes let git merge picks and lock files.
    """
    starter = write_starter(folder)
    kept = [str(starter.schema)] if starter.keeps_schema else []
    if as_json:
        created = [str(starter.file), *([str(starter.schema)] if starter.has_new_schema else [])]
        added = {"ignored": starter.ignored, "attributes": starter.attributes}
        print_json({"schema": "krea-pipe/init@1", "created": created, "kept": kept, **added})
        return 0
    for path in kept:
        click.echo(f"{path} is not the schema of this version of krea-pipe and was left unchanged", err=True)
    into = "" if starter.file.parent == Path() else f"cd {shlex.quote(str(starter.file.parent))} && "
    click.echo(f"wrote {starter.file}; next: {into}krea-pipe run {starter.file.name} --local")
    return 0
