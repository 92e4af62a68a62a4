"""Runs of shards as bytes, to be merged on another machine: reports and shard records, without images."""

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.planning.shard_record import SHARD_FILE
from krea_pipe.report.folder import RECORD

_MOST_BYTES = 1 << 29
"""More bytes than the records of any run; what unpacks to more is refused."""


def pack_runs(folders: Iterable[Path]) -> bytes:
    """Pack what merging needs of runs.

    Args:
        folders: the folders of runs; those without both records are left out.

    Returns:
        The records, compressed; without images.
    """
    found = {
        folder.name: [(folder / name).read_text(encoding="utf-8") for name in (RECORD, SHARD_FILE)]
        for folder in folders
        if (folder / RECORD).is_file() and (folder / SHARD_FILE).is_file()
    }
    return lzma.compress(json.dumps(found).encode(), preset=6)


def unpacked_runs(data: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    """Unpack records.

    Args:
        data: what `pack_runs` gave; nothing for no runs.

    Yields:
        The id of each run, and the texts of its files by their names.

    Raises:
        StateError: it is something else.
    """
    if not data:
        return
    try:
        text = lzma.LZMADecompressor().decompress(data, _MOST_BYTES)
        runs = {str(run): [str(one) for one in texts] for run, texts in json.loads(text).items()}
        found = [(run, dict(zip((RECORD, SHARD_FILE), texts, strict=True))) for run, texts in runs.items()]
    except (lzma.LZMAError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise StateError(Problem("unreadable_run", "the packed run of a shard cannot be read")) from error
    yield from found


def write_runs(root: Path, data: bytes, more: Mapping[str, Json] | None = None) -> list[Path]:
    """Write packed runs into folders of their own.

    Args:
        root: where the folders are made.
        data: what `pack_runs` gave.
        more: fields that replace those in the reports.

    Returns:
        The folders.

    Raises:
        StateError: it is something else, or cannot be written.
    """
    folders = []
    for run, files in unpacked_runs(data):
        folder = root / Path(run).name
        try:
            folder.mkdir(exist_ok=True)
            for name, text in files.items():
                changed = json.dumps({**json.loads(text), **more}) if name == RECORD and more else text
                (folder / name).write_text(changed, encoding="utf-8")
        except (OSError, ValueError, TypeError) as error:
            message = f"the packed run {folder.name} of a shard cannot be unpacked: {error}"
            raise StateError(Problem("unreadable_run", message)) from error
        folders.append(folder)
    return folders
