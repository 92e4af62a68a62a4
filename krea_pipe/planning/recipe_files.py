"""The files that recipes make from the images of a plan: which exist, which must be made, and what is in their way.

Nothing is written. A file is up to date while it is what its recipe makes of the image of its cell; this follows from
the facts of the store, so that a run with nothing to do decodes no image.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.recipe import made_id
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell, RecipeFile
from krea_pipe.planning.out_folder import Changed, InTheWay, beside_name
from krea_pipe.planning.plan import Plan, Reuse, Step
from krea_pipe.store.delivered import PREFIX, Foreign, Found, Ours, Vacant, look_at_recipe_file
from krea_pipe.store.space import Space


@dataclass(frozen=True, slots=True)
class FileToMake:
    """A file of one cell.

    Args:
        step: the request of the cell.
        cell: the cell.
        file: the recipe and the path.
        result: the image that it is made from, which is stored.
        name: the name of the fact about it.
        made: its identity.
    """

    step: Step
    cell: Cell
    file: RecipeFile
    result: Result
    name: str
    made: str


@dataclass(slots=True)
class RecipeFiles:
    """The files of a plan, as they are.

    Args:
        folder: the output folder, as the user knows it.
        base: begins the names of the facts about its files.
        current: what the facts say about files that are up to date, each with its file.
        to_make: files to write.
        taken: changed files that need a decision.
        waiting: how many files have no image yet.
        notes: the facts to record about files, by their names.
    """

    folder: Path
    base: str
    current: list[tuple[FileToMake, Mapping[str, Json]]] = field(default_factory=list)
    to_make: list[FileToMake] = field(default_factory=list)
    taken: list[tuple[FileToMake, InTheWay]] = field(default_factory=list)
    waiting: int = 0
    notes: dict[str, dict[str, Json]] = field(default_factory=dict)
    look: "_Look" = field(kw_only=True)

    @property
    def total(self) -> int:
        """The number of all files."""
        return len(self.current) + len(self.to_make) + len(self.taken) + self.waiting

    def shown(self, name: str) -> str:
        """The file that a fact is about, by the path under which the user knows its folder.

        Args:
            name: the name of the fact.

        Returns:
            The path.
        """
        return (self.folder / name.removeprefix(self.base)).as_posix()

    def sort(self, one: FileToMake) -> None:
        """Note whether a file is up to date, must be made, or has another in its way.

        Args:
            one: the file, at its usual place.
        """
        name, found = self._place(one)
        placed = replace(one, name=name)
        if isinstance(found, Foreign):
            self.taken.append((one, InTheWay(one.cell.id, self.shown(name), found.reason)))
        elif not (isinstance(found, Ours) and found.is_expected):
            self.to_make.append(placed)
        else:
            if found.note is not None:
                self.notes[name] = {**found.note, "file": self.look.source}
            self.current.append((placed, found.note or self.look.facts.get(name, {})))

    def is_free(self, one: FileToMake) -> InTheWay | None:
        """Look once more before a file is written: someone may have saved another one since.

        Args:
            one: the file, at the place where it will be written.

        Returns:
            What is in the way; None if nothing is.
        """
        found = self.look.found(one, one.name)
        if isinstance(found, Foreign) and not (self.look.changed == "overwrite" and found.is_file):
            return InTheWay(one.cell.id, self.shown(one.name), found.reason)
        return None

    def _place(self, one: FileToMake) -> tuple[str, Found]:
        """Where a file goes, and what is there: beside a changed file, if the user wants that or it is there already.

        What is in the way is a `Foreign`.
        """
        found, changed = self.look.found(one, one.name), self.look.changed
        if not isinstance(found, Foreign):
            return one.name, found
        if changed == "overwrite" and found.is_file:
            return one.name, Vacant()
        name = beside_name(one.name)
        beside = self.look.found(one, name)
        if isinstance(beside, Ours) or changed == "beside":
            return name, beside
        return one.name, found


def look_over_recipes(
    space: Space,
    folder: Path,
    kind: str,
    plan: Plan,
    results: Mapping[Key, Result] | None = None,
    *,
    source: Path,
    changed: Changed = "keep",
    is_over: bool = False,
) -> RecipeFiles:
    """Find out which files of recipes must be made.

    Args:
        space: the store of the target.
        folder: the output folder, which need not exist.
        kind: `live` or `local`.
        plan: whose cells have files.
        results: the images that are stored, by the keys of their requests; None for those of the plan.
        source: the pipeline file.
        changed: what to do with changed files.
        is_over: whether the command line overrides the file.

    Returns:
        The files.

    Raises:
        StateError: the facts cannot be read.
    """
    look = _Look(space, source.absolute().as_posix(), changed, is_over)
    files = RecipeFiles(folder, f"{PREFIX}{folder.absolute().as_posix()}/", look=look)
    wanted = []
    for step in plan.steps:
        if not any(cell.files for cell in step.cells):
            continue
        result = _stored(step) if results is None else results.get(step.key)
        if result is None:
            files.waiting += sum([len(cell.files) for cell in step.cells])
        else:
            wanted += list(_of_step(step, result, files.base, kind))
    if wanted:
        look.read([one.name for one in wanted])
    for one in wanted:
        files.sort(one)
    return files


def _stored(step: Step) -> Result | None:
    return step.action.result if isinstance(step.action, Reuse) else None


def _of_step(step: Step, result: Result, base: str, kind: str) -> Iterator[FileToMake]:
    for cell in step.cells:
        for file in cell.files:
            name = f"{base}{file.path}.{file.recipe.how.suffix or result.extension}"
            made = made_id(file.recipe.how, result.sha256, step.key, kind)
            yield FileToMake(step, cell, file, result, name, made)


@dataclass(slots=True)
class _Look:
    """What is known about files, and what to do with changed ones."""

    space: Space
    source: str
    changed: Changed
    is_over: bool = False
    facts: dict[str, dict[str, Json]] = field(default_factory=dict)

    def read(self, names: Sequence[str]) -> None:
        self.facts.update(self.space.facts.read([*names, *map(beside_name, names)]))

    def found(self, one: FileToMake, name: str) -> Found:
        fact = self.facts.get(name)
        digest = one.result.sha256 if one.file.recipe.how.format == "original" else None
        found = look_at_recipe_file(name, fact, one.made, digest)
        other = fact.get("file") if fact else None
        is_of_other = isinstance(other, str) and other != self.source and Path(other).is_file()
        if is_of_other and isinstance(found, Ours) and not found.is_expected:
            return Foreign(f"was made from {other}")
        return found
