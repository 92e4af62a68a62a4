"""Lines of the journal as a file holds them."""

import json

from krea_pipe.store.events import JournalLine, decode


def line_of(event: str, key: str, **data) -> JournalLine:
    """A line that some version of krea-pipe has written."""
    line = decode(json.dumps({"event": event, "key": key, **data}).encode())
    assert line is not None
    return line
