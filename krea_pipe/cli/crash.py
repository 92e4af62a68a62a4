"""A log to paste when krea-pipe itself is wrong."""

import os
import platform
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe import __version__
from krea_pipe.errors import KreaPipeError
from krea_pipe.settings import KEY_NAMES
from krea_pipe.store.home import open_home
from krea_pipe.store.plain import open_plain


def without_keys(text: str) -> str:
    """A text without the API keys of the environment, should one have got into it."""
    for name in KEY_NAMES:
        secret = os.environ.get(name, "").strip()
        text = text.replace(secret, "***") if secret else text
    return text


def write_crash_log(error: BaseException) -> Path:
    """Write what happened to a file, without arguments or environment, and return its path."""
    head = f"krea-pipe {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    text = without_keys(head + "".join(traceback.format_exception(error)))
    name = f"crash-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    for folder in (*_logs(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = open_plain(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except OSError:
            continue
        return folder / name
    return Path(name)


def _logs() -> Iterator[Path]:
    with suppress(KreaPipeError, OSError):
        yield open_home(os.environ) / "logs"
