"""The request fields of Krea 2: names, documented values and defaults.

The defaults are always sent, because Krea's own documents disagree about some of them (`creativity` is `low` in the
served schema and `medium` in the guides; the strengths differ too).
"""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from krea_pipe.core.contract import ASPECT_RATIOS, CREATIVITIES, RESOLUTIONS, SLIDER, STRENGTH_RANGES, VARIANTS
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json

MAX_SEED = 2_147_483_647

DEFAULTS: Mapping[str, Json] = {
    "variant": "medium",
    "aspect_ratio": "1:1",
    "resolution": "1K",
    "seed": 1,
    "creativity": "medium",
    "intensity": 0,
    "complexity": 0,
    "movement": 0,
}
LIST_FIELDS = ("references", "moodboards", "styles")
NAMED_OR_USED = (*LIST_FIELDS, "deliver", "checks")
"""Keys at the top of a file under which a mapping defines names, and a list uses them in the only stage."""
SINGULARS: Mapping[str, str] = {"moodboard": "moodboards", "style": "styles"}
"""Other names of lists, for one item of them."""
SOURCE = ("image", "strength")
"""The source image of image-to-image, and how much of it is regenerated."""
SOURCE_STRENGTH = 0.99
UNKNOWN_FIELDS = ("variant", "aspect_ratio", "resolution")
"""Fields that can have values krea-pipe does not know; `allow_unknown` lets a file send them."""
OWN_FIELDS = (*DEFAULTS, *LIST_FIELDS, *SOURCE, "prompt")
FIELD_NAMES = (*OWN_FIELDS, *SINGULARS, "look")
"""Names that set something of a request wherever they occur as a key or an axis."""

STAGE_KEYS = (
    "prompt",
    "matrix",
    "with",
    "exclude",
    "include",
    "patch",
    "sample",
    "takes",
    "look",
    "image",
    "strength",
    "out",
)
"""Keys that are allowed at the top level of a file with one stage, besides lists of names."""


Allowed: TypeAlias = Mapping[str, Collection[str]]
"""By field, values that may be sent though Krea does not document them."""
NONE_ALLOWED: Allowed = {}
# A variant is a part of an address, and pages draw an aspect ratio.
_ALLOWABLE: Mapping[str, re.Pattern[str]] = {
    "variant": re.compile(r"[a-z0-9]([a-z0-9.-]{0,30}[a-z0-9])?"),
    "aspect_ratio": re.compile(r"[1-9][0-9]{0,3}(\.[0-9]{1,3})?:[1-9][0-9]{0,3}(\.[0-9]{1,3})?"),
    "resolution": re.compile(r"[1-9][0-9]{0,3}(\.[0-9]{1,2})?[A-Za-z]{0,2}"),
}


@dataclass(frozen=True, slots=True)
class FieldRules:
    """The values that the request fields of a pipeline may have, and their defaults.

    `allowed` are values that may be sent though Krea does not document them. For an engine, `only` are the values that
    it can draw, by field, and `ignored` are fields whose values do not count.
    """

    allowed: Allowed = field(default_factory=dict)
    defaults: Mapping[str, Json] = field(default_factory=lambda: DEFAULTS)
    only: Mapping[str, tuple[Json, ...]] = field(default_factory=dict)
    lists: frozenset[str] = frozenset((*LIST_FIELDS, "image"))
    """Fields with images, moodboards or styles that can be drawn."""
    ignored: frozenset[str] = frozenset()
    needs_seed: bool = False
    """Whether each request has a seed, because an engine without one draws what nobody can draw again."""

    def check(self, name: str, value: Json) -> Json:
        """Return the value of a field as the request has it.

        Args:
            name: the request field.
            value: what the file says.

        Returns:
            The value; the default of a field that is ignored.

        Raises:
            ValueError: it cannot be sent or drawn; the message is a sentence for people.
        """
        if name in self.ignored:
            return self.defaults[name]
        checked = check_field(name, value, self.allowed)
        drawn = self.only.get(name)
        if drawn is not None and checked not in drawn:
            message = f"the engine draws `{name}` only as {' or '.join(map(shown, drawn))}, not {shown(value)}"
            raise UnknownValueError(message, ignore_hint(name))
        if name == "seed" and checked is None and self.needs_seed:
            raise UnknownValueError("an engine needs a seed", "write `seed: 1`, or in a matrix `seed: {count: 4}`")
        return checked


def ignore_hint(name: str) -> str:
    """What to do about a field that an engine cannot draw."""
    return f"remove it, or let the engine ignore it: `engine: {{ignore: [{name}]}}`"


@dataclass(frozen=True, slots=True)
class StrengthRange:
    """The range of a strength (`low` to `high`), the range that every source documents (`sure`), and the default."""

    low: float
    high: float
    sure: tuple[float, float]
    default: float


# The served schema says 0..1 for references and moodboards; older guides bless the wider ranges.
STRENGTHS: Mapping[str, StrengthRange] = {
    "references": StrengthRange(*STRENGTH_RANGES["references"], (0, 1), 0.5),
    "moodboards": StrengthRange(*STRENGTH_RANGES["moodboards"], (0, 1), 0.23),
    "styles": StrengthRange(*STRENGTH_RANGES["styles"], STRENGTH_RANGES["styles"], 1.0),
}


class UnknownValueError(ValueError):
    """A value that Krea does not document; `hint` says what to do."""

    def __init__(self, message: str, hint: str | None) -> None:
        super().__init__(message)
        self.hint = hint


def check_field(name: str, value: Json, allowed: Allowed = NONE_ALLOWED) -> Json:
    """Return the value as it will be sent.

    Args:
        name: the request field.
        value: what it must be.
        allowed: by field, values that may be sent though Krea does not document them.

    Returns:
        The value, a whole number as an `int`.

    Raises:
        ValueError: the value is not one that Krea documents; the message is a sentence for people.
    """
    if isinstance(value, str) and value in allowed.get(name, ()):
        return value
    return _CHECKS[name](name, value)


def allow_hint(name: str, value: Json) -> str | None:
    """How to send a value that Krea does not document, for a field that can have such values."""
    if name not in UNKNOWN_FIELDS or not isinstance(value, str) or not _ALLOWABLE[name].fullmatch(value):
        return None
    if name == "aspect_ratio":
        return f"if Krea has it, allow it: `allow_unknown: {{aspect_ratio: [{value}]}}`"
    return f"if Krea has it, allow it with its price: `allow_unknown: {{{name}: {{{value}: USD}}}}`"


def can_be_allowed(name: str, value: str) -> bool:
    """Whether a value has the form that `allow_unknown` takes for a field."""
    return bool(_ALLOWABLE[name].fullmatch(value))


def check_strength(kind: str, value: Json) -> float:
    """Return a strength of `references`, `moodboards` or `styles` as a number.

    Raises:
        ValueError: it is not a number in the widest documented range.
    """
    bounds = STRENGTHS[kind]
    _check_finite(f"a strength of {kind}", value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not bounds.low <= value <= bounds.high:
        span = f"{bounds.low:g} to {bounds.high:g}"
        raise ValueError(f"a strength of {kind} must be a number from {span}, not {shown(value)}")
    return float(value) + 0.0  # -0.0 and 0.0 are one strength


def check_source_strength(value: Json) -> float:
    """Return the strength of a source picture as a number.

    Raises:
        ValueError: it is not a number from 0 to 1.
    """
    _check_finite("`strength`", value)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"`strength` must be a number from 0 to 1, not {shown(value)}")
    return float(value) + 0.0


def _check_finite(what: str, value: Json) -> None:
    # Arithmetic in a template can give what no file can say.
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{what} must be a finite number, but is not")


def _one_of(*allowed: str) -> Callable[[str, Json], Json]:
    def check(name: str, value: Json) -> Json:
        if value not in allowed:
            wanted = allowed[0] if len(allowed) == 1 else f"one of {', '.join(allowed)}"
            raise UnknownValueError(f"`{name}` must be {wanted}, not {shown(value)}", allow_hint(name, value))
        return value

    return check


def _whole(low: int, high: int, *, empty: bool = False) -> Callable[[str, Json], Json]:
    def check(name: str, value: Json) -> Json:
        if value is None and empty:
            return None
        _check_finite(f"`{name}`", value)
        whole = not isinstance(value, bool) and isinstance(value, (int, float)) and value == int(value)
        if not whole or not low <= int(value) <= high:  # type: ignore[arg-type]
            raise ValueError(f"`{name}` must be a whole number from {low} to {high}, not {shown(value)}")
        return int(value)  # type: ignore[arg-type]

    return check


_CHECKS: Mapping[str, Callable[[str, Json], Json]] = {
    "variant": _one_of(*VARIANTS),
    "aspect_ratio": _one_of(*ASPECT_RATIOS),
    "resolution": _one_of(*RESOLUTIONS),
    "seed": _whole(0, MAX_SEED, empty=True),
    "creativity": _one_of(*CREATIVITIES),
    "intensity": _whole(*SLIDER),
    "complexity": _whole(*SLIDER),
    "movement": _whole(*SLIDER),
}
