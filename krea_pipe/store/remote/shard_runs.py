"""What the runs of shards leave for `merge --remote`: `shards/NAME/RUN`, written once and never changed.

An object is a line with a record, signed like all records, and then the packed report, whose digest is in the record.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import iso
from krea_pipe.store.remote.bucket import Bucket
from krea_pipe.store.remote.record import BadRecord, Seal

SHARDS = "shards"


@dataclass(frozen=True, slots=True)
class ShardRuns:
    """Reads and writes the packed runs of shards.

    Args:
        bucket: the objects of the store.
        seal: signs and checks the records.
        warn: receives warnings about ignored objects.
    """

    bucket: Bucket
    seal: Seal
    warn: Callable[[Problem], None]

    def publish(self, name: str, run: str, packed: bytes) -> None:
        """Store a run.

        Args:
            name: the name that all shards of a distributed run have in common.
            run: the id of the run.
            packed: its report, packed.

        Raises:
            RemoteFailed: it could not be stored.
        """
        place = f"{SHARDS}/{name}/{run}"
        self.bucket.keep(place, self.seal.encode(place, {"sha256": hashlib.sha256(packed).hexdigest()}) + packed)

    def places(self, name: str) -> list[str]:
        """List the runs that have a name: one call for every thousand.

        Args:
            name: the name.

        Returns:
            The names of their objects.

        Raises:
            RemoteFailed: the store could not be listed.
        """
        return sorted(entry.name for entry in self.bucket.list(f"{SHARDS}/{name}"))

    def names(self) -> list[str]:
        """List the names that runs have, the latest first.

        Returns:
            The names.

        Raises:
            RemoteFailed: the store could not be listed.
        """
        found: dict[str, str] = {}
        for entry in self.bucket.list(SHARDS):
            name, at = entry.name.split("/")[1], iso(entry.modified)
            found[name] = max(found.get(name, ""), at)
        return sorted(found, key=lambda name: (found[name], name), reverse=True)

    def packed(self, place: str) -> bytes | None:
        """Read a packed run.

        Args:
            place: the name of its object.

        Returns:
            The packed report; None if it cannot be trusted.

        Raises:
            RemoteFailed: it could not be read.
        """
        text = self.bucket.read(place)
        if text is None:
            return None
        head, _, packed = text.partition(b"\n")
        try:
            digest = self.seal.decode(place, head).get("sha256")
        except BadRecord as error:
            self._ignore(str(error))
            return None
        if digest != hashlib.sha256(packed).hexdigest():
            self._ignore(f"{place} has different bytes")
            return None
        return packed

    def _ignore(self, what: str) -> None:
        message = f"{what} in the shared store {self.bucket.address}; it is ignored"
        hint = "see `krea-pipe doctor`; docs/how-to/team.md says who can write there"
        self.warn(Problem("bad_shared_run", message, hint=hint))
