"""JSON records in a shared store, signed if the team has a secret.

Whoever may write to the bucket may put anything there. A signature binds a record to its name, so that it can be
neither forged nor moved without the secret.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass

from krea_pipe.core.json_data import Json
from krea_pipe.core.request import canonical_json

MOST_BYTES = 256 * 1024
"""No record is larger."""


class BadRecord(ValueError):
    """A record cannot be read, is not signed, or its signature is wrong."""


@dataclass(frozen=True, slots=True)
class Seal:
    """Signs and checks records; without a secret nothing is signed and nothing is checked."""

    secret: str = ""

    def encode(self, name: str, data: Mapping[str, Json]) -> bytes:
        """Write a record.

        Args:
            name: the name of its object.
            data: what it says.

        Returns:
            The bytes of the object.
        """
        record: dict[str, Json] = {"data": dict(data)}
        if self.secret:
            record["signature"] = self._signature(name, data)
        return canonical_json(record).encode() + b"\n"

    def decode(self, name: str, text: bytes) -> dict[str, Json]:
        """Read a record.

        Args:
            name: the name of its object.
            text: the bytes of the object.

        Returns:
            What it says.

        Raises:
            BadRecord: it cannot be believed; the message says why.
        """
        try:
            record = json.loads(text[:MOST_BYTES])
            data, signature = record["data"], record.get("signature")
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise BadRecord(f"{name} is not a krea-pipe record") from error
        if not isinstance(data, dict):
            raise BadRecord(f"{name} is not a krea-pipe record")
        if self.secret and not isinstance(signature, str):
            raise BadRecord(f"{name} is not signed")
        if self.secret and not hmac.compare_digest(str(signature).encode(), self._signature(name, data).encode()):
            raise BadRecord(f"{name} is signed with another secret")
        return data

    def _signature(self, name: str, data: Mapping[str, Json]) -> str:
        text = canonical_json([name, dict(data)])
        return hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
