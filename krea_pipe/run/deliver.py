"""Images go where the file's author wants them: below the output folder, each with its prompt, seed and request inside.

The stored bytes stay as Krea sent them; the copy carries text chunks that are spliced into the PNG, not re-encoded.
A file that krea-pipe did not write for the same kind of target is never replaced.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe import __version__
from krea_pipe.errors import Problem, StateError, UsageError
from krea_pipe.matrix import Cell
from krea_pipe.nodes import Json
from krea_pipe.outcome import Result
from krea_pipe.plan import Plan, Reuse, Step
from krea_pipe.png_text import read_text, with_text
from krea_pipe.request import canonical_json
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import Stamp, stamp_of
from krea_pipe.store.space import Space

MARK = "krea-pipe"
HEAD = 65_536
SUFFIXES = ("png", "jpg", "webp")
PREFIX = "out:"


@dataclass(slots=True)
class Delivery:
    """One run's output folder. `kind` is `live` or `local`; `facts` says what earlier runs wrote there.

    Files are known by the names of their facts, plain text, because a path object for each would cost more than all
    the rest of a run that has nothing to do.
    """

    space: Space
    folder: Path
    base: str
    kind: str
    facts: Mapping[str, Mapping[str, Json]]
    written: dict[str, dict[str, Json]] = field(default_factory=dict)

    def deliver(self, step: Step, result: Result) -> bool:
        """Put the image of a step where each of its cells wants it; whether anything had to be written."""
        written = [self._place(step, cell, result) for cell in step.cells]
        return any(written)

    def remember(self) -> None:
        """Keep what was written, so that a later run can leave it alone."""
        self.space.facts.write(self.written)
        self.written.clear()

    def _place(self, step: Step, cell: Cell, result: Result) -> bool:
        name = f"{self.base}{cell.out}.{result.extension}"
        fact = self.facts.get(name)
        if fact is not None and fact.get("key") == step.key and _is_ours(name, fact):
            return False
        data = self.space.blobs.read(result.sha256)
        if data is None:
            message = f"the stored image {result.sha256} is damaged"
            raise StateError(Problem("image_damaged", message, hint="run again; it will be drawn anew"))
        if result.mime == "image/png":
            data = with_text(data, _metadata(step, cell, result, self.kind))
        write_atomically(Path(_file(name)), data, durable=False)
        stamp = stamp_of(_file(name))
        if stamp is not None:
            self.written[name] = {"key": step.key, "stamp": [stamp.size, stamp.mtime_ns]}
        return True


def open_delivery(space: Space, folder: Path, kind: str, plan: Plan) -> Delivery:
    """The output folder of a run, once nothing in it stands in the way.

    Raises:
        UsageError: a file is in the way that krea-pipe did not write for this kind of target.
    """
    base = f"{PREFIX}{folder.absolute().as_posix()}/"
    names = [f"{base}{cell.out}.{suffix}" for step in plan.steps for cell in step.cells for suffix in _suffixes(step)]
    facts = space.facts.read(names)
    problems = [_in_the_way(_file(name)) for name in _foreign(names, facts, kind)]
    if problems:
        raise UsageError(*problems[:20])
    return Delivery(space, folder, base, kind, facts)


def _suffixes(step: Step) -> tuple[str, ...]:
    """The suffixes that a step's image may get: the bytes decide, so all of them before there are any."""
    return (step.action.result.extension,) if isinstance(step.action, Reuse) else SUFFIXES


def _file(name: str) -> str:
    """The file that a fact is about."""
    return name.removeprefix(PREFIX)


def _foreign(names: Iterable[str], facts: Mapping[str, Mapping[str, Json]], kind: str) -> Iterable[str]:
    for name in names:
        fact = facts.get(name)
        if fact is not None and _is_ours(name, fact):
            continue
        if os.path.lexists(_file(name)):
            found = _kind_of(_file(name))
            if found != kind and (found is not None or fact is None):
                yield name


def _kind_of(file: str) -> str | None:
    """Which kind of target wrote a file, by the text inside it."""
    try:
        with Path(file).open("rb") as stream:
            mark = read_text(stream.read(HEAD)).get(MARK)
        return str(json.loads(mark).get("target")) if mark else None
    except (OSError, ValueError, AttributeError):
        return None


def _is_ours(name: str, fact: Mapping[str, Json]) -> bool:
    match fact.get("stamp"):
        case [int(size), int(mtime_ns)]:
            return stamp_of(_file(name)) == Stamp(size, mtime_ns)
    return False


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
    return {
        MARK: canonical_json(dict(mark)),
        "prompt": step.request.prompt,
        "seed": "" if step.request.seed is None else str(step.request.seed),
        "request": canonical_json(step.request.fields()),
    }
