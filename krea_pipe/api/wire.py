"""Our words ↔ Krea's JSON, and nothing else.

Krea's documents disagree in places, and error bodies come in several shapes, so reading is tolerant: what is missing
is None, what is unknown is ignored, what is no JSON becomes one line.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import unescape
from typing import cast

from krea_pipe.nodes import Json
from krea_pipe.outcome import Failure
from krea_pipe.request import Request

FINAL = frozenset({"completed", "failed", "cancelled"})
MAX_LINE = 300

_ROUTE = "/generate/image/krea/krea-2/"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Krea shows it. `urls` is empty until it is completed, and sometimes then as well."""

    id: str
    status: str
    urls: tuple[str, ...] = ()
    failure: Failure | None = None
    completed_at: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it can not change any more; a completion time ends statuses that may yet be invented."""
        return self.status in FINAL or self.completed_at is not None


@dataclass(frozen=True, slots=True)
class Complaint:
    """An HTTP error in words: Krea's own code, if it gave one, and one line."""

    code: str | None
    line: str


def route_of(request: Request) -> str:
    """The path that a request is posted to."""
    return _ROUTE + request.variant


def body_of(request: Request, urls: Mapping[str, str]) -> dict[str, Json]:
    """The JSON body of a request; `urls` gives the URL of each uploaded image by its source."""
    body = request.fields()
    del body["variant"]
    if request.references:
        body["image_style_references"] = [
            {"url": urls.get(one.id, one.id), "strength": one.strength} for one in request.references
        ]
    return body


def read_job(data: Json) -> Job | None:
    """A job from an answer, or None when the answer is no job."""
    if not isinstance(data, dict):
        return None
    identity, status = data.get("job_id") or data.get("id"), data.get("status")
    if not isinstance(identity, str) or not identity:
        return None
    completed_at = data.get("completed_at")
    return Job(
        id=identity,
        status=str(status).lower(),
        urls=_urls(data.get("result")),
        failure=_failure(data),
        completed_at=completed_at if isinstance(completed_at, str) else None,
    )


def read_complaint(status: int, body: bytes) -> Complaint:
    """What an HTTP error says, whatever the shape of its body: `error` as text or object, `message`, a list, HTML."""
    text = body.decode("utf-8", "replace")
    try:
        data = json.loads(text)
    except ValueError:
        return Complaint(None, f"{status} {_html_title(text)}".strip())
    code = data.get("error") if isinstance(data, dict) else None
    if isinstance(code, dict):
        code = code.get("code")
    words = _words(data)
    replacement = data.get("replacement") if isinstance(data, dict) else None
    if replacement:
        words += f"; Krea names a replacement: {replacement}"
    return Complaint(code if _is_code(code) else None, _line(f"{status} {words}".strip()))


def asset_url(data: Json) -> str | None:
    """The URL of an uploaded image, from the answer to the upload."""
    url = data.get("image_url") if isinstance(data, dict) else None
    return url if isinstance(url, str) and url else None


def _urls(result: Json) -> tuple[str, ...]:
    urls = result.get("urls") if isinstance(result, dict) else None
    if isinstance(urls, dict):
        urls = list(urls.values())
    found = [one.get("url") if isinstance(one, dict) else one for one in urls] if isinstance(urls, list) else []
    return tuple(one for one in found if isinstance(one, str) and one)


def _failure(data: Mapping[str, Json]) -> Failure | None:
    """The reason is at the top level in the current schema and under `result` in the lifecycle guide."""
    result = data.get("result")
    error = data.get("error") or (result.get("error") if isinstance(result, dict) else None)
    if isinstance(error, dict):
        code = error.get("code")
        return Failure(str(code) if code else "failed", _line(_words(error) or str(code or "failed")))
    return Failure("failed", _line(str(error))) if error else None


def _words(data: Json) -> str:
    """The sentence in an error body, wherever it stands."""
    if isinstance(data, str):
        return data
    if isinstance(data, list):
        return "; ".join(filter(None, (_words(one) for one in data[:5])))
    if not isinstance(data, dict):
        return ""
    if "msg" in data:
        where = data.get("loc")
        place = ".".join(str(one) for one in where) + ": " if isinstance(where, list) else ""
        return f"{place}{data['msg']}"
    for name in ("message", "error", "detail", "details", "errors", "issues", "validationErrors", "validation_errors"):
        words = _words(data.get(name))
        if words:
            return words
    return ""


def _is_code(code: object) -> bool:
    return isinstance(code, str) and re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{1,60}", code) is not None


def _html_title(text: str) -> str:
    title = re.search(r"<(title|h1)[^>]*>(.*?)</\1>", text, re.IGNORECASE | re.DOTALL)
    words = title[2] if title else re.sub(r"<[^>]*>", " ", text)
    return _line(unescape(words))


def _line(text: str) -> str:
    words = " ".join(re.sub(r"[\x00-\x1f\x7f]", " ", text).split())
    return words if len(words) <= MAX_LINE else words[: MAX_LINE - 1] + "…"


def as_json(body: bytes) -> Json:
    """The JSON of an answer, or None when it is none."""
    try:
        return cast("Json", json.loads(body))
    except ValueError:
        return None
