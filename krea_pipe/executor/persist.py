"""What a run leaves in the store for the next one; the journal already has what was paid."""

from collections.abc import Mapping
from pathlib import Path

from krea_pipe.core.outcome import Outcome, Result
from krea_pipe.core.request import Key
from krea_pipe.planning.plan import Plan, Reuse, Step
from krea_pipe.store.events import Counted, Reported
from krea_pipe.store.known import remember_cells, remember_results
from krea_pipe.store.space import Space


def remember(space: Space, plan: Plan, outcomes: Mapping[Key, Outcome]) -> None:
    """Keep results, and which request each cell had last, as facts."""
    fresh: dict[str, tuple[Result, Step]] = {}
    for step in plan.steps:
        result = outcomes[step.key].result
        if result is not None and not (isinstance(step.action, Reuse) and step.action.kept):
            fresh[step.key] = (result, step)
    remember_results(space, {key: (result, step.request.fields()) for key, (result, step) in fresh.items()})
    drawn = [step for step in plan.steps if outcomes[step.key].result is not None]
    remember_cells(space, {f"{plan.pipeline}/{cell.id}": step.key for step in drawn for cell in step.cells})


LOCK = "lock:"
"""Begins the names of facts about lock files that runs have written, wherever they are."""


def remember_lock(space: Space, file: Path) -> None:
    """Keep where a lock file is, so that nothing that it names is removed."""
    place = file.absolute().as_posix()
    space.facts.write({f"{LOCK}{place}": {"file": place}})


def mark_reported(space: Space, plan: Plan, run_id: str) -> None:
    """Note what now stands in a report, so that no later one counts it again."""
    if plan.has_calls:
        space.journal.append(Reported(), run_id)
    for step in plan.steps:
        if isinstance(step.action, Reuse) and not step.action.counted:
            space.journal.append(Counted(), step.key)
