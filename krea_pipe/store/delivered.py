"""Files in output folders: which of them are as krea-pipe delivered them, and which were changed.

A fact for each delivered file notes its size, times, inode and digest. The file is read again only where one of those
differs. Then it is ours if its bytes, without our texts, are an image that was delivered there; where no fact says so,
because a run was killed or a folder copied, the texts inside it and the stored images do. A file that a recipe made has
a mark with a checksum in its place.
"""

import hashlib
import os
import stat
from collections.abc import Container, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.delivery_mark import made_of
from krea_pipe.core.image_file import Insertion
from krea_pipe.core.json_data import Json
from krea_pipe.core.provenance import bare
from krea_pipe.store.blobs import MOST_BLOB_BYTES, Blobs

PREFIX = "out:"
_MOST_BYTES = MOST_BLOB_BYTES + (1 << 24)
"""No file that was delivered has more: an image and its texts."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected content of a path, and the data that identifies images that may be there.

    Args:
        kind: the kind of API, `live` or `local`.
        key: the key of the request.
        image: the digest of its image as Krea sent it; "" before there is one.
        earlier: the digest of the image that the fact of an earlier version stands for; "" if it is not known.
        others: the digests of images that belong to other paths.
    """

    kind: str
    key: str
    image: str
    earlier: str
    others: Container[str]


@dataclass(frozen=True, slots=True)
class Vacant:
    """There is no file, or an empty one."""


@dataclass(frozen=True, slots=True)
class Ours:
    """The file is unchanged since its delivery.

    Args:
        is_expected: whether it is the expected image, so that nothing need be written.
        note: the fact to record about it, if it is not recorded yet.
    """

    is_expected: bool
    note: dict[str, Json] | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """Someone's work is there.

    Args:
        reason: what it is, as the end of a sentence that begins with its path.
        is_file: whether it is a file, and not a folder or the like.
    """

    reason: str
    is_file: bool = True


Found: TypeAlias = Vacant | Ours | Foreign

_CHANGED = Foreign("was changed after krea-pipe delivered it")
_UNKNOWN = Foreign("exists, but krea-pipe did not deliver it")


def file_of(name: str) -> str:
    """The file that a fact is about.

    Args:
        name: the name of the fact.

    Returns:
        Its path, which is absolute.
    """
    return name.removeprefix(PREFIX)


def note_of(path: str, content: Mapping[str, Json], key: str, image: str, source: str) -> dict[str, Json] | None:
    """The fact to record about a file that was just delivered.

    Args:
        path: the path of the file.
        content: what identifies its bytes: `whole` or `with_insertion`.
        key: the key of its request.
        image: the digest of its image as Krea sent it.
        source: the pipeline file that it was delivered for.

    Returns:
        The fact; None when the file is gone.
    """
    try:
        stamp = _stamp(os.stat(path))  # noqa: PTH116 (text is enough, and 10,000 paths are not free)
    except OSError:
        return None
    return {"key": key, "stamp": stamp, **content, "image": image, "file": source}


def whole(digest: str) -> dict[str, Json]:
    """What identifies the bytes of a file.

    Args:
        digest: their SHA-256.

    Returns:
        Fields for the fact.
    """
    return {"sha256": digest}


def with_insertion(texts: Insertion) -> dict[str, Json]:
    """What identifies the bytes of an image with texts, beside the digest of the image: to hash both would be twice.

    Args:
        texts: the texts, and where they are.

    Returns:
        Fields for the fact.
    """
    return {"texts": [texts.at, len(texts.data), hashlib.sha256(texts.data).hexdigest()]}


def is_as_delivered(data: bytes, fact: Mapping[str, Json]) -> bool:
    """Whether a file is byte for byte what was delivered there.

    Args:
        data: its bytes.
        fact: what was noted when it was delivered.

    Returns:
        False also if the fact does not tell.
    """
    match fact.get("sha256"), fact.get("texts"):
        case str(digest), _:
            return hashlib.sha256(data).hexdigest() == digest
        case None, [int(at), int(size), str(digest)]:
            image, view = hashlib.sha256(data[:at]), memoryview(data)
            image.update(view[at + size :])
            inserted = hashlib.sha256(view[at : at + size])
            return inserted.hexdigest() == digest and image.hexdigest() == fact.get("image")
    return False


def delivered_for(cell: str, *, is_over: bool) -> dict[str, Json]:
    """What a fact also says about a delivered file.

    Args:
        cell: the id of its cell.
        is_over: whether the command line overrode the pipeline file.

    Returns:
        Fields for the fact.
    """
    return {"cell": cell, "over": True} if is_over else {"cell": cell}


def look_at(name: str, fact: Mapping[str, Json] | None, expected: Expected, blobs: Blobs) -> Found:
    """Determine what is at a path.

    Args:
        name: the name of its fact.
        fact: what was noted when it was last delivered, if anything was.
        expected: the expected content.
        blobs: the stored images.

    Returns:
        Nothing, an unchanged file, or a file in the way.
    """
    path = file_of(name)
    try:
        found = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return Foreign("is a broken link") if os.path.islink(path) else Vacant()  # noqa: PTH114
    except OSError as error:
        return Foreign(f"cannot be read: {error.strerror}")
    stamp = _stamp(found)
    if fact is not None and fact.get("stamp") == stamp:
        return Ours(fact.get("key") == expected.key)
    if not stat.S_ISREG(found.st_mode):
        return Foreign("is a folder" if stat.S_ISDIR(found.st_mode) else "is not a file", is_file=False)
    if fact is not None and fact.get("stamp") == stamp[:2]:  # as earlier versions noted it
        return _noted(fact, stamp, expected)
    if not found.st_size:
        return Vacant()
    return _read(path, stamp, fact, expected, blobs)


def look_at_recipe_file(name: str, fact: Mapping[str, Json] | None, made: str, digest: str | None) -> Found:
    """Determine what is at the path of a file that a recipe makes, or of the data beside an image.

    Args:
        name: the name of its fact.
        fact: what was noted when it was last delivered, if anything was.
        made: the identity of the file that belongs there.
        digest: the digest of that file, if it is known without making it.

    Returns:
        Nothing, an unchanged file, or a file in the way.
    """
    path = file_of(name)
    try:
        found = os.stat(path)  # noqa: PTH116
        stamp = _stamp(found)
        if fact is not None and fact.get("stamp") == stamp:
            return Ours(fact.get("key") == made)
        if not stat.S_ISREG(found.st_mode):
            return Foreign("is a folder" if stat.S_ISDIR(found.st_mode) else "is not a file", is_file=False)
        data = Path(path).read_bytes() if 0 < found.st_size <= _MOST_BYTES else b""
    except (FileNotFoundError, NotADirectoryError):
        return Foreign("is a broken link") if os.path.islink(path) else Vacant()  # noqa: PTH114
    except OSError as error:
        return Foreign(f"cannot be read: {error.strerror}")
    if not data:
        return Vacant() if not found.st_size else _UNKNOWN
    there, noted = hashlib.sha256(data).hexdigest(), fact or {}
    own = noted.get("key") if noted.get("sha256") == there else made if digest == there else made_of(data)
    if not isinstance(own, str):
        return _UNKNOWN if fact is None else _CHANGED
    return Ours(own == made, {**noted, "key": own, "stamp": stamp, "sha256": there, "image": there})


def image_in(path: str, fact: Mapping[str, Json] | None) -> str | None:
    """The digest of the image in a file of an output folder, without our texts.

    Args:
        path: the path of the file.
        fact: what was noted when it was last delivered, if anything was: while it fits, the file is not read.

    Returns:
        The digest; None when the file cannot be read, or cannot be an image that was delivered.
    """
    try:
        found = os.stat(path)  # noqa: PTH116
        if not stat.S_ISREG(found.st_mode) or not 0 < found.st_size <= _MOST_BYTES:
            return None
        noted = fact.get("image") if fact is not None and fact.get("stamp") == _stamp(found) else None
        return noted if isinstance(noted, str) else bare(Path(path).read_bytes()).digest
    except (OSError, ValueError):
        return None


def _stamp(found: os.stat_result) -> list[Json]:
    """Programs can set the time of a change back; the time of the inode they cannot."""
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino]


def _noted(fact: Mapping[str, Json], stamp: list[Json], expected: Expected) -> Ours:
    is_expected = fact.get("key") == expected.key
    image = expected.image if is_expected else expected.earlier
    return Ours(is_expected, {**fact, "stamp": stamp, "image": image} if image else None)


def _read(path: str, stamp: list[Json], fact: Mapping[str, Json] | None, expected: Expected, blobs: Blobs) -> Found:
    """Decide by the bytes of a file that differs from its fact."""
    try:
        data = Path(path).read_bytes() if _size(stamp) <= _MOST_BYTES else None
    except OSError as error:
        return Foreign(f"cannot be read: {error.strerror}")
    if data is None:
        return _UNKNOWN if fact is None else _CHANGED
    digest, inside = hashlib.sha256(data).hexdigest(), bare(data)
    note: dict[str, Json] = {**(fact or {}), "stamp": stamp, "sha256": digest, "image": inside.digest}
    is_expected = fact is not None and fact.get("key") == expected.key
    if fact is not None and is_as_delivered(data, fact):
        return Ours(is_expected, note)
    mark = inside.mark
    if mark is not None and mark.target != expected.kind:
        return Foreign(f"comes from a {mark.target} run") if mark.sha256 == inside.digest else _CHANGED
    if fact is not None and inside.digest in (fact.get("image"), expected.earlier):
        return Ours(is_expected, note)
    if inside.digest == expected.image:
        key = mark.key if mark else expected.key
        return Ours(key == expected.key, {**note, "key": key})
    is_whole = mark.sha256 == inside.digest if mark else blobs.has(inside.digest)
    if is_whole and inside.digest not in expected.others:
        return Ours(is_expected=False)
    return _CHANGED if fact is not None or mark is not None else _UNKNOWN


def _size(stamp: list[Json]) -> int:
    return stamp[0] if isinstance(stamp[0], int) else 0
