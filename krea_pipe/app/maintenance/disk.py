"""What lies on the disk of a home folder; nothing here follows a link out of it."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from krea_pipe.app.maintenance.stored import Drawn, Holding, Leftover, Stored
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.settings import LOCAL
from krea_pipe.store.known import result_name
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space

NAMES = re.compile(r"live|local|loopback|host-.+")
TEMPORARY = re.compile(r"\.krea-pipe-.+\.tmp")
PICTURE = re.compile(r"[0-9a-f]{64}(\.webp)?")
OWN = re.compile(r"report\.(json|html|md)|started\.json|junit\.xml|results\.csv|\.krea-pipe-.+\.tmp")
"""The files in the folder of a run, or of a comparison."""
YOUNG_SECONDS = 3600
"""A temporary file may be that of a command which is writing now."""


def spaces_of(home: Path) -> list[Space]:
    """Every name space that the home folder has.

    Raises:
        StateError: the folder cannot be read.
    """
    try:
        names = sorted(one.name for one in os.scandir(home) if not one.is_file(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(Problem("home_unreadable", f"cannot read {home}: {error.strerror}")) from error
    return [open_space(home, name) for name in names if NAMES.fullmatch(name)]


def folders_in(folder: Path) -> list[Path]:
    """The folders in a folder, sorted; none when there is no such folder.

    Raises:
        StateError: the folder cannot be read.
    """
    if folder.is_symlink():
        hint = "nothing here follows a link; set KREA_PIPE_HOME to the place itself"
        raise StateError(Problem("home_linked", f"{folder} is a link", hint=hint))
    try:
        return sorted(Path(one.path) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(Problem("home_unreadable", f"cannot read {folder}: {error.strerror}")) from error


def hold(space: Space) -> Holding:
    """What a name space has.

    Raises:
        StateError: the facts or the journal cannot be read, so what is paid is not known.
    """
    alive = space.presence.alive()  # before the journal: a run that ends in between has reported
    return Holding(
        name=space.folder.name,
        blobs=pictures_in(space.blobs.folder),
        thumbnails=pictures_in(space.folder / "thumbnails"),
        drawn=tuple(_drawn(space)),
        alive=alive,
    )


def leftovers_in(home: Path, now: datetime) -> tuple[Leftover, ...]:
    """What crashes have left anywhere in the home folder."""
    return tuple(_leftovers(str(home), now.timestamp()))


def files_below(folder: Path) -> Iterator[Stored]:
    """Every file in a folder and those below it."""
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                yield _stored(f"{above}/{name}", os.lstat(f"{above}/{name}"))


def own_files(folder: Path) -> Iterator[Stored]:
    """The files in the folder of a run, or of a comparison, that are called as krea-pipe calls them."""
    for part in (folder, folder / "selected"):
        yield from _called(part, OWN)
        yield from _called(part / "thumbnails", PICTURE)


def _called(folder: Path, pattern: re.Pattern[str]) -> Iterator[Stored]:
    if folder.is_symlink() or not folder.is_dir():
        return
    for one in os.scandir(folder):
        if pattern.fullmatch(one.name) and one.is_file(follow_symlinks=False):
            with suppress(OSError):
                yield _stored(one.path, one.stat(follow_symlinks=False))


def _leftovers(home: str, now: float) -> Iterator[Leftover]:
    for above, folders, names in os.walk(home):
        for name in [one for one in folders if TEMPORARY.fullmatch(one)]:
            folders.remove(name)
            yield Leftover(f"{above}/{name}", tuple(files_below(Path(above, name))))
        for name in names:
            if TEMPORARY.fullmatch(name):
                with suppress(OSError):
                    stat = os.lstat(f"{above}/{name}")
                    if now - stat.st_mtime > YOUNG_SECONDS:
                        yield Leftover(f"{above}/{name}", (_stored(f"{above}/{name}", stat),))


def pictures_in(folder: Path) -> dict[str, Stored]:
    """The files of a folder's folders that are named by a digest."""
    found = {}
    for below in folders_in(folder):
        for one in os.scandir(below):
            digest = one.name.partition(".")[0]
            if PICTURE.fullmatch(one.name) and one.is_file(follow_symlinks=False) and digest[:2] == below.name:
                with suppress(OSError):
                    found[digest] = _stored(one.path, one.stat(follow_symlinks=False))
    return found


def _stored(path: str, stat: os.stat_result) -> Stored:
    return Stored(path, stat.st_size, (stat.st_dev, stat.st_ino), stat.st_nlink)


def _drawn(space: Space) -> Iterator[Drawn]:
    """Every result that the facts or the journal know; both, where they differ."""
    replay, prefix, seen = space.journal.replay(), result_name(""), set[tuple[str, str]]()
    found = [(name.removeprefix(prefix), fact) for name, fact in space.facts.beginning_with(prefix).items()]
    for key, data in (*found, *replay.done.items()):
        result = _result(data)
        if result is not None and (key, result.sha256) not in seen:
            seen.add((key, result.sha256))
            usd = Decimal(0) if space.folder.name == LOCAL.space else result.cost_usd
            yield Drawn(key, result.sha256, usd, result.finished_at, _is_open(replay, key))


def _result(data: dict[str, Json]) -> Result | None:
    try:
        return Result.from_json(data)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return None


def _is_open(replay: Replay, key: str) -> bool:
    return key in replay.in_flight or replay.unanswered(key) is not None or not replay.is_reported(key)
