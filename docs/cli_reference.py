"""Writes docs/cli.md from the commands themselves: `python docs/cli_reference.py`."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import click

from krea_pipe.cli.lazy import COMMANDS, LazyGroup
from krea_pipe.cli.main import EPILOG, cli
from krea_pipe.pipeline.spec.schema import schema_names

AS_IT_IS = "\b\n"
PAGE = Path(__file__).parent / "cli.md"
HEAD = """\
# The command line

`docs/cli_reference.py` generates this page from the commands; `krea-pipe COMMAND --help` shows the same text.
"""
VARIABLES = """\
## Environment

| Variable | |
|---|---|
| `KREA_API_KEY`, `KREA_API_TOKEN` | the key; the first one that is set |
| `KREA_API_BASE` | another address of the API; plain http is allowed only to this machine |
| `KREA_PIPE_HOME` | the home folder; by default, the nearest `.krea-pipe` from the file up to its repository's top |
| `XDG_CONFIG_HOME` | the folder that contains your `krea-pipe/settings.yaml`; the default is `~/.config` |
| `KREA_PIPE_SETTLE_SECONDS` | how long the job of a lost answer may take to appear; the default is 10 seconds |
| `KREA_PIPE_POLL_SECONDS` | how long to wait before the first poll of a job; the default is 1 second |
| `NO_COLOR` | turns colours off |

## Schemas

`krea-pipe schema --which NAME` prints the JSON Schema of a file, or of what a command prints with `--json`: {schemas}.
[JSON documents](explanation/json.md) says what stays the same in later versions.
"""


def reference() -> str:
    """The page."""
    root = click.Context(cli, info_name="krea-pipe")
    assert isinstance(cli, LazyGroup)
    names = [name for name in COMMANDS if not is_hidden(name, root)]
    rows = [f"| [`{name}`](#{name}) | {one_line(COMMANDS[name][1])} |" for name in names]
    parts = [HEAD, "\n".join(["| Command | |", "|---|---|", *rows]) + "\n"]
    for name in names:
        parts += command_parts(cli.get_command(root, name), name, root)
    codes = EPILOG.removeprefix("Exit codes: ").rstrip(".")
    table = "\n".join(f"| {code} | {meaning} |" for code, meaning in exit_codes(codes))
    parts.append(f"## Exit codes\n\n| Code | Meaning |\n|---|---|\n{table}\n")
    parts.append(VARIABLES.format(schemas=", ".join(f"`{name}`" for name in schema_names())))
    return "\n".join(parts)


def is_hidden(name: str, root: click.Context) -> bool:
    """Whether the help omits a command."""
    command = root.command
    assert isinstance(command, click.Group)
    found = command.get_command(root, name)
    return found is None or found.hidden


def command_parts(command: click.Command | None, name: str, parent: click.Context, level: int = 2) -> Iterator[str]:
    """The section of one command, and the sections of its subcommands."""
    assert command is not None, name
    context = click.Context(command, info_name=name, parent=parent)
    title = context.command_path.removeprefix("krea-pipe ")
    yield f"{'#' * level} {title}\n"
    yield f"```text\n$ {usage(command, context)}\n```\n"
    if command.help:
        yield f"{paragraphs(command.help)}\n"
    rows = [row for param in command.params if (row := option_row(param, context))]
    if rows:
        yield "\n".join(["| Option | |", "|---|---|", *rows]) + "\n"
    if isinstance(command, click.Group):
        for below in command.list_commands(context):
            yield from command_parts(command.get_command(context, below), below, context, level + 1)


def usage(command: click.Command, context: click.Context) -> str:
    """One line: the command and its arguments."""
    return " ".join([context.command_path, *command.collect_usage_pieces(context)])


def option_row(param: click.Parameter, context: click.Context) -> str | None:
    """The names of an option and its help; None for arguments, which the text explains."""
    record = param.get_help_record(context)
    if record is None or isinstance(param, click.Argument):
        return None
    names, text = record
    names = re.sub(r"INTEGER RANGE|NUMBER", "N", names)
    return f"| `{names.replace('|', chr(92) + '|')}` | {one_line(text)} |"


def paragraphs(text: str) -> str:
    """A help text as Markdown, with one line for each paragraph; preformatted paragraphs become code."""
    found = re.split(r"\n\s*\n", inspect.cleandoc(text))
    return "\n\n".join(
        f"```text\n{one.removeprefix(AS_IT_IS)}\n```" if one.startswith(AS_IT_IS) else one_line(one) for one in found
    )


def one_line(text: str) -> str:
    """A text on one line, with the special characters of Markdown and tables escaped."""
    parts = re.split(r"(`[^`]*`)", " ".join(text.split()))
    return "".join(
        part.replace("|", "\\|") if part.startswith("`") else re.sub(r"([|*<>\[\]])", r"\\\1", part) for part in parts
    )


def exit_codes(text: str) -> list[tuple[str, str]]:
    """`0 done, 1 some requests failed, …` as pairs."""
    return re.findall(r"(\d+) (.*?)(?=, \d+ |$)", text)


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
