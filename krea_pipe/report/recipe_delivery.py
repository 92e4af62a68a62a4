"""Makes the files of recipes, in a few threads, and writes those that may be written.

A file is written whole and then noted; one that was written before a run was killed is identified by its mark. Whatever
happens to a file, the image that it is made from is stored and stays in its own place.
"""

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from krea_pipe._version import __version__
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.image_file import image_size
from krea_pipe.core.json_data import Json
from krea_pipe.core.recipe import Transcoded, Transcoding
from krea_pipe.core.xmp import XmpFields
from krea_pipe.planning.out_folder import InTheWay
from krea_pipe.planning.recipe_files import FileToMake, RecipeFiles
from krea_pipe.report.model import DeliveredFile, seen_from
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.delivered import delivered_for, file_of, note_of, whole
from krea_pipe.store.space import Space

if TYPE_CHECKING:
    from concurrent.futures import Future

Transcode: TypeAlias = Callable[[bytes, Transcoding, XmpFields, str], Transcoded]
"""Makes a file from the bytes of an image; it raises a `StateError` if that cannot be done."""
MAX_THREADS = 8
"""Each holds a decoded image, which may have 350 MB."""
_MOST_UNKEPT = 500
"""Files whose facts are held until they are written down."""
_MOST_NAMED = 5
"""Files that a problem names."""
_HEAD = 1 << 16
"""Bytes of a file in which its size is found."""


@dataclass(slots=True)
class RecipeDelivery:
    """The outcome of the files of recipes.

    Args:
        files: what the report says about them, by the ids of their cells and their places there.
        made: how many were written.
        current: how many were up to date.
        failed: those that could not be made or written, each with the reason.
        taken: changed files that were kept.
        interrupted: whether the user stopped it.
    """

    files: dict[str, dict[int, DeliveredFile]] = field(default_factory=dict)
    made: int = 0
    current: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)
    taken: list[InTheWay] = field(default_factory=list)
    interrupted: bool = False

    @property
    def of_cells(self) -> Mapping[str, tuple[DeliveredFile, ...]]:
        """What the report says about the files, by the ids of their cells, in the order of the recipes."""
        return {cell: tuple(files[place] for place in sorted(files)) for cell, files in self.files.items()}

    @property
    def is_complete(self) -> bool:
        """Whether every file is as its recipe wants it."""
        return not self.failed and not self.taken

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The files that could not be delivered, as one problem; none if all could."""
        if not self.failed:
            return ()
        named = "; ".join(f"{file}: {why}" for file, why in self.failed[:_MOST_NAMED])
        more = f"; and {len(self.failed) - _MOST_NAMED:,} more" if len(self.failed) > _MOST_NAMED else ""
        count = "1 file" if len(self.failed) == 1 else f"{len(self.failed):,} files"
        hint = "the images are stored: run the pipeline again to make these files, at no cost"
        return (Problem("not_delivered", f"{count} could not be delivered: {named}{more}", hint=hint),)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What somebody should know about files that were delivered, each once for a recipe."""
        counts = Counter(
            (one.recipe, note) for files in self.files.values() for one in files.values() for note in one.notes
        )
        return tuple(
            Problem("delivery", f"recipe `{recipe}`, {count:,} {'file' if count == 1 else 'files'}: {note}")
            for (recipe, note), count in counts.items()
        )


def deliver_recipes(files: RecipeFiles, space: Space, kind: str, transcode: Transcode) -> RecipeDelivery:
    """Make the files that are not up to date.

    Args:
        files: the files, as they are.
        space: the store of the target.
        kind: `live` or `local`.
        transcode: makes one.

    Returns:
        The outcome.

    Raises:
        StateError: the facts about them cannot be written.
    """
    writer = _Writer(files, space, dict(files.notes))
    for one, fact in files.current:
        writer.done.current += 1
        writer.report(one, _size_in(fact) or _size_at(file_of(one.name)), fact)
    for one, taken in files.taken:
        writer.keep(one, taken)

    def make(one: FileToMake) -> Transcoded:
        data = space.blobs.read(one.result.sha256)
        if data is None:
            hint = "run the pipeline again to fetch it from Krea"
            raise StateError(Problem("image_damaged", f"the stored image {one.result.sha256} is damaged", hint=hint))
        if one.file.recipe.how.format == "original":
            return Transcoded(data, *(image_size(data) or (0, 0)))
        request = one.step.request
        fields = XmpFields(f"krea-pipe {__version__}", request.prompt, request.seed, is_proof=kind == "local")
        return transcode(data, one.file.recipe.how, fields, one.made)

    try:
        for one, result in _in_threads(make, files.to_make):
            writer.write(one, result)
    except KeyboardInterrupt:
        writer.done.interrupted = True
    writer.remember()
    return writer.done


def not_made(files: RecipeFiles) -> RecipeDelivery:
    """The files of a run that was stopped: those that are up to date, and no others.

    Args:
        files: the files, as they are.
    """
    done = RecipeDelivery(current=len(files.current))
    writer = _Writer(files, files.look.space, {}, done)
    for one, fact in files.current:
        writer.report(one, _size_in(fact) or _size_at(file_of(one.name)), fact)
    return done


def _in_threads(
    make: Callable[[FileToMake], Transcoded], wanted: Sequence[FileToMake]
) -> Iterator[tuple[FileToMake, "Future[Transcoded]"]]:
    """Make files side by side, and give them in order; only a few that are made wait to be written."""
    threads = min(MAX_THREADS, os.cpu_count() or 1, len(wanted))
    if not threads:
        return
    from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (threads, which a run without recipes does without)

    left = iter(wanted)
    running: deque[tuple[FileToMake, Future[Transcoded]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            running.extend((one, pool.submit(make, one)) for one in islice(left, 2 * threads))
            while running:
                one, result = running.popleft()
                result.exception()  # waits
                running.extend((more, pool.submit(make, more)) for more in islice(left, 1))
                yield one, result
        finally:
            pool.shutdown(cancel_futures=True)


@dataclass(slots=True)
class _Writer:
    """Writes files into the output folder, and notes what the report says about each."""

    files: RecipeFiles
    space: Space
    notes: dict[str, dict[str, Json]]
    done: RecipeDelivery = field(default_factory=RecipeDelivery)

    def write(self, one: FileToMake, result: "Future[Transcoded]") -> None:
        """Write a file, unless it could not be made or a changed file is in the way."""
        try:
            made = result.result()
            if (taken := self.files.is_free(one)) is not None:
                self.keep(one, taken)
                return
            path = file_of(one.name)
            write_atomically(Path(path), made.data, durable=False)
        except StateError as error:
            self._fail(one, error.problems[0].message)
            return
        digest = hashlib.sha256(made.data).hexdigest()
        fact = note_of(path, whole(digest), one.made, "", self.files.look.source) or {}
        size: dict[str, Json] = {"width": made.width, "height": made.height, "notes": list(made.notes)}
        more = delivered_for(one.cell.id, is_over=self.files.look.is_over)
        self.notes[one.name] = {**fact, "image": fact.get("sha256"), **size, **more}
        self.done.made += 1
        self.report(one, (made.width, made.height), self.notes[one.name])
        if len(self.notes) >= _MOST_UNKEPT:
            self.remember()

    def remember(self) -> None:
        """Write down the facts about files, so that a later run leaves them alone."""
        notes, self.notes = self.notes, {}
        self.space.facts.write(notes)

    def keep(self, one: FileToMake, taken: InTheWay) -> None:
        """Leave a changed file as it is."""
        self.done.taken.append(taken)
        self._note(one, error=f"{taken.file} {taken.reason}, and was left unchanged")

    def report(self, one: FileToMake, size: tuple[int, int], fact: Mapping[str, Json]) -> None:
        """Note a file that is there."""
        stamp = cast("list[int]", fact.get("stamp") or [0])
        notes = tuple(map(str, cast("list[Json]", fact.get("notes") or [])))
        self._note(one, size, stamp[0], str(fact["sha256"]) if "sha256" in fact else None, notes)

    def _fail(self, one: FileToMake, why: str) -> None:
        self.done.failed.append((self.files.shown(one.name), why))
        self._note(one, error=why)

    def _note(
        self,
        one: FileToMake,
        size: tuple[int | None, int | None] = (None, None),
        count: int | None = None,
        sha256: str | None = None,
        notes: tuple[str, ...] = (),
        *,
        error: str | None = None,
    ) -> None:
        recipe, folder = one.file.recipe, Path(seen_from(Path.cwd(), self.files.folder))
        path = (folder / one.name.removeprefix(self.files.base)).as_posix()
        kind = one.result.mime.removeprefix("image/") if recipe.how.format == "original" else recipe.how.format
        found = DeliveredFile(recipe.name, kind, path, size[0], size[1], count, sha256, notes, error)
        self.done.files.setdefault(one.cell.id, {})[one.cell.files.index(one.file)] = found


def _size_in(fact: Mapping[str, Json]) -> tuple[int, int] | None:
    width, height = fact.get("width"), fact.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None


def _size_at(path: str) -> tuple[int, int]:
    """The size of an image by its own header, for one whose fact was lost."""
    try:
        with Path(path).open("rb") as stream:
            return image_size(stream.read(_HEAD)) or (0, 0)
    except OSError:
        return 0, 0
