"""Axis values that are not written out: ranges, counts, zipped lists, and files below the repository."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe.core import lfs
from krea_pipe.core.fields import DEFAULTS, FIELD_NAMES, check_field, check_source_strength
from krea_pipe.core.json_data import CONTROL_CHARACTERS, Json
from krea_pipe.core.written import unspelled
from krea_pipe.pipeline.cell_ids import Scalar, label_of, part_of
from krea_pipe.pipeline.nodes import resolve_scalar
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.template import is_template

MAX_RANGE_VALUES = 100_000
"""Of a range, and of a file."""
MAX_TABLE_BYTES = 16 * 1024 * 1024
MAX_TABLE_CELLS = 300_000
MAX_LINES = 500_000
FILE_KINDS = ("csv", "words", "glob")

_CHECKED = (*DEFAULTS, "strength")


def generate(data: Mapping[str, Json], folder: Path, root: Path, *, pictures: bool, field: bool) -> list[Json]:
    """The values that a mapping says.

    `pictures` is for an axis of references, `field` for any that sets a request field.

    Raises:
        Unusable: it says none.
    """
    if "count" in data:
        return list(range(1, cast("int", data["count"]) + 1))
    if "zip" in data:
        return _zipped(cast("dict[str, list[Json]]", data["zip"]))
    kind = kind_of(data)
    if kind is None:
        return _range(data)
    found = _read_values(kind, str(data[kind]), folder, root)
    if kind == "csv":
        _check_rows(found)
    if kind != "glob" or not field:
        return found
    paths = [cast("dict[str, Json]", row)["path"] for row in found]
    return [[{"image": path}] for path in paths] if pictures else paths


def kind_of(data: Mapping[str, Json]) -> str | None:
    """The kind of files that a mapping names, if it names any."""
    return next((kind for kind in FILE_KINDS if kind in data), None)


def _check_rows(rows: Sequence[Json]) -> None:
    """Refuse rows with a field that no request can have, which the schema says of rows in the file itself."""
    for number, row in enumerate(cast("Sequence[Mapping[str, Json]]", rows), 1):
        if "set" in row:
            hint = "name each column like the field that it sets, such as `creativity`"
            raise Unusable("reserved_name", "`set` is for rows that are written out", hint)
        try:
            for name in (name for name in _CHECKED if name in row and not is_template(row[name])):
                value = unspelled(row[name])
                check_source_strength(value) if name == "strength" else check_field(name, value)
        except ValueError as error:
            raise Unusable("invalid_value", f"in row {number} {error}") from error


def _range(data: Mapping[str, Json]) -> list[Json]:
    """The values of `{from, to, steps}` or `{from, to, by}`, in decimal arithmetic, so that 0.1 + 0.2 is 0.3."""
    first, last = Decimal(repr(data["from"])), Decimal(repr(data["to"]))
    if "by" not in data:
        steps = cast("int", data["steps"])
        return [_number(first + (last - first) * index / (steps - 1)) for index in range(steps)]
    step = Decimal(repr(data["by"]))
    if step == 0 or (last - first) / step < 0:
        way = "down: write a negative number" if last < first else "up: write a positive number"
        raise Unusable("invalid_value", f"`by: {data['by']}` never leads from `from` to `to`", f"they go {way}")
    count = int((last - first) / step) + 1
    if count > MAX_RANGE_VALUES:
        message = f"this range has {count:,} values; an axis takes at most {MAX_RANGE_VALUES:,}"
        raise Unusable("too_many", message, "write a larger `by`")
    return [_number(first + step * index) for index in range(count)]


def _number(value: Decimal) -> Json:
    return int(value) if value == value.to_integral() else float(round(value, 9))


def _zipped(lists: Mapping[str, list[Json]]) -> list[Json]:
    """Rows of the values that stand at one place in each list."""
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        said = ", ".join(f"`{name}` has {len(values)}" for name, values in lists.items())
        hint = "add what is missing, or write rows: - {id: wide, aspect_ratio: 16:9}"
        raise Unusable("zip_lengths", f"the lists of a `zip` need one length: {said}", hint)
    rows: list[Json] = []
    for values in zip(*lists.values(), strict=True):
        row = dict(zip(lists, values, strict=True))
        parts = [part_of(name, cast("Scalar", unspelled(value))) for name, value in row.items()]
        identity = part_of("", label_of(cast("Scalar", row["id"]))) if "id" in row else "-".join(parts)
        rows.append({**row, "id": part_of("", identity)})
    _check_rows(rows)
    return rows


def _read_values(kind: str, pattern: str, folder: Path, root: Path) -> list[Json]:
    """The values of an axis that a file holds, or that files are; paths are seen from `folder`."""
    files = files_of(pattern if kind == "glob" else pattern.rstrip("/"), folder, root)
    if kind == "glob":
        return [_file_row(file, folder) for file in files]
    if len(files) > 1:
        raise Unusable("several_files", f"{pattern} means {len(files)} files; `{kind}` reads one", "name one of them")
    text = _text_of(files[0], pattern)
    found = _rows(text, pattern) if kind == "csv" else _words(text, pattern)
    if not found:
        form = "each column's name, and a row below them" if kind == "csv" else "one value a line"
        raise Unusable("empty_value", f"{pattern} holds no values", f"write {form}")
    return found


def _file_row(file: Path, folder: Path) -> Json:
    """A file as a row: its path as the pipeline would write it, and its name without the suffix."""
    up = [".."] * sum(1 for one in (folder, *folder.parents) if not file.is_relative_to(one))
    base = next(one for one in (folder, *folder.parents) if file.is_relative_to(one))
    path = "/".join([*up, *file.relative_to(base).parts])
    return {"id": part_of("", file.stem), "name": file.stem, "path": path}


def _text_of(file: Path, pattern: str) -> str:
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_TABLE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise Unusable("file_unreadable", f"cannot read {pattern}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise Unusable("not_utf8", f"{pattern} is not valid UTF-8 text", "save it as UTF-8") from error
    if len(raw) > MAX_TABLE_BYTES:
        raise Unusable("file_too_large", f"{pattern} is larger than {MAX_TABLE_BYTES // 2**20} MB", "split the file")
    if lfs.pointer_in(raw):
        raise Unusable("lfs_pointer", f"{pattern} is a pointer of Git LFS: the table itself is not here", lfs.LFS_HINT)
    if CONTROL_CHARACTERS.search(text):
        raise Unusable("control_character", f"{pattern} holds a control character", "save it as plain text")
    return text


def _words(text: str, pattern: str) -> list[Json]:
    found: list[Json] = []
    for line in _lines(text, pattern):
        for word in map(str.strip, line.splitlines()):
            if word and not word.startswith("#"):
                found.append(word)
                _check_count(len(found), MAX_RANGE_VALUES, "values, which is the most that an axis takes", pattern)
    return found


def _lines(text: str, pattern: str) -> Iterator[str]:
    """The lines of a file, each as soon as it is asked for: they may be far more than it has values."""
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        _check_count(number, MAX_LINES, "lines, which is the most that is read", pattern)
        yield line


def _check_count(count: int, most: int, what: str, pattern: str) -> None:
    if count > most:
        message = f"{pattern} holds more than {most:,} {what}"
        raise Unusable("too_many", message, "split the file")


def _rows(text: str, pattern: str) -> list[Json]:
    reader = csv.reader(_lines(text, pattern), strict=True)
    lines, cells = list[list[str]](), 0
    try:
        for line in reader:
            cells += len(line)
            _check_count(cells, MAX_TABLE_CELLS, "cells, which is the most that a table has", pattern)
            if any(cell.strip() for cell in line):
                lines.append(line)
                _check_count(len(lines) - 1, MAX_RANGE_VALUES, "values, which is the most that an axis takes", pattern)
    except csv.Error as error:
        said = f"line {reader.line_num} of {pattern} cannot be read: {error}"
        raise Unusable("bad_csv", said, "put a cell with a comma or a quote in double quotes") from error
    if not lines:
        return []
    names = [name.strip() for name in lines[0]]
    if "" in names or len(set(names)) < len(names):
        message = f"each column of {pattern} needs a name of its own in the first line"
        raise Unusable("bad_csv", message, "write them with commas between: id,text,creativity")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(names):
            message = f"row {number} of {pattern} has {len(line)} cells, and the first line {len(names)}"
            raise Unusable("bad_csv", message, "put a cell with a comma in double quotes")
    return [_row(dict(zip(names, line, strict=True))) for line in lines[1:]]


def _row(cells: Mapping[str, str]) -> Json:
    """A row, typed as the file itself would be; without a column `id` the first column names it."""
    kept = {name: text.strip() for name, text in cells.items() if text.strip() or name not in FIELD_NAMES}
    typed: dict[str, Json] = {name: _typed(text) if text else "" for name, text in kept.items()}
    first = next(iter(cells.values())).strip()
    identity = typed.get("id", part_of("", first))
    return {**typed, "id": part_of("", str(identity))}


def _typed(text: str) -> Json:
    try:
        return resolve_scalar(text)
    except ValueError:
        return text
