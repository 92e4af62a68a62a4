"""The body of a request becomes an order, or the refusal that Krea would send.

Where Krea's documents disagree about a range, the wide one of the guides holds here (`data/krea_2.json`); defaults are
those of the served schema: creativity `low`, strengths 0.5, 0.23 and 0.99. Where the schema of trainings is silent, so
is this: the number of images has no limits, and unknown keys are passed over.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NoReturn
from urllib.parse import urlsplit

from krea_pipe.local.answers import refuse
from krea_pipe.local.order import (
    CREATIVITIES,
    MOST,
    PIXELS,
    SLIDER,
    STRENGTHS,
    Order,
    Reference,
    Sliders,
    Training,
    Weighted,
)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_SLIDERS = ("intensity", "complexity", "movement")
_FIELDS = frozenset(
    {"prompt", "aspect_ratio", "resolution", "seed", "creativity", *_SLIDERS}
    | {"image_style_references", "moodboards", "styles", "image_url", "strength"}
)
_URL_LENGTH = 1024
_UUID = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    r"|0{8}-0{4}-0{4}-0{4}-0{12}|f{8}-f{4}-f{4}-f{4}-f{12}",
    re.IGNORECASE,
)
# Base models of trainings; the first four take more fields than the others.
_FULL_MODELS = ("flux_dev", "flux_schnell", "wan", "wan22")
_MODELS = (*_FULL_MODELS, "qwen", "z-image", "k2", "k2-large")
_TYPES = ("Style", "Object", "Character")
_STEPS = (1, 2000)

_Body = Mapping[str, object]


def read_order(variant: str, raw: bytes, undocumented: Mapping[str, Sequence[str]]) -> Order:
    """The order in a JSON body; raises `RefusalError` with 400 or 422.

    `undocumented` are values of `aspect_ratio` and `resolution` that are taken as well.
    """
    body = _read_object(raw)
    for key in body:
        if key not in _FIELDS:
            raise refuse(400, f"Unrecognized key: {key}")
    resolutions = ("1K", *undocumented.get("resolution", ()))
    resolution = _check_choice("resolution", _read_text(body, "resolution"), resolutions)
    ratios = (*PIXELS, *undocumented.get("aspect_ratio", ()))
    seed = body.get("seed")
    return Order(
        variant=variant,
        prompt=_read_text(body, "prompt"),
        aspect_ratio=_check_choice("aspect_ratio", _read_text(body, "aspect_ratio"), ratios),
        creativity=_check_choice("creativity", body.get("creativity", "low"), CREATIVITIES),
        seed=None if seed is None else _check_number("seed", seed),
        sliders=Sliders(*(_check_whole(name, body.get(name, 0), SLIDER) for name in _SLIDERS)),
        references=tuple(_read_references(body)),
        moodboard=next(_read_moodboards(body), None),
        styles=tuple(_read_styles(body)),
        source=_read_source(body),
        resolution=resolution,
    )


def read_training(raw: bytes) -> Training:
    """The order in a JSON body; raises `RefusalError` with 400."""
    body = _read_object(raw)
    model = _check_choice("model", body.get("model", "flux_dev"), _MODELS)
    is_full = model in _FULL_MODELS
    types = (*_TYPES, "Default") if is_full else _TYPES
    _check_choice("type", body.get("type", types[-1] if is_full else types[0]), types)
    name, trigger = _read_text(body, "name"), _read_text(body, "trigger_word", default="")
    if "urls" not in body:
        raise refuse(400, "urls: Required")
    urls = [_check_url(f"urls[{index}]", url) for index, url in enumerate(_read_list(body, "urls"))]
    for key, bounds in {"max_train_steps": _STEPS, "batch_size": (1, math.inf)}.items():
        if key in body and (is_full or key == "max_train_steps"):
            _check_whole(key, body[key], bounds)
    if is_full and "learning_rate" in body:
        _check_number("learning_rate", body["learning_rate"])
    return Training(
        variant="large" if model == "k2-large" else "medium",
        prompt=f"{name} {trigger}".strip(),
        aspect_ratio="1:1",
        seed=0,
        references=tuple(Reference(url, 1) for url in urls),
        name=name,
        model=model,
        trigger_word=trigger,
    )


def _read_object(raw: bytes) -> _Body:
    try:
        body = json.loads(raw, parse_constant=_reject_constant)
    except (ValueError, RecursionError) as error:
        raise refuse(400, "Invalid JSON body") from error
    if not isinstance(body, dict):
        raise refuse(400, "Expected a JSON object")
    return body


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _read_text(item: _Body, key: str, at: str = "", *, default: str | None = None) -> str:
    """The text under a key, which errors name by its place `at` in the body."""
    text = item.get(key, default)
    if text is None and key not in item:
        raise refuse(400, f"{at or key}: Required")
    if not isinstance(text, str):
        raise refuse(400, f"{at or key}: Expected string")
    return text


def _check_choice(at: str, value: object, choices: tuple[str, ...]) -> str:
    if not isinstance(value, str) or value not in choices:
        raise refuse(400, f"{at}: Expected one of {', '.join(choices)}")
    return value


def _check_number(at: str, value: object, bounds: tuple[float, float] = (-math.inf, math.inf)) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(400, f"{at}: Expected number")
    if not bounds[0] <= value <= bounds[1]:
        raise refuse(400, f"{at}: Expected a number from {bounds[0]:g} to {bounds[1]:g}")
    # JSON has one kind of number: 1.0 and 1 are the same seed.
    return int(value) if value == int(value) else value


def _check_whole(at: str, value: object, bounds: tuple[float, float]) -> int:
    number = _check_number(at, value, bounds)
    if not isinstance(number, int):
        raise refuse(400, f"{at}: Expected integer")
    return number


def _read_list(body: _Body, key: str) -> list[object]:
    items = body.get(key, [])
    if not isinstance(items, list):
        raise refuse(400, f"{key}: Expected array")
    return items


def _read_objects(body: _Body, key: str, *, most: int | None = None, status: int = 400) -> Iterator[tuple[str, _Body]]:
    """The objects in a list, each with its place; anything else in it is refused with the status."""
    items = _read_list(body, key)
    if most is not None and len(items) > most:
        raise refuse(400, f"{key}: Array must contain at most {most} element(s)")
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            kind = "string" if isinstance(item, str) else type(item).__name__
            raise refuse(status, f"{key}[{index}]: Expected object, received {kind}")
        yield f"{key}[{index}]", item


def _check_url(at: str, url: object) -> str:
    if not isinstance(url, str) or not _is_url(url):
        raise refuse(400, f"{at}: Invalid url")
    return url


def _is_url(text: str) -> bool:
    if text.startswith("data:"):
        return True
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


def _read_url(item: _Body, key: str, at: str) -> str:
    url = _check_url(at, _read_text(item, key, at))
    # An integrator's test found the limit enforced for no data URI, so it binds other URLs only.
    if len(url) > _URL_LENGTH and not url.startswith("data:"):
        raise refuse(400, f"{at}: String must contain at most {_URL_LENGTH} character(s)")
    return url


def _read_references(body: _Body) -> Iterator[Reference]:
    # An integrator met 422, not 400, for a bare URL in place of an object.
    for at, item in _read_objects(body, "image_style_references", most=MOST["references"], status=422):
        strength = _check_number(f"{at}.strength", item.get("strength", 0.5), STRENGTHS["references"])
        yield Reference(_read_url(item, "url", f"{at}.url"), strength)


def _read_moodboards(body: _Body) -> Iterator[Weighted]:
    for at, item in _read_objects(body, "moodboards", most=MOST["moodboards"]):
        board = _read_text(item, "id", f"{at}.id")
        if not _UUID.fullmatch(board):
            raise refuse(400, f"{at}.id: Invalid uuid")
        strength = _check_number(f"{at}.strength", item.get("strength", 0.23), STRENGTHS["moodboards"])
        yield Weighted(board.lower(), strength)


def _read_styles(body: _Body) -> Iterator[Weighted]:
    for at, item in _read_objects(body, "styles"):
        style = _read_text(item, "id", f"{at}.id")
        if "strength" not in item:
            raise refuse(400, f"{at}.strength: Required")
        yield Weighted(style, _check_number(f"{at}.strength", item["strength"], STRENGTHS["styles"]))


def _read_source(body: _Body) -> Reference | None:
    strength = _check_number("strength", body.get("strength", 0.99), STRENGTHS["image"])
    if body.get("image_url") is None:
        return None
    return Reference(_read_url(body, "image_url", "image_url"), strength)
