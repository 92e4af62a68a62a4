"""Images go where the file's author wants them: below the output folder, each with its prompt, seed and request inside.

The stored bytes stay as Krea sent them; the copy carries text chunks that are spliced into the PNG, not re-encoded.
A file that krea-pipe did not write for the same kind of target is never replaced.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe import __version__
from krea_pipe.errors import Problem, StateError, UsageError
from krea_pipe.matrix import Cell
from krea_pipe.nodes import Json
from krea_pipe.outcome import Result
from krea_pipe.plan import Plan, Step
from krea_pipe.png_text import read_text, with_text
from krea_pipe.request import canonical_json
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.blobs import Stamp, stamp_of
from krea_pipe.store.space import Space

MARK = "krea-pipe"
HEAD = 65_536
SUFFIXES = ("png", "jpg", "webp")


@dataclass(slots=True)
class Delivery:
    """One run's output folder. `kind` is `live` or `local`; `facts` says what earlier runs wrote there."""

    space: Space
    folder: Path
    kind: str
    facts: Mapping[str, Mapping[str, Json]]
    written: dict[str, dict[str, Json]] = field(default_factory=dict)

    def path(self, cell: Cell, result: Result) -> Path:
        """Where a cell's image goes."""
        return self.folder / f"{cell.out}.{result.extension}"

    def deliver(self, step: Step, result: Result) -> bool:
        """Put the image of a step where each of its cells wants it; whether anything had to be written."""
        written = [self._place(step, cell, result) for cell in step.cells]
        return any(written)

    def remember(self) -> None:
        """Keep what was written, so that a later run can leave it alone."""
        self.space.facts.write(self.written)
        self.written.clear()

    def _place(self, step: Step, cell: Cell, result: Result) -> bool:
        path = self.path(cell, result)
        name = out_name(path)
        if self._is_there(path, name, step.key):
            return False
        data = self.space.blobs.read(result.sha256)
        if data is None:
            message = f"the stored image {result.sha256} is damaged"
            raise StateError(Problem("image_damaged", message, hint="run again; it will be drawn anew"))
        if result.mime == "image/png":
            data = with_text(data, _metadata(step, cell, result, self.kind))
        write_atomically(path, data, durable=False)
        stamp = stamp_of(path)
        if stamp is not None:
            self.written[name] = {"key": step.key, "stamp": [stamp.size, stamp.mtime_ns]}
        return True

    def _is_there(self, path: Path, name: str, key: str) -> bool:
        fact = self.facts.get(name)
        return fact is not None and fact.get("key") == key and _is_ours(path, fact)


def open_delivery(space: Space, folder: Path, kind: str, plan: Plan) -> Delivery:
    """The output folder of a run, once nothing in it stands in the way.

    Raises:
        UsageError: a file is in the way that krea-pipe did not write for this kind of target.
    """
    paths = [folder / f"{cell.out}.{suffix}" for step in plan.steps for cell in step.cells for suffix in SUFFIXES]
    facts = space.facts.read(out_name(path) for path in paths)
    problems = [_in_the_way(path) for path in _foreign(paths, facts, kind)]
    if problems:
        raise UsageError(*problems[:20])
    return Delivery(space, folder, kind, facts)


def out_name(path: Path) -> str:
    """The name of the fact about an output file."""
    return f"out:{path.absolute().as_posix()}"


def _foreign(paths: Iterable[Path], facts: Mapping[str, Mapping[str, Json]], kind: str) -> Iterable[Path]:
    for path in paths:
        fact = facts.get(out_name(path))
        if fact is not None and _is_ours(path, fact):
            continue
        if path.exists():
            found = _kind_of(path)
            if found != kind and (found is not None or fact is None):
                yield path


def _kind_of(path: Path) -> str | None:
    """Which kind of target wrote a file, by the text inside it."""
    try:
        with path.open("rb") as stream:
            mark = read_text(stream.read(HEAD)).get(MARK)
        return str(json.loads(mark).get("target")) if mark else None
    except (OSError, ValueError, AttributeError):
        return None


def _is_ours(path: Path, fact: Mapping[str, Json]) -> bool:
    match fact.get("stamp"):
        case [int(size), int(mtime_ns)]:
            return stamp_of(path) == Stamp(size, mtime_ns)
    return False


def _in_the_way(path: Path) -> Problem:
    hint = "move it away, or choose another folder with --out"
    return Problem("file_in_the_way", f"{path} exists, and was not made by a run of this kind", hint=hint)


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
