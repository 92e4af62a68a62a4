"""A pipeline becomes cells, streamed in the order of the file: the last axis varies fastest."""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from krea_pipe.errors import InvalidInput, Place, Problem
from krea_pipe.nodes import shown
from krea_pipe.pipeline import Pipeline, Stage
from krea_pipe.references import Fingerprints
from krea_pipe.request import Request
from krea_pipe.resolve import CellProblem, Resolver
from krea_pipe.sandbox import start_pipeline
from krea_pipe.template import compile_template

MAX_CELLS = 100_000
MAX_PROBLEMS = 20
MAX_PATH_PART = 120
MAX_PATH = 1024

_IMAGE_SUFFIX = re.compile(r"\.(png|jpe?g|webp)$", re.IGNORECASE)
_REFUSED_CHARACTERS = re.compile(r'[<>:"|?*\\\x00-\x1f\x7f]')
_REFUSED_NAMES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Cell:
    """One image of the matrix: its place in the order of the file, its id, axis values, path and request."""

    position: int
    id: str
    stage: str
    axes: tuple[str | int | float | bool | None, ...]
    out: str
    request: Request


def cell_count(stage: Stage) -> int:
    """How many cells the axes of a stage span, before `exclude`."""
    return math.prod(len(axis.values) for axis in stage.axes)


def expand(pipeline: Pipeline, fingerprints: Fingerprints, *, max_cells: int = MAX_CELLS) -> Iterator[Cell]:
    """Yield every cell.

    Raises:
        InvalidInput: too many cells, two cells on one path, or cells that can not be made; the first of each kind of
            problem, up to 20 at once.
    """
    _check_count(pipeline, max_cells)
    start_pipeline()
    expansion = _Expansion(pipeline, fingerprints)
    for stage in pipeline.stages:
        yield from expansion.cells(stage)
    if expansion.problems:
        raise InvalidInput(*expansion.problems.values())


def _check_count(pipeline: Pipeline, max_cells: int) -> None:
    total = sum(cell_count(stage) for stage in pipeline.stages)
    if total > max_cells:
        largest = max(pipeline.stages, key=cell_count)
        axes = " x ".join(str(len(axis.values)) for axis in largest.axes)
        at = pipeline.document.key_place((*largest.trail, "matrix"))
        message = f"the matrix has {total:,} cells ({largest.name}: {axes}), above the limit of {max_cells:,}"
        raise InvalidInput(Problem("too_many_cells", message, at, f"allow it with --max-cells {total}"))


class _Expansion:
    """The state of one expansion: the paths that are taken, and the first problem of each kind at each place."""

    def __init__(self, pipeline: Pipeline, fingerprints: Fingerprints) -> None:
        self.pipeline, self.fingerprints = pipeline, fingerprints
        self.count = 0
        self.paths: dict[str, str] = {}
        self.problems: dict[tuple[str, Place], Problem] = {}

    def cells(self, stage: Stage) -> Iterator[Cell]:
        try:
            resolver = Resolver(self.pipeline, stage, self.fingerprints)
        except CellProblem as error:
            self._note(error)
            return
        axes = [range(len(axis.values)) for axis in stage.axes]
        excluded = [
            tuple(
                (index, rule.matches[axis.name]) for index, axis in enumerate(stage.axes) if axis.name in rule.matches
            )
            for rule in stage.exclude
        ]
        count = 0
        for combination in itertools.product(*axes):
            if any(all(combination[index] in wanted for index, wanted in rule) for rule in excluded):
                continue
            count += 1
            cell = self._cell(stage, resolver, combination)
            if cell is not None:
                yield cell
            elif len(self.problems) >= MAX_PROBLEMS:
                raise InvalidInput(*self.problems.values())
        if count == 0:
            at = self.pipeline.document.key_place((*stage.trail, "exclude"))
            message = f"`exclude` leaves no cell of the stage `{stage.name}`"
            self.problems["empty_matrix", at] = Problem("empty_matrix", message, at, "remove a rule, or the stage")

    def _cell(self, stage: Stage, resolver: Resolver, combination: tuple[int, ...]) -> Cell | None:
        values = [axis.values[index] for axis, index in zip(stage.axes, combination, strict=True)]
        identity = "/".join([stage.name, *[value.part for value in values]])
        try:
            request, context = resolver.request(values)
            out = self._path(stage, resolver, identity, context)
        except CellProblem as error:
            self._note(error, identity)
            return None
        self.count += 1
        return Cell(self.count - 1, identity, stage.name, tuple([value.scalar for value in values]), out, request)

    def _note(self, problem: CellProblem, cell: str = "") -> None:
        for error in (problem, *problem.others):
            self._note_one(error, cell)

    def _note_one(self, error: CellProblem, cell: str) -> None:
        at = self.pipeline.document.word_place(error.trail, error.word or "\0")
        hint = error.hint or (f"for example in the cell {cell}" if cell else None)
        self.problems.setdefault((error.code, at), Problem(error.code, str(error), at, hint))

    def _path(self, stage: Stage, resolver: Resolver, identity: str, context: Mapping[str, object]) -> str:
        if stage.out is None:
            out = identity if stage.trail else identity.partition("/")[2] or identity
        else:
            out = checked_path(resolver.text(stage.out, context), stage)
        folded = out.casefold() if out.isascii() else unicodedata.normalize("NFC", out.casefold())
        taken = self.paths.setdefault(folded, identity)
        if taken != identity:
            message = f"{taken} and {identity} would both be written to {out}"
            hint = _collision_hint(stage, taken)
            raise CellProblem("path_collision", message, stage.out.trail if stage.out else stage.trail, hint=hint)
        return out


def _collision_hint(stage: Stage, taken: str) -> str:
    if taken.partition("/")[0] != stage.name:
        return (
            "start `out` with {{ stage }}/" if stage.out else "upper and lower case are one on many disks: rename one"
        )
    used = compile_template(str(stage.out.data)).names if stage.out else frozenset()
    left = [axis.name for axis in stage.axes if axis.name not in used and len(axis.values) > 1 and "." not in axis.name]
    if stage.out and left:
        return f"add {{{{ {left[0]} }}}} to `out`"
    return "their values read the same in a path, where case does not count: write one of them otherwise"


def checked_path(text: str, stage: Stage) -> str:
    """A rendered `out` as a relative POSIX path without an image's extension.

    Raises:
        CellProblem: the path is absolute, leaves the folder, or has a part that some file system refuses.
    """
    path = _IMAGE_SUFFIX.sub("", text.strip())
    trail = stage.out.trail if stage.out else stage.trail
    if not path:
        raise CellProblem("path_empty", "`out` gives an empty path", trail)
    if path.startswith("/"):
        message = f"`out` gives the absolute path {shown(path)}"
        raise CellProblem("path_absolute", message, trail, hint="write it relative to the output folder")
    if len(path.encode()) > MAX_PATH:
        raise CellProblem("path_too_long", f"`out` gives a path of over {MAX_PATH:,} bytes", trail)
    for part in path.split("/"):
        flaw = _flaw(part)
        if flaw:
            code, said, hint = flaw
            raise CellProblem(code, f"`out` gives {shown(path)}, {said}", trail, hint=hint)
    return path


@lru_cache(maxsize=4096)
def _flaw(part: str) -> tuple[str, str, str] | None:
    """Why a part of a path can not be used: a code, half a sentence, and what to do."""
    slug = "use the filter slug: {{ value | slug }}"
    if part in ("", ".", ".."):
        said = f"which has the part {shown(part)}" if part else "which has an empty part"
        return "path_outside", said, "paths stay below the output folder, with one / between two parts"
    refused = _REFUSED_CHARACTERS.search(part)
    if refused:
        return "path_refused", f"and some file systems refuse {shown(refused[0])} in a name", slug
    if part[-1] in ". ":
        return "path_refused", f"and some file systems refuse names that end in {shown(part[-1])}", slug
    if _REFUSED_NAMES.fullmatch(part):
        return "path_refused", f"and Windows keeps the name {shown(part)} for itself", "write {{ stage }}- before it"
    if len(part.encode()) > MAX_PATH_PART:
        return "path_too_long", f"which has a part of over {MAX_PATH_PART} bytes", "shorten it"
    return None
