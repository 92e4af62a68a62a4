"""The home folder looked through: what is there, what has to stay, what can go."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from krea_pipe.settings import DEFAULT_HOME
from krea_pipe.store.lock import exclusive
from krea_pipe.upkeep.disk import hold, leftovers_in, spaces_of
from krea_pipe.upkeep.locks import Around, read_locks
from krea_pipe.upkeep.reach import Locks, Reach, reach_of
from krea_pipe.upkeep.records import read_diffs, read_runs
from krea_pipe.upkeep.stored import Listing
from krea_pipe.upkeep.waste import Waste, waste_of


@dataclass(frozen=True, slots=True)
class Survey:
    """What there is, which lock files there are, what has to stay and what would go."""

    listing: Listing
    locks: Locks
    reach: Reach
    waste: Waste


def survey(home: Path, keep: timedelta, environment: Mapping[str, str]) -> Survey:
    """Look through a home folder.

    Raises:
        InvalidInput: a lock file can not be read. StateError: something else that names images can not be.
    """
    now = datetime.now(UTC)
    spaces = spaces_of(home)
    holdings = tuple(hold(space) for space in spaces)
    listing = Listing(holdings, read_runs(home), read_diffs(home), leftovers_in(home, now))
    facts = [fact for space in spaces for fact in space.facts.beginning_with("out:").values()]
    files = sorted({str(fact["file"]) for fact in facts if fact.get("file")})
    beside = (home.absolute().parent,) if home.name == DEFAULT_HOME else ()
    around = Around(tuple(dict.fromkeys((Path.cwd(), *beside))), tuple(Path(file) for file in files), environment)
    locks = read_locks(around)
    reach = reach_of(listing, locks, now - keep if keep else None)
    return Survey(listing, locks, reach, waste_of(listing, reach))


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
