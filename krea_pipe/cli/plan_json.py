"""A plan as JSON: its cells, its totals and its price."""

from collections.abc import Iterator

from krea_pipe.app.plan_files import Forecast
from krea_pipe.cli.commands.prices import price_json
from krea_pipe.cli.messages import problem_json
from krea_pipe.cli.summary import source_json, waiting_json
from krea_pipe.core.errors import Problem
from krea_pipe.core.money import FREE, exact
from krea_pipe.core.request import source_text
from krea_pipe.core.word_diff import change_json
from krea_pipe.planning.plan import Attach, Fetch, Hold, Plan, Rejected, Reuse, Step, Submit, action_kind

ACTIONS = {Reuse: "reuse", Fetch: "fetch", Attach: "attach", Submit: "new", Hold: "hold", Rejected: "rejected"}
"""The actions in JSON."""


def plan_json(forecast: Forecast) -> dict[str, object]:
    """A plan as the one object that `plan --json` prints."""
    plan, pipeline, kind, files = forecast.plan, forecast.loaded.pipeline, forecast.target.kind, forecast.files
    engine = forecast.target.engine
    stated = [price_json(one) for one in forecast.stated_prices] if kind == "live" else []
    return {
        "schema": "krea-pipe/plan@1",
        "pipeline": plan.pipeline,
        "target": kind,
        **({} if engine is None else {"engine": engine.identity.fields()}),
        "has_work": plan.has_work,
        "cap_usd": None if forecast.cap is None else exact(forecast.cap),
        "budget_images": pipeline.budget.images,
        "verdict": None if kind == "local" else _verdict(forecast.refusal),
        "price_usd": exact(plan.total(Submit).usd),
        "at_most_usd": exact(forecast.most),
        "reach": {"requests": forecast.reach.count, "usd": exact(forecast.reach.usd)},
        "totals": totals_json(plan, None),
        "stages": [{"name": stage.name, **totals_json(plan, stage.name)} for stage in pipeline.stages],
        "uploads": [{"source": source_text(image.source), "label": image.label} for image in plan.uploads],
        "waiting": [waiting_json(one) for one in plan.waiting],
        "in_the_way": [{"cell": one.cell, "file": one.file, "reason": one.reason} for one in forecast.in_the_way],
        "warnings": [problem_json(one) for one in (*forecast.loaded.warnings, *forecast.problems)],
        **({"prices": stated} if stated else {}),
        **({"shard": str(plan.shard)} if plan.shard else {}),
        **({"deliver": {"files": files.total, "to_make": files.to_make}} if files.total else {}),
        "cells": [row for step in plan.steps for row in _cells(step)],
    }


def _verdict(refusal: Problem | None) -> dict[str, object]:
    if refusal is None:
        return {"ok": True, "code": None, "message": None}
    return {"ok": False, "code": refusal.code, "message": refusal.message}


def totals_json(plan: Plan, stage: str | None) -> dict[str, object]:
    """The requests of a plan, or of one stage, and their price by what is done with them."""
    sums = {name: plan.total(action, stage) for action, name in ACTIONS.items()}
    totals: dict[str, object] = {
        name: {"requests": one.count, "usd": exact(one.usd)} for name, one in sums.items() if name != "fetch"
    }
    fetch = {"requests": sums["fetch"].count, "usd": FREE, "at_most_usd": exact(plan.in_doubt(stage).usd)}
    return {**totals, "fetch": fetch}


def _cells(step: Step) -> Iterator[dict[str, object]]:
    for index, cell in enumerate(step.cells):
        yield {
            "id": cell.id,
            "stage": cell.stage,
            "key": step.key,
            "action": ACTIONS[action_kind(step.action)],
            "reason": f"same request as {step.cells[0].id}" if index else step.reason,
            "price_usd": FREE if index or action_kind(step.action) in (Fetch, Rejected) else exact(step.price),
            **_source(step, is_first=not index),
            **({} if index else change_json(step.change)),
        }


def _source(step: Step, *, is_first: bool) -> dict[str, object]:
    """The source from which the image of a cell is fetched, and its maximum price."""
    match step.action:
        case Fetch(offer=offer):
            return {"at_most_usd": FREE, **source_json(offer.source)}
        case Attach(was_stored=True, job_id=job_id):
            return {"at_most_usd": exact(step.price) if is_first else FREE, "source": "krea", "place": job_id}
    return {}
