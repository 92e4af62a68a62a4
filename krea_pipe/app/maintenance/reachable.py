"""One free look at Krea: is it there, does it take the key, and what time is it there."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from krea_pipe.api.client import Client
from krea_pipe.api.failures import Refused
from krea_pipe.app.maintenance.checkup import Check
from krea_pipe.core.errors import StateError
from krea_pipe.core.settings import Target, Token
from krea_pipe.executor.account_calls import asked

REFUSALS = {
    401: ("does not know this key", "copy it again, or make a new one: krea.ai/app/api/tokens"),
    402: ("takes the key, but there is no credit left", "top up at krea.ai"),
    403: ("knows the key, but it has no right to this", "check what the key may do: krea.ai/app/api/tokens"),
}
MOST_SECONDS = 60.0
"""A clock that is further off gives reports wrong times, and `gc` wrong ages."""


@dataclass(frozen=True, slots=True)
class _Answer:
    """What Krea said: the status, a complaint, and how far our clock is before or behind its own, in seconds."""

    status: int
    complaint: str
    ahead: float | None


def look_at_krea(target: Target, token: Token) -> tuple[list[Check], bool]:
    """Ask for one job of the account, which is free; what was found, and whether the key was refused."""
    try:
        answer = asked(target, token, _look)
    except StateError as error:
        problem = error.problems[0]
        hint = "check the network, the proxy and KREA_API_BASE"
        return [Check("Krea", "problem", f"{target.base} cannot be asked: {problem.message}", hint)], False
    return list(_checks(target, answer)), answer.status in REFUSALS


async def _look(client: Client) -> _Answer:
    status, complaint = 200, ""
    try:
        await client.jobs(1)
    except Refused as error:
        status, complaint = error.status, str(error)
    now, first, last = datetime.now(UTC), client.clock.earliest(), client.clock.latest()
    if first is None or last is None:
        return _Answer(status, complaint, None)
    ahead = max((now - last).total_seconds(), 0.0) or min((now - first).total_seconds(), 0.0)
    return _Answer(status, complaint, ahead)


def _checks(target: Target, answer: _Answer) -> Iterator[Check]:
    if answer.status in REFUSALS:
        said, hint = REFUSALS[answer.status]
        yield Check("Krea", "problem", f"{target.base} {said}: {answer.complaint} ({answer.status})", hint)
    elif answer.status == 429:
        yield Check("Krea", "warning", f"{target.base} is asked too much at the moment (429)", "try again in a minute")
    elif answer.status != 200:
        hint = "try again later; should it stay so, check KREA_API_BASE"
        yield Check("Krea", "problem", f"{target.base} answered {answer.complaint} ({answer.status})", hint)
    else:
        yield Check("Krea", "ok", f"{target.base} is there and takes the key")
    yield _clock(answer.ahead)


def _clock(ahead: float | None) -> Check:
    if ahead is None:
        return Check("clock", "ok", "Krea did not tell the time")
    if not ahead:
        return Check("clock", "ok", "agrees with Krea's to the second")
    message = f"{abs(ahead):,.0f} s {'ahead of' if ahead > 0 else 'behind'} Krea's"
    if abs(ahead) <= MOST_SECONDS:
        return Check("clock", "ok", message)
    return Check("clock", "warning", message, "set this machine's clock: reports have its times")
