"""Our words ↔ Krea's JSON, and nothing else.

Krea's documents disagree in places, and error bodies come in several shapes, so reading is tolerant: what is missing
is None, what is unknown is ignored, what is no JSON becomes one line.
"""

import email.utils
import http
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from html import unescape
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import MODERATED, Failure
from krea_pipe.core.request import Request, Source, url_of
from krea_pipe.core.settings import Token

_FINAL = frozenset({"completed", "failed", "cancelled"})
_PENDING = frozenset({"backlogged", "queued", "scheduled", "processing", "sampling", "intermediate-complete"})
_KNOWN = _FINAL | _PENDING
_WAITING = frozenset({"backlogged", "queued", "scheduled"})
_MAX_LINE = 300
_MAX_HTML = 20_000
_MAX_DEPTH = 8
_MAX_ID = 200
_MAX_CURSOR = 1024
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_WHERE_WORDS_ARE = (
    "message", "error", "detail", "details", "errors", "issues", "validationErrors", "validation_errors", "formErrors",
    "reason", "title", "code",
)  # fmt: skip

_ROUTE = "/generate/image/krea/krea-2/"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Krea shows it, times by its own clock.

    `urls` is empty until it is completed, and sometimes then too. A training has a `style_id` in their place.
    """

    id: str
    status: str
    urls: tuple[str, ...] = ()
    failure: Failure | None = None
    completed_at: str | None = None
    created_at: datetime | None = None
    style_id: str | None = None

    @property
    def is_final(self) -> bool:
        """Whether it cannot change any more; a completion time ends statuses that may yet be invented."""
        return self.status in _FINAL or (self.completed_at is not None and self.status not in _PENDING)

    @property
    def is_drawn(self) -> bool:
        """Whether it ended with an image; a failed or cancelled job may still show previews."""
        return bool(self.urls) and self.status not in ("failed", "cancelled")

    @property
    def is_waiting(self) -> bool:
        """Whether no machine has taken it yet."""
        return self.status in _WAITING

    @property
    def is_backlogged(self) -> bool:
        """Whether it waits because the account runs as many jobs as it may."""
        return self.status == "backlogged"

    @property
    def is_unbilled(self) -> bool:
        """Whether it ended in a way that Krea does not bill."""
        return self.status in ("failed", "cancelled")


@dataclass(frozen=True, slots=True)
class JobPage:
    """Jobs of the account, newest first, and where the next page begins, if there is one."""

    jobs: tuple[Job, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Style:
    """A trained style as Krea lists it: the models that it is for, its owner's name, and when it was made."""

    id: str
    title: str = ""
    models: tuple[str, ...] = ()
    owner: str = ""
    created_at: str = ""


@dataclass(frozen=True, slots=True)
class StylePage:
    """Some styles, and where the next page begins, if there is one."""

    styles: tuple[Style, ...]
    next: str | None


def route_of(request: Request) -> str:
    """The path that a request is posted to."""
    return _ROUTE + request.variant


def body_of(request: Request, urls: Mapping[Source, str]) -> dict[str, Json]:
    """The JSON body of a request; `urls` gives the URL of each uploaded image by its source."""
    body = request.fields()
    del body["variant"]
    body.pop("take", None)
    if request.image is not None:
        del body["image"]
        body |= {"image_url": url_of(request.image.id, urls), "strength": request.image.strength}
    if request.references:
        body["image_style_references"] = [
            {"url": url_of(one.id, urls), "strength": one.strength} for one in request.references
        ]
    return body


def read_job(data: Json) -> Job | None:
    """A job from an answer, or None when the answer is no job."""
    if not isinstance(data, dict):
        return None
    identity, status = data.get("job_id") or data.get("id"), data.get("status")
    if not isinstance(identity, str) or not _is_usable_id(identity):
        return None
    completed_at = data.get("completed_at")
    return Job(
        id=identity,
        status=status if isinstance(status, str) and status in _KNOWN else _line(_text(status).lower()),
        urls=_urls(data.get("result")),
        failure=_failure(data),
        completed_at=completed_at if isinstance(completed_at, str) else None,
        created_at=read_time(data.get("created_at")),
        style_id=_style_id(data.get("result")),
    )


def read_page(data: Json) -> JobPage | None:
    """A page of the list of jobs, or None when the answer is none."""
    items, cursor = _page_of(data)
    jobs = [read_job(item) for item in items or ()]
    if items is None or None in jobs:  # what cannot be read may be the job that is looked for
        return None
    return JobPage(tuple(job for job in jobs if job is not None), cursor)


def read_style(data: Json) -> Style | None:
    """A style from an answer, or None when the answer is none."""
    identity = data.get("id") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(identity, str) or not _is_usable_id(identity):
        return None
    models, owner = data.get("models"), data.get("owner")
    return Style(
        id=identity,
        title=_line(_text(data.get("title") or "")),
        models=tuple(_line(_text(model)) for model in models) if isinstance(models, list) else (),
        owner=_line(_text(owner.get("name") or "")) if isinstance(owner, dict) else "",
        created_at=_line(_text(data.get("created_at") or "")),
    )


def read_styles(data: Json) -> StylePage | None:
    """A page of the list of styles, or None when the answer is none; what is no style is left out."""
    items, cursor = _page_of(data)
    if items is None:
        return None
    return StylePage(tuple(style for style in map(read_style, items) if style is not None), cursor)


def read_time(text: Json) -> datetime | None:
    """A time of Krea's in UTC; one without an offset is UTC.

    Args:
        text: ISO 8601, as it stands in an answer.

    Returns:
        None for what is no time, or lies outside of the years 2000 to 2200: no clock that works shows it.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if moment is None else plausible(moment)
    except ValueError:
        return None


def read_http_date(text: str) -> datetime | None:
    """A time in a header of HTTP, in UTC, or None as for `read_time`."""
    try:
        return plausible(email.utils.parsedate_to_datetime(text))
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def plausible(moment: datetime) -> datetime | None:
    """A time in UTC, unless it lies outside of the years 2000 to 2200, where sums of times overflow."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    # Compared before it is converted: the ends of the calendar have no time in UTC.
    return aware.astimezone(UTC) if _EARLIEST <= aware <= _LATEST else None


def read_refusal(status: int, body: bytes, token: Token | None = None) -> str:
    """What an HTTP error says, in one line: `error` as text or object, `message`, a list, HTML.

    A token is taken out before a text is cut, so that no part of it is left.
    """
    data = as_json(body)
    if token is not None:
        data = token.masked_data(data)
    said = _html_words(body[:_MAX_HTML].decode("utf-8", "replace")) if data is None else _words(data)
    words = (said if token is None else token.masked(said)).strip() or _phrase(status)
    replacement = data.get("replacement") if isinstance(data, dict) else None
    # What was said may be long; the way out must not be cut off.
    way_out = f"; Krea names a replacement: {_line(_text(replacement))}" if replacement else ""
    return _line(f"{status} {words}") + way_out


def is_error_of_krea(body: bytes) -> bool:
    """Whether the body of an HTTP error has a form that Krea's errors are known to have: an object that says why."""
    data = as_json(body)
    return isinstance(data, dict) and bool(_words(data))


def asset_url(data: Json) -> str | None:
    """The URL of an uploaded image, from the answer to the upload."""
    url = data.get("image_url") if isinstance(data, dict) else None
    return url if isinstance(url, str) and url and url.isprintable() else None


def _page_of(data: Json) -> tuple[list[Json] | None, str | None]:
    """The items of a page, None when it is none, and the cursor of the next one.

    A list whose cursor cannot be sent cannot be read on: it is none, and not at its end.
    """
    items, cursor = (data.get("items"), data.get("next_cursor")) if isinstance(data, dict) else (None, None)
    following = cursor if isinstance(cursor, str) and cursor else None
    if not isinstance(items, list) or (following and not (following.isprintable() and len(following) <= _MAX_CURSOR)):
        return None, None
    return items, following


def _is_usable_id(identity: str) -> bool:
    return identity.isprintable() and bool(identity.strip(".")) and len(identity) <= _MAX_ID


def _style_id(result: Json) -> str | None:
    identity = result.get("style_id") if isinstance(result, dict) else None
    return identity if isinstance(identity, str) and _is_usable_id(identity) else None


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
        code = _line(_text(error.get("code") or "failed") or "failed")
        return Failure(code, _line(_words(error) or code), "rejected" if code in MODERATED else "failed")
    return Failure("failed", _line(_words(error) or _text(error) or "failed")) if error else None


def _words(data: Json, depth: int = 0) -> str:
    """The sentence in an error body, wherever it stands."""
    if isinstance(data, str):
        return data
    if depth > _MAX_DEPTH:
        return ""
    if isinstance(data, list):
        return "; ".join(filter(None, (_words(one, depth + 1) for one in data[:5])))
    if not isinstance(data, dict):
        return ""
    if "msg" in data:
        where = data.get("loc")
        place = ".".join(_text(one) for one in where) + ": " if isinstance(where, list) else ""
        return f"{place}{_text(data['msg'])}"
    for name in _WHERE_WORDS_ARE:
        words = _words(data.get(name), depth + 1)
        if words:
            return words
    by_field = data.get("fieldErrors")
    if not isinstance(by_field, dict):
        return ""
    return "; ".join(
        f"{name}: {words}" for name, one in list(by_field.items())[:5] if (words := _words(one, depth + 1))
    )


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "and no reason"


def _html_words(text: str) -> str:
    # Each bounded, so that a text costs as much time as it is long.
    title = re.search(r"<(title|h1)\b[^<>]{0,200}>(.{0,400}?)</\1>", text, re.IGNORECASE | re.DOTALL)
    words = title[2] if title else re.sub(r"<[^<>]*>", " ", text)
    return unescape(words.replace("\ufffd", " "))


def _text(data: Json) -> str:
    """A value as words; what is nested so deeply that it can just be read, and not be written out, has none."""
    try:
        return str(data)
    except RecursionError:
        return ""


def _line(text: str) -> str:
    words = " ".join("".join(sign if sign.isprintable() else " " for sign in text[: 20 * _MAX_LINE]).split())
    return words if len(words) <= _MAX_LINE else words[: _MAX_LINE - 1] + "…"


def as_json(body: bytes) -> Json:
    """The JSON of an answer, or None when it is none."""
    try:
        return cast("Json", json.loads(body))
    except (ValueError, RecursionError):
        return None
