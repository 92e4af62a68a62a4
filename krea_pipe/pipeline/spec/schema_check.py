"""Checks data against the schema of pipeline files; what is wrong with it is described by `schema_problems`."""

import copy
from collections.abc import Iterable, Iterator
from typing import Any

from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import Allowed
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.source import Document, Trail
from krea_pipe.pipeline.spec.schema import Finding, allowed_values, pipeline_schema
from krea_pipe.pipeline.spec.schema_fit import fits


def find_problems(document: Document, data: Json) -> list[Finding]:
    """The problems that the JSON Schema finds in a document's data, or in the remaining part of it."""
    schema = pipeline_schema(allowed_values(document.data))
    if fits(data, schema.data):
        return []
    from krea_pipe.pipeline.spec.schema_problems import describe_problems  # noqa: PLC0415 (jsonschema, which takes long)

    return describe_problems(document, data, schema)


def matrix_problem(axis: str, values: Json, allowed: Allowed) -> Problem | None:
    """The first problem, without a place, that the schema finds in values of an axis that come from a variable."""
    return _problem_of({"version": 1, "matrix": {axis: values}}, allowed)


def field_problem(name: str, value: Json, allowed: Allowed) -> Problem | None:
    """The first problem, without a place, that the schema finds in the value of a request field."""
    return _problem_of({"version": 1, "stages": {"stage": {name: value}}}, allowed, above=2)


def _problem_of(data: Json, allowed: Allowed, above: int = 0) -> Problem | None:
    schema = pipeline_schema(allowed)
    if fits(data, schema.data):
        return None
    from krea_pipe.pipeline.spec.schema_problems import describe_first  # noqa: PLC0415 (jsonschema, which takes long)

    return describe_first(data, schema, above)


def part_without(document: Document, found: Iterable[Finding]) -> tuple[Json, list[Trail]]:
    """The data without its invalid parts, so that the rest can be checked too, and the trails of these parts.

    Nothing is left when the file as a whole is no mapping.
    """
    data, dropped = copy.deepcopy(document.data), list[Trail]()
    while found:
        now = [trail for finding in found for trail in _drop(data, finding.trail)]
        if not now:
            return None, dropped
        dropped += now
        found = find_problems(document, data)
    return data, dropped


def _drop(data: Json, trail: Trail) -> Iterator[Trail]:
    """Remove the value at a trail, or the list that it is in, because the places of its neighbours would move."""
    if trail == ("version",) and isinstance(data, dict):
        data["version"] = 1
        yield trail
        return
    keys = next((index for index in range(len(trail), 0, -1) if isinstance(trail[index - 1], str)), 0)
    *above, last = trail[:keys] or ("",)
    owner: Any = data
    for step in above:
        owner = owner.get(step, {}) if isinstance(owner, dict) else owner[int(step)]
    if isinstance(owner, dict) and last in owner:
        del owner[last]
        yield trail[:keys]
