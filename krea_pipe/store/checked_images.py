"""The reference images that were found to be whole, by digest, so that no command decodes them again.

The list is a text file in the home folder, and only where there is one. It is lost without harm. Whoever can write it
can do no more than have a damaged image sent.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

from krea_pipe.core.errors import StateError
from krea_pipe.store.plain import check_files, check_folders, open_plain, read_plain

CHECKED = "checked-images-1.txt"
"""The number changes when more is checked."""
_MOST_BYTES = 16 * 1024 * 1024
_DIGEST = re.compile(r"^[0-9a-f]{64}$", re.MULTILINE)


class CheckedImages:
    """Digests of images that are whole; those that are added are appended to the list at once."""

    def __init__(self, home: Path) -> None:
        """Name the list of a home folder, which is read when it is first asked.

        Args:
            home: the home folder, which need not be there.
        """
        self._file = home / CHECKED
        self._known: set[str] | None = None

    def __contains__(self, digest: object) -> bool:
        """Whether an image was found to be whole."""
        if self._known is None:
            self._known = set(_DIGEST.findall(self._read()))
        return digest in self._known

    def add(self, digest: str) -> None:
        """Note that an image is whole.

        Args:
            digest: the SHA-256 of its bytes.
        """
        if digest in self:
            return
        assert self._known is not None
        self._known.add(digest)
        with suppress(OSError, StateError):
            check_folders(self._file.parent)
            check_files(self._file)
            handle = open_plain(self._file, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            try:
                os.write(handle, f"{digest}\n".encode())  # one call, so that lines of several processes stay whole
            finally:
                os.close(handle)

    def _read(self) -> str:
        with suppress(OSError, StateError):
            check_folders(self._file.parent)
            return read_plain(self._file, _MOST_BYTES).decode("ascii", "replace")
        return ""
