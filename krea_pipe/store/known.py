"""The facts in the store about a set of cells, read in batches before anything is decided."""

from collections.abc import Collection, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space
from krea_pipe.store.stored_results import (
    RESULT,
    StoredFact,
    StoredResults,
    image_and_stamp,
    result_in,
    result_of,
    stored_in,
)

_NAMES = 9_000
"""Names that are looked up together: those of all cells at once would take more memory than what is found."""


@dataclass(frozen=True, slots=True)
class Known:
    """Intact results by key, keys whose stored image is missing or damaged, the last request of each cell.

    The `journal` is partial if there is a result for every key. `unkept` are the results that the journal alone knows:
    a run was killed before it could keep them as facts. `alive` are the runs in progress. `lost` has the results whose
    images are missing or damaged, as far as they can be read.
    """

    results: Mapping[str, Result]
    damaged: frozenset[str]
    unkept: frozenset[str]
    before: Mapping[str, Mapping[str, Json]]
    journal: Replay
    alive: frozenset[str]
    lost: Mapping[str, Result] = field(default_factory=dict)
    missing: frozenset[str] = frozenset()
    """The keys without a result."""


def look_up(space: Space, keys: Collection[str], cells: Iterable[str]) -> Known:
    """Everything that is known about cells.

    Args:
        space: The name space of the target.
        keys: The key of each cell's request.
        cells: In the same order their names: the pipeline's name, a slash and the cell's id. They are not read if each
            cell has a result.

    Returns:
        Their results, and why others have none.

    Raises:
        StateError: The cache or the journal cannot be read.
    """
    stored: dict[str, StoredFact] = space.facts.read_as(stored_in, keys, RESULT)  # what is left becomes the results
    gone = {key for key, fact in stored.items() if not space.blobs.is_intact(*image_and_stamp(fact))}
    facts = {key: stored.pop(key) for key in gone}
    results = StoredResults(stored)
    lacking = list(dict.fromkeys(key for key in keys if key not in stored))
    alive = space.presence.alive()  # before the journal: a run that ends in between has reported
    replay = space.read_journal(are_all_stored=not lacking)
    damaged, unkept, lost = set(), set(), dict[str, Result]()
    for key in lacking:
        fact, logged = facts.get(key), replay.result(key)
        if logged is not None and space.blobs.is_intact(logged.sha256, None):
            results.add(key, (logged, None))
            unkept.add(key)
        elif fact is not None or key in replay.done:
            damaged.add(key)
            result = logged if logged is not None or fact is None else result_of(fact)
            if result is not None:
                lost[key] = result
    before = _before(space, zip(cells, keys, strict=True), results) if lacking else {}
    missing = frozenset(lacking) - unkept
    return Known(results, frozenset(damaged), frozenset(unkept), before, replay, alive, lost, missing)


def known_jobs(space: Space) -> frozenset[str]:
    """Every job that the journal or a kept result names.

    Args:
        space: The name space of the target.

    Returns:
        The ids of the jobs.

    Raises:
        StateError: The cache or the journal cannot be read.
    """
    facts = space.facts.beginning_with(result_name(""))
    return frozenset(space.journal.replay().jobs.keys() | {str(fact.get("job_id")) for fact in facts.values()})


def remember_results(space: Space, results: Mapping[str, tuple[Result, Mapping[str, Json]]]) -> None:
    """Keep results with the requests that they answer, and the stamps of their verified images.

    Args:
        space: The name space of the target.
        results: By key, the result and the fields of its request.

    Raises:
        StateError: The cache cannot be written.
    """
    facts: dict[str, dict[str, Json]] = {}
    for key, (result, request) in results.items():
        stamp = space.blobs.stamp(result.sha256)
        data: dict[str, Json] = {**result.to_json(), "request": dict(request)}
        if stamp is not None:
            data["stamp"] = [stamp.size, stamp.mtime_ns]
        facts[result_name(key)] = data
    space.facts.write(facts)


def remember_cells(space: Space, keys: Mapping[str, str]) -> None:
    """Keep which request each cell last stood for, so that a later plan can say what changed.

    Args:
        space: The name space of the target.
        keys: The key of each cell's request, by the cell's name.

    Raises:
        StateError: The cache cannot be written.
    """
    names = [cell_name(cell) for cell in keys]
    old = space.facts.read(names)
    changed = {cell_name(cell): {"key": key} for cell, key in keys.items() if old.get(cell_name(cell)) != {"key": key}}
    space.facts.write(cast("dict[str, dict[str, Json]]", changed))


def remember_failed_checks(space: Space, cells: Mapping[str, tuple[str, Sequence[str]]]) -> None:
    """Keep which checks the image of each cell does not pass, so that a later selection can ask for them.

    Args:
        space: The name space of the target.
        cells: The key of each cell's request and the names of these checks, by the cell's name.

    Raises:
        StateError: The cache cannot be read or written.
    """
    names = {_checked_name(cell): one for cell, one in cells.items()}
    old = space.facts.read(names)
    new: dict[str, dict[str, Json]] = {
        name: {"key": key, "failed": list(failed)} for name, (key, failed) in names.items() if failed or name in old
    }
    space.facts.write({name: fact for name, fact in new.items() if old.get(name) != fact})


def failed_checks(space: Space, keys: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The checks that the images of cells do not pass, as the last run found.

    Args:
        space: The name space of the target.
        keys: The key of each cell's request, by the cell's name.

    Returns:
        The names of the checks by the cell's name, of cells that have the same request as then.

    Raises:
        StateError: The cache cannot be read.
    """
    facts = space.facts.read(_checked_name(cell) for cell in keys)
    found: dict[str, tuple[str, ...]] = {}
    for cell, key in keys.items():
        fact = facts.get(_checked_name(cell), {})
        if fact.get("key") == key and isinstance(names := fact.get("failed"), list) and names:
            found[cell] = tuple(map(str, names))
    return found


def _checked_name(cell: str) -> str:
    return f"checked:{cell}"


def result_name(key: str) -> str:
    """The name of a result's fact.

    Args:
        key: The key of its request; "" for what all these names begin with.

    Returns:
        The name.
    """
    return f"{RESULT}{key}"


def image_of(fact: Mapping[str, Json]) -> str:
    """The digest of the image that a result's fact names.

    Args:
        fact: The fact.

    Returns:
        The digest; "" when it names none.
    """
    result = result_in(fact)
    return result.sha256 if result else ""


def cell_name(cell: str) -> str:
    """The name of a cell's fact.

    Args:
        cell: The pipeline's name, a slash and the cell's id.

    Returns:
        The name.
    """
    return f"cell:{cell}"


def _before(space: Space, keys: Iterable[tuple[str, str]], results: Container[str]) -> dict[str, Mapping[str, Json]]:
    """The last request of each cell without a result, if it is known."""
    found: dict[str, Mapping[str, Json]] = {}
    waiting = (cell for cell, key in keys if key not in results)
    while names := {cell_name(cell): cell for cell in islice(waiting, _NAMES)}:
        last = {names[name]: result_name(str(fact.get("key"))) for name, fact in space.facts.read(names).items()}
        requests = space.facts.read(set(last.values()))
        given = {cell: requests[name].get("request") for cell, name in last.items() if name in requests}
        found |= {cell: cast("dict[str, Json]", request or {}) for cell, request in given.items()}
    return found
