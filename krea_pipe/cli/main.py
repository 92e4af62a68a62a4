"""The entry point: the one place where errors become messages and exit codes."""

import errno
import sys

import click

from krea_pipe import __version__
from krea_pipe.cli.lazy import COMMANDS, CRASH_LOG, LazyGroup, load
from krea_pipe.cli.messages import error_json, print_json, print_problems
from krea_pipe.cli.streams import drop_streams, flush_streams, prepare_streams
from krea_pipe.errors import KreaPipeError, Problem

CRASHED = 70
INTERRUPTED = 130
OUTPUT_ERRORS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF})

EPILOG = (
    "Exit codes: 0 done, 1 some requests failed, 2 invalid file or usage, 3 work pending (plan --check), "
    "4 the API refused, 5 over budget, 70 a bug of krea-pipe, 130 interrupted and resumable."
)


@click.group(
    cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="krea-pipe", message="%(prog)s %(version)s")
def cli() -> None:
    """Declarative image pipelines for Krea 2.

    YAML files in git say what to draw; krea-pipe shows the price, draws what is not there yet, and reports.
    """


def main() -> None:
    """Run the command line and exit."""
    words = sys.argv[1:]
    prepare_streams()
    try:
        code = cli.main(args=words, prog_name="krea-pipe", standalone_mode=False)
        flush_streams()
    except OSError as error:
        code = _output_failed(error, as_json="--json" in words)
    except (KreaPipeError, click.ClickException, click.Abort, KeyboardInterrupt) as error:
        code = _report(error, as_json="--json" in words)
    except Exception as error:  # noqa: BLE001 (the boundary: whatever is left is our bug)
        code = _crashed(error, as_json="--json" in words)
    sys.exit(code if isinstance(code, int) else 0)


def _output_failed(error: OSError, *, as_json: bool) -> int:
    """A reader that has left needs no words; a full disk does; what names a file did not come from printing."""
    if error.filename is not None or error.errno not in OUTPUT_ERRORS:
        return _crashed(error, as_json=as_json)
    drop_streams(sys.stdout)
    if error.errno == errno.EPIPE:
        drop_streams(sys.stderr)
    else:
        print_problems([Problem("output_failed", f"cannot write the output: {error.strerror}")])
    return 1


def _crashed(error: Exception, *, as_json: bool) -> int:
    log = load(CRASH_LOG)(error)
    message = f"krea-pipe has a bug: {type(error).__name__}"
    return _print((Problem("internal_error", message, hint=f"please report it with {log}"),), CRASHED, as_json=as_json)


def _report(error: BaseException, *, as_json: bool) -> int:
    match error:
        case KreaPipeError():
            return _print(error.problems, error.exit_code, as_json=as_json)
        case click.ClickException():
            hint = _usage_hint(error)
            return _print((Problem("usage", error.format_message(), hint=hint),), 2, as_json=as_json)
        case _:
            problem = Problem("interrupted", "interrupted", hint="run the same command again to go on")
            return _print((problem,), INTERRUPTED, as_json=as_json)


def _print(problems: tuple[Problem, ...], code: int, *, as_json: bool) -> int:
    if as_json:
        print_json(error_json(problems, code))
    else:
        print_problems(problems)
    return code


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "krea-pipe"
    if path == "krea-pipe":
        return f"commands: {', '.join(COMMANDS)}; more with `krea-pipe --help`"
    return f"see `{path} --help`"
