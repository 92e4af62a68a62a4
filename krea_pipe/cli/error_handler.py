"""The one place where errors become messages and exit codes, or the log of a crash."""

import contextlib
import errno
import os
import sys
from dataclasses import replace
from pathlib import Path

import click

from krea_pipe.cli.messages import error_json, print_json
from krea_pipe.cli.stderr_log import stderr_log_of
from krea_pipe.cli.streams import drop_streams
from krea_pipe.cli.suggestions import command_hint, option_hint
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.masking import masked_lines
from krea_pipe.core.secret_kinds import is_secret_name
from krea_pipe.core.settings import KEY_NAMES, SHORTEST_SECRET
from krea_pipe.store.crash_log import save_crash_log
from krea_pipe.store.home import open_home

OUTPUT_ERRORS = frozenset({errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EBADF})


def problems_of(error: BaseException) -> tuple[tuple[Problem, ...], ExitCode]:
    """An error for people and programs, with its exit code."""
    match error:
        case KreaPipeError():
            return error.problems, error.exit_code
        case click.NoSuchOption():
            return (Problem("usage", f"there is no option {error.option_name}"),), ExitCode.INVALID
        case click.exceptions.NoSuchCommand():
            return (Problem("usage", f"there is no command {error.command_name}"),), ExitCode.INVALID
        case click.ClickException():
            return (Problem("usage", error.format_message()),), ExitCode.INVALID
        case click.Abort() | KeyboardInterrupt():
            return (Problem("interrupted", "interrupted"),), ExitCode.INTERRUPTED
        case _:
            return (Problem("internal_error", f"krea-pipe has a bug: {type(error).__name__}"),), ExitCode.BUG


def tell(error: BaseException, *, as_json: bool) -> int:
    """Say what went wrong, to a person or a program, and return the exit code."""
    if isinstance(error, OSError) and error.filename is None and error.errno in OUTPUT_ERRORS:
        return _output_failed(error)
    problems, code = problems_of(error)
    if not isinstance(error, KreaPipeError):
        problems = (replace(problems[0], hint=_hint(error)),)
    stderr_log = stderr_log_of(sys.argv[1:])
    if as_json:
        print_json(error_json(problems, code))
    if not as_json or stderr_log.in_json:
        stderr_log.problems(problems)
    return code


def _hint(error: BaseException) -> str:
    match error:
        case click.ClickException():
            return _usage_hint(error)
        case click.Abort() | KeyboardInterrupt():
            return "rerun the command to continue"
        case _:
            return f"please report it with {_write_crash_log(error)}"


def _output_failed(error: OSError) -> int:
    """Print nothing if the reader has closed the stream; a full disk is reported.

    What names a file did not come from printing.
    """
    drop_streams(sys.stdout)
    if error.errno == errno.EPIPE:
        drop_streams(sys.stderr)
    else:
        with contextlib.suppress(OSError):  # stderr may be what cannot be written
            stderr_log_of(sys.argv[1:]).problems(
                [Problem("output_failed", f"cannot write the output: {error.strerror}")]
            )
    return ExitCode.SOME_FAILED


def _without_keys(text: str) -> str:
    """A text without the keys of the environment, should one have got into it."""
    for name, value in os.environ.items():
        secret = value.strip()
        if name in KEY_NAMES or (is_secret_name(name) and len(secret) >= SHORTEST_SECRET):
            text = masked_lines(text, secret) if secret else text
    return text


def _write_crash_log(error: BaseException) -> Path:
    """Write what happened to a file in the home folder of the working folder, and return its path."""
    home = None
    with contextlib.suppress(KreaPipeError, OSError):
        home = open_home(os.environ)
    return save_crash_log(error, home, _without_keys)


def _usage_hint(error: click.ClickException) -> str:
    context = error.ctx if isinstance(error, click.UsageError) else None
    path = context.command_path if context else "krea-pipe"
    if context is not None and isinstance(error, click.NoSuchOption):
        return option_hint(error, context)
    if isinstance(error, click.exceptions.NoSuchCommand):
        return command_hint(error)
    return f"see `{path} --help`"
