"""`krea-pipe schema`: the JSON Schemas."""

import json

import click
from click.shell_completion import CompletionItem

from krea_pipe.cli.tables import print_table
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.spec.schema import schema_names, schema_text

_FILES = ("pipeline", "picks", "lock", "plan-file", "run-report", "event")
"""The documents that are files, listed first; most others are what commands print."""


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    return [CompletionItem(name) for name in schema_names() if name.startswith(incomplete)]


@click.command()
@click.option(
    "--which",
    default="pipeline",
    metavar="NAME",
    show_default=True,
    shell_complete=_complete,
    help="The document, by its name.",
)
@click.option("--list", "lists", is_flag=True, help="List the names of all documents.")
def schema(*, which: str, lists: bool) -> int:
    """Print the JSON Schema of a file, or of what a command prints with --json.

    Editors use that of `pipeline` to complete and check pipelines: save it beside your pipelines, and name it in their
    first line. The name of another document is in its `schema`: that of `krea-pipe/plan@1` is `plan`.
    """
    names = schema_names()
    if lists:
        print_table(["name", "document"], [[name, _description(name)] for name in _in_order(names)], long=["document"])
        return 0
    if which not in names:
        message = f"there is no schema {which!r}"
        raise UsageError(Problem("bad_option", message, hint=near_word(which, names)))
    click.echo(schema_text(f"{which}.schema.json").rstrip("\n"))
    return 0


def _in_order(names: list[str]) -> list[str]:
    return [*_FILES, *(name for name in names if name not in _FILES)]


def _description(name: str) -> str:
    return str(json.loads(schema_text(f"{name}.schema.json"))["description"])
