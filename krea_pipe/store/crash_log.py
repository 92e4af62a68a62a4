"""A log to paste when krea-pipe itself is wrong."""

import os
import platform
import tempfile
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.store.plain import open_plain


def save_crash_log(error: BaseException, home: Path | None, mask: Callable[[str], str]) -> Path:
    """Write what happened to a file, without arguments or environment.

    Args:
        error: What was raised.
        home: The home folder, whose `logs/` takes the file; without one, or when it cannot, a temporary folder does.
        mask: Takes the API keys out of a text.

    Returns:
        The path of the file.
    """
    head = f"krea-pipe {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n"
    text = mask(head + "".join(traceback.format_exception(error)))
    name = f"crash-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    temporary = Path(tempfile.gettempdir())
    for folder in (temporary,) if home is None else (home / "logs", temporary):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = open_plain(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
            with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
                stream.write(text)
        except OSError:
            continue
        return folder / name
    return Path(name)
