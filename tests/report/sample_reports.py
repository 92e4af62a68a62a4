"""Reports made for tests, by the code that makes them in a run: stages, their outcomes, and whole runs."""

import hashlib
import json
from dataclasses import replace
from decimal import Decimal
from itertools import count, product
from pathlib import Path

from krea_pipe.core.outcome import Attempt, Failure, Outcome, Result
from krea_pipe.core.request import ByDigest, Request, Weighted, key_of
from krea_pipe.core.settings import DEFAULT_BASE, LOCAL_TARGET, live_target
from krea_pipe.matrix.matrix import Cell
from krea_pipe.pipeline.model import Axis, AxisValue, Budget, Matrix, Pipeline, Stage
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.source import Document
from krea_pipe.planning.plan import Plan, Reuse, Step, Submit
from krea_pipe.report.build import Delivered, RunFacts, build_report
from krea_pipe.report.model import GitState
from krea_pipe.report.record import to_lines

PRICE = Decimal("0.02")
JOB = "5f0c1f9e-7a52-4a19-8f0e-1f4b3a9e2c11"
FAILURES = {
    "failed": Failure("rejected", "Krea refused the prompt: content policy"),
    "uncertain": Failure("answer_lost", "the connection broke after the request was sent"),
}


def make_stage(name, axes, status_of=lambda _: "succeeded"):
    """A stage with these axes, and a step with its outcome for each cell."""
    matrix = Matrix(tuple(_axis(key, values) for key, values in axes.items()), (), (), (name, "matrix"))
    stage = Stage(name, {}, (matrix,), None, (name,))
    cells = [dict(zip(axes, values, strict=True)) for values in product(*axes.values())]
    return stage, [_settled(name, cell, status_of(number)) for number, cell in enumerate(cells)]


def _axis(name, values):
    return Axis(name, tuple(AxisValue(str(value), value, str(value), value, {}, ()) for value in values), False, ())


def _settled(stage, axes, status):
    request = Request(
        variant="medium",
        prompt=f"A glass lamp, {', '.join(str(value) for value in axes.values())}",
        aspect_ratio=axes.get("ratio", "1:1"),
        resolution="1K",
        seed=7,
        creativity="medium",
        intensity=0,
        complexity=0,
        movement=0,
        references=(Weighted(ByDigest("ab" * 32), 0.5),),
    )
    cell_id = "/".join((stage, *map(str, axes.values())))
    cell = Cell(0, cell_id, stage, tuple(axes), tuple(axes.values()), cell_id, request)
    digest = hashlib.sha256(cell_id.encode()).hexdigest()
    result = Result(digest, "image/png", 1024, 1024, JOB, PRICE, "2026-10-12T09:14:17Z")
    key = key_of(request)
    action, reason = (Reuse({key: result}, key), "cached") if status == "reused" else (Submit(), "new")
    return Step(request, key, PRICE, action, reason, (cell,)), _outcome(status, result)


def _outcome(status, result):
    has_image = status in ("succeeded", "reused")
    return Outcome(
        status,
        result=result if has_image else None,
        failure=FAILURES.get(status),
        job_id=None if status == "pending" else JOB,
        cost_usd=PRICE if status in ("succeeded", "uncertain") else Decimal(0),
        attempts=(Attempt("2026-10-12T09:14:05Z", "submitted", "job 5f0c"),),
        submitted_at="2026-10-12T09:14:05Z" if has_image else None,
        finished_at="2026-10-12T09:14:16.800Z" if has_image else None,
    )


def make_report(*stages, kind="live", out=Path("out"), folder=None, **changes):
    """The report of a run with these stages; `changes` are made to it afterwards."""
    steps, outcomes, positions = [], {}, count()
    for step, outcome in (pair for _, pairs in stages for pair in pairs):
        steps.append(step._replace(cells=tuple(cell._replace(position=next(positions)) for cell in step.cells)))
        outcomes[step.key] = outcome
    run_id = "20261012-091403-7f3a"
    facts = RunFacts(
        run_id=run_id,
        folder=folder or Path(".krea-pipe/runs") / run_id,
        started_at="2026-10-12T09:14:03Z",
        finished_at="2026-10-12T09:15:15Z",
        exit_code=0,
        target=LOCAL_TARGET if kind == "local" else live_target({"KREA_API_BASE": DEFAULT_BASE}),
        out=out,
        cap=Decimal("12.00"),
        git=GitState("8c1f0d2b7e6a5948372615048d9ecb7fa1623d45", dirty=True),
        warnings=(),
    )
    pipeline = _pipeline(tuple(stage for stage, _ in stages))
    plan = Plan(pipeline.name, tuple(steps), ())
    none = Fingerprints(Path(), Path())
    made = build_report(pipeline, none, plan, outcomes, facts=facts, delivered=Delivered())
    return replace(made, **changes)


def to_json(report):
    """A report as JSON data, as it stands in `report.json`."""
    return json.loads("".join(to_lines(report)))


def _pipeline(stages):
    file = Path("pipelines/lamp.yaml")
    document = Document(file, "{}", build_nodes(file, "{}"), "cd" * 32)
    description = "Lamps on stone, for the autumn page."
    return Pipeline(document, "autumn-lamp", description, Path(), {}, Budget(), {}, {}, {}, {}, stages, ())
