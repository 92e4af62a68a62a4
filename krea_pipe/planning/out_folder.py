"""The output folder of a plan: which images are there unchanged, and which files are in the way.

Nothing is written. A run decides by the same functions when it puts an image into its place.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.core.errors import Problem
from krea_pipe.core.json_data import Json
from krea_pipe.matrix.cell import Cell
from krea_pipe.planning.plan import Plan, Reuse, Step
from krea_pipe.store.cache import decoded
from krea_pipe.store.delivered import PREFIX, Expected, Foreign, Found, Ours, Vacant, file_of, look_at
from krea_pipe.store.known import image_of, result_name
from krea_pipe.store.space import Space

MOST_NAMED = 20
"""Files in the way that an error names."""
_SUFFIXES = ("png", "jpg", "webp", "avif")
_IMAGE = b'"image":'
"""Is in the text of each fact that names its image; no string of JSON contains it, because quotes are escaped there."""
IN_THE_WAY = "file_in_the_way"
"""The code of a problem, and of the failure of a cell, whose place contains a changed file."""

Changed: TypeAlias = Literal["keep", "overwrite", "beside"]
"""What to do with changed files: keep them, overwrite them, or keep them and write the image beside them."""


@dataclass(frozen=True, slots=True)
class InTheWay:
    """Someone's work at the place of an image: the cell's id, the path of the file, and what it is."""

    cell: str
    file: str
    reason: str

    @property
    def problem(self) -> Problem:
        """The same for the user, with what can be done."""
        hint = _hint("image", "it", Path(beside_name(self.file)).name)
        return Problem(IN_THE_WAY, f"{self.file} {self.reason}", hint=hint)


def in_the_way(taken: Sequence[InTheWay]) -> tuple[Problem, ...]:
    """Changed files as one problem, which says what can be done.

    Args:
        taken: the files.

    Returns:
        The problem; none without files.
    """
    if len(taken) < 2:
        return tuple(one.problem for one in taken)
    named = ", ".join(one.file for one in taken[:MOST_NAMED])
    more = f" and {len(taken) - MOST_NAMED:,} more" if len(taken) > MOST_NAMED else ""
    message = f"{len(taken):,} files were changed, or not delivered by krea-pipe: {named}{more}"
    return (Problem(IN_THE_WAY, message, hint=_hint("images", "them", "NAME.krea-pipe.png")),)


def _hint(images: str, them: str, beside: str) -> str:
    return (
        f"`run --keep-both` writes the {images} beside {them}, as {beside}; `run --overwrite-changed` replaces {them}; "
        f"or move {them} away, or choose another folder with --out"
    )


def beside_name(name: str) -> str:
    """The name for an image beside a changed file.

    Args:
        name: the path of that file, or the name of its fact.

    Returns:
        The same with `.krea-pipe` before the suffix.
    """
    stem, _, suffix = name.rpartition(".")
    return f"{stem}.krea-pipe.{suffix}"


@dataclass(slots=True)
class OutFolder:
    """An output folder, and what is known about its files.

    Files are identified by the names of their facts, plain text, because a path object for each would cost more than
    all the rest of a run that has nothing to do.

    Args:
        space: the store of the target.
        folder: the folder as the user knows it; it need not exist.
        kind: `live` or `local`.
        changed: what to do with changed files.
        facts: what earlier runs delivered, by the names of the facts, as JSON: as data they would take three times as
            much memory, and most are needed once.
        earlier: the digests of images by key, for facts of earlier versions, which name the key alone.
        images: the keys of a plan's stored images, by their digests.
    """

    space: Space
    folder: Path
    kind: str
    changed: Changed
    base: str
    facts: dict[str, bytes] = field(default_factory=dict)
    earlier: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)

    def shown(self, name: str) -> str:
        """The file that a fact is about, by the path under which the user knows its folder.

        Args:
            name: the name of the fact.

        Returns:
            The path.
        """
        return (self.folder / name.removeprefix(self.base)).as_posix()

    def read(self, names: Iterable[str]) -> None:
        """Read the facts of more files.

        Args:
            names: the names of the facts.

        Raises:
            StateError: they cannot be read.
        """
        found = self.space.facts.read_as(bytes, [name for name in names if name not in self.facts])
        self.facts.update(found)
        old = filter(None, (decoded(text) for text in found.values() if _IMAGE not in text))
        keys = {str(fact.get("key")) for fact in old if "image" not in fact}
        results = self.space.facts.read(result_name(key) for key in keys)
        known = {key: image_of(results[result_name(key)]) for key in keys if result_name(key) in results}
        self.earlier = {**self.earlier, **known}

    def fact(self, name: str) -> dict[str, Json] | None:
        """Decode what an earlier run noted about a file.

        Args:
            name: the name of its fact, which has been read.

        Returns:
            The fact; None when no fact of that name can be read.
        """
        text = self.facts.get(name)
        return None if text is None else decoded(text)

    def found(self, name: str, step: Step, image: str) -> Found:
        """Determine what is at a path now.

        Args:
            name: the name of its fact.
            step: the step whose image belongs there.
            image: the digest of that image; "" before there is one.

        Returns:
            Nothing, an unchanged file, or a file in the way.
        """
        fact = self.fact(name)
        earlier = self.earlier.get(str(fact.get("key")), "") if fact else ""
        expected = Expected(self.kind, step.key, image, earlier, _Others(self.images, step.key))
        return look_at(name, fact, expected, self.space.blobs)

    def place(self, name: str, taken: InTheWay, step: Step, image: str) -> tuple[str, Found] | InTheWay:
        """Where to write an image if a changed file is in its place.

        Args:
            name: the name of the fact of that place; the fact of the place beside it has been read.
            taken: the work.
            step: the step whose image is meant.
            image: the digest of the image; "" before there is one.

        Returns:
            The place beside it and what is there, if the user wants that or our image is there already; what is
            in the way if not.
        """
        name = beside_name(name)
        found = self.found(name, step, image)
        if isinstance(found, Ours) or (isinstance(found, Vacant) and self.changed == "beside"):
            return name, found
        if isinstance(found, Foreign) and self.changed == "beside":
            return InTheWay(taken.cell, self.shown(name), found.reason)
        return taken


@dataclass(frozen=True, slots=True)
class _Others:
    """The images of a plan's other requests, which are not expected at a path."""

    images: Mapping[str, str]
    key: str

    def __contains__(self, digest: object) -> bool:
        return self.images.get(str(digest), self.key) != self.key


@dataclass(slots=True)
class LookedOver:
    """The files found in an output folder.

    Args:
        out: the folder.
        settled: the names of files that are as they should be.
        notes: the facts to record about files, by their names.
        taken: changed files that need a decision, in the order of the plan.
        problems: what no option decides.
    """

    out: OutFolder
    settled: set[str] = field(default_factory=set)
    notes: dict[str, dict[str, Json]] = field(default_factory=dict)
    taken: list[InTheWay] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def look_over(
    space: Space, folder: Path, kind: str, plan: Plan, *, file: Path, changed: Changed = "keep"
) -> LookedOver:
    """Find out what is where the images of a plan go.

    Args:
        space: the store of the target.
        folder: the output folder, which need not exist.
        kind: `live` or `local`.
        plan: whose images go there.
        file: the pipeline file.
        changed: what to do with changed files.

    Returns:
        What is there.

    Raises:
        StateError: the facts cannot be read.
    """
    out = OutFolder(space, folder, kind, changed, f"{PREFIX}{folder.absolute().as_posix()}/")
    over = LookedOver(out)
    if not folder.is_dir():
        return over
    names = dict(_names(out, plan))
    out.read(names)
    out.images = {image: step.key for step in plan.steps if (image := _image(step))}
    foreign = dict(_foreign(over, names, file.absolute().as_posix()))
    out.read(beside_name(name) for name in foreign)
    over.taken = list(_undecided(out, names, foreign))
    return over


def _names(out: OutFolder, plan: Plan) -> Iterator[tuple[str, tuple[Step, Cell]]]:
    """The names of the facts about the files that images of a plan may be put into."""
    for step in plan.steps:
        for cell in step.cells:
            for suffix in _suffixes(step):
                yield f"{out.base}{cell.out}.{suffix}", (step, cell)


def _foreign(over: LookedOver, names: Mapping[str, tuple[Step, Cell]], source: str) -> Iterator[tuple[str, Foreign]]:
    """Look at each file, and return those that were changed."""
    others = []
    for name, (step, _) in names.items():
        found = over.out.found(name, step, _image(step))
        if not isinstance(found, Ours):
            others.append(name)
        elif found.is_expected:
            over.settled.add(name)
            if found.note is not None:
                over.notes[name] = {"file": source, **found.note}
        elif (other := _other_source(over.out.fact(name), source)) is not None:
            over.problems.append(_of_another(over.out.shown(name), other))
        if isinstance(found, Foreign):
            yield name, found
    over.problems += [not_a_folder(blocked) for blocked in _blocked_folders(others)]


def _undecided(
    out: OutFolder, names: Mapping[str, tuple[Step, Cell]], foreign: Mapping[str, Foreign]
) -> Iterator[InTheWay]:
    """A changed file, if neither an image beside it nor an option determines what to do with it."""
    for name, found in foreign.items():
        if out.changed == "overwrite" and found.is_file:
            continue
        step, cell = names[name]
        placed = out.place(name, InTheWay(cell.id, out.shown(name), found.reason), step, _image(step))
        if isinstance(placed, InTheWay):
            yield placed


def _image(step: Step) -> str:
    """The digest of the image of a step, if it is stored."""
    return step.action.result.sha256 if isinstance(step.action, Reuse) else ""


def _suffixes(step: Step) -> tuple[str, ...]:
    """The suffixes that a step's image may get: the bytes decide, so all of them before there are any."""
    return (step.action.result.extension,) if isinstance(step.action, Reuse) else _SUFFIXES


def _blocked_folders(names: Collection[str]) -> Iterator[Path]:
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in names):
        there = existing_part(Path(file_of(folder)))
        if not there.is_dir():
            yield there


def existing_part(path: Path) -> Path:
    """The path itself, or what exists of it.

    Args:
        path: a path.

    Returns:
        The first of it and its parents that exists, if only as a link.
    """
    path = path.absolute()
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _other_source(fact: Mapping[str, Json] | None, file: str) -> str | None:
    """Another pipeline file for which an image was put there and which still exists: two of one name share a folder."""
    other = fact.get("file") if fact else None
    return other if isinstance(other, str) and other != file and Path(other).is_file() else None


def _of_another(file: str, other: str) -> Problem:
    hint = "give the two pipelines different names, or choose another folder with --out"
    return Problem(IN_THE_WAY, f"{file} was made from {other}", hint=hint)


def not_a_folder(path: Path) -> Problem:
    """A file where a folder is wanted, as a problem.

    Args:
        path: its path.

    Returns:
        The problem.
    """
    return Problem("not_a_folder", f"{path} is not a folder", hint="move it away, or choose another with --out")
