"""The paths of images, and of files made from them, below the output folder; each is checked, no two are the same."""

import re
import unicodedata
from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b

from krea_pipe.core.excerpts import shown
from krea_pipe.matrix.cell import RecipeFile
from krea_pipe.matrix.dependencies import OWN_ID
from krea_pipe.matrix.rendering import CellProblem, Context, Renderer
from krea_pipe.pipeline.model import Recipe, Stage, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.template import TemplateFiles, compile_template

MAX_PATH_PART = 120
MAX_PATH = 1024
_FEWEST_SLOTS = 1_024
"""Of a set of marks; always a power of two."""
_OUT = "out"
"""In the `path` of a recipe, the path of the image."""
ANY_SUFFIX = ""
"""The suffix of a path for an image: its bytes decide it, so that all are taken."""

_IMAGE_SUFFIX = re.compile(r"\.(png|jpe?g|webp|avif)$", re.IGNORECASE)
_REFUSED_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_REFUSED_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


class Marks:
    """A set of numbers of eight bytes in 16 bytes for each, a fifth of what Python's own takes."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * _FEWEST_SLOTS))
        self._count = 0

    def __contains__(self, mark: int) -> bool:
        return self._slots[self._place(mark)] != 0

    def add(self, mark: int) -> None:
        """Take a number, which is not 0."""
        place = self._place(mark)
        if self._slots[place]:
            return
        self._slots[place] = mark
        self._count += 1
        if self._count * 2 > len(self._slots):
            self._grow()

    def _place(self, mark: int) -> int:
        """The place of a number, or the free one where it belongs."""
        slots, last = self._slots, len(self._slots) - 1
        place = mark & last
        while slots[place] not in (0, mark):
            place = (place + 1) & last
        return place

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(16 * len(old)))
        for mark in old:
            if mark:
                self._slots[self._place(mark)] = mark


@dataclass(slots=True, eq=False)
class OutPaths:
    """The paths that are taken, as digests of eight bytes: a million of them stay small."""

    whole: Marks = field(default_factory=Marks)
    """Paths with any suffix."""
    stems: Marks = field(default_factory=Marks)
    """Paths that are taken with one suffix."""
    named: Marks = field(default_factory=Marks)
    """The same with these suffixes."""

    def take(self, out: str, files: Sequence[RecipeFile]) -> None:
        """Note the path of an image, and those of the files made from it.

        Raises:
            PathTaken: another file has one of them.
        """
        self._take(out, None)
        for one in files:
            self._take(one.path, one.recipe)

    def _take(self, path: str, recipe: Recipe | None) -> None:
        suffix, stem = _suffix(recipe), _mark(path)
        named = _mark(f"{path}.{suffix}") if suffix else stem
        if stem in self.whole or (named in self.named if suffix else stem in self.stems):
            raise PathTaken(path, recipe)
        if suffix:
            self.stems.add(stem)
            self.named.add(named)
        else:
            self.whole.add(stem)


def _mark(path: str) -> int:
    return int.from_bytes(blake2b(case_folded(path).encode(), digest_size=8).digest(), "big") or 1


def _suffix(recipe: Recipe | None) -> str:
    return ANY_SUFFIX if recipe is None else recipe.how.suffix or ANY_SUFFIX


def path_of(stage: Stage, identity: str, renderer: Renderer, context: Context) -> str:
    """The path of a cell.

    Raises:
        CellProblem: it cannot be used.
    """
    own = identity.partition("/")[2] or identity
    if stage.out is None:
        return identity if stage.trail else own
    if is_own_id(stage.out) and OWN_ID not in context:
        return own  # the same as without `out`, below `stages:`
    if OWN_ID in str(stage.out.data):
        context = {OWN_ID: own, **context}
    return checked_path(renderer.text(stage.out, context), stage.out.trail)


def is_own_id(out: Value) -> bool:
    """Whether the path of an image is what the id of its cell says of its axes, unless something else is named so."""
    return str(out.data).strip() == "{{ cell }}"


def recipe_files_of(
    stage: Stage, identity: str, out: str, renderer: Renderer, context: Context
) -> tuple[RecipeFile, ...]:
    """The files to make from the image of a cell.

    Args:
        stage: its stage.
        identity: its id.
        out: the path of its image.
        renderer: renders the templates of the stage.
        context: the names that templates can use.

    Raises:
        CellProblem: a path cannot be used.
    """
    if not stage.deliver:
        return ()
    own = {OWN_ID: identity.partition("/")[2] or identity, _OUT: out, **context}
    return tuple(
        RecipeFile(
            one, f"{one.name}/{out}" if one.path is None else checked_path(renderer.text(one.path, own), one.path.trail)
        )
        for one in stage.deliver
    )


def may_collide(stages: Sequence[Stage]) -> bool:
    """Whether two cells could have one path; ids alone differ, unless only in case."""
    for stage in stages:
        if stage.deliver or stage.out is not None or stage.upstream is not None or len(stage.matrices) > 1:
            return True
        for axis in (axis for matrix in stage.matrices for axis in matrix.axes):
            parts = {case_folded(value.part) for value in axis.values}
            if len(parts) < len(axis.values) or any(value.is_dynamic for value in axis.values):
                return True
    return len({case_folded(stage.name) for stage in stages}) < len(stages)


class PathTaken(ValueError):
    """Another file has this path; a second pass over all cells determines which. `recipe` is None for an image."""

    def __init__(self, path: str, recipe: Recipe | None) -> None:
        super().__init__(path)
        self.path, self.recipe = path, recipe

    def is_at(self, path: str, recipe: Recipe | None) -> bool:
        """Whether a file of a recipe, or an image, is at the same path."""
        one, other = _suffix(self.recipe), _suffix(recipe)
        return case_folded(path) == case_folded(self.path) and (one == other or ANY_SUFFIX in (one, other))


@dataclass(frozen=True, slots=True)
class SamePath:
    """The file that had a path first: the recipe that makes it, None for an image."""

    recipe: Recipe | None


def first_taken(taken: PathTaken, out: str, files: Sequence[RecipeFile]) -> SamePath | None:
    """The first file of a cell at a path that is taken; None if the cell has no such file.

    Args:
        taken: the path.
        out: the path of the cell's image.
        files: the files made from it.
    """
    own = [(out, None), *((one.path, one.recipe) for one in files)]
    return next((SamePath(recipe) for path, recipe in own if taken.is_at(path, recipe)), None)


def case_folded(path: str) -> str:
    """A path as a disk sees it that knows no case."""
    return path.casefold() if path.isascii() else unicodedata.normalize("NFC", path.casefold())


def collision(
    first: tuple[str, SamePath], second: tuple[str, PathTaken], stage: Stage, files: TemplateFiles
) -> CellProblem:
    """The problem of two files on one path.

    Args:
        first: the id of the cell whose file had the path first, and that file.
        second: the id of the cell whose file has it too, and the path.
        stage: the stage of the second cell.
        files: the templates that `out` and `path` can include.
    """
    (cell, same), (later, taken) = first, second
    one, other = _said(cell, same.recipe), _said(later, taken.recipe)
    message = f"{one} and {other} would both be written to {taken.path}"
    recipe = taken.recipe or same.recipe
    if recipe is not None:
        trail = recipe.path.trail if recipe.path else recipe.trail
        hint = _path_hint(recipe, stage, files, is_other=same.recipe is not taken.recipe)
        return CellProblem("path_collision", message, trail, hint=hint)
    trail = stage.out.trail if stage.out else stage.trail
    return CellProblem("path_collision", message, trail, hint=_collision_hint(stage, cell, files))


def _said(cell: str, recipe: Recipe | None) -> str:
    return cell if recipe is None else f"{cell} by `{recipe.name}`"


def _path_hint(recipe: Recipe, stage: Stage, files: TemplateFiles, *, is_other: bool) -> str:
    """How to give the files of a recipe paths that differ from those of others."""
    if is_other or recipe.path is None:
        return f"give one of them another path: `path: {recipe.name}-2/{{{{ out }}}}`"
    used = compile_template(str(recipe.path.data), files).names
    left = [axis.name for axis in stage.axes if axis.name not in used and len(axis.values) > 1 and "." not in axis.name]
    return f"add {{{{ {left[0] if left else _OUT} }}}} to `path`"


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


def checked_path(text: str, trail: Trail) -> str:
    """A rendered `out` or `path` as a relative POSIX path without an image's extension.

    Raises:
        CellProblem: the path is absolute, leaves the folder, or has a part that some file system refuses.
    """
    path = without_image_suffix(text.strip())
    key = trail[-1]
    if not path:
        raise CellProblem("path_empty", f"`{key}` produces an empty path", trail)
    if path.startswith("/"):
        message = f"`{key}` produces the absolute path {shown(path)}"
        raise CellProblem("path_absolute", message, trail, hint="write it relative to the output folder")
    if len(path.encode()) > MAX_PATH:
        raise CellProblem("path_too_long", f"`{key}` produces a path of over {MAX_PATH:,} bytes", trail)
    for part in path.split("/"):
        flaw = flaw_of_part(part)
        if flaw:
            code, said, hint = flaw
            raise CellProblem(code, f"`{key}` produces {shown(path)}, {said}", trail, hint=hint)
    return path


def without_image_suffix(path: str) -> str:
    """A path without the extension of an image, which the bytes of the image decide."""
    return _IMAGE_SUFFIX.sub("", path)


def has_refused_character(text: str) -> bool:
    """Whether a text contains a character that some file systems refuse in a name."""
    return bool(_REFUSED_CHARACTERS.search(text))


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
