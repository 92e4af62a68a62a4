"""The lock file: the accepted image of each cell, committed beside the pipeline file.

`campaign.lock.jsonl` beside `campaign.yaml` has a line for each cell, a JSON object, sorted by the cell's id: no head
and no order of time, so that branches merge line by line. Git may keep the lines of both (`merge=union`): several lines
for one cell are read, and the one whose key is the cell's counts.
"""

import io
import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from krea_pipe.core import merge_conflicts
from krea_pipe.core.errors import InvalidInput, Place, Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import DIGEST
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.request import Key
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.pipeline.source import check_inside
from krea_pipe.planning.records import object_of, record_line

SUFFIX = ".lock.jsonl"
MAX_LOCK_BYTES = 128 * 1024 * 1024
MAX_LOCK_LINES = 250_000
_MOST_FILES = 50
"""The number of lock files in a folder to search for one that was renamed."""
_MAX_LINE = 64 * 1024
"""Bytes: a line of JSON takes a hundred times as much once it is read."""

_MERGE_HINT = f"{merge_conflicts.KEEP_BOTH}; `*.lock.jsonl merge=union` in .gitattributes does that"


@dataclass(frozen=True, slots=True)
class LockLine:
    """One cell's image: its request by key, the SHA-256 of the bytes that Krea sent, and how it was generated.

    `likeness` is the image's perceptual signature, "" when it is not known. `space` names the store of the API that has
    drawn it; it is "" for Krea itself, and then not in the file. The file has the fields in this order.
    """

    id: str
    key: Key
    sha256: str
    seed: int | None
    variant: str
    price_usd: Decimal
    job_id: str
    likeness: str = ""
    space: str = ""


@dataclass(frozen=True, slots=True)
class Lockfile:
    """The lines of a lock file, sorted by cell."""

    file: Path
    lines: tuple[LockLine, ...] = ()
    _of_keys: Mapping[Key, Sequence[LockLine]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        found: dict[Key, list[LockLine]] = {}
        for line in self.lines:
            found.setdefault(line.key, []).append(line)
        object.__setattr__(self, "_of_keys", found)

    def of_cells(self) -> dict[str, tuple[LockLine, ...]]:
        """The lines of each cell.

        Returns:
            The lines by the cell's id; a cell has more than one after a merge that kept both sides.
        """
        return {cell: tuple(lines) for cell, lines in groupby(self.lines, lambda line: line.id)}

    def digests(self) -> dict[Key, frozenset[str]]:
        """The accepted images of each request.

        Returns:
            The digests by key; a merge may have left several.
        """
        found: dict[Key, set[str]] = {}
        for line in self.lines:
            found.setdefault(line.key, set()).add(line.sha256)
        return {key: frozenset(digests) for key, digests in found.items()}

    def jobs(self) -> dict[str, Key]:
        """The requests of the jobs that have drawn accepted images.

        Returns:
            The keys by the ids of the jobs.
        """
        return {line.job_id: line.key for line in self.lines if line.job_id}

    def line_of(self, cell: str, key: Key, digests: Collection[str] = ()) -> LockLine | None:
        """The line of a cell's request: its own, or that of another id, which the cell may have had before.

        Args:
            cell: The id of the cell.
            key: The key of its request.
            digests: Those that are preferred, should a merge have left several lines.

        Returns:
            The line with the id of the cell; None when the request is not in the file.
        """
        known = self._of_keys.get(key, ())
        found = [line for line in known if line.id == cell] or known
        line = next((one for one in found if one.sha256 in digests), found[0] if found else None)
        return line if line is None or line.id == cell else replace(line, id=cell)

    def drawn_by(self, space: str) -> dict[Key, tuple[LockLine, ...]]:
        """The lines that one API has generated.

        Args:
            space: The name of its store.

        Returns:
            The lines by key; there is more than one when cells share a request, or after a merge that kept both sides.
        """
        found: dict[Key, tuple[LockLine, ...]] = {}
        for line in self.lines:
            if line.space == space_mark(space):
                found[line.key] = (*found.get(line.key, ()), line)
        return found

    def with_cells(self, cells: Mapping[str, tuple[LockLine, ...]]) -> "Lockfile":
        """A lock file at the same place with other lines.

        Args:
            cells: All its lines, by the cell's id.

        Returns:
            The new value; nothing is written.
        """
        return lockfile_of(self.file, (line for found in cells.values() for line in found))

    def to_lines(self) -> Iterator[bytes]:
        """The bytes of the file.

        Returns:
            A line for each cell, in the order of their ids.
        """
        return (f"{_encoded(line)}\n".encode() for line in self.lines)


def lock_path(pipeline_file: Path) -> Path:
    """The path of the lock file of a pipeline file: beside it, with a similar name.

    Args:
        pipeline_file: The path of the pipeline file.

    Returns:
        The path of the lock file; `a.yaml` and `a.yml` have different ones.
    """
    name = pipeline_file.name
    return pipeline_file.parent / f"{name.removesuffix('.yaml')}{SUFFIX}"


def locks_beside(file: Path, keys: Callable[[], Iterable[Key]]) -> list[tuple[Path, int]]:
    """Lock files that a pipeline may have had before its file got another name.

    Args:
        file: The path of its lock file, which is missing.
        keys: Gives the keys of its requests.

    Returns:
        Each lock file in the folder whose pipeline file is missing, and how many of the requests it has; those with
        the most come first.
    """
    found = []
    for other in sorted(file.parent.glob(f"*{SUFFIX}"))[:_MOST_FILES]:
        name = other.name.removesuffix(SUFFIX)
        if other == file or (other.parent / name).exists() or (other.parent / f"{name}.yaml").exists():
            continue
        with suppress(InvalidInput):
            count = len({line.key for line in read_lock(other).lines}.intersection(keys()))
            found += [(other, count)] if count else []
    return sorted(found, key=lambda one: -one[1])


def space_mark(space: str) -> str:
    """The name in a lock line of the API that generated the image.

    Args:
        space: The name of its store.

    Returns:
        The name; "" for Krea itself.
    """
    return "" if space == "live" else space


def _encoded(line: LockLine) -> str:
    text = record_line(line)
    return text if line.space else text.replace(',"space":""}', "}")


def lockfile_of(file: Path, lines: Iterable[LockLine]) -> Lockfile:
    """A lock file with these lines, sorted, none of them twice."""
    return Lockfile(file, tuple(sorted(set(lines), key=lambda one: (one.id, one.key, one.sha256))))


def lock_bytes(file: Path) -> bytes | None:
    """Read the bytes of a lock file; a link out of the repository is not followed.

    Args:
        file: The path of the lock file.

    Returns:
        Its bytes; None when there is no file.

    Raises:
        InvalidInput: It cannot be read, or is too large.
    """
    check_inside(file)
    try:
        if file.exists() and not file.is_file():  # a pipe or a device has no end
            raise InvalidInput(Problem("lock_unreadable", f"{file} is not a regular file"))
        with file.open("rb") as stream:
            data = stream.read(MAX_LOCK_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(unreadable_file(file, error, "lock_unreadable")) from error
    if len(data) > MAX_LOCK_BYTES or data.count(b"\n") > MAX_LOCK_LINES:
        message = f"{file} is too large: {MAX_LOCK_BYTES // 2**20} MB and {MAX_LOCK_LINES:,} lines are allowed"
        raise InvalidInput(Problem("lock_too_large", message, hint="split the pipeline into several files"))
    return data


def read_lock(file: Path) -> Lockfile:
    """Read a lock file.

    Args:
        file: The path of the lock file.

    Returns:
        Its lines; none when there is no file.

    Raises:
        InvalidInput: With every line that cannot be read.
    """
    problems = ProblemList()
    rows = enumerate(io.BytesIO(lock_bytes(file) or b""), 1)
    lines = [line for number, row in rows if (line := _taken(file, number, row, problems))]
    problems.check()
    return lockfile_of(file, lines)


def _taken(file: Path, number: int, row: bytes, problems: ProblemList) -> LockLine | None:
    try:
        text = row[: _MAX_LINE + 1].decode("utf-8", "strict" if len(row) <= _MAX_LINE else "replace").strip()
    except UnicodeDecodeError as error:
        at = Place(file, number, 1)
        raise InvalidInput(Problem("bad_lock", "this is not UTF-8 text", at, _restore(file))) from error
    if not text:
        return None
    at = Place(file, number, 1, text[:200] if text.startswith(("{", "<", "=", ">", "|")) else "")
    if merge_conflicts.is_mark(text):
        problems.note(Problem(merge_conflicts.CONFLICT, merge_conflicts.MESSAGE, at, _MERGE_HINT))
        return None
    try:
        return line_of(json.loads(text if len(row) <= _MAX_LINE else ""))
    except (ValueError, TypeError, RecursionError) as error:
        reason = "it is not JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        problems.note(Problem("bad_lock", f"this is not a line of a lock file: {reason}", at, _restore(file)))
        return None


def line_of(data: Json) -> LockLine:
    """One line of a lock file, from its JSON data.

    Raises:
        ValueError, TypeError: it is not one.
    """
    row = object_of(data)
    texts = {name: row.text(name) for name in ("id", "key", "sha256", "variant", "price_usd", "job_id")}
    for name in ("key", "sha256"):
        if not DIGEST.fullmatch(texts[name]):
            raise ValueError(f"`{name}` is not a digest")
    return LockLine(
        id=texts["id"],
        key=Key(texts["key"]),
        sha256=texts["sha256"],
        variant=texts["variant"],
        price_usd=row.price("price_usd"),
        job_id=texts["job_id"],
        seed=row.number("seed"),
        likeness=row.text("likeness") if "likeness" in row.data else "",
        space=row.text("space") if "space" in row.data else "",
    )


def _restore(file: Path) -> str:
    return f"restore it: git checkout -- {file.name}; or delete it, and the next live run recreates it"
