"""What a mistyped command or option was meant to be, found by edit distance over all commands and options."""

from collections.abc import Iterator, Mapping

import click

from krea_pipe.cli.lazy import COMMANDS
from krea_pipe.core.near_names import closest

PROGRAM = "krea-pipe"
_MEANT_OPTIONS = {
    **dict.fromkeys(("--output", "--output-dir", "--outdir"), "--out"),
    **dict.fromkeys(("--budget", "--cap", "--max-usd"), "--max-cost"),
    **dict.fromkeys(("--limit", "--max-images"), "--max-new"),
    **dict.fromkeys(("--filter", "--only", "--cells"), "--select"),
    **dict.fromkeys(("--jobs", "--parallel"), "--concurrency"),
}
"""Options of other tools, and our options with the same meaning."""
_MEANT_COMMANDS = {
    **dict.fromkeys(("generate", "render", "make", "build"), "run"),
    **dict.fromkeys(("dry-run", "diff-plan", "preview"), "plan"),
    **dict.fromkeys(("lint", "fmt", "test"), "validate"),
    **dict.fromkeys(("clean", "prune"), "gc"),
    **dict.fromkeys(("cost", "costs", "bill", "usage"), "spend"),
    **dict.fromkeys(("list", "ls", "jobs"), "status"),
    **dict.fromkeys(("new", "create"), "init"),
    **dict.fromkeys(("open", "show"), "view"),
}
"""Commands of other tools, and our commands with the same meaning."""


def command_hint(error: click.exceptions.NoSuchCommand) -> str:
    """What to do about a command that does not exist.

    Args:
        error: what click says about it.

    Returns:
        The command that was probably meant, or where the commands are listed.
    """
    context, name = error.ctx, error.command_name
    path = context.command_path if context is not None else PROGRAM
    own = context.command.list_commands(context) if context and isinstance(context.command, click.Group) else []
    if (near := closest(name, own)) is not None:
        return f"did you mean `{path} {near}`?"
    meant = _MEANT_COMMANDS.get(name)
    if meant is not None and path == PROGRAM:
        return f"did you mean `{PROGRAM} {meant}`?"
    root = click.Context(_root(context), info_name=PROGRAM)
    below = {path.rpartition(" ")[2]: path for path, _ in _all_commands(root)}
    elsewhere = closest(name, below)
    return f"did you mean `{PROGRAM} {below[elsewhere]}`?" if elsewhere else f"see `{path} --help`"


def option_hint(error: click.NoSuchOption, context: click.Context) -> str:
    """What to do about an option that does not exist.

    Args:
        error: what click says about it.
        context: the command that was given.

    Returns:
        The option that was probably meant, a command that has it, or where the options are listed.
    """
    name, path = error.option_name, context.command_path
    if name in ("--dry-run", "-n") and path == f"{PROGRAM} run":
        return f"use `{PROGRAM} plan`: it shows what the run would do and what it would cost"
    own, root = _options(context.command, context), context.find_root()
    meant = _MEANT_OPTIONS.get(name)
    near = meant if meant in own else _closest(name, own)
    if near is not None:
        return f"did you mean {near}?"
    if name in _options(root.command, root):
        return f"put it before the command: `{PROGRAM} {name} … {context.info_name}`"
    others = {one: command for command, found in _all_commands(root) for one in found}
    if (other := name if name in others else _closest(name, others)) is None:
        return f"see `{path} --help`"
    command = f"`{PROGRAM} {others[other]}`"
    return f"{command} has {name}" if other == name else f"did you mean {other} of {command}?"


def _closest(name: str, options: Mapping[str, object]) -> str | None:
    """The option whose name without dashes is nearest."""
    bare = {one.lstrip("-"): one for one in reversed([*options])}
    near = closest(name.lstrip("-"), [*reversed(bare)])
    return bare[near] if near else None


def _all_commands(root: click.Context) -> Iterator[tuple[str, dict[str, None]]]:
    """Every command below the program with its options, those of groups included."""
    for name in COMMANDS:
        yield from _commands(name, root)


def _commands(name: str, parent: click.Context) -> Iterator[tuple[str, dict[str, None]]]:
    assert isinstance(parent.command, click.Group)
    command = parent.command.get_command(parent, name)
    if command is None or command.hidden:
        return
    context = click.Context(command, info_name=name, parent=parent)
    yield context.command_path.removeprefix(f"{PROGRAM} "), _options(command, context)
    for below in command.list_commands(context) if isinstance(command, click.Group) else ():
        yield from _commands(below, context)


def _options(command: click.Command, context: click.Context) -> dict[str, None]:
    found = (one for one in command.get_params(context) if isinstance(one, click.Option) and not one.hidden)
    return dict.fromkeys(name for one in found for name in (*one.opts, *one.secondary_opts))


def _root(context: click.Context | None) -> click.Command:
    assert context is not None  # click names the group in which it looked
    return context.find_root().command
