"""The entry point: the one place where errors become messages and exit codes."""

import os
import sys

import click

from krea_pipe import __version__
from krea_pipe.cli.lazy import COMMANDS, CRASH_LOG, LazyGroup, load
from krea_pipe.cli.messages import error_json, print_json, print_problems
from krea_pipe.errors import KreaPipeError, Problem

CRASHED = 70
INTERRUPTED = 130

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
    try:
        code = cli.main(args=words, prog_name="krea-pipe", standalone_mode=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain while closing stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except (KreaPipeError, click.ClickException, click.Abort, KeyboardInterrupt) as error:
        code = _report(error, as_json="--json" in words)
    except Exception as error:  # noqa: BLE001 (the boundary: whatever is left is our bug)
        log = load(CRASH_LOG)(error)
        problem = Problem("internal_error", f"krea-pipe has a bug: {error!r}", hint=f"please report it with {log}")
        code = _print((problem,), CRASHED, as_json="--json" in words)
    sys.exit(code if isinstance(code, int) else 0)


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
