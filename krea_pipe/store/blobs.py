"""Bytes by digest, in plain files; images are stored as Krea sent them.

What Krea sent stays as it was sent.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.json_data import Json
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import read_plain, stat_of_plain

MOST_BLOB_BYTES = 128 * 1024 * 1024
"""No image that is kept has more: Krea's are refused above half of it, references as well."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A file's size in bytes and time of change in ns: while both stay, the bytes are taken to be the same."""

    size: int
    mtime_ns: int


def stamp_in(fact: Mapping[str, Json] | None) -> Stamp | None:
    """The stamp that a fact holds.

    Args:
        fact: The fact, if there is one.

    Returns:
        The stamp; None when the fact holds none.
    """
    match fact and fact.get("stamp"):
        case [int(size), int(mtime_ns)]:
            return Stamp(size, mtime_ns)
    return None


def stamp_of(path: Path | str) -> Stamp | None:
    """The stamp of a file in an output folder.

    Args:
        path: The path of the file; a link is followed.

    Returns:
        The stamp; None when there is no such file.
    """
    try:
        stat = os.stat(path)  # noqa: PTH116 (text is enough, and a thousand times a thousand paths are not free)
    except OSError:
        return None
    return Stamp(stat.st_size, stat.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class Blobs:
    """A folder of files that are named by the SHA-256 of their bytes."""

    folder: Path

    def path(self, digest: str) -> Path:
        """The path of the bytes with a digest, if they exist.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            The path of their file.
        """
        return Path(self._name(digest))

    def put(self, data: bytes) -> str:
        """Keep bytes.

        Args:
            data: The bytes.

        Returns:
            Their digest, by which they are read.

        Raises:
            StateError: They cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        if self.read(digest) is None:
            write_atomically(self.path(digest), data)
        return digest

    def read(self, digest: str) -> bytes | None:
        """The bytes of a digest.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            The bytes; None when they are missing or no longer what they were.
        """
        try:
            data = read_plain(self._name(digest), MOST_BLOB_BYTES)
        except OSError:
            return None
        return data if hashlib.sha256(data).hexdigest() == digest else None

    def has(self, digest: str) -> bool:
        """Whether there is a file for a digest.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            True also for a file that is damaged.
        """
        return stat_of_plain(self._name(digest)) is not None

    def stamp(self, digest: str) -> Stamp | None:
        """The stamp of the file of a digest.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            The stamp; None when there is no file.
        """
        found = stat_of_plain(self._name(digest))
        return None if found is None else Stamp(found.st_size, found.st_mtime_ns)

    def drop(self, digest: str) -> None:
        """Remove damaged bytes, so that they are no longer used as the image.

        Args:
            digest: SHA-256 in hexadecimal digits.
        """
        self.path(digest).unlink(missing_ok=True)

    def is_intact(self, digest: str, known: Stamp | None) -> bool:
        """Whether the bytes of a digest are there and intact.

        Args:
            digest: SHA-256 in hexadecimal digits.
            known: The stamp that their file had when they were verified; while it has it, they are not hashed again.

        Returns:
            False when they are missing or damaged.
        """
        stamp = self.stamp(digest)
        return stamp is not None and (stamp == known or self.read(digest) is not None)

    def _name(self, digest: str) -> str:
        return f"{self.folder}/{digest[:2]}/{digest}"
