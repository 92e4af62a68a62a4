"""What a person probably meant: near names, words of other tools, keys that have their place elsewhere."""

import difflib
import itertools
import re
from collections.abc import Iterable
from fractions import Fraction

from krea_pipe.fields import ASPECT_RATIOS, DEFAULTS, LISTS
from krea_pipe.source import Trail

MAX_LISTED = 12
MAX_WORD = 100
MAX_COMPARED = 1_000

_STAGE_KEYS = ("prompt", "matrix", "exclude", "out")

LATER = {
    "looks": "",
    "look": "",
    "axes": "shared axes",
    "picks": "",
    "sample": "sampling",
    "profiles": "",
    "for_each": "chained stages",
    "needs": "chained stages",
    "with": "",
    "include": "",
    "patch": "",
    "takes": "",
    "allow_unused": "",
    "image": "source images",
    "strength": "source images",
    "env": "declared environment variables",
    "by": "ranges by step size",
    "glob": "axes from files",
    "csv": "axes from files",
    "words": "axes from files",
    "zip": "zipped axes",
    "if": "rules with an expression",
}
RESERVED_AXES = ("look", "image", "strength")
_INSTEAD = {
    "axes": "write the values under `matrix:`",
    "by": "write `steps:`, the number of values",
    "csv": "write the values as a list",
    "glob": "write the values as a list",
    "words": "write the values as a list",
    "zip": "write rows, whose fields travel together: - {id: wide, aspect_ratio: 16:9}",
    "if": "name axes and values: - {surface: slate, light: [dawn, noon]}",
    "looks": "write references, moodboards and sliders in the stage or under `defaults:`",
    "takes": "use seeds: `matrix: {seed: {count: 4}}`",
}
_ALIASES = {
    "moodboard": "moodboards",
    "style": "styles",
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
    options = sorted({str(one) for one in known})
    near = nearest(word, options)
    if near:
        return f"did you mean `{near}`?"
    return f"known: {', '.join(options)}" if options and len(options) <= MAX_LISTED else None


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant, if one is near."""
    options = {_snake(one): one for one in known}
    wanted = _snake(word)
    alias = _ALIASES.get(wanted)
    if alias in options or wanted in options:
        return options[alias if alias in options else wanted]
    if len(wanted) > MAX_WORD:
        return None
    short = [one for one in itertools.islice(options, MAX_COMPARED) if len(one) <= MAX_WORD]
    close = difflib.get_close_matches(wanted, short, n=1, cutoff=0.6)
    within = [one for one in options if len(wanted) > 3 and wanted in one]
    return options[close[0]] if close else options[within[0]] if len(within) == 1 else None


def near_ratio(text: str) -> str | None:
    """A hint with the aspect ratio that is nearest in shape."""
    found = re.fullmatch(r"\s*(\d{1,5}(?:\.\d{1,3})?)\s*[:x/*]\s*(\d{1,5}(?:\.\d{1,3})?)\s*", text)
    if not found or not Fraction(found[1]) or not Fraction(found[2]):
        return None
    shape = Fraction(found[1]) / Fraction(found[2])
    return f"the nearest shape is {min(ASPECT_RATIOS, key=lambda ratio: abs(shape / _shape(ratio) - 1))}"


def reserved(key: str, what: str | None = None) -> tuple[str, str]:
    """The message and the hint for a word that a later version will understand."""
    about = f" ({LATER[key]})" if LATER.get(key) else ""
    message = f"{what or f'`{key}`'} is reserved for a later version of krea-pipe{about}"
    return message, _INSTEAD.get(key, "remove it for now")


def unknown_key_hint(trail: Trail, known: Iterable[str]) -> str | None:
    """What to do about an unknown key at the end of a trail, given the keys that may stand there."""
    options = list(known)
    key = _snake(str(trail[-1]))
    near = nearest(key, options)
    if near and (key not in _FOREIGN or key == near):
        return f"did you mean `{near}`?"
    if key in _FOREIGN:
        return _FOREIGN[key]
    moved = _moved(key if key in (*DEFAULTS, *LISTS, *_STAGE_KEYS) else nearest(key, (*DEFAULTS, *LISTS)), trail)
    if moved:
        return moved
    return f"the keys here are {', '.join(options)}" if len(options) <= MAX_LISTED + 4 else None


def _moved(key: str | None, trail: Trail) -> str | None:
    if len(trail) == 1 and key in (*DEFAULTS, *LISTS):
        return f"put it under `defaults:` or in a stage: `defaults: {{{key}: …}}`"
    if len(trail) == 2 and trail[0] == "defaults" and key in _STAGE_KEYS:
        return f"put `{key}:` in each stage, or at the top level of a file without `stages:`"
    return None


def _snake(word: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower().replace("-", "_").replace(" ", "_")


def _shape(ratio: str) -> Fraction:
    wide, _, high = ratio.partition(":")
    return Fraction(wide) / Fraction(high)
