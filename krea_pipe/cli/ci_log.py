"""The log of a CI job, some of whose lines its host obeys: those that krea-pipe means, and no text that it quotes.

GitHub's runner obeys `::name::` at the start of a line and the older `##[name]` anywhere in a line; Azure and TeamCity
have forms such as `##vso[`, and GitLab has `section_start:1700000000:name`. Where they may be read, everything that is
printed passes `inert`, below the streams of Python, so that no way of printing goes around it.
"""

import contextlib
import io
import os
import re
import sys
from collections.abc import Mapping
from typing import BinaryIO, Literal, TextIO, cast

from krea_pipe.core.json_data import writable

ASKED = "KREA_PIPE_ANNOTATIONS"
_HOSTS = ("CI", "GITHUB_ACTIONS", "GITLAB_CI", "TF_BUILD", "TEAMCITY_VERSION", ASKED)
_OFF = frozenset(("", "0", "false", "no"))

# Characters that a comparison of texts by their meaning passes over, and colours: a host may see the signs around them
# as one. Possessive, so that a long run of them is read once. Compiled when the first line is printed.
_UNSEEN = (
    "(?:\x1b\\[[0-9;?]*+[A-Za-z]|[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u180e\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\ufe00-\ufe0f\ufeff])"
)
_OLD_FORM = rf"(#{_UNSEEN}*+#(?:{_UNSEEN}|\w)*+)(\[)"
_SECTION = r"(section_(?:start|end):)(?=\d)"
"""`re` finds a pattern that begins with plain characters many times as fast as one of several."""
_ANYWHERE = rf"{_OLD_FORM}|{_SECTION}"
_AT_BEGIN = rf"((?:{_UNSEEN}|\s)*+:{_UNSEEN}*+)(?=:)"
_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
"""Control characters that JSON strings may contain unescaped."""
_KEPT = 4096
"""Characters of a line that is not yet at its end, which the next ones are read together with."""


def is_read_by_a_host(environment: Mapping[str, str]) -> bool:
    """Whether what is printed may be read by the host of a CI job."""
    return any(environment.get(name, "").strip().lower() not in _OFF for name in _HOSTS)


def inert(text: str) -> str:
    """The text with a space inserted into each CI command, so that no host executes it; other texts are unchanged."""
    return "".join(_inert_line(line) for line in text.splitlines(keepends=True))


def inert_json(text: str) -> str:
    """Equivalent JSON that `inert` does not change: commands can occur only in its strings."""
    if "#" in text:
        text = re.sub(_OLD_FORM, r"\1\\u005b", text)
    if "section_" in text:
        text = re.sub(_SECTION, lambda found: found[1].replace(":", "\\u003a"), text)
    return text if text.isascii() else _LINE_ENDS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _inert_line(line: str) -> str:
    line = re.sub(_ANYWHERE, _broken, line)
    begin = re.match(_AT_BEGIN, line)
    return f"{begin[1]} {line[begin.end() :]}" if begin else line


def _broken(found: re.Match[str]) -> str:
    return f"{found[1] or found[3]} {found[2] or ''}"


def guard_streams() -> None:
    """Have all that is printed from now on pass `inert`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and not isinstance(stream.buffer, _InertBytes):
            setattr(sys, name, _guarded(stream))


def print_command(
    name: Literal["error", "warning", "notice", "group", "endgroup"],
    message: str = "",
    properties: Mapping[str, object] | None = None,
    *,
    err: bool = False,
) -> None:
    """Print a command for GitHub's runner on a separate line; none of its texts can become another command."""
    listed = ",".join(f"{key}={_property(str(value))}" for key, value in (properties or {}).items())
    # https://docs.github.com/actions/reference/workflow-commands-for-github-actions
    line = f"::{name}{' ' if listed else ''}{listed}::{_data(message)}"
    stream: TextIO | None = sys.stderr if err else sys.stdout
    if stream is None:  # a process may be started with its output closed
        return
    stream.flush()
    below = getattr(stream, "buffer", None)
    if isinstance(below, _InertBytes):
        below.write_command(line)
    else:
        stream.write(f"{line}\n")
        stream.flush()


def _data(text: str) -> str:
    plain = re.sub(_ANYWHERE, _broken, writable(text))
    return plain.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    return io.TextIOWrapper(
        cast("BinaryIO", _InertBytes(cast("BinaryIO", stream.buffer))),
        encoding=stream.encoding,
        errors=stream.errors,
        newline="\n" if os.linesep == "\n" else None,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _InertBytes(io.BufferedIOBase):
    """A stream of bytes below one of text: click and others write to either."""

    def __init__(self, below: BinaryIO) -> None:
        self._below = below
        self._begun = ""  # what the line that is not at its end has so far, as it was written

    def write(self, data: object, /) -> int:
        """Write bytes, without the commands among them."""
        given = bytes(memoryview(data))  # type: ignore[arg-type] # what the caller has is a buffer
        # Bytes that are no UTF-8 come back as they were. A space is put in behind what was written before at the
        # earliest, since that is inert.
        whole = inert(self._begun + given.decode("utf-8", "surrogateescape"))
        self._below.write(whole[len(self._begun) :].encode("utf-8", "surrogateescape"))
        lines = whole.splitlines(keepends=True)
        last = lines[-1] if lines and lines[-1].splitlines() == [lines[-1]] else ""
        self._begun = last if len(last) <= _KEPT else f"x{last[-_KEPT:]}"
        return len(given)

    def write_command(self, line: str) -> None:
        """Write a line unchanged, at the start of a line."""
        self._below.write((("\n" if self._begun else "") + line + "\n").encode("utf-8", "backslashreplace"))
        self._below.flush()
        self._begun = ""

    def flush(self) -> None:
        """Write what the stream below still holds."""
        if not self._below.closed:
            self._below.flush()

    def close(self) -> None:
        """Leave the stream below open: it is not ours."""

    def writable(self) -> bool:
        """Whether it can be written, which it can."""
        return True

    def fileno(self) -> int:
        """The number of the file below."""
        return self._below.fileno()

    def isatty(self) -> bool:
        """Whether a person reads it."""
        with contextlib.suppress(ValueError):
            return self._below.isatty()
        return False
