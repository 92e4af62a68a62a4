"""The lock file: which image stands for each cell, committed beside the pipeline file.

`campaign.lock.jsonl` beside `campaign.yaml` has a line for each cell, a JSON object, sorted by the cell's id: no head
and no order of time, so that branches merge line by line. Git may keep the lines of both (`merge=union`): several lines
for one cell are read, and the one whose key is the cell's counts.
"""

import io
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Place, Problem
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.request import Key
from krea_pipe.pipeline.pricing import exact
from krea_pipe.pipeline.source import check_inside

SUFFIX = ".lock.jsonl"
MAX_BYTES = 128 * 1024 * 1024
MAX_LINES = 250_000
MAX_LINE = 64 * 1024
"""Bytes: a line of JSON takes a hundred times as much once it is read."""

_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONFLICT = re.compile(r"<{7}|={7}|>{7}|\|{7}")
_MERGE_HINT = (
    "keep the lines of both sides and delete the marks; `*.lock.jsonl merge=union` in .gitattributes does that"
)


@dataclass(frozen=True, slots=True)
class Locked:
    """One cell's image: its request by key, the SHA-256 of the bytes that Krea sent, and how it was drawn.

    `price` is in US dollars. `likeness` is the image's perceptual signature, "" when it is not known.
    """

    id: str
    key: Key
    sha256: str
    seed: int | None
    variant: str
    price: Decimal
    job_id: str
    likeness: str = ""

    def to_line(self) -> str:
        """The line of the file, without its end."""
        data: dict[str, Json] = {
            "id": self.id,
            "key": self.key,
            "sha256": self.sha256,
            "seed": self.seed,
            "variant": self.variant,
            "price_usd": exact(self.price),
            "job_id": self.job_id,
            "likeness": self.likeness,
        }
        return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True, slots=True)
class Lockfile:
    """The lines of a lock file, sorted by cell."""

    file: Path
    lines: tuple[Locked, ...] = ()

    def of_cells(self) -> dict[str, tuple[Locked, ...]]:
        """The lines of each cell; more than one after a merge that kept both sides."""
        return {cell: tuple(lines) for cell, lines in groupby(self.lines, lambda line: line.id)}

    def with_cells(self, cells: Mapping[str, tuple[Locked, ...]]) -> "Lockfile":
        """The same file with these lines of cells in place of its own."""
        return lockfile_of(self.file, (line for found in cells.values() for line in found))

    def to_text(self) -> str:
        """The text of the file."""
        return "".join(f"{line.to_line()}\n" for line in self.lines)


def lock_path(pipeline_file: Path) -> Path:
    """The lock file of a pipeline file: beside it, named like it. `a.yaml` and `a.yml` have different ones."""
    name = pipeline_file.name
    return pipeline_file.parent / f"{name.removesuffix('.yaml')}{SUFFIX}"


def lockfile_of(file: Path, lines: Iterable[Locked]) -> Lockfile:
    """A lock file with these lines, sorted, none of them twice."""
    return Lockfile(file, tuple(sorted(set(lines), key=lambda one: (one.id, one.key, one.sha256))))


def lock_bytes(file: Path) -> bytes | None:
    """What a lock file holds, None when there is none; a link out of the repository is not followed.

    Raises:
        InvalidInput: it cannot be read.
    """
    check_inside(file)
    try:
        if file.exists() and not file.is_file():  # a pipe or a device has no end
            raise InvalidInput(Problem("lock_unreadable", f"cannot read {file}: it is not a file"))
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InvalidInput(Problem("lock_unreadable", f"cannot read {file}: {error.strerror}")) from error
    if len(data) > MAX_BYTES or data.count(b"\n") > MAX_LINES:
        message = f"{file} is too large: {MAX_BYTES // 2**20} MB and {MAX_LINES:,} lines are read"
        raise InvalidInput(Problem("lock_too_large", message, hint="split the pipeline into several files"))
    return data


def read_lock(file: Path) -> Lockfile:
    """Read a lock file; one that does not exist has no lines.

    Raises:
        InvalidInput: with every line that cannot be read.
    """
    problems = ProblemList()
    rows = enumerate(io.BytesIO(lock_bytes(file) or b""), 1)
    lines = [line for number, row in rows if (line := _taken(file, number, row, problems))]
    problems.check()
    return lockfile_of(file, lines)


def _taken(file: Path, number: int, row: bytes, problems: ProblemList) -> Locked | None:
    try:
        text = row[: MAX_LINE + 1].decode("utf-8", "strict" if len(row) <= MAX_LINE else "replace").strip()
    except UnicodeDecodeError as error:
        at = Place(file, number, 1)
        raise InvalidInput(Problem("bad_lock", "this is not UTF-8 text", at, _restore(file))) from error
    if not text:
        return None
    at = Place(file, number, 1, text[:200] if text.startswith(("{", "<", "=", ">", "|")) else "")
    if _CONFLICT.match(text):
        problems.note(Problem("merge_conflict", "this is a mark of a merge conflict", at, _MERGE_HINT))
        return None
    try:
        return _line(json.loads(text if len(row) <= MAX_LINE else ""))
    except (ValueError, KeyError, TypeError, ArithmeticError, RecursionError) as error:
        reason = "it is no JSON" if isinstance(error, json.JSONDecodeError) else str(error)
        problems.note(Problem("bad_lock", f"this is no line of a lock file: {reason}", at, _restore(file)))
        return None


def _line(data: Json) -> Locked:
    if not isinstance(data, dict):
        raise TypeError("it is no object")
    texts = {name: _text(data, name) for name in ("id", "key", "sha256", "variant", "price_usd", "job_id")}
    for name in ("key", "sha256"):
        if not _DIGEST.fullmatch(texts[name]):
            raise ValueError(f"`{name}` is no digest")
    price = Decimal(texts["price_usd"]) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", texts["price_usd"]) else None
    if price is None:
        raise ValueError("`price_usd` is no price")
    seed = data.get("seed")
    if seed is not None and (not isinstance(seed, int) or isinstance(seed, bool)):
        raise TypeError("`seed` is no number")
    return Locked(
        id=texts["id"],
        key=Key(texts["key"]),
        sha256=texts["sha256"],
        seed=seed,
        variant=texts["variant"],
        price=price,
        job_id=texts["job_id"],
        likeness=_text(data, "likeness") if "likeness" in data else "",
    )


def _text(data: dict[str, Json], name: str) -> str:
    if name not in data:
        raise ValueError(f"it has no `{name}`")
    value = data[name]
    if not isinstance(value, str):
        raise TypeError(f"`{name}` is no text")
    if CONTROL_CHARACTERS.search(value):  # also halves of characters, which no file can hold
        raise ValueError(f"`{name}` holds what no text has")
    return value


def _restore(file: Path) -> str:
    return f"restore it: git checkout -- {file.name}; or delete it, and the next live run writes it anew"
