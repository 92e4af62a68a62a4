"""How long to wait before trying again.

Own lines and no library: a wait has to end when the run does, and what may be repeated depends on the journal.
"""

import random
from collections.abc import Iterator

from krea_pipe.core.settings import Pace

LONGEST = 30.0


def delays(tries: int, pace: Pace) -> Iterator[float]:
    """Growing waits in seconds, one for each further try."""
    for number in range(1, tries + 1):
        yield delay(number, pace)


def delay(number: int, pace: Pace) -> float:
    """The wait after the failure of this number, counted from 1: full jitter, so that clients do not return at once."""
    return random.uniform(0, min(LONGEST, pace.first / 2 * 2.0 ** min(number - 1, 20)))
