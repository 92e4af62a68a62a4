"""CSV files as people have them: commas, semicolons or tabs, blank lines, quoted cells, and a column for each name.

Python's `csv` does not say which cells are quoted, and those are text whatever they look like.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeAlias

from krea_pipe.pipeline.repo_paths import Unusable

MAX_VALUES = 100_000
MAX_TABLE_CELLS = 300_000
MAX_LINES = 500_000

_NAMES = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_DETECTED = (",", ";", "\t")
_SEP = r"(?i)\"?sep=([,;|\t])\"?\r?\n"
_LINE_END = re.compile(r"\r\n|\n|\r|\Z")


class TableCell(NamedTuple):
    """The text of a cell, and whether it is quoted."""

    text: str
    is_quoted: bool


_Record: TypeAlias = tuple[int, list[TableCell]]


@dataclass(frozen=True, slots=True)
class CsvTable:
    """The names of columns, the cells of each row, and the line in which each row begins."""

    names: Sequence[str]
    rows: Sequence[Sequence[TableCell]]
    lines: Sequence[int]


def read_table(text: str, pattern: str, delimiter: str | None) -> CsvTable:
    """Read the text of a CSV file.

    Args:
        text: what the file holds.
        pattern: the file, as messages name it.
        delimiter: what separates cells; None is found out from the first line.

    Raises:
        Unusable: it cannot be read as a table, or has too much in it.
    """
    said = re.match(_SEP, text)  # a line for spreadsheets
    first_line, text = (2, text[said.end() :]) if said else (1, text)
    delimiter = delimiter or (said[1] if said else _delimiter_of(text, pattern))
    records = [*_filled(text, delimiter, pattern, first_line)]
    if not records:
        return CsvTable((), (), ())
    head, *rows = records
    names = [cell.text.strip() for cell in head[1]]
    used = max((i for _, cells in records for i, cell in enumerate(cells, 1) if cell.text.strip()), default=0)
    names = names[:used] if not any(names[used:]) else names  # empty columns at the end
    _check_names(names, pattern, delimiter)
    for line, cells in rows:
        _check_width(cells, names, line, pattern, delimiter)
    return CsvTable(names, [cells[: len(names)] for _, cells in rows], [line for line, _ in rows])


def refuse_many(count: int, most: int, what: str, pattern: str) -> None:
    """Refuse a file that holds more than it may.

    Raises:
        Unusable: it does.
    """
    if count > most:
        message = f"{pattern} contains more than {most:,} {what}"
        raise Unusable("too_many", message, "split the file")


def _delimiter_of(text: str, pattern: str) -> str:
    """The delimiter in the first line; if several characters are possible, the one on which all lines agree."""
    heads = {one: next(_filled(text, one, pattern, 1, strict=False), (1, []))[1] for one in _DETECTED}
    found = [one for one, cells in heads.items() if len(cells) > 1]
    fits = [one for one in found if _fits(text, one, pattern)] if len(found) > 1 else found
    return next(iter(fits or found), ",")


def _fits(text: str, delimiter: str, pattern: str) -> bool:
    try:
        return len({len(cells) for _, cells in _filled(text, delimiter, pattern, 1)}) == 1
    except Unusable:
        return False


def _check_names(names: Sequence[str], pattern: str, delimiter: str) -> None:
    if "" in names or len(set(names)) < len(names):
        wrong = next(i for i, name in enumerate(names, 1) if not name or name in names[: i - 1])
        what = f"column {wrong} has none" if not names[wrong - 1] else f"`{names[wrong - 1]}` appears twice"
        message = f"each column of {pattern} needs a unique name in the first line, but {what}"
        hint = f"separate them with {_NAMES[delimiter]}: {delimiter.join(('id', 'text', 'creativity'))}"
        raise Unusable("bad_csv", message, hint)


def _check_width(cells: Sequence[TableCell], names: Sequence[str], line: int, pattern: str, delimiter: str) -> None:
    if len(cells) < len(names) or any(cell.text.strip() for cell in cells[len(names) :]):
        count = "1 cell" if len(cells) == 1 else f"{len(cells)} cells"
        message = f"line {line} of {pattern} has {count}, but the first line has {len(names)}"
        hint = f"cells are separated by {_NAMES[delimiter]}; put a cell with one of them in double quotes"
        raise Unusable("bad_csv", message, hint)


def _filled(text: str, delimiter: str, pattern: str, first_line: int, *, strict: bool = True) -> Iterator[_Record]:
    """The lines that hold anything."""
    count, values = 0, 0
    for line, cells in _records(text, delimiter, pattern, first_line, strict=strict):
        if any(cell.text.strip() for cell in cells):
            count += len(cells)
            refuse_many(count, MAX_TABLE_CELLS, "cells, the maximum for a table", pattern)
            yield line, cells
            values += 1
            refuse_many(values - 1, MAX_VALUES, "values, the maximum for an axis", pattern)


def _records(text: str, delimiter: str, pattern: str, line: int, *, strict: bool) -> Iterator[_Record]:
    cell = re.compile(
        rf'"([^"]*(?:""[^"]*)*)"(?=[{re.escape(delimiter)}\r\n]|\Z)|((?!")[^{re.escape(delimiter)}\r\n]*)'
    )
    at, start, cells = 0, line, list[TableCell]()
    while at < len(text) or cells:
        found = cell.match(text, at)
        if found is None and strict:
            _refuse_quote(text, at, line, len(cells) + 1, pattern)
        if found is None:
            return
        quoted = found[1] is not None
        cells.append(TableCell(found[1].replace('""', '"') if quoted else found[2], quoted))
        line += len(re.findall(r"\r\n|\n|\r", found[1])) if quoted else 0
        at = found.end()
        if text.startswith(delimiter, at):
            at += 1
            continue
        refuse_many(line, MAX_LINES, "lines, the maximum for a file", pattern)
        yield start, cells
        ending = _LINE_END.match(text, at)
        at, line, cells = ending.end() if ending else at, line + 1, []
        start = line


def _refuse_quote(text: str, at: int, line: int, column: int, pattern: str) -> NoReturn:
    closed = re.compile(r'"[^"]*(?:""[^"]*)*"').match(text, at)
    what = "text follows the closing quote" if closed else "the quote is never closed"
    message = f"line {line} of {pattern} cannot be read: in column {column} {what}"
    raise Unusable("bad_csv", message, 'double a quote inside a quoted cell: "5"" pot"')
