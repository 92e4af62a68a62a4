"""Answers that all handlers share: refusals, times, and pages of lists."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TypeVar

from starlette.responses import JSONResponse

T = TypeVar("T")


class RefusalError(Exception):
    """A request that is answered with an HTTP error status and a JSON body."""

    def __init__(self, status: int, body: Mapping[str, str]) -> None:
        super().__init__(f"{status} {dict(body)}")
        self.status = status
        self.body = {key: make_encodable(text) for key, text in body.items()}


def refuse(status: int, reason: str) -> RefusalError:
    """The answer in the declared shape `{"error": reason}`."""
    return RefusalError(status, {"error": reason})


def make_encodable(text: str) -> str:
    """The text without lone surrogates, which are legal in JSON input but cannot be encoded into an answer."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@lru_cache(maxsize=65536)
def format_time(instant: datetime) -> str:
    """ISO 8601 with a Z, in microseconds, because the time is also the cursor."""
    # A client that polls a long list reads the same times again and again.
    utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"


def read_limit(query: Mapping[str, str]) -> int:
    """`limit`, from 1 to 1000, 100 when absent."""
    text = query.get("limit", "100")
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= 1000):
        raise refuse(400, "limit: Expected an integer from 1 to 1000")
    return int(text)


def read_cursor(query: Mapping[str, str]) -> datetime | None:
    """`cursor`, an ISO 8601 time; one without an offset is UTC."""
    text = query.get("cursor")
    if text is None:
        return None
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as error:
        raise refuse(400, "cursor: Invalid datetime") from error
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


def answer_page(
    items: Iterable[T], limit: int, show: Callable[[T], dict[str, object]], time_of: Callable[[T], datetime]
) -> JSONResponse:
    """The first `limit` items, newest first, and the cursor of the next page if there is one."""
    head = list(islice(items, limit + 1))
    page = head[:limit]
    cursor = format_time(time_of(page[-1])) if len(head) > limit else None
    return JSONResponse({"items": [show(item) for item in page], "next_cursor": cursor})
