"""The contents of the home folder: files, images of a name space, and the folders of runs and comparisons.

Nothing here follows a link out of the folder.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.errors import KreaPipeError, Problem, StateError
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.settings import LOCAL_TARGET, space_name
from krea_pipe.report.folder import ASSEMBLED, PLANNED, RECORD, runs_folder
from krea_pipe.store.known import result_name
from krea_pipe.store.plain import is_plain, read_plain
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space, open_space

NAMES = re.compile(r"live|local|loopback|engine|host-.+")
TEMPORARY = re.compile(r"\.krea-pipe-.+\.tmp")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_IMAGE_NAME = re.compile(r"[0-9a-f]{64}(\.webp)?")
OWN = re.compile(
    r"report\.(json|html|css|md)|(started|shard)\.json|state\.txt|junit\.xml|results\.csv|\.krea-pipe-.+\.tmp"
)
"""The files in the folder of a run, or of a comparison."""
YOUNG_SECONDS = 3600
"""A temporary file may be that of a command which is writing now."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A file with its size in bytes. `node` is what its names share, `links` how many names there are."""

    path: str
    size: int
    node: tuple[int, int]
    links: int = 1


@dataclass(frozen=True, slots=True)
class Drawn:
    """A result: its request's key, its image by digest, what that cost, when it came (UTC, ISO 8601).

    `is_open` says that the request is in flight again, or that no report has the result yet.
    """

    key: str
    sha256: str
    usd: Decimal
    at: str
    is_open: bool = False


@dataclass(frozen=True, slots=True)
class Holding:
    """The contents of a name space: images and thumbnails by digest, results, and active runs."""

    name: str
    blobs: Mapping[str, Stored]
    thumbnails: Mapping[str, Stored]
    drawn: tuple[Drawn, ...] = ()
    alive: frozenset[str] = frozenset()

    def bill(self, digests: Iterable[str]) -> Decimal:
        """The cost of the images with these digests; a request counts unless it also has another image."""
        chosen = set(digests)
        of_keys: dict[str, list[Drawn]] = {}
        for one in self.drawn:
            if one.sha256 in self.blobs:
                of_keys.setdefault(one.key, []).append(one)
        lost = (found[0].usd for found in of_keys.values() if all(one.sha256 in chosen for one in found))
        return sum(lost, Decimal(0))


@dataclass(frozen=True, slots=True)
class RunFolder:
    """The folder of a run: its name space, the time in its record, the images and requests that it names."""

    path: str
    id: str
    space: str
    at: datetime
    is_finished: bool
    digests: frozenset[str]
    keys: frozenset[str]
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class DiffFolder:
    """The folder of a comparison or of an assembled report, and when it was written."""

    path: str
    at: datetime
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Leftover:
    """A temporary file that a crash has left, or a folder that was being removed."""

    path: str
    files: tuple[Stored, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything in a home folder that may go or has to stay."""

    holdings: tuple[Holding, ...]
    runs: tuple[RunFolder, ...] = ()
    diffs: tuple[DiffFolder, ...] = ()
    leftovers: tuple[Leftover, ...] = ()

    @property
    def alive(self) -> frozenset[str]:
        """the runs in progress."""
        return frozenset[str]().union(*(one.alive for one in self.holdings))


def spaces_of(home: Path) -> list[Space]:
    """Every name space that the home folder has.

    Args:
        home: the home folder.

    Returns:
        The name spaces, by name; none where there is no such folder.

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
        hint = "links are not followed; set KREA_PIPE_HOME to the folder itself"
        raise StateError(Problem("home_linked", f"{folder} is a link", hint=hint))
    try:
        return sorted(Path(one.path) for one in os.scandir(folder) if one.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StateError(Problem("home_unreadable", f"cannot read {folder}: {error.strerror}")) from error


def hold(space: Space) -> Holding:
    """The contents of a name space.

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
    """Leftovers of crashes anywhere in the home folder."""
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
        yield from _called(part / "thumbnails", _IMAGE_NAME)


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
            if _IMAGE_NAME.fullmatch(one.name) and one.is_file(follow_symlinks=False) and digest[:2] == below.name:
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
            usd = Decimal(0) if space.folder.name == LOCAL_TARGET.space else result.cost_usd
            yield Drawn(key, result.sha256, usd, result.finished_at, _is_open(replay, key))


def _result(data: dict[str, Json]) -> Result | None:
    try:
        return Result.from_json(data)
    except (KeyError, ValueError, TypeError, ArithmeticError):
        return None


def _is_open(replay: Replay, key: str) -> bool:
    return key in replay.in_flight or replay.unanswered(key) is not None or not replay.is_reported(key)


def read_runs(home: Path) -> tuple[RunFolder, ...]:
    """Every run that has a report, or was about to have one.

    Raises:
        StateError: a record cannot be read, so what it names is not known.
    """
    return tuple(run for folder in folders_in(runs_folder(home)) if (run := _run(folder)) is not None)


def read_diffs(home: Path) -> tuple[DiffFolder, ...]:
    """Every comparison of two runs and every assembled report, with the time when it was last written."""
    folders = (*folders_in(home / "diffs"), *folders_in(home / ASSEMBLED))
    return tuple(diff for folder in folders if (diff := _diff(folder)) is not None)


def _run(folder: Path) -> RunFolder | None:
    file = next((folder / name for name in (RECORD, PLANNED) if is_plain(folder / name)), None)
    if file is None:
        return None
    data = _read(file)
    is_finished = file.name == RECORD
    moment = moment_of(str(data.get("finished_at" if is_finished else "started_at")))
    if moment is None or not str(data.get("schema")).startswith("krea-pipe/run-report@"):
        raise _unreadable(file, "it is not a run report")
    rows, references = _objects(data.get("cells")), _objects(data.get("references"))
    return RunFolder(
        path=str(folder),
        id=folder.name,
        space=_space(data.get("target")),
        at=moment,
        is_finished=is_finished,
        digests=frozenset(_digests((*rows, *references), "sha256")),
        keys=frozenset(_digests(rows, "key")),
        files=tuple(own_files(folder)),
    )


def _diff(folder: Path) -> DiffFolder | None:
    records = [file for file in (folder / RECORD, folder / "selected" / RECORD) if is_plain(file)]
    if not records:
        return None
    written = max(file.stat().st_mtime for file in records)
    return DiffFolder(str(folder), datetime.fromtimestamp(written, UTC), tuple(own_files(folder)))


def _read(file: Path) -> dict[str, Json]:
    try:
        data = json.loads(read_plain(file).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise _unreadable(file, str(error)) from error
    if not isinstance(data, dict):
        raise _unreadable(file, "it is not a run report")
    return data


def _unreadable(file: Path, reason: str) -> StateError:
    hint = f"it is unknown which images this run uses; if you do not need it, delete {file.parent}"
    return StateError(Problem("unreadable_report", f"cannot read {file}: {reason}", hint=hint))


def _objects(data: Json) -> tuple[dict[str, Json], ...]:
    return tuple(one for one in data if isinstance(one, dict)) if isinstance(data, list) else ()


def _digests(rows: tuple[dict[str, Json], ...], name: str) -> Iterator[str]:
    for row in rows:
        text = row.get(name)
        if isinstance(text, str) and _DIGEST.fullmatch(text):
            yield text


def _space(target: Json) -> str:
    data = target if isinstance(target, dict) else {}
    try:
        return space_name(str(data.get("kind", "")), str(data.get("base", "")))
    except KreaPipeError:
        return ""


def moment_of(text: str) -> datetime | None:
    """A time of ISO 8601, in UTC if it has no time zone, or None if it is not a time."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
