"""The line under a request, which can be broken as a network breaks it.

A server that can do so puts a `Line` into the ASGI scope, under `extensions[LINE]`.
"""

from typing import Protocol

from starlette.types import Scope

LINE = "krea_pipe.line"


class Line(Protocol):
    """A TCP connection with its client at the other end."""

    def reset(self) -> None:
        """Break the connection with an RST; what is not sent yet is lost."""

    def close(self) -> None:
        """Send what is under way and hang up, whatever the answer had promised."""


def line_of(scope: Scope) -> Line | None:
    """The line of a request, if its server gives one."""
    line: Line | None = scope.get("extensions", {}).get(LINE)
    return line
