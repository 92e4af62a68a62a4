"""Compares images with the lock file, and updates its lines after a run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.core.errors import NotLocked, Problem
from krea_pipe.core.likeness import distance
from krea_pipe.core.outcome import Outcome, Result
from krea_pipe.core.request import Key
from krea_pipe.matrix.cell import Cell
from krea_pipe.planning.lockfile import Lockfile, LockLine, locks_beside, read_lock, space_mark
from krea_pipe.planning.plan import Plan, Reuse, Step

LockState: TypeAlias = Literal["accepted", "changed", "new", "missing"]
"""`changed`: differs from the accepted image; `new`: the lock has no line for the request; `missing`: no image."""

SignatureOf: TypeAlias = Callable[[str], str]
"""The perceptual signature of the stored image of a digest, or "" if there is no such image."""

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Review:
    """How the image of a cell compares with the lock file: `line` is the accepted image, `sha256` the current one.

    `distance` tells how far the two are apart, from 0 to 1, None when that cannot be said.
    """

    id: str
    state: LockState
    line: LockLine | None = None
    sha256: str | None = None
    distance: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether a person has to look: there is an image that was not accepted."""
        return self.state in ("changed", "new")


@dataclass(frozen=True)
class LockOptions:
    """How a run uses a lock `file`: `frozen` generates only what is in it, `writes` keeps it up to date.

    `read` are its lines, unless they have not been needed yet.
    `is_gone` says whether the pipeline no longer has a cell with an id, `keys` are the keys of all cells that it has.
    `space` names the store of the API.
    """

    file: Path
    read: Lockfile | None
    is_gone: Callable[[str], bool]
    writes: bool
    frozen: bool
    space: str
    keys: Mapping[str, Key] = field(default_factory=dict)

    @cached_property
    def lock(self) -> Lockfile:
        """The lines of the file.

        Raises:
            InvalidInput: they cannot be read.
        """
        return self.read or read_lock(self.file)

    def check(self) -> None:
        """Refuse a lock file that cannot be read, before anything is done.

        Raises:
            InvalidInput: as for `lock`.
        """
        _ = self.lock


@dataclass(frozen=True, slots=True)
class LockUpdate:
    """A lock file after a run: how many lines are not as before, and the cells whose images differ from it."""

    lock: Lockfile
    changes: int
    drifted: tuple[str, ...]


def check_frozen(plan: Plan, lock: Lockfile) -> None:
    """Refuse a plan with a request that is missing from the lock file.

    Args:
        plan: What a run would do.
        lock: The current lock file.

    Raises:
        NotLocked: There is one.
    """
    cells = [(step, cell) for step in plan.steps for cell in step.cells]
    loose = [cell.id for step, cell in cells if lock.line_of(cell.id, step.key) is None]
    if loose:
        more = f", and {len(loose) - _SHOWN} more" if len(loose) > _SHOWN else ""
        verb = "is" if len(loose) == 1 else "are"
        named = f"{', '.join(loose[:_SHOWN])}{more}"
        shard = "" if plan.shard is None else f" of shard {plan.shard}"
        message = f"{len(loose)} of {len(cells)} cells{shard} {verb} missing from {lock.file.name} or changed: {named}"
        hint = "run without --frozen, review the images, and commit the lock file"
        moved = moved_lock(lock, lambda: (step.key for step in plan.steps))
        raise NotLocked(Problem("not_locked", message, hint=f"{moved.message}; {moved.hint}" if moved else hint))


def moved_lock(lock: Lockfile, keys: Callable[[], Iterable[Key]]) -> Problem | None:
    """A warning if a lock file does not exist, but another one in its folder has the same requests.

    Args:
        lock: The lock file as it was read.
        keys: Gives the keys of the requests.

    Returns:
        The warning, None if there is nothing to report.
    """
    if lock.file.exists():
        return None
    for other, count in locks_beside(lock.file, keys)[:1]:
        said = "1 of these requests" if count == 1 else f"{count} of these requests"
        message = f"{lock.file} does not exist, but {other} contains {said}"
        return Problem("file_renamed", message, hint=f"rename it: git mv {other} {lock.file}")
    return None


def update_lock(options: LockOptions, plan: Plan, outcomes: Mapping[Key, Outcome]) -> LockUpdate:
    """The lock file after a run: a line for each image whose request had none, and no lines for cells that are gone.

    A line stays when the same request has generated another image this time: that image waits to be accepted.

    Args:
        options: The current lock file, and what the run does with it.
        plan: What the run did.
        outcomes: The outcome of each request of the plan.

    Returns:
        The new lock, and how it differs from the old one; nothing is written.
    """
    lock, drifted = options.lock, list[str]()
    lines = {id_: found for id_, found in lock.of_cells().items() if not options.is_gone(id_)}
    for id_, key in options.keys.items():  # also of cells that this run leaves out: their lines may have another id
        line = lock.line_of(id_, key)
        if line is not None and line not in lines.get(id_, ()):
            lines[id_] = (line,)
    for step in plan.steps:
        result = outcomes[step.key].result
        if result is None:
            continue
        for cell in step.cells:
            line = lock.line_of(cell.id, step.key, (result.sha256,))
            if line is not None and line.sha256 != result.sha256:
                drifted.append(cell.id)
            lines[cell.id] = (line or lock_line(cell, step, result, options.space),)
    after = lock.with_cells(lines)
    return LockUpdate(after, len({*after.lines} ^ {*lock.lines}), tuple(drifted))


def review_images(lock: Lockfile, plan: Plan, signature_of: SignatureOf) -> Iterator[Review]:
    """How the stored image of each cell of a plan compares with the lock file.

    Args:
        lock: The current lock file.
        plan: The cells, and which of their images are stored.
        signature_of: Gives the signature of an image for which neither the lock nor the store has one.

    Returns:
        A review of each cell, in the order of the file.
    """
    lines = lock.of_cells()
    for step in plan.steps:
        for cell in step.cells:
            result = step.action.result if isinstance(step.action, Reuse) else None
            line = lock.line_of(cell.id, step.key, (result.sha256,) if result else ())
            if result is None:
                yield Review(cell.id, "missing", line)
            elif line is None:
                yield Review(cell.id, "new", None, result.sha256, _apart(lines.get(cell.id, ()), result, signature_of))
            elif line.sha256 == result.sha256:
                yield Review(cell.id, "accepted", line, result.sha256, 0.0)
            else:
                yield Review(cell.id, "changed", line, result.sha256, _apart((line,), result, signature_of))


def accept_images(lock: Lockfile, plan: Plan, ids: Iterable[str], space: str) -> Lockfile:
    """The lock with the stored images of some cells in it.

    Args:
        lock: The current lock file.
        plan: A plan that has these cells.
        ids: The ids of the cells; one whose image is not stored changes nothing.
        space: The name of the store that the plan is about.

    Returns:
        The new lock; nothing is written.
    """
    steps = {cell.id: (step, cell) for step in plan.steps for cell in step.cells}
    lines = dict(lock.of_cells())
    for id_ in ids:
        step, cell = steps[id_]
        if isinstance(step.action, Reuse):
            lines[id_] = (lock_line(cell, step, step.action.result, space),)
    return lock.with_cells(lines)


def review_files(
    lock: Lockfile, cells: Iterable[tuple[Cell, Key]], digests_of: Callable[[str], Iterable[str]]
) -> Iterator[Review]:
    """How the file of each cell in the output folder compares with the lock file.

    Args:
        lock: The current lock file.
        cells: Each cell with the key of its request.
        digests_of: Gives the digests that the files at a cell's path stand for, one for each file that there is.

    Returns:
        A review of each cell, in the order given; without distances.
    """
    for cell, key in cells:
        found = list(digests_of(cell.out))
        line = lock.line_of(cell.id, key, found)
        if line is None:
            yield Review(cell.id, "new", None, found[0] if found else None)
        elif not found:
            yield Review(cell.id, "missing", line)
        else:
            yield Review(cell.id, "accepted" if line.sha256 in found else "changed", line, found[0])


def lock_line(cell: Cell, step: Step, result: Result, space: str) -> LockLine:
    """The line of a cell whose request has been generated."""
    request = step.request
    return LockLine(
        id=cell.id,
        key=step.key,
        sha256=result.sha256,
        seed=request.seed,
        variant=request.variant,
        price_usd=result.cost_usd,
        job_id=result.job_id,
        likeness=result.likeness,
        space=space_mark(space),
    )


def _apart(lines: tuple[LockLine, ...], result: Result, signature_of: SignatureOf) -> float | None:
    """The distance between an image and the last accepted image of its cell."""
    if not lines:
        return None
    before = lines[-1]
    return distance(before.likeness or signature_of(before.sha256), result.likeness or signature_of(result.sha256))
