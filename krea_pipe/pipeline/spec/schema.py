"""The schema of pipeline files, with the values that one file allows, and the texts of all schemas."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import UNKNOWN_FIELDS, Allowed, can_be_allowed
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.open_weights import LARGER_RESOLUTIONS
from krea_pipe.pipeline.source import Trail

_MAX_ALLOWED = 50
"""Values of one field, as in the schema: each value of the file is compared with all."""
_PACKAGE = Path(__file__).parents[2]
_SUFFIX = ".schema.json"


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """A JSON Schema; equal only to itself, so that what is made of it can be kept."""

    data: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem, and the trail of the part to drop before the rest of the data can be checked."""

    problem: Problem
    trail: Trail


def schema_text(name: str) -> str:
    """The text of a schema, from the wheel or, in an editable install, from the repository's top level."""
    return (_schemas() / name).read_text(encoding="utf-8")


def schema_names() -> list[str]:
    """The names of all schemas, sorted."""
    found = (one.name for one in _schemas().iterdir())
    return sorted(name.removesuffix(_SUFFIX) for name in found if name.endswith(_SUFFIX))


def _schemas() -> Path:
    packaged = _PACKAGE / "schemas"
    return packaged if packaged.is_dir() else _PACKAGE.parent / "schemas"


def top_keys() -> list[str]:
    """The keys that are allowed at the top of a file."""
    return list(pipeline_schema({}).data["properties"])


def allowed_values(data: Json) -> Allowed:
    """The values that `allow_unknown` names in the data of a file, whatever else is wrong there."""
    said = mapping_in(data, "allow_unknown") if isinstance(data, dict) else {}
    found = {name: said[name] for name in UNKNOWN_FIELDS if isinstance(said.get(name), (dict, list))}
    if isinstance(data, dict) and isinstance(data.get("engine"), dict):
        found["resolution"] = [*LARGER_RESOLUTIONS, *cast("Iterable[Json]", found.get("resolution", ()))]
    return {
        name: tuple(
            one
            for one in islice(cast("Iterable[Json]", values), _MAX_ALLOWED)
            if isinstance(one, str) and can_be_allowed(name, one)
        )
        for name, values in found.items()
    }


def pipeline_schema(allowed: Allowed) -> Schema:
    """The schema of a pipeline file that allows values which krea-pipe does not know."""
    return _pipeline_schema(tuple((name, tuple(values)) for name, values in allowed.items() if values))


@lru_cache(maxsize=4)
def _pipeline_schema(allowed: tuple[tuple[str, tuple[str, ...]], ...]) -> Schema:
    schema = json.loads(schema_text("pipeline.schema.json"))
    for name in UNKNOWN_FIELDS:
        # Editors cannot know what a file allows, so for them any value of the form is valid.
        known, _ = schema["$defs"][name]["else"]["anyOf"]
        schema["$defs"][name]["else"] = {"enum": [*known["enum"], *dict(allowed).get(name, ())]}
    return Schema(schema)
