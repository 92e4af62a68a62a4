"""Reports made for tests: rows, stages and whole runs, valid unless a test changes them."""

import hashlib
from dataclasses import replace
from decimal import Decimal
from itertools import product

from krea_pipe.report.model import (
    Attempt,
    AxisView,
    CellTotals,
    CostTotals,
    Failure,
    GitState,
    PipelineView,
    Report,
    Row,
    StageView,
    TargetView,
    Timings,
)

STATUSES = ("succeeded", "reused", "failed", "uncertain", "pending")
PRICE = Decimal("0.02")
FAILURES = {
    "failed": Failure("rejected", "Krea refused the prompt: content policy"),
    "uncertain": Failure("answer_lost", "the connection broke after the request was sent"),
}


def axis(name, values):
    return AxisView(name, tuple((value, str(value)) for value in values))


def make_row(stage, axes, status="succeeded", **changes):
    cell_id = "/".join((stage, *(f"{name}={value}" for name, value in axes.items())))
    digest = hashlib.sha256(cell_id.encode()).hexdigest()
    has_image = status in ("succeeded", "reused")
    row = Row(
        id=cell_id,
        stage=stage,
        axes=axes,
        prompt=f"A glass lamp, {', '.join(str(value) for value in axes.values())}",
        request={
            "aspect_ratio": axes.get("ratio", "1:1"),
            "creativity": "medium",
            "image_style_references": [{"digest": "ab" * 32, "strength": 0.5}],
            "prompt": "A glass lamp",
            "resolution": "1K",
            "seed": 7,
        },
        key=f"k1-{digest[:40]}",
        status=status,
        reason="same request" if status == "reused" else "new",
        image=f"{stage}/{digest[:8]}.png" if has_image else None,
        sha256=digest if has_image else None,
        job_id=None if status == "pending" else "5f0c1f9e-7a52-4a19-8f0e-1f4b3a9e2c11",
        cost_usd=PRICE if status in ("succeeded", "uncertain") else Decimal(0),
        attempts=(Attempt("2026-10-12T09:14:05Z", "submitted", "job 5f0c"),),
        timings=Timings("2026-10-12T09:14:05Z", "2026-10-12T09:14:17Z", 11.8) if has_image else Timings(),
        error=FAILURES.get(status),
    )
    return replace(row, **changes)


def make_stage(name, axes, status_of=lambda _: "succeeded"):
    view = StageView(name, tuple(axis(key, values) for key, values in axes.items()))
    cells = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return view, [make_row(name, cell, status_of(number)) for number, cell in enumerate(cells)]


def make_report(*stages, kind="live", **changes):
    rows = tuple(row for _, stage_rows in stages for row in stage_rows)
    count = {status: sum(row.status == status for row in rows) for status in STATUSES}
    report = Report(
        run_id="20261012-091403-7f3a",
        tool_version="0.1.0",
        started_at="2026-10-12T09:14:03Z",
        finished_at="2026-10-12T09:15:15Z",
        exit_code=0,
        pipeline=PipelineView("autumn-lamp", "Lamps on stone, for the autumn page.", "pipelines/lamp.yaml", "cd" * 32),
        git=GitState("8c1f0d2b7e6a5948372615048d9ecb7fa1623d45", dirty=True),
        target=TargetView(kind, "https://api.krea.ai" if kind == "live" else "http://krea.local"),
        out="out",
        base="../../../out",
        cells=CellTotals(total=len(rows), **count),
        cost=CostTotals(
            spent_usd=PRICE * count["succeeded"],
            saved_usd=PRICE * count["reused"],
            uncertain_usd=PRICE * count["uncertain"],
            cap_usd=Decimal("12.00"),
        ),
        warnings=(),
        stages=tuple(view for view, _ in stages),
        rows=rows,
    )
    return replace(report, **changes)
