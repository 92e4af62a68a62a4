"""Axis values that are not written out: ranges, counts, zipped lists, and files below the repository."""

import io
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple, cast

from krea_pipe.core.fields import (
    DEFAULTS,
    FIELD_NAMES,
    Allowed,
    UnknownValueError,
    check_field,
    check_source_strength,
)
from krea_pipe.core.json_data import Json
from krea_pipe.core.written import as_written, unspelled
from krea_pipe.pipeline.cell_ids import Scalar, label_of, part_of
from krea_pipe.pipeline.nodes import resolve_scalar
from krea_pipe.pipeline.repo_paths import Unusable, files_of, read_text
from krea_pipe.pipeline.spec.tables import MAX_LINES, MAX_VALUES, CsvTable, TableCell, read_table, refuse_many
from krea_pipe.pipeline.template import is_template

MAX_RANGE_VALUES = MAX_VALUES
"""Of a range, and of a file."""
MAX_TABLE_BYTES = 16 * 1024 * 1024
FILE_KINDS = ("csv", "words", "glob")

_CHECKED = (*DEFAULTS, "strength")


class FilePlaces(NamedTuple):
    """The folder that the paths of an axis count from, the one that they must not leave, and the one that the paths of
    found files are given from.
    """

    folder: Path
    root: Path
    paths_from: Path


class Generated(NamedTuple):
    """Values, and for those of a table the line in which each begins."""

    items: list[Json]
    lines: Sequence[int] = ()


def generate(
    data: Mapping[str, Json], places: FilePlaces, allowed: Allowed, *, pictures: bool, field: bool
) -> Generated:
    """The values that a mapping says.

    `allowed` are values of fields that the file allows. `pictures` is for an axis of references, `field` for any that
    sets a request field.

    Raises:
        Unusable: it says none.
    """
    if "count" in data:
        return Generated(list(range(1, cast("int", data["count"]) + 1)))
    if "zip" in data:
        return Generated(_zipped(cast("dict[str, list[Json]]", data["zip"]), allowed))
    kind = kind_of(data)
    if kind is None:
        return Generated(_range(data))
    if kind == "csv":
        return _table_rows(data, places, allowed)
    found = _read_values(kind, str(data[kind]), places)
    if kind != "glob" or not field:
        return Generated(found)
    paths = [cast("dict[str, Json]", row)["path"] for row in found]
    return Generated([[{"image": path}] for path in paths] if pictures else paths)


def kind_of(data: Mapping[str, Json]) -> str | None:
    """The kind of files that a mapping names, if it names any."""
    return next((kind for kind in FILE_KINDS if kind in data), None)


def _table_rows(data: Mapping[str, Json], places: FilePlaces, allowed: Allowed) -> Generated:
    pattern, said = str(data["csv"]), cast("str | None", data.get("delimiter"))
    table = read_table(_one_text("csv", pattern, places), pattern, "\t" if said == "tab" else said)
    rows = _rows(table)
    if not rows:
        hint = "write a header row, and at least one row below it"
        raise Unusable("empty_value", f"{pattern} contains no values", hint)
    _check_rows(rows, allowed, [f"on line {line} of {pattern}" for line in table.lines])
    return Generated(rows, table.lines)


def _check_rows(rows: Sequence[Json], allowed: Allowed, places: Sequence[str] = ()) -> None:
    """Refuse rows with a field that no request can have, which the schema says of rows in the file itself."""
    for number, row in enumerate(cast("Sequence[Mapping[str, Json]]", rows), 1):
        if "set" in row:
            hint = "name each column after the field that it sets, such as `creativity`"
            raise Unusable("reserved_name", "`set` is only for rows in the pipeline file", hint)
        try:
            for name in (name for name in _CHECKED if name in row and not is_template(row[name])):
                value = unspelled(row[name])
                check_source_strength(value) if name == "strength" else check_field(name, value, allowed)
        except ValueError as error:
            near = error.hint if isinstance(error, UnknownValueError) else None
            place = places[number - 1] if places else f"in row {number}"
            raise Unusable("invalid_value", f"{place}, {error}", near) from error


def _range(data: Mapping[str, Json]) -> list[Json]:
    """The values of `{from, to, steps}` or `{from, to, by}`, in decimal arithmetic, so that 0.1 + 0.2 is 0.3."""
    first, last = Decimal(repr(data["from"])), Decimal(repr(data["to"]))
    if "by" not in data:
        steps = cast("int", data["steps"])
        return [_number(first + (last - first) * index / (steps - 1)) for index in range(steps)]
    step = Decimal(repr(data["by"]))
    if step == 0 or (last - first) / step < 0:
        way = "down: write a negative number" if last < first else "up: write a positive number"
        raise Unusable("invalid_value", f"`by: {data['by']}` never leads from `from` to `to`", f"the values go {way}")
    count = int((last - first) / step) + 1
    if count > MAX_RANGE_VALUES:
        message = f"this range has {count:,} values; an axis can have at most {MAX_RANGE_VALUES:,}"
        raise Unusable("too_many", message, "write a larger `by`")
    return [_number(first + step * index) for index in range(count)]


def _number(value: Decimal) -> Json:
    return int(value) if value == value.to_integral() else float(round(value, 9))


def _zipped(lists: Mapping[str, list[Json]], allowed: Allowed) -> list[Json]:
    """Rows of the values at one place in each list."""
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        said = ", ".join(f"`{name}` has {len(values)}" for name, values in lists.items())
        hint = "add the missing values, or write rows: - {id: wide, aspect_ratio: 16:9}"
        raise Unusable("zip_lengths", f"the lists of a `zip` must have equal lengths: {said}", hint)
    rows: list[Json] = []
    for values in zip(*lists.values(), strict=True):
        row = dict(zip(lists, values, strict=True))
        parts = [part_of(name, cast("Scalar", unspelled(value))) for name, value in row.items()]
        identity = part_of("", label_of(cast("Scalar", row["id"]))) if "id" in row else "-".join(parts)
        rows.append({**row, "id": part_of("", identity)})
    _check_rows(rows, allowed)
    return rows


def _read_values(kind: str, pattern: str, places: FilePlaces) -> list[Json]:
    """The values of an axis that a file holds, or that files are; paths are seen from `paths_from`."""
    if kind == "glob":
        return [_file_row(file, places.paths_from) for file in files_of(pattern, places.folder, places.root)]
    found = _words(_one_text(kind, pattern, places), pattern)
    if not found:
        raise Unusable("empty_value", f"{pattern} contains no values", "write one value per line")
    return found


def _one_text(kind: str, pattern: str, places: FilePlaces) -> str:
    files = files_of(pattern.rstrip("/"), places.folder, places.root)
    if len(files) > 1:
        raise Unusable(
            "several_files", f"{pattern} matches {len(files)} files; `{kind}` reads one file", "specify one of them"
        )
    return read_text(files[0], pattern, MAX_TABLE_BYTES)


def _file_row(file: Path, folder: Path) -> Json:
    """A file as a row: its path as the pipeline would write it, and its name without the suffix."""
    up = [".."] * sum(1 for one in (folder, *folder.parents) if not file.is_relative_to(one))
    base = next(one for one in (folder, *folder.parents) if file.is_relative_to(one))
    path = "/".join([*up, *file.relative_to(base).parts])
    return {"id": part_of("", file.stem), "name": file.stem, "path": path}


def _words(text: str, pattern: str) -> list[Json]:
    found: list[Json] = []
    for line in _lines(text, pattern):
        for word in map(str.strip, line.splitlines()):
            if word and not word.startswith("#"):
                found.append(word)
                refuse_many(len(found), MAX_RANGE_VALUES, "values, the maximum for an axis", pattern)
    return found


def _lines(text: str, pattern: str) -> Iterator[str]:
    """The lines of a file, read lazily, because it may have far more of them than values."""
    for number, line in enumerate(io.StringIO(text, newline=""), 1):
        refuse_many(number, MAX_LINES, "lines, the maximum for a file", pattern)
        yield line


def _rows(table: CsvTable) -> list[Json]:
    return [_row(dict(zip(table.names, cells, strict=True))) for cells in table.rows]


def _row(cells: Mapping[str, TableCell]) -> Json:
    """A row, typed as the file itself would be; without a column `id` the first column names it."""
    kept = {name: cell for name, cell in cells.items() if cell.text.strip() or name not in FIELD_NAMES}
    typed = {name: _typed(cell, is_field=name in FIELD_NAMES) for name, cell in kept.items()}
    identity = cells.get("id") or next(iter(cells.values()))
    return {**typed, "id": part_of("", identity.text.strip())}


def _typed(cell: TableCell, *, is_field: bool) -> Json:
    """The value of a cell as written; quotes make it a text, which a request field converts like any other cell."""
    text = cell.text.strip()
    try:
        value = text if not text or (cell.is_quoted and not is_field) else resolve_scalar(text)
    except ValueError:
        return text
    return unspelled(value) if is_field else as_written(value, text)
