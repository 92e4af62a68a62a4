"""Whether output may have colours and moving parts: https://no-color.org and https://force-color.org."""

import os
import sys
from typing import TextIO


def wants_colour() -> bool | None:
    """What the environment asks for; None leaves it to whether the output is a terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    return True if os.environ.get("FORCE_COLOR") else None


def can_move() -> bool:
    """Whether lines on stderr may be written over again, which needs escape sequences as colours do."""
    is_plain = bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown")
    return is_terminal(sys.stderr) and not is_plain


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person reads it as it comes; a process may be started with its output closed."""
    return stream is not None and stream.isatty()
