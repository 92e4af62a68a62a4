"""A log to paste when krea-pipe itself is wrong."""

import os
import platform
import tempfile
import traceback
from datetime import UTC, datetime
from pathlib import Path

from krea_pipe import __version__

HOME_NAME = "KREA_PIPE_HOME"


def write_crash_log(error: BaseException) -> Path:
    """Write what happened to a file, without arguments or environment, and return its path."""
    text = "".join(
        [
            f"krea-pipe {__version__}, Python {platform.python_version()}, {platform.platform()}\n\n",
            *traceback.format_exception(error),
        ]
    )
    name = f"crash-{datetime.now(UTC):%Y%m%d-%H%M%S}.log"
    for folder in (Path(os.environ.get(HOME_NAME) or ".krea-pipe") / "logs", Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
        except OSError:
            continue
        return folder / name
    return Path(name)
