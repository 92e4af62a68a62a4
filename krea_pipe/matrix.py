"""A pipeline becomes cells, streamed in the order of the file: the last axis varies fastest."""

import itertools
import math
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from krea_pipe.errors import InvalidInput, Problem
from krea_pipe.pipeline import Pipeline, Stage
from krea_pipe.references import Fingerprints
from krea_pipe.request import Request
from krea_pipe.resolve import CellProblem, Resolver

MAX_CELLS = 100_000
MAX_PROBLEMS = 20
MAX_PATH_PART = 120

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
    expansion = _Expansion(pipeline, fingerprints)
    for stage in pipeline.stages:
        yield from expansion.cells(stage)
    if expansion.problems:
        raise InvalidInput(*expansion.problems)


def _check_count(pipeline: Pipeline, max_cells: int) -> None:
    total = sum(cell_count(stage) for stage in pipeline.stages)
    if total > max_cells:
        largest = max(pipeline.stages, key=cell_count)
        axes = " x ".join(str(len(axis.values)) for axis in largest.axes)
        at = pipeline.document.key_place((*largest.trail, "matrix"))
        message = f"the matrix has {total:,} cells ({largest.name}: {axes}), above the limit of {max_cells:,}"
        raise InvalidInput(Problem("too_many_cells", message, at, f"allow it with --max-cells {total}"))


class _Expansion:
    """The state of one expansion: the paths that are taken, and what went wrong so far."""

    def __init__(self, pipeline: Pipeline, fingerprints: Fingerprints) -> None:
        self.pipeline, self.fingerprints = pipeline, fingerprints
        self.count = 0
        self.paths: dict[str, str] = {}
        self.problems: dict[Problem, None] = {}

    def cells(self, stage: Stage) -> Iterator[Cell]:
        resolver = Resolver(self.pipeline, stage, self.fingerprints)
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
                raise InvalidInput(*self.problems)
        if count == 0:
            self._note("empty_matrix", f"`exclude` leaves no cell of the stage `{stage.name}`", stage)

    def _cell(self, stage: Stage, resolver: Resolver, combination: tuple[int, ...]) -> Cell | None:
        values = [axis.values[index] for axis, index in zip(stage.axes, combination, strict=True)]
        identity = "/".join([stage.name, *(value.part for value in values)])
        try:
            request, context = resolver.request(values)
            out = self._path(stage, resolver, identity, context)
        except CellProblem as error:
            at = self.pipeline.document.word_place(error.trail, error.word or "\0")
            self.problems[Problem(error.code, str(error), at, error.hint)] = None
            return None
        self.count += 1
        return Cell(self.count - 1, identity, stage.name, tuple(value.scalar for value in values), out, request)

    def _path(self, stage: Stage, resolver: Resolver, identity: str, context: Mapping[str, object]) -> str:
        if stage.out is None:
            out = identity if stage.trail else identity.partition("/")[2] or identity
        else:
            out = checked_path(resolver.text(stage.out, context), stage)
        folded = unicodedata.normalize("NFC", out).casefold()
        taken = self.paths.setdefault(folded, identity)
        if taken != identity:
            message = f"{taken} and {identity} would both be written to {out}"
            hint = "name every axis in `out`, for example with {{ seed }}"
            raise CellProblem("path_collision", message, stage.out.trail if stage.out else stage.trail, hint=hint)
        return out

    def _note(self, code: str, message: str, stage: Stage) -> None:
        at = self.pipeline.document.key_place((*stage.trail, "exclude"))
        self.problems[Problem(code, message, at)] = None


def checked_path(text: str, stage: Stage) -> str:
    """A rendered `out` as a relative POSIX path without an image's extension.

    Raises:
        CellProblem: the path is absolute, leaves the folder, or has a part that some file system refuses.
    """
    path = _IMAGE_SUFFIX.sub("", text.strip())
    trail = stage.out.trail if stage.out else stage.trail
    if path.startswith("/"):
        raise CellProblem("path_absolute", f"`out` gives the absolute path {path}", trail, hint="make it relative")
    for part in path.split("/"):
        if part in ("", ".", ".."):
            raise CellProblem("path_outside", f"`out` gives {path!r}, which has an empty, . or .. part", trail)
        if _REFUSED_CHARACTERS.search(part) or _REFUSED_NAMES.fullmatch(part) or part[-1] in ". ":
            message = f"`out` gives {path!r}, and some file systems refuse {part!r}"
            raise CellProblem("path_refused", message, trail, hint="use the filter slug: {{ value | slug }}")
        if len(part.encode()) > MAX_PATH_PART:
            raise CellProblem("path_too_long", f"`out` gives a part of over {MAX_PATH_PART} bytes: {part[:40]}…", trail)
    return path
