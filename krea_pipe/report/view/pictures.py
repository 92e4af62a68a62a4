"""The images of a run by their digests: the small ones and the originals, and nothing else that is on this disk."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import StateError
from krea_pipe.core.image_file import sniff
from krea_pipe.core.images import small_picture
from krea_pipe.report.progress import Progress
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import read_plain
from krea_pipe.store.space import MOST_THUMBNAIL_BYTES

SHOWN = frozenset({"image/png", "image/jpeg", "image/webp"})


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is served of a run's images: only those that the run names."""

    progress: Progress

    def thumbnail(self, digest: str) -> bytes | None:
        """The small picture of an image as WebP, made when it is missing."""
        if digest not in self.progress.digests:
            return None
        kept = self.progress.space.thumbnail(digest)
        for path in (kept, self.progress.folder / "thumbnails" / f"{digest}.webp"):
            data = _read(path)
            if data is not None and sniff(data) == "image/webp":
                return data
        data = self.progress.space.blobs.read(digest)
        small = None if data is None else small_picture(data)
        if small is not None:
            _keep(kept, small)
        return small

    def original(self, digest: str) -> tuple[bytes, str] | None:
        """An image as Krea sent it, and its media type; its bytes are known to be those of the digest."""
        data = self.progress.space.blobs.read(digest) if digest in self.progress.digests else None
        mime = None if data is None else sniff(data)
        return None if data is None or mime not in SHOWN else (data, str(mime))


def _read(path: Path) -> bytes | None:
    """A plain file's bytes; a link may lead anywhere and is not followed."""
    try:
        return read_plain(path, MOST_THUMBNAIL_BYTES)
    except OSError:
        return None


def _keep(path: Path, small: bytes) -> None:
    try:
        write_atomically(path, small, durable=False)
    except StateError:
        return  # a store that can only be read is good enough to look at
