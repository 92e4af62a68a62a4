"""Images go where the file's author wants them: below the output folder, each with its prompt and request inside.

The stored bytes stay as Krea sent them; the copy carries text chunks that are spliced into the PNG, not re-encoded. A
signed image stays as it is, with its data in a file beside it.
A file that differs from what krea-pipe delivered is kept, unless the user decides otherwise.
This module also stores what the next run needs; the journal already contains what was paid.
"""

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.image_file import Insertion
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.provenance import Mark, bare, is_signed, mark_for, sidecar
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.planning.out_folder import (
    IN_THE_WAY,
    MOST_NAMED,
    Changed,
    InTheWay,
    OutFolder,
    beside_name,
    existing_part,
    in_the_way,
    look_over,
    not_a_folder,
)
from krea_pipe.planning.plan import Attach, Plan, Reuse, Step
from krea_pipe.store.atomic import copy_atomically, make_folder, write_atomically
from krea_pipe.store.delivered import (
    Foreign,
    Ours,
    delivered_for,
    file_of,
    look_at_recipe_file,
    note_of,
    whole,
    with_insertion,
)
from krea_pipe.store.events import Counted, JournalLine, Reported
from krea_pipe.store.known import remember_cells, remember_results
from krea_pipe.store.lock import exclusive
from krea_pipe.store.plain import read_all
from krea_pipe.store.space import Space

MOST_UNKEPT = 500
"""Files whose facts are held until they are written down: a long run stays small."""
_KEPT_AT_ONCE = 2_000
"""Results that are remembered together: those of all cells at once would take more memory than the rest of the run."""
_SUFFIXES = ("png", "jpg", "webp", "avif")


@dataclass(slots=True)
class Delivery:
    """One run's output folder.

    `settled` are the files that were as they should be when the run began. `beside` holds the paths of images that were
    put beside changed files, below the folder, by the ids of their cells; `kept` is the work that nothing was done
    about. With `is_over`, the command line overrides the file.
    """

    out: OutFolder
    file: str
    settled: set[str]
    written: dict[str, dict[str, Json]]
    beside: dict[str, str] = field(default_factory=dict)
    kept: list[InTheWay] = field(default_factory=list)
    is_over: bool = False

    @property
    def folder(self) -> Path:
        """The output folder."""
        return self.out.folder

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            StateError: it cannot be created.
        """
        make_folder(self.folder)

    def deliver(self, step: Step, result: Result) -> bool | Failure:
        """Put the image of a step where each of its cells wants it.

        Args:
            step: the step of the plan.
            result: its image, which is in the store.

        Returns:
            Whether anything had to be written, or why it could not be.
        """
        placed = [self._placed(step, cell, result) for cell in step.cells]
        if len(self.written) >= MOST_UNKEPT:
            self.remember()
        problems = [one for one in placed if isinstance(one, Problem)]
        if problems:
            message = "; ".join(dict.fromkeys(problem.message for problem in problems))
            kept = " and was left unchanged" if problems[0].code == IN_THE_WAY else ""
            return Failure(problems[0].code, f"{message}{kept}. The image is stored; nothing is charged twice")
        return any(placed)

    def remember(self) -> None:
        """Keep what was written, so that a later run can leave it alone."""
        written, self.written = self.written, {}
        self.out.space.facts.write(written)

    def _placed(self, step: Step, cell: Cell, result: Result) -> bool | Problem:
        """Put an image into one place; whether it had to be written, or why it could not be."""
        try:
            return self._place(step, cell, result)
        except StateError as error:
            return error.problems[0]

    def _place(self, step: Step, cell: Cell, result: Result) -> bool:
        name = f"{self.out.base}{cell.out}.{result.extension}"
        if name in self.settled:
            return False
        found = self.out.found(name, step, result.sha256)
        if isinstance(found, Foreign) and not (self.out.changed == "overwrite" and found.is_file):
            taken = InTheWay(cell.id, self.out.shown(name), found.reason)
            self.out.read([beside_name(name)])
            placed = self.out.place(name, taken, step, result.sha256)
            if isinstance(placed, InTheWay):
                self.kept.append(placed)
                raise StateError(placed.problem)
            name, found = placed
            self.beside[cell.id] = name.removeprefix(self.out.base)
        if isinstance(found, Ours) and found.is_expected:
            if found.note is not None:
                self.written[name] = {"file": self.file, **found.note}
            return False
        self._write(name, step, cell, result)
        return True

    def _write(self, name: str, step: Step, cell: Cell, result: Result) -> None:
        blobs = self.out.space.blobs
        mark = Mark(self.out.kind, cell.id, step.key, result.job_id, result.sha256)
        with blobs.opened(result.sha256) as stored:
            data = None if stored is None else _bytes_of(stored)
            if stored is None or data is None:
                blobs.drop(result.sha256)
                message = f"the stored image {result.sha256} is damaged"
                raise StateError(Problem("image_damaged", message, hint="rerun to fetch it from Krea again"))
            texts = Insertion(0, b"")
            if is_signed(data):
                self._write_beside(name, cell, sidecar(mark, step.request.fields()))
            elif result.mime == "image/png":
                texts = mark_for(data, mark, step.request.fields())
            head = data[: texts.at] + texts.data
            copy_atomically(Path(file_of(name)), stored, head=head, start=texts.at)
        content = with_insertion(texts) if head else whole(result.sha256)
        note = note_of(file_of(name), content, step.key, result.sha256, self.file)
        if note is not None:
            self.written[name] = {**note, **delivered_for(cell.id, is_over=self.is_over)}

    def _write_beside(self, image: str, cell: Cell, data: bytes) -> None:
        """Write the data of a signed image into a file beside it, before the image, unless a changed file is there."""
        name, digest = f"{image.rpartition('.')[0]}.json", hashlib.sha256(data).hexdigest()
        fact = self.out.space.facts.read([name]).get(name)
        found = look_at_recipe_file(name, fact, digest, digest)
        if isinstance(found, Foreign) and not (self.out.changed == "overwrite" and found.is_file):
            taken = InTheWay(cell.id, self.out.shown(name), found.reason)
            self.kept.append(taken)
            raise StateError(taken.problem)
        if not (isinstance(found, Ours) and found.is_expected):
            write_atomically(Path(file_of(name)), data, durable=False)
            note = note_of(file_of(name), whole(digest), digest, digest, self.file)
            self.written.update(
                {} if note is None else {name: {**note, **delivered_for(cell.id, is_over=self.is_over)}}
            )


def _bytes_of(handle: int) -> bytes | None:
    try:
        return read_all(handle)
    except OSError:
        return None


def open_delivery(
    space: Space,
    folder: Path,
    kind: str,
    plan: Plan,
    *,
    file: Path,
    changed: Changed = "keep",
    is_over: bool = False,
) -> Delivery:
    """Open the output folder of a run, unless a file is in the way of an image that must be paid for.

    Args:
        space: the store of the target.
        folder: the output folder, which need not exist.
        kind: `live` or `local`.
        plan: whose images are put there.
        file: the pipeline file.
        changed: what to do with changed files.
        is_over: whether the command line overrides the file, so that the file alone does not produce these images.

    Returns:
        The folder, to put images into.

    Raises:
        UsageError: a changed file, or a file of another pipeline, is at the path of an image that is not stored yet.
        StateError: the folder cannot be written.
    """
    _check_folder(folder)
    over = look_over(space, folder, kind, plan, file=file, changed=changed)
    stored = {cell.id for step in plan.steps if isinstance(step.action, Reuse) for cell in step.cells}
    problems = [*in_the_way([one for one in over.taken if one.cell not in stored]), *over.problems]
    if problems:
        raise UsageError(*problems[:MOST_NAMED])
    return Delivery(over.out, file.absolute().as_posix(), over.settled, over.notes, is_over=is_over)


def digests_at(folder: Path, out: str) -> Iterator[str]:
    """Read the images at a cell's path, without what krea-pipe has written into them.

    Args:
        folder: the output folder.
        out: the path of the cell below it, without a suffix.

    Returns:
        The SHA-256 of the bytes that Krea sent, in hexadecimal digits, for each image.

    Raises:
        StateError: one cannot be read.
    """
    for suffix in _SUFFIXES:
        file = folder / f"{out}.{suffix}"
        try:
            data = file.read_bytes()
        except FileNotFoundError:
            continue
        except OSError as error:
            raise StateError(Problem("image_unreadable", f"cannot read {file}: {error.strerror}")) from error
        yield bare(data).digest


def _check_folder(folder: Path) -> None:
    """Find out before anything is paid whether images can be put into a folder, without making it."""
    there = existing_part(folder)
    if not there.is_dir():
        raise UsageError(not_a_folder(there))
    if not os.access(there, os.W_OK | os.X_OK):
        message = f"cannot write into {there}"
        raise StateError(Problem("not_writable", message, hint="check the folder's permissions, or use --out"))


def remember(space: Space, plan: Plan, outcomes: Mapping[Key, Outcome]) -> None:
    """Store results as facts, and which request each cell used last.

    Args:
        space: the store of the target.
        plan: what was to be done.
        outcomes: the outcome of every request of the plan, by key.
    """
    drawn = ((step, result) for step in plan.steps if (result := outcomes[step.key].result) is not None)
    while portion := list(islice(drawn, _KEPT_AT_ONCE)):
        fresh = [(step, result) for step, result in portion if not _is_kept(step)]
        remember_results(space, {step.key: (result, step.request.fields()) for step, result in fresh})
        remember_cells(space, {f"{plan.pipeline}/{cell.id}": step.key for step, _ in portion for cell in step.cells})


def _is_kept(step: Step) -> bool:
    return isinstance(step.action, Reuse) and step.action.kept


LOCK = "lock:"
"""Begins the names of facts about lock files that runs have written, wherever they are."""


def remember_lock(space: Space, file: Path) -> None:
    """Keep where a lock file is, so that nothing that it names is removed.

    Args:
        space: the store of the target.
        file: the lock file.
    """
    place = file.absolute().as_posix()
    space.facts.write({f"{LOCK}{place}": {"file": place}})


def take_over_costs(space: Space, plan: Plan, run_id: str) -> frozenset[Key]:
    """Let the report of this run count what dead runs have paid and not reported, unless another run does so.

    Args:
        space: the store of the target.
        plan: what is to be done.
        run_id: this run.

    Returns:
        The keys of the requests whose price this run counts.

    Raises:
        StateError: it cannot be written.
    """
    keys = [step.key for step in plan.steps if _is_uncounted(step)]
    if not keys:
        return frozenset()
    with exclusive(space.journal.path.with_name("journal.lock")):
        alive = space.presence.alive()  # before the journal: a run that ends in between has reported
        replay = space.read_journal()
        free = [key for key in keys if not replay.is_reported(key) and replay.drawn_by[key] not in alive]
        space.journal.write([JournalLine(Counted(), key, run=run_id) for key in free])
    return frozenset(free)


def _is_uncounted(step: Step) -> bool:
    match step.action:
        case Reuse(counted=False) | Attach(counted=False, was_stored=True):
            return True
    return False


def mark_reported(space: Space, plan: Plan, run_id: str) -> None:
    """Record what a report now contains, so that no later report counts it again.

    Args:
        space: the store of the target.
        plan: what was to be done.
        run_id: the run that has written its report.

    Raises:
        StateError: it cannot be written.
    """
    if plan.has_calls or any(_is_uncounted(step) for step in plan.steps):
        space.journal.append(Reported(), run_id)
