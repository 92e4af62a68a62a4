"""What a plan of stored images needs to know of the journal, so that it need not read all of it.

A summary holds for exactly the bytes of the journal that it was made of, by the same version: their digest is compared
each time. It is derived, and of use only where every image is stored: whatever could be paid is decided by all lines.
"""

import hashlib
import json
import os
from contextlib import suppress

from krea_pipe._version import __version__
from krea_pipe.core.errors import StateError
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.journal import Journal
from krea_pipe.store.plain import open_plain, read_plain
from krea_pipe.store.replay import Replay

SUMMARY = "journal-summary-1.json"
"""The number changes with the form of the file."""
_MOST_BYTES = 16 * 1024 * 1024


def write_summary(journal: Journal, replay: Replay) -> None:
    """Keep a summary of the journal, if it was read as a whole; where that fails, the next plan reads all lines.

    Args:
        journal: the journal.
        replay: the state that follows from its lines.
    """
    size, digest = replay.read_at_once
    if replay.is_partial or not size or size != replay.size:
        return
    data = {
        "krea_pipe": __version__,
        "size": size,
        "sha256": digest,
        "unreported": {key: run for key, run in replay.drawn_by.items() if run not in replay.reported},
        "adopted": sorted(replay.adopted),
    }
    with suppress(StateError):
        write_atomically(journal.path.with_name(SUMMARY), json.dumps(data).encode(), durable=False)


def read_summary(journal: Journal) -> Replay | None:
    """The part of the state of the journal that says which results are counted and which jobs were adopted.

    Args:
        journal: the journal.

    Returns:
        A state without everything else; None without a summary of just these lines.
    """
    try:
        data = json.loads(read_plain(journal.path.with_name(SUMMARY), _MOST_BYTES))
        with os.fdopen(open_plain(journal.path), "rb") as stream:
            digest, size = hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    except (OSError, ValueError, RecursionError):
        return None
    match data:
        case {"krea_pipe": version, "size": whole, "sha256": known, "unreported": dict(runs), "adopted": list(keys)}:
            if (version, whole, known) == (__version__, size, digest):
                unreported = {str(key): str(run) for key, run in runs.items()}
                return Replay(drawn_by=unreported, adopted=set(map(str, keys)), size=size, is_partial=True)
    return None
