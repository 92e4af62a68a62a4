"""`shard.json` in the folder of a run with `--shard`: what `krea-pipe merge` needs and the report does not contain.

It has every cell of the pipeline, so that shards of different versions are told apart and missing ones are named, and
those lines of the lock file that are the shard's own. The page holds all of `report.json`, so this stays out of it.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.money import exact
from krea_pipe.core.request import Key
from krea_pipe.matrix.sharding import Shard, parse_shard
from krea_pipe.planning.lockfile import LockLine, line_of
from krea_pipe.planning.records import JsonObject, object_of, record_line, text
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import read_plain

SHARD_FILE = "shard.json"
SHARD_SCHEMA = "krea-pipe/shard@1"
_MOST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ShardRecord:
    """One shard among all cells of its pipeline.

    `keys` has every cell that can be generated, in the order of the file, with the key of its request, `numbers` the
    number of the shard that each of them belongs to. `left_out` are cells that were not selected. `images` is the
    output folder, with which the paths of images in the report begin. `lock` is the path of the lock file as the run
    knew it, "" when it kept none; `lines` are its lines of the shard's own cells, and of cells of stages that wait.
    `cap` is what all shards together may spend, in US dollars.
    """

    shard: Shard
    keys: Mapping[str, Key]
    numbers: Mapping[str, int]
    left_out: frozenset[str] = frozenset()
    images: str = ""
    lock: str = ""
    lines: tuple[LockLine, ...] = ()
    cap: Decimal | None = None

    def is_own(self, cell: str) -> bool:
        """Whether a cell is of this shard, or of none, because its stage waits.

        Args:
            cell: The id of a cell.

        Returns:
            False for a cell of another shard.
        """
        return self.numbers.get(cell, self.shard.number) == self.shard.number


def write_shard_record(record: ShardRecord, folder: Path) -> None:
    """Write the record into the folder of its run.

    Args:
        record: The facts about the shard.
        folder: The folder of the run.

    Raises:
        StateError: It cannot be written.
    """
    write_atomically(folder / SHARD_FILE, (line.encode() for line in _lines(record)), durable=False)


def _lines(record: ShardRecord) -> Iterable[str]:
    head = {"schema": SHARD_SCHEMA, "shard": str(record.shard), "images": record.images, "lock": record.lock}
    head["cap_usd"] = "" if record.cap is None else exact(record.cap)
    yield json.dumps(head, ensure_ascii=False)[:-1]
    yield f', "left_out": {json.dumps(sorted(record.left_out), ensure_ascii=False)}, "cells": [\n'
    cells = [[cell, key, record.numbers[cell]] for cell, key in record.keys.items()]
    yield ",\n".join(json.dumps(cell, ensure_ascii=False) for cell in cells)
    yield '\n], "lines": [\n'
    yield ",\n".join(record_line(line) for line in record.lines)
    yield "\n]}\n"


def read_shard_record(folder: Path) -> ShardRecord | None:
    """The record in the folder of a run.

    Args:
        folder: The folder of the run.

    Returns:
        The record; None for a run that was not of a shard.

    Raises:
        StateError: It is damaged, or of another version.
    """
    path = folder / SHARD_FILE
    try:
        return _decode(object_of(json.loads(read_plain(path, _MOST_BYTES))))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, UsageError, RecursionError) as error:
        hint = "use the unchanged folder of the run"
        raise StateError(Problem("unreadable_shard", f"cannot read {path}: {error}", hint=hint)) from error


def _decode(row: JsonObject) -> ShardRecord:
    if row.data.get("schema") != SHARD_SCHEMA:
        raise ValueError(f"it does not have the schema {SHARD_SCHEMA}")
    cells = [_cell(one) for one in _list(row, "cells")]
    return ShardRecord(
        shard=parse_shard(row.text("shard"), {}),
        keys={cell: key for cell, key, _ in cells},
        numbers={cell: number for cell, _, number in cells},
        left_out=frozenset(row.texts("left_out")),
        images=row.text("images"),
        lock=row.text("lock"),
        cap=row.price("cap_usd") if row.text("cap_usd") else None,
        lines=tuple(line_of(one) for one in _list(row, "lines")),
    )


def _cell(data: Json) -> tuple[str, Key, int]:
    match data:
        case [str(cell), str(key), int(number)]:
            return text(cell, "cells"), Key(text(key, "cells")), number
    raise ValueError("`cells` contains something that is not a cell")


def _list(row: JsonObject, name: str) -> list[Json]:
    found = row.data.get(name)
    if not isinstance(found, list):
        raise TypeError(f"`{name}` is not a list")
    return found
