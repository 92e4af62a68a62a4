"""Our words ↔ Krea's JSON, and nothing else.

Krea's documents disagree in places, so reading is tolerant: what is missing is None, and what is unknown is ignored.
"""

import email.utils
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice

from krea_pipe.api.error_words import one_line, text_of, words_in
from krea_pipe.core.failure_codes import failure_class_of, is_code, spelled_code
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Failure
from krea_pipe.core.request import Request, Source, url_of

_PENDING = frozenset({"backlogged", "queued", "scheduled", "processing", "sampling", "intermediate-complete"})
_WAITING = frozenset({"backlogged", "queued", "scheduled"})
_DRAWN = frozenset({"completed", "complete", "succeeded", "success", "done", "finished", "ready"})
# Names that no document has. What sounds as if it went on is tried first: `retrying-failed` has not failed.
_GOES_ON = re.compile(
    r"ing\b|queue|wait|pend|progress|intermediate|preview|partial|start|retr(?:y|ied)|hold|init|accept|request"
)
_HAS_FAILED = re.compile(
    r"fail|error|reject|moderated|cancel|block|abort|expire|time-?d?-?out|den(?:y|ied)|refus|violat|nsfw|unsafe|flagged"
    r"|invalid|terminated|killed"
)
_MAX_ID = 200
_MAX_CURSOR = 1024
_MOST_REMEMBERED = 2000
_EARLIEST, _LATEST = datetime(2000, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)

_ADDRESSES = ("urls", "images", "image", "url", "image_url", "output", "outputs", "data")
"""Fields in which a result may list its images; the first one with an image is used."""
ADDRESS_FIELDS = frozenset(_ADDRESSES)
_ADDRESS = ("url", "uri", "href", "src", "image_url")
_KIND = ("type", "kind", "role")
_PREVIEW_FLAGS = ("preview", "is_preview", "isPreview", "thumbnail", "is_thumbnail")
_NOT_FINAL = re.compile(
    r"preview|thumb|intermediate|partial|draft|placeholder|blur|lowres|low_res|input|reference|mask|source|sketch|step"
)
_FINAL_KIND = re.compile(r"final|result|output|model|image|original|full")
_MOST_IMAGES = 20
_MAX_DEPTH = 4

_ROUTE = "/generate/image/krea/krea-2/"


@dataclass(frozen=True, slots=True)
class Job:
    """A job as Krea shows it, times by its own clock.

    `urls` are where its image is, the best first and no previews that are known as such; it is empty until the job is
    completed, and sometimes then too. A training has a `style_id` in their place.
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
        """Whether its state is final.

        A status that no document has ends a job by its name, or with an error, a time of completion or what the job
        made; what sounds as if it went on may show previews.
        """
        if self.status in _PENDING:
            return False
        ends = self.failure is not None or self.completed_at is not None
        if ends or self.status in _DRAWN or self.has_failed:
            return True
        return bool(self.urls or self.style_id) and not _GOES_ON.search(self.status)

    @property
    def is_drawn(self) -> bool:
        """Whether it ended with an image; a failed or cancelled job may still show previews, as may a pending one."""
        return bool(self.urls) and self.is_final and not self.has_failed

    @property
    def has_failed(self) -> bool:
        """Whether it ended without an image by its status, or by an error under a status that no document has."""
        if self.status in _PENDING or self.status in _DRAWN:
            return False
        is_named = bool(_HAS_FAILED.search(self.status)) and not _GOES_ON.search(self.status)
        return is_named or self.failure is not None

    @property
    def is_explained(self) -> bool:
        """Whether it says why it has failed, which Krea may do only once."""
        return self.has_failed and self.failure is not None

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

    def reaches(self, at: datetime | None) -> bool:
        """Whether a job has to be on this page or on one before it.

        Args:
            at: when the job was created (UTC); one without a time may have to be.

        Returns:
            False when it may be on a later page.
        """
        return self.next is None or at is None or any(job.created_at and job.created_at < at for job in self.jobs)


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
    body.pop("engine", None)  # the local Krea draws proofs of any pipeline
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
    completed_at, result = data.get("completed_at"), data.get("result")
    word = one_line(text_of(status).lower())
    word = "cancelled" if word == "canceled" else word
    return Job(
        id=identity,
        status=word,
        urls=_urls(result) or _urls({name: data[name] for name in ("output", "outputs") if name in data}),
        failure=_failure(data, word),
        completed_at=completed_at if isinstance(completed_at, str) else None,
        created_at=read_time(data.get("created_at")),
        style_id=_style_id(result),
    )


@dataclass(slots=True)
class PageReader:
    """Reads pages of the list of jobs; an entry that is as it was when it was read last is not read again.

    The same thousand jobs are listed every second.
    """

    _read: dict[str, tuple[Json, Job]] = field(default_factory=dict)

    def page(self, data: Json) -> JobPage | None:
        """A page of the list of jobs, or None if the answer is not a page."""
        items, cursor = _page_of(data)
        jobs = [self._job(item) for item in items or ()]
        if items is None or None in jobs:  # an unreadable job may be the wanted one
            return None
        return JobPage(tuple(job for job in jobs if job is not None), cursor)

    def _job(self, item: Json) -> Job | None:
        identity = (item.get("job_id") or item.get("id")) if isinstance(item, dict) else None
        known = self._read.get(identity) if isinstance(identity, str) else None
        if known is not None and known[0] == item:
            return known[1]
        job = read_job(item)
        if job is not None:
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            self._read[job.id] = (item, job)
        return job


def read_style(data: Json) -> Style | None:
    """A style from an answer, or None if the answer is not a style."""
    identity = data.get("id") if isinstance(data, dict) else None
    if not isinstance(data, dict) or not isinstance(identity, str) or not _is_usable_id(identity):
        return None
    models, owner = data.get("models"), data.get("owner")
    return Style(
        id=identity,
        title=one_line(text_of(data.get("title") or "")),
        models=tuple(one_line(text_of(model)) for model in models) if isinstance(models, list) else (),
        owner=one_line(text_of(owner.get("name") or "")) if isinstance(owner, dict) else "",
        created_at=one_line(text_of(data.get("created_at") or "")),
    )


def read_styles(data: Json) -> StylePage | None:
    """A page of the list of styles, or None if the answer is not a page; items that are not styles are skipped."""
    items, cursor = _page_of(data)
    if items is None:
        return None
    return StylePage(tuple(style for style in map(read_style, items) if style is not None), cursor)


def read_time(text: Json) -> datetime | None:
    """A time of Krea's in UTC; one without an offset is UTC.

    Args:
        text: ISO 8601, as in an answer.

    Returns:
        None for what is no time, or lies outside of the years 2000 to 2200: no clock that works shows it.
    """
    try:
        moment = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if moment is None else plausible(moment)
    except ValueError:
        return None


@lru_cache(maxsize=64)  # many answers have the same second
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


def asset_url(data: Json) -> str | None:
    """The URL of an uploaded image, from the answer to the upload."""
    url = data.get("image_url") if isinstance(data, dict) else None
    return url if isinstance(url, str) and url and url.isprintable() else None


def _page_of(data: Json) -> tuple[list[Json] | None, str | None]:
    """The items of a page (None if the answer is not a page) and the cursor of the next page.

    A list whose cursor cannot be sent cannot be continued: the answer is not a page, rather than the last page.
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
    """Where a result has its image: fields marked as final first, and never fields marked as a preview."""
    if not result:
        return ()
    places = [result.get(name) for name in _ADDRESSES] if isinstance(result, dict) else [result]
    match places[0]:
        case [str(url)] if url:  # as Krea writes it: lists of a thousand jobs are read every second
            return (url,)
    found = (_sorted(islice(_addresses(place, "", 0), _MOST_IMAGES)) for place in places if place)
    return tuple(next(filter(None, found), ()))


def _sorted(found: Iterator[tuple[str, str]]) -> list[str]:
    kept = [(kind, url) for kind, url in found if not _NOT_FINAL.search(kind)]
    kept.sort(key=lambda one: (_is_preview_by_path(one[1]), not _FINAL_KIND.search(one[0])))
    return [url for _, url in kept]


def _is_preview_by_path(url: str) -> bool:
    """Whether a folder or file in an address has a name for previews; the only image may still be the final one."""
    path = url[:2000].partition("?")[0]
    return re.search(r"[/_.-](?:previews?|thumb(?:nail)?s?)(?:[/_.-]|$)", path, re.IGNORECASE) is not None


def _addresses(data: Json, kind: str, depth: int) -> Iterator[tuple[str, str]]:
    """Each address in what a result has of images, with its kind: its type, or the key that contains it."""
    if depth > _MAX_DEPTH:
        return
    match data:
        case str() if data:
            yield kind, data
        case list():
            for one in data[:_MOST_IMAGES]:
                yield from _addresses(one, kind, depth + 1)
        case dict():
            said = next((one for name in _KIND if isinstance(one := data.get(name), str)), "")
            own = spelled_code(said) if said else kind
            if any(data.get(name) is True for name in _PREVIEW_FLAGS):
                own = "preview"
            address = next((one for name in _ADDRESS if isinstance(one := data.get(name), str) and one), None)
            if address is not None:
                yield own, address
                return
            for name, one in islice(data.items(), _MOST_IMAGES):
                if name not in _KIND and not (isinstance(one, str) and "/" not in one):
                    yield from _addresses(one, spelled_code(name) or own, depth + 1)


_REASONS = ("failure", "failure_reason", "reason", "message", "detail", "moderation")
"""Fields in which a failed job may state the reason if it has no error."""


def _failure(data: Mapping[str, Json], status: str) -> Failure | None:
    """The reason is at the top level in the current schema and under `result` in the lifecycle guide."""
    result = data.get("result")
    places = [data, result] if isinstance(result, dict) else [data]
    names = ("error", "errors", *_REASONS) if _HAS_FAILED.search(status) else ("error",)
    error = next((one for name in names for place in places if (one := place.get(name))), None)
    if not error or not (isinstance(error, str | dict | list) or error is True):
        return None
    said, code = words_in(error), _code_in(error)
    if code is None:
        code = status if status not in ("", "failed", "error") and _HAS_FAILED.search(status) else "failed"
        if failure_class_of(said) == "rejected" and failure_class_of(code) != "rejected":
            code = "moderated"
    return Failure(spelled_code(code) or "failed", one_line(said or code), failure_class_of(code))


def _code_in(error: Json) -> str | None:
    """The code of an error: its own, or the error itself when it is a word and no sentence."""
    found = error
    if isinstance(error, dict):
        found = next((one for name in ("code", "type", "reason") if (one := error.get(name))), None)
        inner = error.get("error")
        found = inner if found is None and isinstance(inner, str) else found
    if not isinstance(found, str) or not is_code(found):
        return None
    return found if isinstance(error, dict) or "_" in found or failure_class_of(found) == "rejected" else None
