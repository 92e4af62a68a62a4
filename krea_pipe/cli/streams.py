"""stdout and stderr as they are: narrow encodings, closed readers, streams closed from the start; and colours."""

import contextlib
import io
import os
import sys
from typing import TextIO

from krea_pipe.cli.ci_log import guard_streams, is_read_by_a_host


def prepare_streams() -> None:
    """Let every character be printed, those that the encoding lacks by their codes, and none command a CI host."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    if is_read_by_a_host(os.environ):
        guard_streams()


def flush_streams() -> None:
    """Find out now whether the output has been read."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:  # a process may be started with its output closed
            stream.flush()


def leave_streams() -> None:
    """Have nothing left to write, because Python would change the exit code when it fails to write it."""
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            drop_streams(stream)


def drop_streams(*streams: TextIO | None) -> None:
    """Let output go nowhere: it cannot be written, and Python would complain again while closing it."""
    for stream in streams:
        if stream is not None:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def wants_colour() -> bool | None:
    """Whether the environment asks for colours; None leaves it to whether the output is a terminal.

    See https://no-color.org and https://force-color.org.
    """
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def can_move() -> bool:
    """Whether lines on stderr may be written over again, which needs escape sequences as colours do."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    return is_terminal(sys.stderr) and not is_plain


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads the output live; a process can be started with its output closed."""
    return stream is not None and stream.isatty()
