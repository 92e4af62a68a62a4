"""The path of each image below the output folder; every path is checked, and no two are the same."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from krea_pipe.core.excerpts import shown
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer
from krea_pipe.pipeline.model import Stage
from krea_pipe.pipeline.template import TemplateFiles, compile_template

MAX_PATH_PART = 120
MAX_PATH = 1024
_CELL = "cell"
"""In `out`, what the id of a cell says of its axes."""

_IMAGE_SUFFIX = re.compile(r"\.(png|jpe?g|webp)$", re.IGNORECASE)
_REFUSED_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_REFUSED_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(slots=True)
class OutPaths:
    """The paths that are taken, as digests of eight bytes: a million of them stay small."""

    taken: set[int] = field(default_factory=set)

    def take(self, path: str) -> None:
        """Note a path.

        Raises:
            PathTaken: another cell has it.
        """
        mark = int.from_bytes(blake2b(case_folded(path).encode(), digest_size=8).digest(), "big")
        if mark in self.taken:
            raise PathTaken(path)
        self.taken.add(mark)


def path_of(stage: Stage, identity: str, renderer: Renderer, context: Context) -> str:
    """The path of a cell.

    Raises:
        CellProblem: it cannot be used.
    """
    own = identity.partition("/")[2] or identity
    if stage.out is None:
        return identity if stage.trail else own
    if str(stage.out.data).strip() == "{{ cell }}" and _CELL not in context:
        return own  # the same as without `out`, below `stages:`
    if _CELL in str(stage.out.data):
        context = {_CELL: own, **context}
    return checked_path(renderer.text(stage.out, context), stage)


def may_collide(stages: Sequence[Stage]) -> bool:
    """Whether two cells could have one path; ids alone differ, unless only in case."""
    for stage in stages:
        if stage.out is not None or stage.upstream is not None or len(stage.matrices) > 1:
            return True
        for axis in (axis for matrix in stage.matrices for axis in matrix.axes):
            parts = {case_folded(value.part) for value in axis.values}
            if len(parts) < len(axis.values) or any(value.is_dynamic for value in axis.values):
                return True
    return len({case_folded(stage.name) for stage in stages}) < len(stages)


class PathTaken(ValueError):
    """Another cell has this path; a second pass over all cells determines which."""

    def __init__(self, out: str) -> None:
        super().__init__(out)
        self.out = out


def case_folded(path: str) -> str:
    """A path as a disk sees it that knows no case."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path.casefold())


def collision(first: str, second: str, out: str, stage: Stage, files: TemplateFiles) -> CellProblem:
    """The problem of two cells on one path; `files` are the templates that `out` can include."""
    message = f"{first} and {second} would both be written to {out}"
    trail = stage.out.trail if stage.out else stage.trail
    return CellProblem("path_collision", message, trail, hint=_collision_hint(stage, first, files))


def _collision_hint(stage: Stage, taken: str, files: TemplateFiles) -> str:
    if taken.partition("/")[0] != stage.name:
        return (
            "start `out` with {{ stage }}/" if stage.out else "many disks do not distinguish case: rename one of them"
        )
    used = compile_template(str(stage.out.data), files).names if stage.out else frozenset()
    left = [axis.name for axis in stage.axes if axis.name not in used and len(axis.values) > 1 and "." not in axis.name]
    if stage.out and left:
        return f"add {{{{ {left[0]} }}}} to `out`"
    return "their values are the same in a path, where case is ignored: change one of them"


def checked_path(text: str, stage: Stage) -> str:
    """A rendered `out` as a relative POSIX path without an image's extension.

    Raises:
        CellProblem: the path is absolute, leaves the folder, or has a part that some file system refuses.
    """
    path = without_image_suffix(text.strip())
    trail = stage.out.trail if stage.out else stage.trail
    if not path:
        raise CellProblem("path_empty", "`out` produces an empty path", trail)
    if path.startswith("/"):
        message = f"`out` produces the absolute path {shown(path)}"
        raise CellProblem("path_absolute", message, trail, hint="write it relative to the output folder")
    if len(path.encode()) > MAX_PATH:
        raise CellProblem("path_too_long", f"`out` produces a path of over {MAX_PATH:,} bytes", trail)
    for part in path.split("/"):
        flaw = flaw_of_part(part)
        if flaw:
            code, said, hint = flaw
            raise CellProblem(code, f"`out` produces {shown(path)}, {said}", trail, hint=hint)
    return path


def without_image_suffix(path: str) -> str:
    """A path without the extension of an image, which the bytes of the image decide."""
    return _IMAGE_SUFFIX.sub("", path)


@lru_cache(maxsize=4096)
def flaw_of_part(part: str) -> tuple[str, str, str] | None:
    """Why a part of a path cannot be used: a code, half a sentence, and what to do."""
    slug = "use the filter slug: {{ value | slug }}"
    if part in ("", ".", ".."):
        said = f"which has the part {shown(part)}" if part else "which has an empty part"
        return "path_outside", said, "paths must stay below the output folder, with a single / between parts"
    refused = _REFUSED_CHARACTERS.search(part)
    if refused:
        return "path_refused", f"and some file systems refuse {shown(refused[0])} in a name", slug
    if part[-1] in ". ":
        return "path_refused", f"and some file systems refuse names that end in {shown(part[-1])}", slug
    if _REFUSED_NAMES.fullmatch(part):
        return "path_refused", f"and Windows reserves the name {shown(part)}", "write {{ stage }}- before it"
    if len(part.encode()) > MAX_PATH_PART:
        return "path_too_long", f"which has a part of over {MAX_PATH_PART} bytes", "shorten it"
    return None
