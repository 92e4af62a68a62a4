"""The log of a command that has crashed."""

import os
from contextlib import suppress
from pathlib import Path

from krea_pipe.core.errors import KreaPipeError
from krea_pipe.core.masking import masked_lines
from krea_pipe.core.settings import KEY_NAMES
from krea_pipe.store import crash_log
from krea_pipe.store.home import open_home


def without_keys(text: str) -> str:
    """A text without the API keys of the environment, should one have got into it."""
    for name in KEY_NAMES:
        secret = os.environ.get(name, "").strip()
        text = masked_lines(text, secret) if secret else text
    return text


def write_crash_log(error: BaseException) -> Path:
    """Write what happened to a file in the home folder of the working folder, and return its path."""
    home = None
    with suppress(KreaPipeError, OSError):
        home = open_home(os.environ)
    return crash_log.save_crash_log(error, home, without_keys)
