"""Tells pipelines from the YAML files of other tools."""

import re
from collections.abc import Iterator
from pathlib import Path

from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import closest
from krea_pipe.pipeline.source import read_document

_SHAPES = {"prompt": str, "prompts": dict, "stages": dict}
_OWN_KEYS = frozenset(
    (
        *("prompt", "prompts", "matrix", "vars", "budget", "prices", "references", "moodboards", "styles"),
        *("takes", "look", "looks", "axes", "patch"),
    )
)
"""The keys at the top of a pipeline that files of other tools hardly have."""
_NO_PIPELINE = object()
_BROKEN = (
    r"(?m)^version[ \t]*:[ \t]*1[ \t]*(#.*)?\r?$",
    r"(?m)^[ \t]*prompts?[ \t]*:",
)


def is_pipeline_file(file: Path) -> bool:
    """Whether a YAML file is a pipeline or a library of one, also if it cannot be parsed."""
    return next(pipeline_data(file, is_former=False), _NO_PIPELINE) is not _NO_PIPELINE


def looks_like_pipeline(text: str) -> bool:
    """Whether a text that may be no YAML has the lines of a pipeline."""
    return all(re.search(sign, text) for sign in _BROKEN)


def pipeline_data(file: Path, *, is_former: bool) -> Iterator[Json]:
    """The data of a file that is a pipeline.

    Args:
        file: any YAML file.
        is_former: whether it is known to have been a pipeline.

    Yields:
        Nothing if it is no pipeline; None when it is meant to be one and cannot be parsed.
    """
    try:
        text = file.read_bytes().decode(errors="replace")
    except OSError:
        return
    if not is_former and not any(key in text for key in ("version", *_OWN_KEYS, *_SHAPES)):
        return
    try:
        data = read_document(file).data
    except InvalidInput:
        if is_former or looks_like_pipeline(text):
            yield None
        return
    if is_former or (isinstance(data, dict) and _is_pipeline(data)):
        yield data


def _is_pipeline(data: dict[str, Json]) -> bool:
    """Whether a mapping has two keys of a pipeline; with another version than ours, or none, only keys of our own.

    CI systems have files with a `version` and a list of `stages`, and package files a `name` and a `version`.
    """
    if data.get("version") == 1 and isinstance(data["version"], int) and not isinstance(data["version"], bool):
        known = ("name", *_SHAPES, *_OWN_KEYS)
        return any(key in data for key in known) or any(closest(key, known) for key in data if key != "version")
    if len(_OWN_KEYS & data.keys()) > 1:
        return True
    return "version" in data and any(isinstance(data.get(key), kind) for key, kind in _SHAPES.items())
