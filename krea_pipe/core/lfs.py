"""Git LFS: a small text file that represents a large one and contains the digest of its bytes."""

import re
from dataclasses import dataclass
from pathlib import Path

_MAX_POINTER_BYTES = 1024
"""The specification keeps a pointer below this size: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md"""

LFS_HINT = "fetch it with `git lfs pull`"

_POINTER = (
    rb"version https://git-lfs\.github\.com/spec/v1\r?\n(?:ext-[^\n]*\n)*"
    rb"oid sha256:([0-9a-f]{64})\r?\nsize ([0-9]{1,15})\r?\n?"
)


@dataclass(frozen=True, slots=True)
class Pointer:
    """The SHA-256 and the size of the file that a pointer represents."""

    digest: str
    size: int


def pointer_in(data: bytes) -> Pointer | None:
    """The pointer that a file is, None for any other file."""
    found = re.fullmatch(_POINTER, data) if len(data) < _MAX_POINTER_BYTES else None
    return Pointer(found[1].decode(), int(found[2])) if found else None


def stored_object(git_folder: Path, pointer: Pointer) -> Path | None:
    """The path at which Git LFS stores the file of a pointer; None if it is not on this machine."""
    digest = pointer.digest
    kept = git_folder / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
    return kept if kept.is_file() and kept.stat().st_size == pointer.size else None
