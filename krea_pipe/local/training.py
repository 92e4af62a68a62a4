"""A training request becomes an order: what to learn, under which name, from which images.

Where Krea's schema is silent, so is this: the number of images has no limits, and unknown keys are passed over.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import urlsplit

from krea_pipe.local.order import Order, Reference
from krea_pipe.local.reading import LOOPBACK
from krea_pipe.local.refusal import refuse

_STEPS = (1, 2000)
_FULL_KNOBS = ("flux_dev", "flux_schnell", "wan", "wan22")
_MODELS = (*_FULL_KNOBS, "qwen", "z-image", "k2", "k2-large")
_TYPES = ("Style", "Object", "Character")

_Body = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Training(Order):
    """An order of which a style comes, and no image; its prompt is the name with the trigger word."""

    name: str = ""
    model: str = "flux_dev"
    trigger_word: str = ""

    @property
    def price(self) -> Decimal:
        """Nothing, because no document says what a training costs."""
        return Decimal(0)


def name_style(image_id: str) -> str:
    """The id of the style that comes of a job, from the id that its image would have."""
    return f"st_{image_id.replace('-', '')[:12]}"


def read_training(raw: bytes) -> Training:
    """The order in a JSON body; raises `RefusalError` with 400."""
    body = _read_object(raw)
    model = body.get("model", "flux_dev")
    if model not in _MODELS:
        raise refuse(400, f"model: Expected one of {', '.join(_MODELS)}")
    is_full = model in _FULL_KNOBS
    types = (*_TYPES, "Default") if is_full else _TYPES
    if body.get("type", types[-1] if is_full else types[0]) not in types:
        raise refuse(400, f"type: Expected one of {', '.join(types)}")
    name, trigger = _read_text(body, "name"), _read_text(body, "trigger_word", default="")
    urls = _read_urls(body)
    _check_number(body, "max_train_steps", _STEPS, whole=True)
    if is_full:
        _check_number(body, "learning_rate", (-math.inf, math.inf))
        _check_number(body, "batch_size", (1, math.inf), whole=True)
    return Training(
        variant="large" if model == "k2-large" else "medium",
        prompt=f"{name} {trigger}".strip(),
        aspect_ratio="1:1",
        seed=0,
        references=tuple(Reference(url, 1) for url in urls),
        name=name,
        model=str(model),
        trigger_word=trigger,
    )


def _read_object(raw: bytes) -> _Body:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise refuse(400, "Invalid JSON body") from error
    if not isinstance(body, dict):
        raise refuse(400, "Expected a JSON object")
    return body


def _read_text(body: _Body, key: str, *, default: str | None = None) -> str:
    if key not in body and default is None:
        raise refuse(400, f"{key}: Required")
    text = body.get(key, default)
    if not isinstance(text, str):
        raise refuse(400, f"{key}: Expected string")
    return text


def _read_urls(body: _Body) -> list[str]:
    if "urls" not in body:
        raise refuse(400, "urls: Required")
    urls = body["urls"]
    if not isinstance(urls, list):
        raise refuse(400, "urls: Expected array")
    for index, url in enumerate(urls):
        if not isinstance(url, str) or not _is_url(url):
            raise refuse(400, f"urls[{index}]: Invalid url")
    return urls


def _is_url(text: str) -> bool:
    if text.startswith("data:"):
        return True
    try:
        scheme, host = urlsplit(text).scheme, urlsplit(text).hostname
    except ValueError:
        return False
    return bool(host) and (scheme == "https" or (scheme == "http" and host in LOOPBACK))


def _check_number(body: _Body, key: str, bounds: tuple[float, float], *, whole: bool = False) -> None:
    if key not in body:
        return
    value = body[key]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise refuse(400, f"{key}: Expected number")
    if whole and value != math.floor(value):
        raise refuse(400, f"{key}: Expected integer")
    if not bounds[0] <= value <= bounds[1]:
        raise refuse(400, f"{key}: Expected a number from {bounds[0]:g} to {bounds[1]:g}")
