"""A comparison as JSON data."""

from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.pricing import exact
from krea_pipe.planning.plan import Sum
from krea_pipe.report.compare.model import KINDS, Comparison, Revision, Row
from krea_pipe.report.compare.words import headline

SCHEMA = "krea-pipe/comparison@1"


def comparison_json(made: Comparison) -> dict[str, object]:
    """Every row and the totals; prices are texts of US dollars."""
    return {
        "schema": SCHEMA,
        "pipeline": made.pipeline,
        "file": made.file,
        "base": {**_revision(made.base), "file": made.old_file or made.file, "problem": _problem(made.problem)},
        "head": _revision(made.head),
        "headline": headline(made),
        "totals": totals_json(made),
        "stages": [{"name": stage, **totals_json(made, stage)} for stage in made.stages],
        "cells": [_row(row) for row in made.rows],
    }


def totals_json(made: Comparison, stage: str | None = None) -> dict[str, object]:
    """The images of the head, the cells of each kind, and the distinct requests that the base does not have."""
    return {
        "images": made.images(stage),
        **{kind: made.count(kind, stage) for kind in KINDS},
        "rendered": _sum(made.rendered(stage)),
        "stored": _sum(made.stored(stage)),
        "unpaid": _sum(made.unpaid(stage)),
    }


def _sum(one: Sum) -> dict[str, object]:
    return {"requests": one.count, "usd": exact(one.usd)}


def _revision(one: Revision) -> dict[str, object]:
    return {"name": one.name, "commit": one.commit}


def _problem(one: Problem | None) -> dict[str, object] | None:
    if one is None:
        return None
    return {"code": one.code, "message": one.message, "at": None if one.at is None else str(one.at), "hint": one.hint}


def _row(row: Row) -> dict[str, object]:
    return {
        "id": row.id,
        "stage": row.stage,
        "kind": row.kind,
        "key": row.key,
        "reason": row.reason,
        "price_usd": exact(row.price),
        "stored": row.stored,
        "was": row.was,
    }
