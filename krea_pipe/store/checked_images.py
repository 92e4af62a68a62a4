"""The reference images that were found to be whole, by digest, so that no command decodes them again.

The list is kept only where there is a home folder. Whoever can write it can do no more than have a damaged image sent.
"""

import re
from pathlib import Path

from krea_pipe.store.home_list import HomeList

CHECKED = "checked-images-1.txt"
"""The number changes when more is checked."""
_DIGEST = re.compile(r"[0-9a-f]{64}")


class CheckedImages:
    """Digests of images that are whole; those that are added are appended to the list at once."""

    def __init__(self, home: Path) -> None:
        """Name the list of a home folder, which is read when it is first asked.

        Args:
            home: the home folder, which need not be there.
        """
        self._list = HomeList(home / CHECKED, _DIGEST)
        self._known: set[str] | None = None

    def __contains__(self, digest: object) -> bool:
        """Whether an image was found to be whole."""
        return digest in self._digests()

    def add(self, digest: str) -> None:
        """Note that an image is whole.

        Args:
            digest: the SHA-256 of its bytes.
        """
        if digest not in self._digests():
            self._digests().add(digest)
            self._list.append(digest)

    def _digests(self) -> set[str]:
        if self._known is None:
            self._known = set(self._list.read())
        return self._known
