"""The page of a run as one file with its small pictures in it, to send to someone."""

import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.store.atomic import write_atomically

MAX_MB = 25
"""What most mail servers take."""

MB = 1_000_000
HEAD = 4_000
GENERATOR = b'<meta name="generator" content="krea-pipe">'
"""Stands in the head of each page."""


def write_single(page: Iterable[bytes], path: Path, *, max_mb: int, folder: Path) -> int:
    """Write a page as one file and return its size in bytes; `folder` is what could be sent in its place.

    Raises:
        UsageError: it would be larger than that, or the name is no page's, or another file's.
        StateError: it cannot be written.
    """
    if path.suffix.lower() not in (".html", ".htm"):  # so that a slip does not overwrite the pipeline file
        hint = f"name it {path.stem or 'report'}.html"
        raise UsageError(Problem("not_a_page", f"{path} does not end in .html, as a page does", hint=hint))
    _check_free(path)
    parts = list(page)
    size = sum(map(len, parts))
    if size > max_mb * MB:
        message = f"{path} would be {_megabytes(size)} MB, and --max-mb is {max_mb}"
        hint = f"select fewer cells with -k, raise it with --max-mb {-(-size // MB)}, or send the folder {folder}"
        raise UsageError(Problem("too_large", message, hint=hint))
    write_atomically(path, parts, durable=False)
    return size


def _check_free(path: Path) -> None:
    """Refuse to write over a file that is no report's page."""
    try:
        with path.open("rb") as stream:
            is_ours = GENERATOR in stream.read(HEAD)
    except FileNotFoundError:
        return
    except OSError:
        is_ours = False
    if not is_ours:
        hint = "choose another name; an earlier report is written over"
        raise UsageError(Problem("file_in_the_way", f"{path} exists, and is no report", hint=hint))


def check_thumbnails_url(url: str) -> str:
    """A URL below which small pictures are served.

    Raises:
        UsageError: it is no plain http or https URL with a host.
    """
    try:
        parts = urlsplit(url)
        is_plain = url.isprintable() and not re.search(r"[\s?#\\\"<>]", url)
        if is_plain and parts.scheme in ("http", "https") and parts.hostname and parts.port != 0:
            return url
    except ValueError:  # a port that is no number, brackets that do not close
        pass
    hint = "give the folder's URL, as in https://example.com/run/thumbnails"
    raise UsageError(Problem("bad_url", f"{url!r} is no http or https URL that a file's name can follow", hint=hint))


def _megabytes(size: int) -> str:
    """Rounded up, so that what is too large never looks as if it fitted."""
    return f"{-(-size * 10 // MB) / 10:,.1f}"
