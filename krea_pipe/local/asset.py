"""An uploaded file."""

from dataclasses import dataclass
from datetime import datetime

from krea_pipe.local.picture import SUFFIXES, Picture


@dataclass(frozen=True, slots=True)
class Asset:
    """The bytes of an upload and what was read from them; `picture` is None when they cannot be decoded."""

    id: str
    data: bytes
    media_type: str
    uploaded_at: datetime
    picture: Picture | None
    description: str | None = None

    @property
    def file_name(self) -> str:
        """The last segment of the asset's URL."""
        return f"{self.id}.{SUFFIXES[self.media_type]}"
