"""The report as JSON: `report.json`, whose shape is `schemas/run-report.schema.json`."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, astuple
from decimal import Decimal
from typing import Any, get_args

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.outcome import DIGEST
from krea_pipe.pipeline.pricing import exact
from krea_pipe.report.model import (
    SCHEMA,
    Attempt,
    AxisView,
    CellTotals,
    CostTotals,
    Failure,
    GitState,
    PipelineView,
    ReferenceView,
    Report,
    Row,
    StageView,
    Status,
    TargetView,
    Timings,
)

STATUSES = frozenset(get_args(Status))


def to_json(report: Report) -> dict[str, object]:
    """Turn a report into JSON data: money as decimal strings, rows as `cells`, key order fixed."""
    return {**_head(report), "cells": [row_json(row) for row in report.rows]}


def to_text(report: Report) -> str:
    """The whole of `to_lines`."""
    return "".join(to_lines(report))


def to_lines(report: Report) -> Iterator[str]:
    """Write a report as JSON with a line for each cell: short enough to look at, and never whole in memory."""
    head = json.dumps({**_head(report), "cells": []}, ensure_ascii=False, indent=1)
    yield head.removesuffix("[]\n}") + "[\n"
    end = len(report.rows) - 1
    for index, row in enumerate(report.rows):
        yield json.dumps(row_json(row), ensure_ascii=False) + ("\n" if index == end else ",\n")
    yield "]}\n"


def _head(report: Report) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "run_id": report.run_id,
        "tool_version": report.tool_version,
        "started_at": report.started_at,
        "finished_at": report.finished_at,
        "exit_code": report.exit_code,
        "pipeline": asdict(report.pipeline),
        "git": asdict(report.git) if report.git else None,
        "target": asdict(report.target),
        "out": report.out,
        "base": report.base,
        "totals": {"cells": asdict(report.cells), "cost": _cost_json(report.cost)},
        "warnings": list(report.warnings),
        "stages": [_stage_json(stage) for stage in report.stages],
        "templates": list(report.templates),
        "references": [asdict(one) for one in report.references],
    }


def from_json(data: Mapping[str, Any]) -> Report:
    """Rebuild the report that `to_json` wrote; raise StateError if it is of another schema or damaged."""
    if data.get("schema") != SCHEMA:
        found = data.get("schema", "no schema at all")
        raise _unreadable(f"the report is written as {found}, this version reads {SCHEMA}")
    try:
        return _checked(_report(data))
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise _unreadable(f"the report is damaged: {type(error).__name__} {error}") from error


def _checked(report: Report) -> Report:
    """Refuse values of a wrong kind, which a hand or another program may have written."""
    texts = [report.run_id, report.tool_version, report.started_at, report.finished_at, report.out, report.base]
    texts += [*astuple(report.pipeline), *astuple(report.target), *report.warnings, *report.templates]
    for row in report.rows:
        texts += [row.id, row.stage, row.prompt, row.key, row.reason, row.likeness]
        sizes = [one for one in (row.width, row.height, row.template) if one is not None]
        if not all(isinstance(one, int) for one in sizes) or row.status not in STATUSES:
            raise ValueError(f"in the cell {row.id}")
        if row.template is not None and not 0 <= row.template < len(report.templates):
            raise ValueError(f"no template {row.template} for the cell {row.id}")
    digests = [*(row.sha256 for row in report.rows), *(one.sha256 for one in report.references)]
    if not all(digest is None or DIGEST.fullmatch(digest) for digest in digests):  # parts of paths come of them
        raise ValueError("a digest is none")
    if not all(isinstance(text, str) for text in texts):
        raise ValueError("a text is missing")
    return report


def _unreadable(message: str) -> StateError:
    hint = "run its pipeline again: what is stored is reused, and a new report is written"
    return StateError(Problem("unreadable_report", message, hint=hint))


def _cost_json(cost: CostTotals) -> dict[str, object]:
    return {
        "spent_usd": exact(cost.spent_usd),
        "saved_usd": exact(cost.saved_usd),
        "uncertain_usd": exact(cost.uncertain_usd),
        "in_flight_usd": exact(cost.in_flight_usd),
        "cap_usd": None if cost.cap_usd is None else exact(cost.cap_usd),
    }


def _stage_json(stage: StageView) -> dict[str, object]:
    return {"name": stage.name, "axes": [_axis_json(axis) for axis in stage.axes]}


def _axis_json(axis: AxisView) -> dict[str, object]:
    return {"name": axis.name, "values": [{"value": value, "label": label} for value, label in axis.values]}


def row_json(row: Row) -> dict[str, object]:
    """Turn one row into JSON data."""
    timings = row.timings
    return {
        "id": row.id,
        "stage": row.stage,
        "axes": dict(row.axes),
        "prompt": row.prompt,
        "request": dict(row.request),
        "key": row.key,
        "status": row.status,
        "reason": row.reason,
        "image": row.image,
        "sha256": row.sha256,
        "job_id": row.job_id,
        "cost_usd": exact(row.cost_usd),
        "attempts": [_attempt_json(attempt) for attempt in row.attempts],
        "timings": {
            "submitted_at": timings.submitted_at,
            "finished_at": timings.finished_at,
            "seconds": timings.seconds,
        },
        "error": _error_json(row.error) if row.error else None,
        "adopted": row.adopted,
        "width": row.width,
        "height": row.height,
        "likeness": row.likeness,
        "template": row.template,
        "values": dict(row.values),
        "source": row.source,
        **_pair_json(row),
    }


def _pair_json(row: Row) -> dict[str, object]:
    return {} if row.pair is None else {"pair": row.pair, "distance": row.distance, "same": row.same}


def _error_json(error: Failure) -> dict[str, object]:
    return {
        "code": error.code,
        "message": error.message,
        "class": error.kind,
        "candidates": list(error.candidates),
    }


def _attempt_json(attempt: Attempt) -> dict[str, object]:
    return {"at": attempt.at, "event": attempt.event, "detail": attempt.detail}


def _report(data: Mapping[str, Any]) -> Report:
    totals = data["totals"]
    return Report(
        run_id=data["run_id"],
        tool_version=data["tool_version"],
        started_at=data["started_at"],
        finished_at=data["finished_at"],
        exit_code=data["exit_code"],
        pipeline=PipelineView(**data["pipeline"]),
        git=GitState(**data["git"]) if data["git"] else None,
        target=TargetView(**data["target"]),
        out=data["out"],
        base=data["base"],
        cells=CellTotals(**totals["cells"]),
        cost=_cost(totals["cost"]),
        warnings=tuple(data["warnings"]),
        stages=tuple(_stage(stage) for stage in data["stages"]),
        rows=tuple(_row(cell) for cell in data["cells"]),
        templates=tuple(data.get("templates", ())),
        references=tuple(ReferenceView(**one) for one in data.get("references", ())),
    )


def _cost(data: Mapping[str, Any]) -> CostTotals:
    return CostTotals(
        spent_usd=Decimal(data["spent_usd"]),
        saved_usd=Decimal(data["saved_usd"]),
        uncertain_usd=Decimal(data["uncertain_usd"]),
        in_flight_usd=Decimal(data["in_flight_usd"]),
        cap_usd=None if data["cap_usd"] is None else Decimal(data["cap_usd"]),
    )


def _stage(data: Mapping[str, Any]) -> StageView:
    return StageView(data["name"], tuple(_axis(axis) for axis in data["axes"]))


def _axis(data: Mapping[str, Any]) -> AxisView:
    return AxisView(data["name"], tuple((item["value"], item["label"]) for item in data["values"]))


def _row(data: Mapping[str, Any]) -> Row:
    return Row(
        id=data["id"],
        stage=data["stage"],
        axes=dict(data["axes"]),
        prompt=data["prompt"],
        request=dict(data["request"]),
        key=data["key"],
        status=data["status"],
        reason=data["reason"],
        image=data["image"],
        sha256=data["sha256"],
        job_id=data["job_id"],
        cost_usd=Decimal(data["cost_usd"]),
        attempts=tuple(Attempt(**attempt) for attempt in data["attempts"]),
        timings=Timings(**data["timings"]),
        error=_error(data["error"]) if data["error"] else None,
        adopted=data.get("adopted", False),
        width=data.get("width"),
        height=data.get("height"),
        likeness=data.get("likeness", ""),
        template=data.get("template"),
        values=data.get("values", {}),
        source=data.get("source"),
        pair=data.get("pair"),
        distance=data.get("distance"),
        same=data.get("same", False),
    )


def _error(data: Mapping[str, Any]) -> Failure:
    kind = data.get("class", "failed")
    return Failure(data["code"], data["message"], kind, tuple(data.get("candidates", ())))
