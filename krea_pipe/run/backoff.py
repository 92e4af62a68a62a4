"""How long to wait before trying again."""

import random
from collections.abc import Iterator

from krea_pipe.settings import Pace

LONGEST = 30.0


def delays(tries: int, pace: Pace) -> Iterator[float]:
    """Growing waits in seconds, each drawn evenly up to its limit, so that clients do not return all at once."""
    for number in range(1, tries + 1):
        yield delay(number, pace)


def delay(number: int, pace: Pace) -> float:
    """The wait after the failure of this number, counted from 1."""
    limit = min(LONGEST, pace.first / 2 * 2.0 ** min(number - 1, 20))
    return limit / 4 + random.uniform(0, limit * 3 / 4)
