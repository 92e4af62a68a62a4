"""The report as JSON: `report.json`, whose shape is `schemas/run-report.schema.json`.

What is written and read follows from the fields of the dataclasses; only what has another shape there is named here.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, astuple, fields, is_dataclass, replace
from decimal import Decimal
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar, get_args, get_origin

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import DIGEST
from krea_pipe.report.model import (
    REPORT_SCHEMA,
    Attempt,
    AxisView,
    CellTotals,
    CheckResult,
    CostTotals,
    DeliveredFile,
    Failure,
    GitState,
    PipelineView,
    ReferenceView,
    Report,
    ReportLayout,
    Row,
    StageView,
    Status,
    TargetView,
    Timings,
)

_T = TypeVar("_T")
_NO_CELLS = "[]\n}"
"""The end of a report without cells."""
_WORDS_AT_ONCE = 4_096
_STATUSES = frozenset(get_args(Status))
OPTIONAL = ("shard", "merged", "view", "assembled")
"""The fields of a report that the file has only where they say something."""
OF_PAIRS = ("pair", "distance", "same")
"""The fields of a row that the file has only in a report of two runs."""


def to_lines(report: Report) -> Iterator[str]:
    """Write a report as JSON with a line for each cell, without holding all of it in memory."""
    yield from _head(report)
    encoder = json.JSONEncoder(ensure_ascii=False, default=json_default)
    end = len(report.rows) - 1
    for index, row in enumerate(report.rows):
        yield encoder.encode(row) + ("\n" if index == end else ",\n")
    yield "]}\n"


def _head(report: Report) -> Iterator[str]:
    """All before the first cell, in parts: an axis may have as many values as there are cells."""
    encoder = json.JSONEncoder(ensure_ascii=False, indent=1, default=json_default)
    words, head = encoder.iterencode(replace(report, rows=())), ""
    while part := "".join(islice(words, _WORDS_AT_ONCE)):
        head += part
        yield head[: -len(_NO_CELLS)]
        head = head[-len(_NO_CELLS) :]
    yield "[\n"


def json_default(value: object) -> object:
    """A value of a report as JSON data that may hold other such values: the `default` of `json.dumps`."""
    kind = type(value)
    if isinstance(value, Decimal):
        return exact(value)
    if kind not in _READERS and isinstance(value, Mapping):
        return dict(value)
    data = dict(zip(_READERS[kind], _VALUES[kind](value), strict=True))
    if kind in _PLAIN:
        return data
    if isinstance(value, Row):
        return _row_data(value, data)
    if isinstance(value, AxisView):
        return {**data, "values": [{"value": one, "label": label} for one, label in value.values]}
    if isinstance(value, Failure):
        return {"class" if name == "kind" else name: one for name, one in data.items()}
    if isinstance(value, Report):
        data["cells"] = {"cells": data["cells"], "cost": data.pop("cost")}
        rows = data.pop("rows")
        data = {name: one for name, one in data.items() if one or name not in OPTIONAL}
        totals = {"totals" if name == "cells" else name: one for name, one in data.items()}
        return {"schema": REPORT_SCHEMA, **totals, "cells": rows}
    return data


def _row_data(value: Row, data: dict[str, object]) -> dict[str, object]:
    """The data of a row without what it has nothing of."""
    for name in OF_PAIRS if value.pair is None else ():
        del data[name]
    if value.checks:  # here, because a call from the encoder for each of them takes longer
        data["checks"] = [dict(zip(_CHECK_FIELDS, _VALUES[CheckResult](one), strict=True)) for one in value.checks]
    else:
        del data["checks"]
    if not value.delivered:
        del data["delivered"]
    return data


def from_json(data: Mapping[str, Any]) -> Report:
    """Rebuild the report that a file holds.

    Args:
        data: the parsed JSON of `report.json` or `started.json`, of this or an earlier version.

    Raises:
        StateError: it is of another schema, or damaged.
    """
    if data.get("schema") != REPORT_SCHEMA:
        found = data.get("schema", "no schema")
        raise _unreadable(f"the report has the schema {found}; this version reads {REPORT_SCHEMA}")
    try:
        sums = {"cells": data["totals"]["cells"], "cost": data["totals"]["cost"]}
        not_in_first_versions = {"templates": (), "references": ()}
        return _checked(_read(Report, {**not_in_first_versions, **data, **sums, "rows": data["cells"]}))
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise _unreadable(f"the report is damaged: {type(error).__name__} {error}") from error


def _read(kind: type[_T], data: Mapping[str, Any]) -> _T:
    """A dataclass from the data of its fields; more fields are allowed, unless all are plain values."""
    if kind is AxisView:
        data = {**data, "values": [(one["value"], one["label"]) for one in data["values"]]}
    if kind is Failure:
        data = {"kind": data.get("class", "failed"), **data}
    if kind in _PLAIN:
        return kind(**data)
    required, found = _REQUIRED[kind], {}
    for name, reader in _READERS[kind].items():
        if name in required or name in data:
            found[name] = reader(data[name]) if reader else data[name]
    return kind(**found)


def _reader(kind: object) -> Callable[[Any], object] | None:
    """The function that converts JSON data to a value of a type; None if the data is the value."""
    inner = get_args(kind)
    if get_origin(kind) is tuple:
        item = _reader(inner[0])
        return lambda data: tuple(map(item, data) if item else data)
    if get_origin(kind) is Mapping:
        return dict
    if len(inner) == 2 and inner[1] is type(None):
        item = _reader(inner[0])
        return item and (lambda data: None if data is None else item(data))
    if isinstance(kind, type) and is_dataclass(kind):
        return lambda data: _read(kind, data)
    return Decimal if kind is Decimal else None


_KINDS: tuple[type, ...] = (
    *(Report, Row, CheckResult, DeliveredFile, Attempt, Timings, Failure, StageView, AxisView, ReferenceView),
    *(PipelineView, GitState, TargetView, CellTotals, CostTotals, ReportLayout),
)
_READERS = {kind: {one.name: _reader(one.type) for one in fields(kind)} for kind in _KINDS}
_CHECK_FIELDS = tuple(_READERS[CheckResult])
_PLAIN = {kind for kind, readers in _READERS.items() if not any(readers.values())}
_VALUES = {kind: attrgetter(*names) for kind, names in _READERS.items()}
_REQUIRED = {
    kind: {one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING}
    for kind in _KINDS
}


def _checked(report: Report) -> Report:
    """Refuse values of a wrong kind, which a hand or another program may have written."""
    texts = [report.run_id, report.tool_version, report.started_at, report.finished_at, report.out, report.base]
    texts += [*astuple(report.pipeline), *astuple(report.target), *report.warnings, *report.templates, *report.merged]
    texts += [] if report.shard is None else [report.shard]
    if report.view is not None:
        texts += [report.view.sort, *(report.view.rows or ()), *(report.view.columns or ())]
    for row in report.rows:
        texts += [row.id, row.stage, row.prompt, row.key, row.reason, row.likeness]
        texts += [text for one in row.delivered for text in (one.recipe, one.format, one.path, *one.notes)]
        sides = [side for one in row.delivered for side in (one.width, one.height, one.bytes)]
        sizes = [one for one in (row.width, row.height, row.template, *sides) if one is not None]
        if not all(isinstance(one, int) for one in sizes) or row.status not in _STATUSES:
            raise ValueError(f"in the cell {row.id}")
        texts += [text for one in row.checks for text in (one.name, one.measure, one.message)]
        values = [value for one in row.checks for value in (one.value, one.min, one.max) if value is not None]
        if not all(isinstance(one, (int, float)) for one in values):
            raise ValueError(f"a check of the cell {row.id} has no number")
        if row.template is not None and not 0 <= row.template < len(report.templates):
            raise ValueError(f"no template {row.template} for the cell {row.id}")
    digests = [*(row.sha256 for row in report.rows), *(one.sha256 for row in report.rows for one in row.delivered)]
    digests += [*(one.sha256 for one in report.references)]
    if not all(digest is None or DIGEST.fullmatch(digest) for digest in digests):  # parts of paths come of them
        raise ValueError("a digest is invalid")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is missing")
    return report


def _unreadable(message: str) -> StateError:
    hint = "rerun its pipeline: stored images are reused, and a new report is written"
    return StateError(Problem("unreadable_report", message, hint=hint))
