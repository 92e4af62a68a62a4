"""Bytes by digest, in plain files; images are stored as Krea sent them.

What Krea sent stays as it was sent.
"""

import hashlib
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from krea_pipe.core.json_data import Json
from krea_pipe.store.atomic import NewFile, unwritable, write_atomically
from krea_pipe.store.plain import open_plain, read_plain, stat_of_plain

MOST_BLOB_BYTES = 128 * 1024 * 1024
"""No image that is kept has more: Krea's are refused above half of it, references as well."""


class Stamp(NamedTuple):
    """A file's size in bytes and time of change in ns: while both stay, the bytes are taken to be the same.

    A tuple, because a plan makes and compares two for each of its images.
    """

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


_MOST_VERIFIED = 1000
"""Blobs whose bytes are known to be intact; those of a run are used soon after they are stored."""
_State: TypeAlias = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Blobs:
    """A folder of files that are named by the SHA-256 of their bytes."""

    folder: Path
    _verified: dict[str, _State] = field(default_factory=dict, repr=False, compare=False)
    """The state of the files that this process has written or hashed: while they have it, they are not hashed again."""

    def path(self, digest: str) -> Path:
        """The path of the bytes with a digest, if they exist.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            The path of their file.
        """
        return Path(self._name(digest))

    def new(self) -> "NewBlob":
        """Begin a blob whose bytes arrive in parts.

        Returns:
            The blob, which is not stored yet.
        """
        return NewBlob(self)

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
        if not self.is_intact(digest, None):
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

    @contextmanager
    def opened(self, digest: str) -> Iterator[int | None]:
        """Open the file of a digest, to read or copy it within the `with` block.

        Args:
            digest: SHA-256 in hexadecimal digits.

        Returns:
            Its descriptor; None when its bytes are missing or no longer what they were.
        """
        try:
            handle = open_plain(self._name(digest))
        except OSError:
            yield None
            return
        try:
            yield handle if self._is_whole(digest, handle) else None
        finally:
            os.close(handle)

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
            digest: SHA-256 in hexadecimal digits; "" for none.
            known: The stamp that their file had when they were verified; while it has it, they are not hashed again.

        Returns:
            False when they are missing or damaged.
        """
        stamp = self.stamp(digest)
        if stamp is None or stamp == known:
            return stamp is not None
        with self.opened(digest) as handle:
            return handle is not None

    def _is_whole(self, digest: str, handle: int) -> bool:
        """Whether an open file has the bytes of a digest; it is hashed unless this process has done so."""
        if self._verified.get(digest) == _state_of(os.fstat(handle)):
            return True
        try:
            with os.fdopen(handle, "rb", buffering=0, closefd=False) as stream:
                found = os.fstat(handle).st_size <= MOST_BLOB_BYTES and hashlib.file_digest(stream, "sha256")
        except OSError:
            return False
        if not found or found.hexdigest() != digest:
            return False
        self._note_verified(digest, os.fstat(handle))
        return True

    def _note_verified(self, digest: str, found: os.stat_result) -> None:
        """Remember that a file has the bytes of a digest, as long as its status is this one."""
        self._verified[digest] = _state_of(found)
        while len(self._verified) > _MOST_VERIFIED:
            self._verified.pop(next(iter(self._verified)), None)

    def _name(self, digest: str) -> str:
        return f"{self.folder}/{digest[:2]}/{digest}"


class NewBlob:
    """A blob on its way into the store: a file beside the others, hashed as it is written.

    Its methods may be called in any thread, and `discard` at any time.
    """

    def __init__(self, blobs: Blobs) -> None:
        """Begin a blob; its file is created with its first bytes.

        Args:
            blobs: Where it will be kept.
        """
        self._blobs, self._hash, self._lock = blobs, hashlib.sha256(), threading.Lock()
        self._file: NewFile | None = None
        self._is_over = False

    def write(self, *parts: bytes) -> None:
        """Append bytes, unless the blob was discarded.

        Args:
            parts: The bytes, in their order.

        Raises:
            StateError: They cannot be written.
        """
        with self._lock, _writing(self._blobs.folder):
            if self._is_over:
                return
            self._file = self._file or NewFile(self._blobs.folder)
            for part in parts:
                self._hash.update(part)
                self._file.write(part)

    def read(self) -> bytes:
        """Read what was written.

        Returns:
            All its bytes.

        Raises:
            StateError: They cannot be read.
        """
        with self._lock, _writing(self._blobs.folder):
            return b"" if self._file is None else self._file.read()

    @property
    def digest(self) -> str:
        """The SHA-256 of the bytes that were written, in hexadecimal digits."""
        return self._hash.hexdigest()

    def keep(self) -> str:
        """Store the blob, and wait until it is on disk, unless it is stored already.

        Returns:
            Its digest, by which it is read.

        Raises:
            StateError: It cannot be written.
        """
        digest = self.digest
        path = self._blobs.path(digest)
        with self._lock, _writing(path):
            if self._file is not None and not self._blobs.is_intact(digest, None):
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file.put(path, durable=True)
                self._blobs._note_verified(digest, path.stat())
        return digest

    def discard(self) -> None:
        """Remove what is not stored."""
        with self._lock, suppress(OSError):
            self._is_over = True
            if self._file is not None:
                self._file.discard()


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _state_of(found: os.stat_result) -> _State:
    """The state of a file, which changes when its bytes do: programs cannot set the time of the inode."""
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino
