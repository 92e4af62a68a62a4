"""The query parameters and the answer of every list call."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import Generic, TypeVar

from krea_pipe.local.refusal import refuse

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of items, newest first, and whether more follow."""

    items: list[T]
    has_more: bool


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


def cut_page(items: Iterable[T], limit: int) -> Page[T]:
    """The first `limit` items; reads one more to know whether there is a next page."""
    head = list(islice(items, limit + 1))
    return Page(head[:limit], len(head) > limit)


@lru_cache(maxsize=65536)
def format_time(instant: datetime) -> str:
    """ISO 8601 with a Z, in microseconds, because the time is also the cursor."""
    # A client that polls a long list reads the same times again and again.
    utc = instant if instant.tzinfo is UTC else instant.astimezone(UTC)
    return utc.isoformat(timespec="microseconds")[:-6] + "Z"
