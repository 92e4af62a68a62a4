"""The rows of a report as columns, for the page: what many rows have in common stands there once.

The data of a row would be 1.2 KB, most of it names and repeated values, which a browser must read before it shows the
first picture. `templates/rows.js` makes rows of it again, with their fields in the same order.

A table is `{"shapes", "shape", "columns"}`: `shapes` are lists of names, `shape` the place of each row's list in it,
and a column has the values of those rows that have its name. A column is one of

- `[VALUE, …]`: a value for each row,
- `{"all": VALUE}`: the same value for all rows,
- `{"values": [VALUE, …], "at": [PLACE, …]}`: the place of each row's value in `values`,
- `{"table": TABLE}`: an object for each row,
- `{"same": NAME}`, in such a table: what the column of a name outside of it has.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias, cast

from krea_pipe.report.model import Row
from krea_pipe.report.record import json_default

BATCH = 5_000
"""How many rows a table has at most, so that not all of the data is in memory at a time."""
_NESTED = frozenset({"axes", "request", "timings", "values"})
"""The fields of a row that hold an object with much the same names in all rows."""
_Record: TypeAlias = Mapping[str, object]
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=json_default).encode


def row_tables(rows: Sequence[Row]) -> Iterator[str]:
    """The rows as a JSON list of tables, part after part."""
    yield "["
    for start in range(0, len(rows), BATCH):
        batch = rows[start : start + BATCH]
        yield f'{"," if start else ""}{{"count":{len(batch)},"table":'
        yield from _table(map(_data, batch), {})
        yield "}"
    yield "]"


def _data(row: Row) -> _Record:
    data = cast("dict[str, object]", json_default(row))
    data["timings"] = json_default(row.timings)
    return data


def _table(records: Iterable[_Record], outer: Mapping[str, Sequence[object]]) -> Iterator[str]:
    """A table of objects; `outer` are the columns of the table that it is in."""
    shapes: dict[tuple[str, ...], int] = {}
    shape: list[int] = []
    columns: dict[str, list[object]] = {}
    for record in records:  # one after the other: those of all rows would be several times as large as the columns
        shape.append(shapes.setdefault(tuple(record), len(shapes)))
        for name, value in record.items():
            columns.setdefault(name, []).append(value)
    yield f'{{"shapes":{_encode([*shapes])},"shape":{_column(shape)},"columns":{{'
    for number, (name, values) in enumerate(columns.items()):
        yield f"{',' if number else ''}{_encode(name)}:"
        if name in _NESTED and not outer:
            yield '{"table":'
            yield from _table(cast("Sequence[_Record]", values), columns)
            yield "}"
        elif values == outer.get(name):
            yield f'{{"same":{_encode(name)}}}'
        else:
            yield _column(values)
    yield "}}"


def _column(values: Sequence[object]) -> str:
    """A column of values that are no objects of their own."""
    kinds = set(map(type, values))
    marks: Sequence[object] = values
    as_list: Callable[[Sequence[object]], str] = _encode
    if len(kinds) > 1 or not kinds <= {str, int}:  # 1, 1.0 and True are one key of a dictionary: their texts differ
        texts = {mark: _encode(value) for mark, value in {id(value): value for value in values}.items()}
        marks, as_list = [texts[id(value)] for value in values], _list_of
    places = {mark: place for place, mark in enumerate(dict.fromkeys(marks))}
    if len(places) > len(values) / 2:
        return as_list(marks)
    if len(places) == 1:
        return f'{{"all":{as_list([*places])[1:-1]}}}'
    return f'{{"values":{as_list([*places])},"at":{_encode([places[mark] for mark in marks])}}}'


def _list_of(texts: Sequence[object]) -> str:
    """A JSON list of values that are JSON already."""
    return f"[{','.join(map(str, texts))}]"
