"""`krea-pipe accept`: take what was drawn into the lock file."""

from pathlib import Path
from typing import Unpack

import click

from krea_pipe.cli.commands.check import Which, look
from krea_pipe.cli.lock_options import lock_option
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import file_argument, json_option, max_cells_option, over_options, select_options
from krea_pipe.cli.reviews import SHOWN
from krea_pipe.planning.lock_check import accept_images, review_images
from krea_pipe.planning.lockfile import read_lock
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.lock import exclusive, lockfiles_lock


@click.command()
@file_argument
@click.argument("cells", nargs=-1, metavar="[CELL]...")
@lock_option
@over_options
@select_options
@max_cells_option
@json_option
def accept(
    file: Path, cells: tuple[str, ...], lock: Path | None, max_cells: int, *, as_json: bool, **how: Unpack[Which]
) -> int:
    """Take the images that were drawn last into the lock file of FILE: all that differ from it, or those of some cells.

    A CELL is an id or an expression as of -k. Look first, with `krea-pipe check` and `krea-pipe view`.
    """
    kept, made, space = look(file, lock, max_cells, {**how, "select": (*how["select"], *cells)})
    with exclusive(lockfiles_lock(space.folder.parent)):
        fresh = read_lock(kept.file)
        taken = [one.id for one in review_images(fresh, made, lambda _: "") if one.is_open]
        if taken:
            write_atomically(fresh.file, accept_images(fresh, made, taken).to_text().encode())
    if as_json:
        print_json({"schema": "krea-pipe/accept@1", "lock": str(kept.file), "accepted": taken})
        return 0
    for one in taken[:SHOWN]:
        click.echo(f"accepted {one}")
    if len(taken) > SHOWN:
        click.echo(f"… and {len(taken) - SHOWN} more")
    click.echo(f"{kept.file}: {len(taken)} accepted." if taken else f"{kept.file}: nothing differs from it.")
    return 0
