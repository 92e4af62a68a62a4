"""A log to paste when krea-pipe itself is wrong."""

import os
import platform
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe import __version__
from krea_pipe.settings import KEY_NAMES, home_folder


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
    for folder in (home_folder(os.environ) / "logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue
        return folder / name
    return Path(name)
