"""Images that others have paid for: `results/KEY` says what a request became, `blobs/SHA256` has its bytes."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass

from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import Result
from krea_pipe.store.remote.bucket import Bucket
from krea_pipe.store.remote.record import BadRecord, Seal

RESULTS = "results"
BLOBS = "blobs"
_KEY = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class SharedImage:
    """The result of a request, and the bytes of its image, verified by their digest."""

    result: Result
    data: bytes


@dataclass(frozen=True, slots=True)
class SharedResults:
    """Reads and writes results.

    Args:
        bucket: the objects of the store.
        seal: signs and checks the records.
        warn: receives warnings about ignored records.
    """

    bucket: Bucket
    seal: Seal
    warn: Callable[[Problem], None]

    def keys(self) -> frozenset[str]:
        """List the requests that have a result: one call for every thousand.

        Returns:
            The keys.

        Raises:
            RemoteFailed: the store could not be listed.
        """
        names = (entry.name.rpartition("/")[2] for entry in self.bucket.list(RESULTS))
        return frozenset(name for name in names if _KEY.fullmatch(name))

    def result(self, key: str) -> Result | None:
        """Read the result of a request.

        Args:
            key: the key of the request.

        Returns:
            The result; None if there is no trustworthy result.

        Raises:
            RemoteFailed: it could not be read.
        """
        name = f"{RESULTS}/{key}"
        text = self.bucket.read(name)
        if text is None:
            return None
        try:
            return Result.from_json(self.seal.decode(name, text))
        except BadRecord as error:
            self._ignore(str(error))
        except (KeyError, ValueError, TypeError, ArithmeticError):
            self._ignore(f"{name} is not a result")
        return None

    def image(self, key: str) -> SharedImage | None:
        """Read the result of a request and its image.

        Args:
            key: the key of the request.

        Returns:
            Both; None when either is missing or cannot be believed.

        Raises:
            RemoteFailed: one of them could not be read.
        """
        result = self.result(key)
        if result is None:
            return None
        data = self.bucket.read(f"{BLOBS}/{result.sha256}")
        if data is None:
            self._ignore(f"{BLOBS}/{result.sha256} is missing")
            return None
        if hashlib.sha256(data).hexdigest() != result.sha256:
            self._ignore(f"{BLOBS}/{result.sha256} has different bytes")
            return None
        return SharedImage(result, data)

    def publish(self, key: str, result: Result, data: bytes) -> None:
        """Store a result: the image first, so that no result is without one.

        Args:
            key: the key of the request.
            result: what it became.
            data: the bytes that Krea sent.

        Raises:
            RemoteFailed: it could not be stored.
        """
        self.bucket.keep(f"{BLOBS}/{result.sha256}", data)
        name = f"{RESULTS}/{key}"
        self.bucket.keep(name, self.seal.encode(name, result.to_json()))

    def _ignore(self, what: str) -> None:
        message = f"{what} in the shared store {self.bucket.address}; it is ignored"
        hint = "run `krea-pipe doctor`; docs/how-to/team.md explains who can write to the store"
        self.warn(Problem("bad_shared_result", message, hint=hint))
