"""What a run gives back to the shell."""

from collections.abc import Mapping

from krea_pipe.errors import KreaPipeError
from krea_pipe.outcome import Ending, Outcome
from krea_pipe.plan import Plan
from krea_pipe.request import Key

WAITING = 6
"""All is drawn but stages that wait for picks."""
NOT_AS_LOCKED = 8
"""An image is not the one that the lock file has."""


def exit_code_of(plan: Plan, outcomes: Mapping[Key, Outcome], ending: Ending) -> int:
    """The exit code of a run that has ended."""
    if ending.error is not None:
        return ending.error.exit_code if isinstance(ending.error, KreaPipeError) else 70
    if ending.refusal is not None:
        return 4
    if ending.interrupted:
        return 130
    if ending.limit is not None:
        return 5
    if not all(outcome.status in ("succeeded", "reused") for outcome in outcomes.values()):
        return 1
    return WAITING if plan.waiting else 0
