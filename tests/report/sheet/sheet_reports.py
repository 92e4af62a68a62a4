"""Reports for tests of the contact sheet: cells without pictures, as layout needs none."""

from decimal import Decimal
from itertools import product

from krea_pipe.report.model import (
    AxisView,
    CostTotals,
    Failure,
    PipelineView,
    Report,
    Row,
    StageView,
    TargetView,
    Timings,
    totals,
)

RUN = "20261012-091403-123-lamp-7f3a"


def make_row(stage, axes, *, size=(1024, 1024), status="succeeded", error=None, **changes):
    name = "/".join([stage, *map(str, axes.values())])
    found = status in ("succeeded", "reused")
    fields = {
        "id": name,
        "stage": stage,
        "axes": axes,
        "prompt": "a lamp",
        "request": {"aspect_ratio": "1:1"},
        "key": "k",
        "status": status,
        "reason": "new",
        "image": f"out/{name}.png" if found else None,
        "sha256": "ab" * 32 if found else None,
        "job_id": None,
        "cost_usd": Decimal(0),
        "attempts": (),
        "timings": Timings(None, None, None),
        "error": Failure("rejected", error) if error else None,
        "width": size[0] if size else None,
        "height": size[1] if size else None,
    }
    return Row(**{**fields, **changes})


def make_stage(name, axes, row_of=lambda stage, axes: make_row(stage, axes)):
    """A stage with these axes, name by name a list of labels, and a row for each combination; None leaves it out."""
    views = tuple(AxisView(axis, tuple((value, str(value)) for value in values)) for axis, values in axes.items())
    combinations = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    rows = [row_of(name, one) for one in combinations]
    return StageView(name, views), [row for row in rows if row is not None]


def make_report(*stages, kind="live"):
    rows = tuple(row for _, rows in stages for row in rows)
    none = Decimal(0)
    return Report(
        run_id=RUN,
        tool_version="0.1.0",
        started_at="2026-10-12T09:14:03Z",
        finished_at="2026-10-12T09:15:15Z",
        exit_code=0,
        pipeline=PipelineView("lamp", "", "lamp.yaml", "cd" * 32),
        git=None,
        target=TargetView(kind, "https://api.krea.ai"),
        out="out",
        base="../../..",
        cells=totals(rows),
        cost=CostTotals(none, none, none, none, None),
        warnings=(),
        stages=tuple(stage for stage, _ in stages),
        rows=rows,
        templates=(),
        references=(),
    )
