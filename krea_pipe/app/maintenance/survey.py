"""The home folder looked through: what is there, what has to stay, what can go."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from krea_pipe.app.maintenance.disk import hold, leftovers_in, spaces_of
from krea_pipe.app.maintenance.locks import Around, read_locks
from krea_pipe.app.maintenance.reach import Locks, Reach, reach_of
from krea_pipe.app.maintenance.records import read_diffs, read_runs
from krea_pipe.app.maintenance.stored import Listing
from krea_pipe.app.maintenance.waste import Waste, waste_of
from krea_pipe.core.git import repository
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import DEFAULT_HOME
from krea_pipe.executor.deliver import LOCK
from krea_pipe.planning.lockfile import SUFFIX
from krea_pipe.store.lock import exclusive


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is, which lock files there are, what has to stay and what would go."""

    listing: Listing
    locks: Locks
    reach: Reach
    waste: Waste


def survey(home: Path, keep: timedelta, environment: Mapping[str, str], *, forgets: bool = False) -> Survey:
    """Look through a home folder.

    A pipeline whose folder is not there, as on a disk that is away, keeps what was drawn for it, unless it `forgets`.

    Raises:
        InvalidInput: a lock file cannot be read. StateError: something else that names images cannot be.
    """
    now = datetime.now(UTC)
    spaces = spaces_of(home)
    holdings = tuple(hold(space) for space in spaces)
    listing = Listing(holdings, read_runs(home), read_diffs(home), leftovers_in(home, now))
    facts = [fact for space in spaces for fact in space.facts.beginning_with("out:").values()]
    written = [fact for space in spaces for fact in space.facts.beginning_with(LOCK).values()]
    pipelines, files = _places(facts), tuple(file for file in _places(written) if file.name.endswith(SUFFIX))
    beside = (home.absolute().parent,) if home.name == DEFAULT_HOME else ()
    here = (Path.cwd(),) if repository(Path.cwd()) else ()
    around = Around(tuple(dict.fromkeys((*here, *beside))), pipelines, files, environment)
    away = tuple(file for file in (*pipelines, *files) if not file.parent.is_dir())
    locks = replace(read_locks(around), away=() if forgets else away)
    if locks.away:
        keys = frozenset(str(fact.get("key")) for fact in facts if Path(str(fact.get("file"))) in away)
        locks = replace(locks, keys=locks.keys | keys)
    reach = reach_of(listing, locks, now - keep if keep else None)
    return Survey(listing, locks, reach, waste_of(listing, reach))


def _places(facts: Iterable[Mapping[str, Json]]) -> tuple[Path, ...]:
    return tuple(Path(file) for file in sorted({str(fact["file"]) for fact in facts if fact.get("file")}))


@contextmanager
def no_run_begins(home: Path) -> Iterator[None]:
    """Keep runs from beginning: one that is being born waits until this is over.

    Raises:
        StateError: the locks are not to be had.
    """
    with ExitStack() as held:
        for space in spaces_of(home):
            held.enter_context(exclusive(space.presence.folder.with_name("running.lock")))
        yield
