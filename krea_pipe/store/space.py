"""A name space of the store: proofs, real images and test servers never share facts, journal or bytes."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.store.atomic import make_folder
from krea_pipe.store.blobs import Blobs
from krea_pipe.store.cache import Facts
from krea_pipe.store.journal import Journal
from krea_pipe.store.presence import Presence


@dataclass(frozen=True, slots=True)
class Space:
    """Everything that is kept for one kind of target."""

    folder: Path
    blobs: Blobs
    facts: Facts
    journal: Journal
    presence: Presence

    def thumbnail(self, digest: str) -> Path:
        """Where the small picture of an image is kept."""
        return Path(f"{self.folder}/thumbnails/{digest[:2]}/{digest}.webp")

    def prepare(self) -> None:
        """Find out, before anything is paid, whether everything that will come of it can be kept.

        Raises:
            StateError: it can not.
        """
        make_folder(self.blobs.folder)
        self.facts.prepare()
        self.journal.prepare()


def open_space(home: Path, name: str) -> Space:
    """The name space `name` below a home folder; nothing is created before something is kept."""
    folder = home / name
    return Space(
        folder=folder,
        blobs=Blobs(folder / "blobs"),
        facts=Facts(folder / "facts"),
        journal=Journal(folder / "journal.jsonl"),
        presence=Presence(folder / "running"),
    )
