"""Whether the shared store can be used: its backend, the rights there, its clock, and whether one writer alone wins.

What is written for that is deleted again.
"""

import contextlib
import importlib.metadata
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from krea_pipe.app.maintenance.check import MAX_CLOCK_SECONDS, Check
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.settings import Target
from krea_pipe.store.remote.bucket import Bucket, RemoteFailed
from krea_pipe.store.remote.remote import ADDRESS_NAME, MODE_NAME, SECRET_NAME, Remote, open_remote

TRIALS = "doctor"
"""Begins the names of the objects that are created here."""
WRITERS = 8
RACES = 5
_BACKENDS = {"s3": "S3", "gs": "Google Cloud Storage", "az": "Azure Blob Storage", "file": "a folder"}
_PRECISION = timedelta(seconds=1)
"""Stores give times in whole seconds."""
_RIGHTS_HINT = "allow this for these credentials, or set KREA_PIPE_REMOTE_MODE=read to write nothing"
_RACE_HINT = "use another store, or another version of its server: with this one two homes can pay for the same image"


def remote_checks(environment: Mapping[str, str], target: Target, *, offline: bool) -> Iterator[Check]:
    """Look at the shared store, if one is named.

    Args:
        environment: names the store.
        target: the API.
        offline: do not ask the store.

    Yields:
        What was found.
    """
    if not environment.get(ADDRESS_NAME, "").strip():
        return
    try:
        remote = open_remote(environment, target, _ignore)
        assert remote is not None  # a live API, and an address
        yield _backend(remote, environment)
        if offline:
            return
        announced = replace(remote, bucket=replace(remote.bucket, is_read_only=True)).check_format()
    except UsageError as error:
        yield _of_problem(error.problems[0])
        return
    except RemoteFailed as error:
        yield Check("store rights", "problem", str(error), "check the address, the network and the credentials")
        return
    if announced is not None:
        yield replace(_of_problem(announced), state="warning")
    if remote.bucket.is_read_only:
        yield _reading(remote.bucket)
        return
    trials = _Trials(remote.bucket)
    try:
        yield from trials.checks(lambda: _opened_again(environment, target))
    finally:
        trials.clear()


def _backend(remote: Remote, environment: Mapping[str, str]) -> Check:
    """Which store it is, and how it is used; never a secret."""
    kind = _BACKENDS[remote.bucket.address.partition(":")[0]]
    mode = f"read-only, set by {MODE_NAME}" if remote.bucket.is_read_only else "read and written"
    message = f"{remote.bucket.address}: {kind}, by obstore {importlib.metadata.version('obstore')}; {mode}"
    if environment.get(SECRET_NAME):
        return Check("shared store", "ok", f"{message}; records are signed")
    return Check("shared store", "ok", f"{message}; records are not signed, as {SECRET_NAME} is not set")


def _of_problem(problem: Problem) -> Check:
    return Check("shared store", "problem", problem.message, problem.hint or "")


def _reading(bucket: Bucket) -> Check:
    try:
        next(iter(bucket.list(TRIALS)), None)
    except RemoteFailed as error:
        return Check("store rights", "problem", str(error), "allow these credentials to list and read")
    return Check("store rights", "ok", "list, read")


def _opened_again(environment: Mapping[str, str], target: Target) -> Bucket:
    """The store through separate connections, as another home would use it."""
    remote = open_remote(environment, target, _ignore)
    assert remote is not None
    return remote.bucket


def _ignore(_: Problem) -> None:
    """Records are not read here."""


@dataclass(slots=True)
class _Trials:
    """Objects that are created in the store to see what happens, and deleted again."""

    bucket: Bucket
    prefix: str = ""
    count: int = 0

    def __post_init__(self) -> None:
        self.prefix = f"{TRIALS}/{os.urandom(8).hex()}"

    def checks(self, opened: Callable[[], Bucket]) -> Iterator[Check]:
        """Look at the rights, the clock and races; `opened` opens the store by other connections."""
        try:
            earliest, name = datetime.now(UTC), self._name()
            self.bucket.create(name, os.urandom(16))
            latest, written = datetime.now(UTC), [one for one in self.bucket.list(self.prefix) if one.name == name]
            self.bucket.replace(name, b"{}\n")
            is_kept = self.bucket.read(name) == b"{}\n"
            self.bucket.delete(name)
            is_gone = self.bucket.read(name) is None
        except RemoteFailed as error:
            yield Check("store rights", "problem", str(error), _RIGHTS_HINT)
            return
        if not (written and is_kept and is_gone):
            what = (
                "is not listed"
                if not written
                else "differs from what was written"
                if not is_kept
                else "cannot be deleted"
            )
            message = f"an object that was just created {what}"
            yield Check("store rights", "problem", message, "use a store that shows new objects immediately")
            return
        yield Check("store rights", "ok", "list, read, create, replace, delete")
        yield _clock(written[0].modified, earliest, latest)
        yield self._races([opened() for _ in range(WRITERS)])

    def clear(self) -> None:
        """Delete the remaining objects."""
        with contextlib.suppress(RemoteFailed):
            for entry in self.bucket.list(self.prefix):
                self.bucket.delete(entry.name)

    def _name(self) -> str:
        self.count += 1
        return f"{self.prefix}/{self.count:04}"

    def _races(self, buckets: list[Bucket]) -> Check:
        """Let several writers create the same object at once."""
        for _ in range(RACES):
            try:
                winners = self._race(buckets)
            except RemoteFailed as error:
                message = f"{WRITERS} concurrent writers: {error}"
                return Check("store races", "problem", message, "check the limits of the store, and try again")
            if winners != 1:
                message = f"{winners} of {WRITERS} concurrent writers created the same object; only one should succeed"
                return Check("store races", "problem", message, _RACE_HINT)
        return Check(
            "store races", "ok", f"of {WRITERS} concurrent writers, one creates an object, in {RACES} of {RACES} races"
        )

    def _race(self, buckets: list[Bucket]) -> int:
        """The number of writers that succeeded; 0 if the object does not have the bytes of the winner."""
        name, start = self._name(), threading.Barrier(len(buckets))

        def write(bucket: Bucket) -> bytes:
            data = os.urandom(16)
            start.wait()
            return data if bucket.create(name, data) else b""

        with ThreadPoolExecutor(len(buckets)) as pool:
            written = [data for data in pool.map(write, buckets) if data]
        return len(written) if len(written) != 1 or self.bucket.read(name) in written else 0


def _clock(written: datetime, earliest: datetime, latest: datetime) -> Check:
    """The offset of this machine's clock from that of the store."""
    ahead = max((earliest - written - _PRECISION).total_seconds(), 0.0) or min((latest - written).total_seconds(), 0.0)
    if not ahead:
        return Check("store clock", "ok", "agrees with this machine's to the second")
    message = f"this machine's clock is {abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} the store's"
    if abs(ahead) <= MAX_CLOCK_SECONDS:
        return Check("store clock", "ok", message)
    return Check(
        "store clock", "warning", message, "set this machine's clock; the store's clock decides what is alive or old"
    )
