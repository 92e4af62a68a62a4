"""The entry point."""

import atexit
import gc
import os
import sys

import click

from krea_pipe._version import __version__
from krea_pipe.cli.lazy import LazyGroup
from krea_pipe.cli.streams import flush_streams, leave_streams, prepare_streams, wants_colour

EPILOG = (
    "Exit codes: 0 done, 1 some requests failed, 2 invalid file or usage, 3 work pending (plan --check), "
    "4 no usable key, or the account is refused, 5 over budget or at a limit, 6 waiting for picks, 7 nothing selected, "
    "8 differs from the lock file, 9 an image fails a check, 70 a bug in krea-pipe, 130 interrupted and resumable."
)
_NEW_OBJECTS = 50_000
"""How many objects Python makes before it looks for unused ones: more than a short command makes at all."""


def _change_folder(ctx: click.Context, param: click.Parameter, folders: tuple[str, ...]) -> None:
    """Change the working folder before anything is read, also to complete names."""
    for folder in folders:
        try:
            os.chdir(folder)
        except OSError as error:
            if not ctx.resilient_parsing:
                message = f"cannot change to {folder}: {error.strerror}"
                raise click.BadParameter(message, ctx, param) from error


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    subcommand_metavar="[COMMAND] [ARGS]...",  # click before 8.5 does not say that it may be left out
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)
@click.version_option(__version__, "-V", "--version", prog_name="krea-pipe", message="%(prog)s %(version)s")
@click.option(
    "-C",
    "folders",
    type=click.Path(),
    multiple=True,
    metavar="DIR",
    is_eager=True,
    expose_value=False,
    callback=_change_folder,
    help="Change to this folder first; each further -C counts from the one before.",
)
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Declarative image pipelines for Krea 2.

    YAML files in git describe the images; krea-pipe shows the price, generates only missing images, and reports.
    """
    ctx.color = wants_colour()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def main() -> None:
    """Run the command line and exit."""
    words = sys.argv[1:]
    gc.set_threshold(_NEW_OBJECTS)
    atexit.register(gc.freeze)  # what is left ends with the process, and need not be looked through before
    prepare_streams()
    try:
        code = cli.main(args=words, prog_name="krea-pipe", standalone_mode=False)
        flush_streams()
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 (the boundary: nothing goes past it)
        from krea_pipe.cli.error_handler import tell  # noqa: PLC0415 (for errors alone, so that others start faster)

        with click.Context(cli, color=wants_colour()).scope(cleanup=False):
            code = tell(error, as_json="--json" in words)
    leave_streams()
    sys.exit(code if isinstance(code, int) else 0)
