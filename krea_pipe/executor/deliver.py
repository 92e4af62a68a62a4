"""Images go where the file's author wants them: below the output folder, each with its prompt, seed and request inside.

The stored bytes stay as Krea sent them; the copy carries text chunks that are spliced into the PNG, not re-encoded.
A file that krea-pipe did not write for the same kind of target is never replaced, nor one that a person has changed.
What a run leaves in the store for the next one stands here too; the journal already has what was paid.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.image_file import read_text, with_text, without_text
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Failure, Outcome, Result
from krea_pipe.core.request import Key, canonical_json
from krea_pipe.matrix.cell import Cell
from krea_pipe.planning.plan import Attach, Plan, Reuse, Step
from krea_pipe.store.atomic import make_folder, write_atomically
from krea_pipe.store.blobs import Blobs, stamp_in, stamp_of
from krea_pipe.store.events import Counted, JournalLine, Reported
from krea_pipe.store.known import remember_cells, remember_results
from krea_pipe.store.lock import exclusive
from krea_pipe.store.space import Space

MARK = "krea-pipe"
TEXTS = (MARK, "prompt", "seed", "request")
"""The texts inside each PNG, in this order."""
_HEADER_BYTES = 65_536
MOST_UNKEPT = 500
"""Files whose facts are held until they are written down: a long run stays small."""
_SUFFIXES = ("png", "jpg", "webp", "avif")
PREFIX = "out:"


@dataclass(slots=True)
class Delivery:
    """One run's output folder.

    `kind` is `live` or `local`; `facts` says what earlier runs wrote there. Files are known by the names of their
    facts, plain text, because a path object for each would cost more than all the rest of a run that has nothing to do.
    """

    space: Space
    folder: Path
    base: str
    kind: str
    file: str
    facts: Mapping[str, Mapping[str, Json]]
    written: dict[str, dict[str, Json]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the folder.

        Raises:
            StateError: it cannot be made.
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
        try:
            written = [self._place(step, cell, result) for cell in step.cells]
        except StateError as error:
            problem = error.problems[0]
            return Failure(problem.code, f"{problem.message}. The image is stored; nothing is paid twice")
        if len(self.written) >= MOST_UNKEPT:
            self.remember()
        return any(written)

    def remember(self) -> None:
        """Keep what was written, so that a later run can leave it alone."""
        written, self.written = self.written, {}
        self.space.facts.write(written)

    def _place(self, step: Step, cell: Cell, result: Result) -> bool:
        name = f"{self.base}{cell.out}.{result.extension}"
        fact = self.facts.get(name)
        if fact is not None and fact.get("key") == step.key and _is_ours(name, fact):
            return False
        data = self.space.blobs.read(result.sha256)
        if data is None:
            self.space.blobs.drop(result.sha256)
            message = f"the stored image {result.sha256} is damaged"
            raise StateError(Problem("image_damaged", message, hint="run again to read it from Krea again"))
        if result.mime == "image/png":
            data = with_text(data, _metadata(step, cell, result, self.kind))
        write_atomically(Path(_file(name)), data, durable=False)
        stamp = stamp_of(_file(name))
        if stamp is not None:
            self.written[name] = {"key": step.key, "stamp": [stamp.size, stamp.mtime_ns], "file": self.file}
        return True


def open_delivery(space: Space, folder: Path, kind: str, plan: Plan, *, file: Path) -> Delivery:
    """Open the output folder of a run of a pipeline file, once nothing in it stands in the way.

    Args:
        space: the store of the target.
        folder: the output folder, which need not exist.
        kind: `live` or `local`.
        plan: whose images are put there.
        file: the pipeline file.

    Returns:
        The folder, to put images into.

    Raises:
        UsageError: a file is in the way that is not of this kind of target, or of another pipeline file.
        StateError: the folder cannot be written.
    """
    _check_folder(folder)
    base = f"{PREFIX}{folder.absolute().as_posix()}/"
    source = file.absolute().as_posix()
    names = {
        f"{base}{cell.out}.{suffix}": step.key
        for step in plan.steps
        for cell in step.cells
        for suffix in _suffixes(step)
    }
    facts = space.facts.read(names)
    others = [name for name in names if name not in facts or not _is_ours(name, facts[name])]
    problems = [_in_the_way(_file(name)) for name in others if _is_foreign(_file(name), kind, space.blobs)]
    problems += [_not_a_folder(folder) for folder in _blocked_folders(others)]
    problems += [
        _of_another(_file(name), str(fact["file"]))
        for name, fact in facts.items()
        if fact.get("key") != names[name] and _is_of_another(name, fact, source)
    ]
    if problems:
        raise UsageError(*problems[:20])
    return Delivery(space, folder, base, kind, source, facts)


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
        yield hashlib.sha256(without_text(data, TEXTS)).hexdigest()


def _suffixes(step: Step) -> tuple[str, ...]:
    """The suffixes that a step's image may get: the bytes decide, so all of them before there are any."""
    return (step.action.result.extension,) if isinstance(step.action, Reuse) else _SUFFIXES


def _file(name: str) -> str:
    """The file that a fact is about."""
    return name.removeprefix(PREFIX)


def _is_foreign(file: str, kind: str, blobs: Blobs) -> bool:
    """Whether a file is not this kind's work, which is marked inside, the copy of a stored image, or empty."""
    if not os.path.lexists(file):
        return False
    try:
        data = Path(file).read_bytes()
    except OSError:
        return True
    return bool(data) and _kind_of(data) != kind and not blobs.has(hashlib.sha256(data).hexdigest())


def _kind_of(data: bytes) -> str | None:
    """Which kind of target wrote a file, by the text inside it."""
    mark = read_text(data[:_HEADER_BYTES]).get(MARK)
    try:
        return str(json.loads(mark).get("target")) if mark else None
    except (ValueError, AttributeError):
        return None


def _check_folder(folder: Path) -> None:
    """Find out before anything is paid whether images can be put into a folder, without making it."""
    there = _nearest(folder)
    if not there.is_dir():
        raise UsageError(_not_a_folder(there))
    if not os.access(there, os.W_OK | os.X_OK):
        message = f"cannot write into {there}"
        raise StateError(Problem("not_writable", message, hint="check the folder's rights, or use --out"))


def _blocked_folders(names: Iterable[str]) -> Iterator[Path]:
    for folder in dict.fromkeys(name.rpartition("/")[0] for name in names):
        there = _nearest(Path(_file(folder)))
        if not there.is_dir():
            yield there


def _nearest(path: Path) -> Path:
    """The path itself, or what exists of it."""
    path = path.absolute()
    while not os.path.lexists(path) and path != path.parent:
        path = path.parent
    return path


def _is_ours(name: str, fact: Mapping[str, Json]) -> bool:
    stamp = stamp_in(fact)
    return stamp is not None and stamp_of(_file(name)) == stamp


def _is_of_another(name: str, fact: Mapping[str, Json], file: str) -> bool:
    """Whether an image was put there for another pipeline file, which still exists: two of one name share a folder."""
    other = fact.get("file")
    return isinstance(other, str) and other != file and _is_ours(name, fact) and Path(other).is_file()


def _of_another(file: str, other: str) -> Problem:
    hint = "give the two pipelines different names, or choose another folder with --out"
    return Problem("file_in_the_way", f"{file} was made from {other}", hint=hint)


def _not_a_folder(path: Path) -> Problem:
    return Problem("not_a_folder", f"{path} is not a folder", hint="move it away, or choose another with --out")


def _in_the_way(file: str) -> Problem:
    hint = "move it away, or choose another folder with --out"
    return Problem("file_in_the_way", f"{file} exists, and was not made by a run of this kind", hint=hint)


def _metadata(step: Step, cell: Cell, result: Result, kind: str) -> dict[str, str]:
    mark = {
        "version": __version__,
        "target": kind,
        "cell": cell.id,
        "key": step.key,
        "job_id": result.job_id,
        "sha256": result.sha256,
    }
    texts = (
        canonical_json(dict(mark)),
        step.request.prompt,
        "" if step.request.seed is None else str(step.request.seed),
        canonical_json(step.request.fields()),
    )
    return dict(zip(TEXTS, texts, strict=True))


def remember(space: Space, plan: Plan, outcomes: Mapping[Key, Outcome]) -> None:
    """Keep results, and which request each cell had last, as facts.

    Args:
        space: the store of the target.
        plan: what was to be done.
        outcomes: the outcome of every request of the plan, by key.
    """
    fresh: dict[str, tuple[Result, Step]] = {}
    for step in plan.steps:
        result = outcomes[step.key].result
        if result is not None and not (isinstance(step.action, Reuse) and step.action.kept):
            fresh[step.key] = (result, step)
    remember_results(space, {key: (result, step.request.fields()) for key, (result, step) in fresh.items()})
    drawn = [step for step in plan.steps if outcomes[step.key].result is not None]
    remember_cells(space, {f"{plan.pipeline}/{cell.id}": step.key for step in drawn for cell in step.cells})


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
    """Have the report of this run count what dead runs have paid for and not reported, unless another run does.

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
    """Note what now stands in a report, so that no later one counts it again.

    Args:
        space: the store of the target.
        plan: what was to be done.
        run_id: the run that has written its report.

    Raises:
        StateError: it cannot be written.
    """
    if plan.has_calls or any(_is_uncounted(step) for step in plan.steps):
        space.journal.append(Reported(), run_id)
