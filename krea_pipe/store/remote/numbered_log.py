"""Numbered events that several homes append to: `PREFIX/0001`, `PREFIX/0002` and so on.

Creating the next number is the only lock, so that it works on every backend. The number alone is the name: two
different events cannot both take it.
"""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from krea_pipe.core.json_data import Json
from krea_pipe.store.remote.bucket import Bucket
from krea_pipe.store.remote.record import BadRecord, Seal

_NUMBER = re.compile(r"\d{4,9}")
MOST_EVENTS = 100_000


@dataclass(frozen=True, slots=True)
class LoggedEvent:
    """An event of a log; `data` is None when the record cannot be believed, and `reason` says why."""

    number: int
    data: Mapping[str, Json] | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class NumberedLog:
    """Reads and appends the events below a prefix."""

    bucket: Bucket
    seal: Seal

    def append(self, prefix: str, number: int, data: Mapping[str, Json]) -> bool:
        """Take a number for an event.

        Args:
            prefix: the name of the log.
            number: the number, from 1; the one after the last event that is known.
            data: the event.

        Returns:
            Whether the event has the number; False when another event took it.

        Raises:
            RemoteFailed: it is unknown.
        """
        name = _name(prefix, number)
        return self.bucket.create(name, self.seal.encode(name, {**data, "nonce": secrets.token_hex(12)}))

    def read_after(self, prefix: str, number: int) -> Sequence[LoggedEvent]:
        """Read the events after a number, one by one until there is no next one.

        Args:
            prefix: the name of the log.
            number: the last number that is known; 0 for none.

        Returns:
            The events in their order.

        Raises:
            RemoteFailed: one could not be read.
        """
        found: list[LoggedEvent] = []
        for following in range(number + 1, number + 1 + MOST_EVENTS):
            event = self._read(prefix, following)
            if event is None:
                break
            found.append(event)
        return found

    def _read(self, prefix: str, number: int) -> LoggedEvent | None:
        name = _name(prefix, number)
        text = self.bucket.read(name)
        if text is None:
            return None
        try:
            return LoggedEvent(number, self.seal.decode(name, text))
        except BadRecord as error:
            return LoggedEvent(number, None, str(error))


def _name(prefix: str, number: int) -> str:
    return f"{prefix}/{number:04}"


def number_in(name: str) -> int:
    """The number at the end of an object's name; 0 if it has no number."""
    last = name.rpartition("/")[2]
    return int(last) if _NUMBER.fullmatch(last) else 0
