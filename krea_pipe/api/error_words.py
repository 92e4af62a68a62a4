"""Reads errors of Krea: the message, and the path of the field.

Krea's documents name several forms of error bodies, and services like it answer with those of the libraries that they
are made of: zod (issues, flattened, treeified, formatted), problem+json (RFC 9457), pydantic, HTML of a gateway.
"""

import http
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from html import unescape
from itertools import islice
from typing import cast

from krea_pipe.core.failure_codes import spelled_code
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import Token

_MAX_LINE = 300
_MAX_EXCERPT = 160
_MAX_HTML = 20_000
_MAX_DEPTH = 12
_MOST_PARTS = 5
"""The maximum number of parts of a list, and of all parts together."""

_SENTENCES = ("message", "msg", "error", "detail", "reason", "description", "error_description", "failure_reason")
_LISTS = ("errors", "issues", "details", "validationErrors", "validation_errors", "formErrors", "_errors")
_FIELDS = ("fieldErrors", "properties")
_PLACES = ("path", "loc", "instancePath", "pointer", "field", "param", "parameter")
_NO_WORDS = frozenset({*_LISTS, *_FIELDS, *_PLACES, "items", "code", "type", "status", "expected", "received", "input"})
_OF_JOBS = frozenset({"id", "job_id", "job", "jobs", "result", "created_at", "completed_at", "urls"})
_TROUBLE = re.compile(
    r"time[ds]?[ _-]?out|unavailable|internal|gateway|upstream|try again|retry|overload|temporar|connection",
    re.IGNORECASE,
)
"""Words of a server that may have acted in spite of the error."""


def as_json(body: bytes) -> Json:
    """The JSON of an answer; None if it is not JSON."""
    try:
        return cast("Json", json.loads(body))
    except (ValueError, RecursionError):
        return None


def words_in(data: Json) -> str:
    """The message of an error, with the path of each field that it names; "" if it has no message."""
    return "; ".join(dict.fromkeys(islice(_Reader().said(data), _MOST_PARTS)))


def read_refusal(status: int, body: bytes, token: Token | None = None) -> str:
    """The message of an HTTP error on one line; part of its body if it has no message.

    A token is taken out before a text is cut, so that no part of it is left.
    """
    data = as_json(body)
    if token is not None:
        data = token.masked_data(data)
    said = _html_words(body[:_MAX_HTML].decode("utf-8", "replace")) if data is None else words_in(data)
    words = (said if token is None else token.masked(said)).strip() or _phrase(status) + _excerpt(data, token)
    replacement = data.get("replacement") if isinstance(data, dict) else None
    # What was said may be long; the way out must not be cut off.
    way_out = f"; Krea names a replacement: {one_line(text_of(replacement))}" if replacement else ""
    return one_line(f"{status} {words}") + way_out


def is_error_of_krea(body: bytes) -> bool:
    """Whether the body of an HTTP error has a form that Krea's errors are known to have: an object that says why."""
    data = as_json(body)
    return isinstance(data, dict) and bool(words_in(data))


def is_rejection(data: Json) -> bool:
    """Whether an answer of success says no: it has an error, names no job, and is not about trouble on the way."""
    error = (data.get("error") or data.get("errors")) if isinstance(data, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    words = words_in(error)
    return bool(words) and not _TROUBLE.search(f"{words} {text_of(code)}") and not _names_job(data, 0)


def text_of(data: Json) -> str:
    """A value as words; what is nested so deeply that it can just be read, and not be written out, has none."""
    try:
        return str(data)
    except RecursionError:
        return ""


def one_line(text: str) -> str:
    """A text in one short line, with nothing in it that is not seen."""
    seen = text[: 20 * _MAX_LINE]
    if not seen.isprintable():
        seen = "".join(sign if sign.isprintable() else " " for sign in seen)
    words = " ".join(seen.split())
    return words if len(words) <= _MAX_LINE else words[: _MAX_LINE - 1] + "…"


@dataclass(slots=True)
class _Reader:
    """Reads the message of one error; `left` is the number of values that it may still visit."""

    left: int = 5_000

    def said(self, data: Json, place: str = "", depth: int = 0) -> Iterator[str]:
        """Each thing that is said, with its place before it."""
        self.left -= 1
        if depth > _MAX_DEPTH or self.left < 0:
            return
        match data:
            case str():
                inner = as_json(data.encode("utf-8", "replace")) if data.lstrip()[:1] in ("[", "{") else None
                if isinstance(inner, dict | list):  # the message of zod 3 is its list of issues, written out
                    yield from self.said(inner, place, depth + 1)
                elif data.strip():
                    yield f"{place}: {data.strip()}" if place else data.strip()
            case list():
                for one in data[:_MOST_PARTS]:
                    yield from self.said(one, place, depth + 1)
            case dict():
                yield from self._object(data, _joined(place, _place_in(data)), depth)

    def _object(self, data: Mapping[str, Json], place: str, depth: int) -> Iterator[str]:
        parts = list(islice(self._parts(data, place, depth), _MOST_PARTS))
        sentences = (list(self.said(data[name], place, depth + 1)) for name in _SENTENCES if name in data)
        head = next(filter(None, sentences), [])
        title = data.get("title")
        if isinstance(title, str) and title.strip() and not data.get("message") and not data.get("error"):
            head = [f"{title.strip()}: {head[0]}", *head[1:]] if head else list(self.said(title, place, depth + 1))
        code = data.get("code")
        if not head and not parts and isinstance(code, str):
            head = list(self.said(code, place, depth + 1))
        yield from head
        yield from parts

    def _parts(self, data: Mapping[str, Json], place: str, depth: int) -> Iterator[str]:
        """The messages about single fields: lists of issues, texts by field name, and the trees of zod."""
        for name in _LISTS:
            found = data.get(name)
            if isinstance(found, dict) and not _NO_WORDS.union(_SENTENCES).intersection(found):
                yield from self._by_field(found, place, depth)
            elif found:
                yield from self.said(found, place, depth + 1)
        for name in _FIELDS:
            if isinstance(found := data.get(name), dict):
                yield from self._by_field(found, place, depth)
        items = data.get("items")
        if isinstance(items, list):
            yield from self._by_field({str(number): one for number, one in enumerate(items[:100]) if one}, place, depth)
        if "_errors" in data:  # zod's format(): each field beside it
            fields = {name: one for name, one in data.items() if isinstance(one, dict) and "_errors" in one}
            yield from self._by_field(fields, place, depth)

    def _by_field(self, fields: Mapping[str, Json], place: str, depth: int) -> Iterator[str]:
        for name, one in islice(fields.items(), 100):
            yield from self.said(one, _joined(place, one_line(name)), depth + 1)


def _place_in(data: Mapping[str, Json]) -> str:
    """The path of the field that an issue is about."""
    for name in _PLACES:
        match data.get(name):
            case [_, *_] as path:
                return ".".join(text_of(one) for one in path[:20])
            case str(path) if path.strip("#/ "):
                return one_line(path.strip("#/ ").replace("/", "."))
    return ""


def _joined(place: str, more: str) -> str:
    return f"{place}.{more}" if place and more else place or more


def _names_job(data: Json, depth: int) -> bool:
    """Whether something in an answer looks like a job, or is nested too deeply to decide."""
    if depth > _MAX_DEPTH:
        return True
    if isinstance(data, list):
        return any(_names_job(one, depth + 1) for one in data)
    if not isinstance(data, dict):
        return False
    if any(one and spelled_code(name) in _OF_JOBS for name, one in data.items()):
        return True
    return any(_names_job(one, depth + 1) for one in data.values())


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "and no reason"


def _excerpt(data: Json, token: Token | None) -> str:
    """The begin of a body without words, without anything that could be a token."""
    if not isinstance(data, dict | list) or not data:
        return ""
    try:
        text = json.dumps(data, ensure_ascii=False)
    except (RecursionError, ValueError):
        return ""
    clean = one_line(text if token is None else token.masked(text[: 20 * _MAX_LINE]))
    return f": {clean if len(clean) <= _MAX_EXCERPT else clean[: _MAX_EXCERPT - 1] + '…'}"


def _html_words(text: str) -> str:
    # Each bounded, so that a text costs as much time as it is long.
    title = re.search(r"<(title|h1)\b[^<>]{0,200}>(.{0,400}?)</\1>", text, re.IGNORECASE | re.DOTALL)
    words = title[2] if title else re.sub(r"<[^<>]*>", " ", text)
    return unescape(words.replace("\ufffd", " "))
