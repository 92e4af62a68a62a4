"""What a person probably meant: near names, words of other tools, keys that have their place elsewhere."""

import re
from collections.abc import Iterable
from fractions import Fraction
from itertools import islice

from krea_pipe.core.contract import ASPECT_RATIOS
from krea_pipe.core.fields import DEFAULTS, FIELD_NAMES, LISTS
from krea_pipe.core.near_names import MAX_NAMES, MAX_WORD, closest, may_look
from krea_pipe.pipeline.source import Trail

MAX_LISTED = 12

_STAGE_KEYS = ("prompt", "matrix", "exclude", "include", "patch", "sample", "with", "takes", "out")
_CHAIN_KEYS = ("for_each", "needs", "picks", "promote")

_ALIASES = {
    "lora": "styles",
    "loras": "styles",
    "reference": "references",
    "refs": "references",
    "image_style_references": "references",
    "style_references": "references",
    "model": "variant",
    "ratio": "aspect_ratio",
    "variables": "vars",
    "variable": "vars",
    "default": "defaults",
    "output": "out",
    "outputs": "out",
    "path": "images",
    "file": "images",
    "files": "images",
    "url": "images",
    "src": "images",
    "weight": "strength",
    "uuid": "id",
    "min": "from",
    "max": "to",
    "start": "from",
    "end": "to",
    "stop": "to",
    "exclusions": "exclude",
    "skip": "exclude",
    "foreach": "for_each",
    "depends_on": "needs",
    "after": "needs",
    "where": "when",
    "environment": "env",
    "strategy": "method",
    **dict.fromkeys(("size", "number", "count", "samples"), "n"),
    "cost": "usd",
    "max_cost": "usd",
}
_FOREIGN = {
    **dict.fromkeys(("negative_prompt", "negative"), "Krea 2 has no negative prompt: say in `prompt` what to draw"),
    **dict.fromkeys(
        ("n", "num_images", "number_of_images", "count", "batch_size", "num_outputs", "samples"),
        "for several images vary the seed: `matrix: {seed: {count: 4}}`",
    ),
    **dict.fromkeys(("width", "height", "size"), "Krea 2 takes a shape, not pixels: `defaults: {aspect_ratio: 4:5}`"),
    **dict.fromkeys(
        ("cfg", "cfg_scale", "guidance", "guidance_scale", "sampler", "scheduler"), "Krea 2 has no such setting"
    ),
    **dict.fromkeys(("api_key", "key", "token", "krea_api_key"), "keys belong in the environment: set KREA_API_KEY"),
    "max_cells": "it is an option of the command line: --max-cells",
}


def suggestion(word: str, known: Iterable[object]) -> str | None:
    """A hint with the known word nearest to what was written, or with all of them when they are few."""
    if not may_look():
        return None
    options = sorted({str(one) for one in islice(known, MAX_NAMES)})
    near = nearest(word, options)
    if near:
        return f"did you mean `{near}`?"
    return f"known: {', '.join(options)}" if options and len(options) <= MAX_LISTED else None


def nearest(word: str, known: Iterable[str], *, alike: float = 0.6) -> str | None:
    """The known word that was probably meant, if one is near; `alike` is how near, up to 1."""
    if not may_look():
        return None
    options = {_snake(one): one for one in islice(known, MAX_NAMES)}
    wanted = _snake(word)
    alias = _ALIASES.get(wanted)
    if alias in options or wanted in options:
        return options[alias if alias in options else wanted]
    if len(wanted) > MAX_WORD:
        return None
    close = closest(wanted, options, alike=alike)
    within = [one for one in options if len(wanted) > 3 and wanted in one]
    return options[close] if close else options[within[0]] if len(within) == 1 else None


def near_ratio(text: str) -> str | None:
    """A hint with the aspect ratio that is nearest in shape."""
    found = re.fullmatch(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*[:x/*]\s*(\d{1,5}(?:\.\d{1,3})?)\s*", text)
    if not found or not Fraction(found[1]) or not Fraction(found[2]):
        return None
    shape = Fraction(found[1]) / Fraction(found[2])
    return f"the nearest shape is {min(ASPECT_RATIOS, key=lambda ratio: abs(shape / _shape(ratio) - 1))}"


def unknown_key_hint(trail: Trail, known: Iterable[str]) -> str | None:
    """What to do about an unknown key at the end of a trail, given the keys that may stand there."""
    options = list(known)
    key = _snake(str(trail[-1]))
    near = None if key in (*FIELD_NAMES, *_CHAIN_KEYS) and len(trail) == 1 else nearest(key, options)
    if near and (key not in _FOREIGN or near in (key, "n")):
        return f"did you mean `{near}`?"
    if key in _FOREIGN:
        return _FOREIGN[key]
    elsewhere = key in (*FIELD_NAMES, *_STAGE_KEYS, *_CHAIN_KEYS)
    moved = _moved(key if elsewhere else nearest(key, (*DEFAULTS, *LISTS)), trail)
    if moved:
        return moved
    return _listed(options)


def _listed(options: list[str]) -> str | None:
    """The keys that may stand somewhere; request fields are many, and known by one of them."""
    others = [one for one in options if one not in FIELD_NAMES or one == "prompt"]
    if len(options) <= MAX_LISTED + 4:
        return f"the keys here are {', '.join(options)}"
    if {*DEFAULTS} <= {*options} and len(others) <= MAX_LISTED + 4:
        return f"the keys here are {', '.join(others)}, and request fields such as creativity"
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


def _shape(ratio: str) -> Fraction:
    wide, _, high = ratio.partition(":")
    return Fraction(wide) / Fraction(high)
