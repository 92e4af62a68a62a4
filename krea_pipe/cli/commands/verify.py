"""`krea-pipe verify`: whether the images on disk are those of the lock file."""

from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.commands.check import Which
from krea_pipe.cli.lock_options import lock_of, lock_option
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import (
    file_argument,
    json_option,
    max_cells_option,
    out_folder,
    out_option,
    over_options,
    overrides,
    select_options,
    selection,
)
from krea_pipe.cli.reviews import print_reviews, reviews_json
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.executor.deliver import digests_at
from krea_pipe.planning.lock_check import LockState, review_files
from krea_pipe.planning.lockfile import read_lock

WORDS: dict[LockState, str] = {
    "accepted": "as locked",
    "changed": "not the image that is locked",
    "new": "not in the lock file",
    "missing": "locked, but not there",
}


@click.command()
@file_argument
@out_option
@lock_option
@over_options
@select_options
@max_cells_option
@json_option
def verify(
    file: Path, out: Path | None, lock: Path | None, max_cells: int, *, as_json: bool, **how: Unpack[Which]
) -> int:
    """Compare the images of FILE in its output folder with the lock file; exit with 8 when one is missing or another.

    Images are compared by the bytes that Krea sent: the texts that krea-pipe adds to a PNG do not count. Needs no
    store, no network and no key.
    """
    loaded = flow.load(file, overrides(how))
    folder = out_folder(out, loaded.pipeline.name, local=False)
    kept = read_lock(lock_of(file, lock, how))
    cells = flow.cells(loaded, max_cells=max_cells, selection=selection(how))
    found = list(review_files(kept, cells, lambda path: digests_at(folder, path)))
    wrong = [one for one in found if one.state != "accepted"]
    if as_json:
        print_json({"schema": "krea-pipe/verify@1", "lock": str(kept.file), "out": str(folder), **reviews_json(found)})
    else:
        print_reviews(found, wrong, WORDS, kept.file)
    return ExitCode.NOT_AS_LOCKED if wrong else 0
