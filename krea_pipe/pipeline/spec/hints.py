"""What the user probably meant, and how each part of a file is written.

Near names, words of other tools, keys that have their place elsewhere. The words are in `data/hints.yaml`, which is
read when the first hint is asked for.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, cast

from krea_pipe.core.contract import ASPECT_RATIOS
from krea_pipe.core.fields import DEFAULTS, FIELD_NAMES, LIST_FIELDS
from krea_pipe.core.near_names import MAX_NAME_LENGTH, MAX_NAMES, closest, has_budget
from krea_pipe.core.package_data import data_text
from krea_pipe.pipeline.nodes import build_nodes
from krea_pipe.pipeline.source import Trail

_MAX_LISTED = 12
_PARTS = r"[\W_]+"

_STAGE_KEYS = ("prompt", "matrix", "exclude", "include", "patch", "sample", "with", "takes", "out")
_CHAIN_KEYS = ("for_each", "needs", "picks", "promote")


@dataclass(frozen=True, slots=True)
class _Words:
    """The contents of `data/hints.yaml`: our key for another word, hints for words of other tools, the form of each
    key.
    """

    aliases: Mapping[str, str]
    foreign: Mapping[str, str]
    forms: Mapping[str, str]


@cache
def _words() -> _Words:
    text = data_text("hints.yaml")
    data = cast("dict[str, Any]", build_nodes(Path("hints.yaml"), text).data)
    aliases = {word: key for key, words in data["aliases"].items() for word in words}
    return _Words(aliases, {key: one["hint"] for one in data["foreign"] for key in one["keys"]}, data["forms"])


def suggestion(word: str, known: Iterable[object]) -> str | None:
    """A hint with the known word nearest to what was written, or with all of them when they are few."""
    if not has_budget():
        return None
    options = sorted({str(one) for one in islice(known, MAX_NAMES)})
    near = nearest(word, options)
    if near:
        return f"did you mean `{near}`?"
    return f"known: {', '.join(options)}" if options and len(options) <= _MAX_LISTED else None


def nearest(word: str, known: Iterable[str], *, most: int | None = None) -> str | None:
    """The known word that was probably meant, if one is near; `most` is the most slips, as for `closest`."""
    if not has_budget():
        return None
    options = {_snake(one): one for one in islice(known, MAX_NAMES)}
    wanted = _snake(word)
    alias = _words().aliases.get(wanted)
    if alias in options or wanted in options:
        return options[alias if alias in options else wanted]
    if len(wanted) > MAX_NAME_LENGTH:
        return None
    close = closest(wanted, options, most=most)
    within = [one for one in options if len(wanted) > 3 and wanted in re.split(_PARTS, one)]
    return options[close] if close else options[within[0]] if len(within) == 1 else None


def near_ratio(text: str) -> str | None:
    """A hint with the aspect ratio that is nearest in shape."""
    found = re.fullmatch(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*[:x/*]\s*(\d{1,5}(?:\.\d{1,3})?)\s*", text)
    if not found or not Decimal(found[1]) or not Decimal(found[2]):
        return None
    shape = Decimal(found[1]) / Decimal(found[2])
    return f"the nearest shape is {min(ASPECT_RATIOS, key=lambda ratio: abs(shape / _shape(ratio) - 1))}"


def unknown_key_hint(trail: Trail, known: Iterable[str], fitting: Iterable[str]) -> str | None:
    """What to do about an unknown key at the end of a trail.

    `known` are the keys that are allowed there, `fitting` those of them that take a value of the same kind.
    """
    options = list(known)
    key = _snake(str(trail[-1]))
    near = None if key in (*FIELD_NAMES, *_CHAIN_KEYS) and len(trail) == 1 else nearest(key, fitting)
    foreign = _words().foreign.get(key)
    if near and (foreign is None or near in (key, "n")):
        return f"did you mean `{near}`?"
    if foreign is not None:
        return foreign
    elsewhere = key in (*FIELD_NAMES, *_STAGE_KEYS, *_CHAIN_KEYS)
    return _moved(key if elsewhere else nearest(key, (*DEFAULTS, *LIST_FIELDS)), trail) or _listed(options)


def form_of(trail: Trail) -> str | None:
    """How the value at a trail is written, if one line can show this."""
    axis = axis_at(trail)
    if axis and not axis[1]:
        return f"write values: `{axis[0]}: [ … ]`, or remove the axis"
    last = next((step for step in reversed(trail) if isinstance(step, str)), None)
    return _words().forms.get(str(last))


def form_of_key(key: str) -> str | None:
    """How a part of a file is written, by its key."""
    return _words().forms.get(key)


def axis_at(trail: Trail) -> tuple[str, Trail] | None:
    """The axis that a trail leads into, under `axes:` or in a matrix or one of several, and the rest of the trail."""
    if len(trail) > 1 and trail[0] == "axes":
        return str(trail[1]), trail[2:]
    own = trail[2:] if trail[:1] == ("stages",) else trail
    if own[:1] != ("matrix",):
        return None
    rest = own[2:] if len(own) > 1 and isinstance(own[1], int) else own[1:]
    return (str(rest[0]), rest[1:]) if rest else None


def _listed(options: list[str]) -> str | None:
    """The keys that are allowed somewhere; request fields are many, and known by one of them."""
    others = [one for one in options if one not in FIELD_NAMES or one == "prompt"]
    if len(options) <= _MAX_LISTED + 5:
        return f"valid keys: {', '.join(options)}"
    if {*DEFAULTS} <= {*options} and len(others) <= _MAX_LISTED + 4:
        return f"valid keys: {', '.join(others)}, and request fields such as creativity"
    return None


def _moved(key: str | None, trail: Trail) -> str | None:
    if len(trail) == 1 and key in FIELD_NAMES:
        return f"put it under `defaults:` or in a stage: `defaults: {{{key}: …}}`"
    if len(trail) == 1 and key in _CHAIN_KEYS:
        return f"put `{key}:` in a stage under `stages:`"
    if len(trail) == 2 and trail[0] == "defaults" and key in _STAGE_KEYS:
        return f"put `{key}:` in each stage, or at the top level of a file without `stages:`"
    return None


def _snake(word: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower().replace("-", "_").replace(" ", "_")


def _shape(ratio: str) -> Decimal:
    wide, _, high = ratio.partition(":")
    return Decimal(wide) / Decimal(high)
