"""Results as facts. A plan of many cells asks which of them there are, and reads few: they are kept as short texts."""

import re
import sys
from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import TypeAlias, cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import MIMES, Result
from krea_pipe.store.blobs import Stamp, stamp_in
from krea_pipe.store.cache import decoded

RESULT = "result:"
"""Begins the name of a result's fact; the key of its request follows."""

StoredText: TypeAlias = str
"""The fields of a result in their order, then the size and the time of change of its image, separated by spaces."""
StoredFact: TypeAlias = StoredText | tuple[Result | None, Stamp | None]
"""A fact: its text, or what a fact in another form holds of a result and of the stamp of its image."""

_WORD = r"([!#-\[\]-~]*)"
_COUNT = r"(0|[1-9][0-9]{0,18})"
_FACT = re.compile(
    rf'\{{"sha256":"([0-9a-f]{{64}})","mime":"({"|".join(MIMES)})","width":{_COUNT},"height":{_COUNT},'
    rf'"job_id":"{_WORD}","cost_usd":"([0-9]{{1,10}}(?:\.[0-9]{{1,10}})?)","finished_at":"{_WORD}",'
    rf'"likeness":"{_WORD}","request":\{{.*\}},"stamp":\[{_COUNT},{_COUNT}\]\}}'.encode(),
    re.DOTALL,
)
"""A fact as `known.remember_results` writes it, of which the request need not be read."""


def stored_in(fact: bytes) -> StoredFact | None:
    """Read the fact of a result without its request.

    Args:
        fact: Its JSON text.

    Returns:
        What it holds; None if it cannot be read.
    """
    found = _FACT.fullmatch(fact)
    if found is not None:
        return b" ".join(found.groups()).decode("ascii")
    data = decoded(fact)
    return None if data is None else (result_in(data), stamp_in(data))


def image_and_stamp(stored: StoredFact) -> tuple[str, Stamp | None]:
    """The digest of the image of a result, "" without a result, and the stamp that its file had."""
    if isinstance(stored, str):
        _, size, mtime_ns = stored.rsplit(" ", 2)
        return stored[:64], Stamp(int(size), int(mtime_ns))
    result, stamp = stored
    return result.sha256 if result else "", stamp


def result_of(stored: StoredFact) -> Result | None:
    """The result that a fact holds, if it holds one."""
    if not isinstance(stored, str):
        return stored[0]
    digest, mime, width, height, job_id, cost, finished_at, likeness, _, _ = stored.split(" ")
    return Result(digest, sys.intern(mime), int(width), int(height), job_id, _usd(cost), finished_at, likeness)


@lru_cache(maxsize=64)
def _usd(amount: str) -> Decimal:
    """An amount; one object for all results that cost the same."""
    return Decimal(amount)


def result_in(data: Mapping[str, Json]) -> Result | None:
    """The result that JSON data holds, if it holds one."""
    try:
        return Result.from_json(data)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return None


class StoredResults(Mapping[str, Result]):
    """Results by the keys of their requests, each of which is made when it is first asked for, in place of its text."""

    def __init__(self, stored: dict[str, StoredFact]) -> None:
        """Begin with what facts hold; the dictionary is used and not copied."""
        self._stored = cast("dict[str, StoredFact | Result]", stored)

    def add(self, key: str, stored: StoredFact) -> None:
        """Note the result of a request."""
        self._stored[key] = stored

    def __getitem__(self, key: str) -> Result:
        """The result of a request."""
        stored = self._stored[key]
        if isinstance(stored, Result):
            return stored
        result = result_of(stored)
        if result is None:
            raise KeyError(key)
        self._stored[key] = result
        return result

    def __contains__(self, key: object) -> bool:
        """Whether a request has a result, without making it."""
        return key in self._stored

    def __iter__(self) -> Iterator[str]:
        """The keys of the requests."""
        return iter(self._stored)

    def __len__(self) -> int:
        """The number of results."""
        return len(self._stored)
