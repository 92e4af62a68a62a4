"""`krea-pipe check`: images that nobody has accepted."""

import os
import shlex
import sys
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import flow
from krea_pipe.cli.lazy import LIKENESS, load
from krea_pipe.cli.lock_options import lock_of, lock_option
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import (
    Chosen,
    Over,
    file_argument,
    json_option,
    max_cells_option,
    over_options,
    overrides,
    select_options,
    selection,
)
from krea_pipe.cli.reviews import print_reviews, reviews_json
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.settings import live_target
from krea_pipe.planning.lock_check import LockState, review_images
from krea_pipe.planning.lockfile import Lockfile, read_lock
from krea_pipe.planning.plan import Plan
from krea_pipe.store.home import open_home
from krea_pipe.store.space import Space, open_space

WORDS: dict[LockState, str] = {
    "accepted": "accepted",
    "changed": "another image than the accepted one",
    "new": "not in the lock file",
    "missing": "not drawn",
}


class Which(Over, Chosen):
    """Options that say what is looked at."""


@click.command()
@file_argument
@lock_option
@over_options
@select_options
@max_cells_option
@json_option
def check(file: Path, lock: Path | None, max_cells: int, *, as_json: bool, **how: Unpack[Which]) -> int:
    """Compare what was drawn last for each cell of FILE with the lock file; exit with 8 when an image is not accepted.

    A seed is best effort, so the same request can give another image. The distance goes from 0, the same, to 1, black
    against white; below 0.01, two images look alike. `krea-pipe accept` takes what was drawn. Needs no network and no
    key.
    """
    kept, made, space = look(file, lock, max_cells, how)
    found = list(review_images(kept, made, lambda digest: str(load(LIKENESS)(space.blobs.read(digest) or b""))))
    opened = [one for one in found if one.is_open]
    if as_json:
        print_json({"schema": "krea-pipe/check@1", "lock": str(kept.file), **reviews_json(found)})
    else:
        print_reviews(found, opened, WORDS, kept.file)
        if opened:
            words = [word for word in sys.argv[1:] if word != "check"]
            click.echo(f"Accept what was drawn with: {shlex.join(['krea-pipe', 'accept', *words])}")
    return ExitCode.NOT_AS_LOCKED if opened else 0


def look(file: Path, lock: Path | None, max_cells: int, how: Which) -> tuple[Lockfile, Plan, Space]:
    """The lock file of a pipeline, what is stored for its cells, and where."""
    loaded = flow.load(file, overrides(how))
    kept, target = read_lock(lock_of(file, lock, how)), live_target(os.environ)
    space = open_space(open_home(os.environ, file), target.space)
    made = flow.plan(loaded, space, target, flow.RunOptions(max_cells, selection=selection(how)))
    return kept, made, space
