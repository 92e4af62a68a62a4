"""`krea-pipe help`: the help of a command."""

import click
from click.shell_completion import CompletionItem

from krea_pipe.cli.lazy import COMMANDS


def _complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    said = COMMANDS.items() if not ctx.params.get("names") else ()
    return [CompletionItem(name, help=short) for name, (_, short) in said if name.startswith(incomplete)]


@click.command("help")
@click.argument("names", nargs=-1, metavar="[COMMAND]...", shell_complete=_complete)
@click.pass_context
def show_help(ctx: click.Context, names: tuple[str, ...]) -> int:
    """Show the help of COMMAND, as `krea-pipe COMMAND --help` does, or the list of commands."""
    context = ctx.find_root()
    for name in names:
        group = context.command
        command = group.get_command(context, name) if isinstance(group, click.Group) else None
        if command is None:
            raise click.exceptions.NoSuchCommand(name, ctx=context)
        context = click.Context(command, info_name=name, parent=context)
    click.echo(context.get_help())
    return 0
