"""Python's search for reference cycles, which looks at all objects again and again while many are made."""

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_RARE = 1_000
"""The searches among younger objects for each one among all objects; 10 is Python's usual number."""

_lock = threading.Lock()
_thresholds: list[tuple[int, int, int]] = []
"""Those found by whoever is inside now; the first are the usual ones."""


@contextmanager
def rare_full_searches() -> Iterator[None]:
    """Search all objects rarely, while hundreds of thousands are made that stay and are part of no cycle.

    Younger objects are searched as often as before. Several threads may be inside at the same time.
    """
    with _lock:
        _thresholds.append(gc.get_threshold())
        gc.set_threshold(*_thresholds[0][:2], _RARE)
    try:
        yield
    finally:
        with _lock:
            found = _thresholds.pop()
            if not _thresholds:
                gc.set_threshold(*found)
