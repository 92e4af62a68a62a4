"""A request body becomes an `Order`, or the refusal that Krea would send.

Where Krea's documents disagree about a range, the wide one of the guides holds here: style-reference
strength from -2 to 2 and moodboard strength from -0.5 to 1.5 (the served schema says 0 to 1 for both).
Defaults are those of the served schema: creativity `low`, strengths 0.5, 0.23 and 0.99.
"""

import json
import math
import re
from collections.abc import Mapping
from typing import NoReturn
from urllib.parse import urlsplit

from krea_pipe.local.order import CREATIVITIES, MOST, PIXELS, SLIDER, STRENGTHS, Order, Reference, Sliders, Weighted
from krea_pipe.local.refusal import refuse

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_FIELDS = frozenset(
    {"prompt", "aspect_ratio", "resolution", "seed", "creativity", "intensity", "complexity", "movement"}
    | {"image_style_references", "moodboards", "styles", "image_url", "strength"}
)
_URL_LENGTH = 1024
_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|0{8}-0{4}-0{4}-0{4}-0{12}|f{8}-f{4}-f{4}-f{4}-f{12}",
    re.IGNORECASE,
)

Body = Mapping[str, object]


def read_order(variant: str, raw: bytes) -> Order:
    """The order in a JSON body; raises `RefusalError` with 400 or 422."""
    body = _read_object(raw)
    for key in body:
        if key not in _FIELDS:
            raise refuse(400, f"Unrecognized key: {key}")
    _read_choice("resolution", _read_text(body, "resolution", "resolution"), ("1K",))
    return Order(
        variant=variant,
        prompt=_read_text(body, "prompt", "prompt"),
        aspect_ratio=_read_choice("aspect_ratio", _read_text(body, "aspect_ratio", "aspect_ratio"), tuple(PIXELS)),
        creativity=_read_choice("creativity", body.get("creativity", "low"), CREATIVITIES),
        seed=_read_seed(body),
        sliders=Sliders(*(_read_slider(body, name) for name in ("intensity", "complexity", "movement"))),
        references=_read_references(body),
        moodboard=_read_moodboard(body),
        styles=_read_styles(body),
        source=_read_source(body),
    )


def _read_object(raw: bytes) -> Body:
    try:
        body = json.loads(raw, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise refuse(400, "Invalid JSON body") from error
    if not isinstance(body, dict):
        raise refuse(400, "Expected a JSON object")
    return body


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_text(item: Body, key: str, at: str) -> str:
    if key not in item:
        raise refuse(400, f"{at}: Required")
    text = item[key]
    if not isinstance(text, str):
        raise refuse(400, f"{at}: Expected string")
    return text


def _read_choice(key: str, value: object, choices: tuple[str, ...]) -> str:
    for choice in choices:
        if value == choice:
            return choice
    raise refuse(400, f"{key}: Expected one of {', '.join(choices)}")


def _read_number(value: object, at: str, bounds: tuple[float, float] | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(400, f"{at}: Expected number")
    if bounds is not None and not bounds[0] <= value <= bounds[1]:
        raise refuse(400, f"{at}: Expected a number from {bounds[0]:g} to {bounds[1]:g}")
    # JSON has one kind of number: 1.0 and 1 are the same seed.
    return int(value) if value == int(value) else value


def _read_seed(body: Body) -> float | None:
    seed = body.get("seed")
    return None if seed is None else _read_number(seed, "seed")


def _read_slider(body: Body, key: str) -> int:
    value = _read_number(body.get(key, 0), key, SLIDER)
    if not isinstance(value, int):
        raise refuse(400, f"{key}: Expected integer")
    return value


def _read_list(body: Body, key: str, *, most: int | None = None) -> list[object]:
    items = body.get(key, [])
    if not isinstance(items, list):
        raise refuse(400, f"{key}: Expected array")
    if most is not None and len(items) > most:
        raise refuse(400, f"{key}: Array must contain at most {most} element(s)")
    return items


def _as_object(item: object, at: str, status: int = 400) -> Body:
    if not isinstance(item, dict):
        kind = "string" if isinstance(item, str) else type(item).__name__
        raise refuse(status, f"{at}: Expected object, received {kind}")
    return item


def _read_references(body: Body) -> tuple[Reference, ...]:
    references = []
    for index, item in enumerate(_read_list(body, "image_style_references", most=MOST["references"])):
        at = f"image_style_references[{index}]"
        # An integrator met 422, not 400, for a bare URL in place of an object.
        fields = _as_object(item, at, 422)
        strength = _read_number(fields.get("strength", 0.5), f"{at}.strength", STRENGTHS["references"])
        references.append(Reference(_read_url(fields, "url", f"{at}.url"), strength))
    return tuple(references)


def _read_url(item: Body, key: str, at: str) -> str:
    url = _read_text(item, key, at)
    if url.startswith("data:"):
        return url
    try:
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname
    except ValueError as error:
        raise refuse(400, f"{at}: Invalid url") from error
    if not host or not (scheme == "https" or (scheme == "http" and host in LOOPBACK)):
        raise refuse(400, f"{at}: Invalid url")
    # An integrator's test found the limit enforced for no data URI, so it binds other URLs only.
    if len(url) > _URL_LENGTH:
        raise refuse(400, f"{at}: String must contain at most {_URL_LENGTH} character(s)")
    return url


def _read_moodboard(body: Body) -> Weighted | None:
    for item in _read_list(body, "moodboards", most=MOST["moodboards"]):
        fields = _as_object(item, "moodboards[0]")
        board = _read_text(fields, "id", "moodboards[0].id")
        if not _UUID.fullmatch(board):
            raise refuse(400, "moodboards[0].id: Invalid uuid")
        strength = _read_number(fields.get("strength", 0.23), "moodboards[0].strength", STRENGTHS["moodboards"])
        return Weighted(board.lower(), strength)
    return None


def _read_styles(body: Body) -> tuple[Weighted, ...]:
    styles = []
    for index, item in enumerate(_read_list(body, "styles")):
        at = f"styles[{index}]"
        fields = _as_object(item, at)
        style = _read_text(fields, "id", f"{at}.id")
        if "strength" not in fields:
            raise refuse(400, f"{at}.strength: Required")
        styles.append(Weighted(style, _read_number(fields["strength"], f"{at}.strength", STRENGTHS["styles"])))
    return tuple(styles)


def _read_source(body: Body) -> Reference | None:
    strength = _read_number(body.get("strength", 0.99), "strength", STRENGTHS["image"])
    if body.get("image_url") is None:
        return None
    return Reference(_read_url(body, "image_url", "image_url"), strength)
