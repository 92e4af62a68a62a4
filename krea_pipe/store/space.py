"""A name space of the store: proofs, real images and test servers never share facts, journal or bytes."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.store.atomic import make_folder
from krea_pipe.store.blobs import Blobs
from krea_pipe.store.cache import Facts
from krea_pipe.store.home import check_owner
from krea_pipe.store.journal import Journal
from krea_pipe.store.journal_summary import read_summary
from krea_pipe.store.plain import check_files, check_folders, check_shards, is_plain, read_plain
from krea_pipe.store.presence import Presence
from krea_pipe.store.replay import Replay

REPORT = "report.json"
"""The report of a run that has ended, in its own folder."""
_PARTS = ("blobs", "thumbnails", "facts", "running", "journal.jsonl", "facts/cache.db")
MOST_THUMBNAIL_BYTES = 4 * 1024 * 1024
"""No small picture is larger."""


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that is kept for one kind of target."""

    folder: Path
    blobs: Blobs
    facts: Facts
    journal: Journal
    presence: Presence

    def thumbnail(self, digest: str) -> Path:
        """The path of the thumbnail of an image.

        Args:
            digest: The digest of the image.

        Returns:
            The path of a WebP file, which need not be there.
        """
        return Path(f"{self.folder}/thumbnails/{digest[:2]}/{digest}.webp")

    def has_thumbnail(self, digest: str) -> bool:
        """Whether the small picture of an image is kept.

        Args:
            digest: The digest of the image.

        Returns:
            False if there is no such file.
        """
        return is_plain(self.thumbnail(digest))

    def read_thumbnail(self, digest: str) -> bytes | None:
        """The small picture of an image.

        Args:
            digest: The digest of the image.

        Returns:
            The bytes of a WebP file; None when it is not kept.
        """
        try:
            return read_plain(self.thumbnail(digest), MOST_THUMBNAIL_BYTES)
        except OSError:
            return None

    def read_journal(self, *, are_all_stored: bool = False) -> Replay:
        """Read what the journal says; a run whose report is there has reported, be the disk too full to write that.

        Args:
            are_all_stored: Whether no image is missing, so that a summary of the journal is enough, if there is one.

        Returns:
            The state that follows from the lines.

        Raises:
            StateError: The journal cannot be read.
        """
        replay = (read_summary(self.journal) if are_all_stored else None) or self.journal.replay()
        counting = {*replay.drawn_by.values(), *(job.counted_by for job in replay.in_flight.values())}
        replay.with_report = {run for run in counting - replay.reported if self._has_report(run)}
        return replay

    def _has_report(self, run: str) -> bool:
        return bool(run) and Path(run).name == run and is_plain(self.folder.parent / "runs" / run / REPORT)

    def prepare(self) -> None:
        """Check, before anything is paid, that everything it will produce can be stored.

        Raises:
            StateError: it cannot.
        """
        make_folder(self.blobs.folder)
        self.facts.prepare()
        self.journal.prepare()


def open_space(home: Path, name: str) -> Space:
    """The name space of a kind of target below a home folder; nothing is created before something is kept.

    Args:
        home: The home folder.
        name: The name of the space: that of its folder.

    Returns:
        Everything that is kept there.

    Raises:
        StateError: Something that is kept there is a link, belongs to someone else, or is not what it should be.
    """
    folder = home / name
    check_folders(folder, folder / "facts", folder / "running")
    for shards in (folder / "blobs", folder / "thumbnails"):
        check_shards(shards)
    check_files(*(folder / file for file in ("journal.jsonl", "journal.lock", "facts.lock", "running.lock")))
    check_owner(home, folder, *(folder / one for one in _PARTS))
    return Space(
        folder=folder,
        blobs=Blobs(folder / "blobs"),
        facts=Facts(folder / "facts"),
        journal=Journal(folder / "journal.jsonl"),
        presence=Presence(folder / "running"),
    )
