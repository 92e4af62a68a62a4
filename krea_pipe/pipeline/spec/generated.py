"""Axis values that are not written out: ranges, counts, zipped lists and files."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TypeGuard, cast

from krea_pipe.core.fields import DEFAULTS, check_field, check_source_strength
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.cell_ids import Scalar, part_of
from krea_pipe.pipeline.repo_paths import Unusable
from krea_pipe.pipeline.spec.tables import KINDS, values_from
from krea_pipe.pipeline.template.template import is_template

MAX_VALUES = 100_000

_CHECKED = (*DEFAULTS, "strength")


class Ungenerated(ValueError):
    """Values cannot be made: a stable code, a sentence and a hint."""

    def __init__(self, code: str, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.code, self.hint = code, hint


def is_generated(data: Json) -> "TypeGuard[dict[str, Json]]":
    """Whether the values of an axis are said by a mapping."""
    return isinstance(data, dict)


def generate(data: Mapping[str, Json], folder: Path, root: Path, *, pictures: bool, field: bool) -> list[Json]:
    """The values that a mapping says.

    `pictures` is for an axis of references, `field` for any that sets a request field.

    Raises:
        Ungenerated: it says none.
    """
    if "count" in data:
        return list(range(1, cast("int", data["count"]) + 1))
    if "zip" in data:
        return _zipped(cast("dict[str, list[Json]]", data["zip"]))
    kind = kind_of(data)
    if kind is None:
        return _range(data)
    try:
        found = values_from(kind, str(data[kind]), folder, root)
    except Unusable as error:
        raise Ungenerated(error.code, str(error), error.hint) from error
    if kind == "csv":
        _check_rows(found)
    if kind != "glob" or not field:
        return found
    paths = [cast("dict[str, Json]", row)["path"] for row in found]
    return [[{"image": path}] for path in paths] if pictures else paths


def kind_of(data: Mapping[str, Json]) -> str | None:
    """The kind of files that a mapping names, if it names any."""
    return next((kind for kind in KINDS if kind in data), None)


def _check_rows(rows: Sequence[Json]) -> None:
    """Refuse rows with a field that no request can have, which the schema says of rows in the file itself."""
    for number, row in enumerate(cast("Sequence[Mapping[str, Json]]", rows), 1):
        if "set" in row:
            hint = "name each column like the field that it sets, such as `creativity`"
            raise Ungenerated("reserved_name", "`set` is for rows that are written out", hint)
        try:
            for name in (name for name in _CHECKED if name in row and not is_template(row[name])):
                check_source_strength(row[name]) if name == "strength" else check_field(name, row[name])
        except ValueError as error:
            raise Ungenerated("invalid_value", f"in row {number} {error}") from error


def _range(data: Mapping[str, Json]) -> list[Json]:
    """The values of `{from, to, steps}` or `{from, to, by}`, in decimal arithmetic, so that 0.1 + 0.2 is 0.3."""
    first, last = Decimal(repr(data["from"])), Decimal(repr(data["to"]))
    if "by" not in data:
        steps = cast("int", data["steps"])
        return [_number(first + (last - first) * index / (steps - 1)) for index in range(steps)]
    step = Decimal(repr(data["by"]))
    if step == 0 or (last - first) / step < 0:
        way = "down: write a negative number" if last < first else "up: write a positive number"
        raise Ungenerated("invalid_value", f"`by: {data['by']}` never leads from `from` to `to`", f"they go {way}")
    count = int((last - first) / step) + 1
    if count > MAX_VALUES:
        message = f"this range has {count:,} values; an axis takes at most {MAX_VALUES:,}"
        raise Ungenerated("too_many", message, "write a larger `by`")
    return [_number(first + step * index) for index in range(count)]


def _number(value: Decimal) -> Json:
    return int(value) if value == value.to_integral() else float(round(value, 9))


def _zipped(lists: Mapping[str, list[Json]]) -> list[Json]:
    """Rows of the values that stand at one place in each list."""
    lengths = {len(values) for values in lists.values()}
    if len(lengths) > 1:
        said = ", ".join(f"`{name}` has {len(values)}" for name, values in lists.items())
        hint = "add what is missing, or write rows: - {id: wide, aspect_ratio: 16:9}"
        raise Ungenerated("zip_lengths", f"the lists of a `zip` need one length: {said}", hint)
    rows: list[Json] = []
    for values in zip(*lists.values(), strict=True):
        row = dict(zip(lists, values, strict=True))
        parts = [part_of(name, cast("Scalar", value)) for name, value in row.items()]
        identity = part_of("", str(row["id"])) if "id" in row else "-".join(parts)
        rows.append({**row, "id": part_of("", identity)})
    _check_rows(rows)
    return rows
