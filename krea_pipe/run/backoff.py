"""How long to wait before trying again."""

import random
from collections.abc import Iterator

BASE = 0.5
LONGEST = 30.0


def delays(tries: int) -> Iterator[float]:
    """Growing waits in seconds, each drawn evenly from zero to its limit, so that clients do not return all at once."""
    for exponent in range(tries):
        yield random.uniform(0, min(LONGEST, BASE * 2**exponent))
