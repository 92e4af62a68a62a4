"""Which runs of other homes are alive: each writes `runs/RUN` again and again, and the store's own clock dates it."""

import contextlib
import math
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta

from krea_pipe.store.remote.bucket import Bucket, RemoteFailed

RUNS = "runs"
TRIALS = "trials"
"""Each run tries here, before it claims anything, whether the store refuses to create an object twice."""
BEAT = 15
"""The number of polls after which a run writes."""
DEAD_AFTER = 60
"""The number of polls without a write after which a run counts as dead.

It may be paused, so this never makes a request free.
"""
_FRESH = 5


@dataclass(slots=True)
class SharedPresence:
    """Shows that a run is alive, and reads the presence of others.

    Args:
        bucket: the objects of the store.
        run: the run.
        poll: the seconds between two polls, of which all waits are multiples.
    """

    bucket: Bucket
    run: str
    poll: float = 1.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _seen: frozenset[str] = frozenset()
    _seen_at: float = -math.inf

    def open(self) -> str:
        """Start to show it; if the store is down, every beat tries again.

        Returns:
            Why the store cannot keep claims, if it keeps no objects or lets two writers create the same one.
        """
        self._show()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)
        self._thread.start()
        return self._fault()

    def close(self) -> None:
        """End it: no run has to wait for this one."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            with contextlib.suppress(RemoteFailed):  # it counts as dead a minute later
                self.bucket.delete(self._name)

    def alive(self, since: float = -math.inf) -> frozenset[str]:
        """List the runs that are alive, as of a few seconds ago.

        Args:
            since: a time by `time.monotonic`, in seconds, after which they must have been listed.

        Returns:
            Their ids; this run is not among them.

        Raises:
            RemoteFailed: the store could not be listed.
        """
        begun = time.monotonic()
        if self._seen_at < since or begun - self._seen_at >= _FRESH * self.poll:
            entries = {entry.name.rpartition("/")[2]: entry.modified for entry in self.bucket.list(RUNS)}
            dead_after = timedelta(seconds=DEAD_AFTER * self.poll)
            now = entries.get(self.run) or max(entries.values(), default=None)
            alive = (run for run, at in entries.items() if now is not None and now - at < dead_after)
            self._seen, self._seen_at = frozenset(alive) - {self.run}, begun
        return self._seen

    @property
    def _name(self) -> str:
        return f"{RUNS}/{self.run}"

    def _beat(self) -> None:
        while not self._stopped.wait(BEAT * self.poll):
            self._show()

    def _fault(self) -> str:
        name = f"{TRIALS}/{self.run}"
        try:
            winners = [self.bucket.create(name, f"{number}\n".encode()) for number in range(2)]
            self.bucket.delete(name)
        except RemoteFailed:
            return ""  # a claim will fail as well
        if winners == [True, False]:
            return ""
        reason = "lets two writers create the same object, or does not keep it; see `krea-pipe doctor`"
        return f"the shared store {self.bucket.address} {reason}"

    def _show(self) -> None:
        with contextlib.suppress(RemoteFailed):
            self.bucket.replace(self._name, b"{}\n")
