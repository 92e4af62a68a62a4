"""From a request to a job that Krea has, never two.

There is no idempotency key, so a POST is repeated only when Krea said no or was never reached.
"""

from dataclasses import dataclass, field

from krea_pipe.api.client import AnswerLost, CallFailed, Refused, Unreachable
from krea_pipe.api.wire import Job
from krea_pipe.errors import Problem
from krea_pipe.outcome import Attempt, Failure, Outcome
from krea_pipe.plan import Step
from krea_pipe.run.backoff import delay
from krea_pipe.run.session import Session, now
from krea_pipe.run.uploads import Uploads
from krea_pipe.settings import Pace

TRIES = 8

_NO_SERVICE = {
    401: ("key_refused", "check KREA_API_KEY; keys are made at krea.ai/app/api/tokens"),
    402: ("no_credit", "top up the API balance, then run the same command again; it goes on where this stopped"),
    403: ("forbidden", "check that API access is enabled for the workspace of this key"),
}


@dataclass(slots=True)
class History:
    """What was tried for one request."""

    attempts: list[Attempt] = field(default_factory=list)

    def note(self, event: str, detail: str = "") -> None:
        """Add one attempt, now."""
        self.attempts.append(Attempt(now(), event, detail))


async def submit(step: Step, session: Session, uploads: Uploads, history: History) -> Job | Outcome:
    """Send one request until Krea takes it; an `Outcome` when it did not, or might have."""
    sources = [one.id for one in step.request.references]
    patience = Patience(session.pace)
    while True:
        try:
            urls = await uploads.urls(sources)
        except CallFailed as error:
            return _upload_failed(error, session, history)
        if session.stop.wanted:
            return Outcome("pending", attempts=tuple(history.attempts))
        answer = await _post(step, session, urls, history)
        if not isinstance(answer, CallFailed):
            return answer
        if isinstance(answer, Refused) and answer.status in (400, 404, 422) and uploads.renew(urls):
            history.note("uploading_again", "a remembered reference may be gone")
            continue
        wait = patience.wait(answer)
        if wait is None:
            return _refused(answer, session, history)
        if await session.stop.pause(wait):
            return Outcome("pending", attempts=tuple(history.attempts))


async def _post(step: Step, session: Session, urls: dict[str, str], history: History) -> Job | Outcome | CallFailed:
    """One POST, written down before and after."""
    facts = {"origin": session.origin, "account": session.account, "usd": str(step.price)}
    await session.record("submitting", step.key, **facts)
    try:
        job = await session.client.submit(step.request, urls)
    except (AnswerLost, Refused, Unreachable) as error:
        lost = isinstance(error, AnswerLost) or (isinstance(error, Refused) and error.status >= 500)
        await session.record("unanswered" if lost else "declined", step.key, **facts)
        history.note("unanswered" if lost else "declined", str(error))
        return _uncertain(step, error, history) if lost else error
    await session.record("submitted", step.key, job_id=job.id, **facts)
    history.note("submitted", job.id)
    return job


@dataclass(slots=True)
class Patience:
    """How long a request is offered: a few times when Krea can not be reached, until the deadline when it is full."""

    pace: Pace
    waited: float = 0.0
    tries: int = 0

    def wait(self, error: CallFailed) -> float | None:
        """Seconds until the next try; None when there is to be none. Only what was surely not taken is repeated."""
        self.tries += 1
        if isinstance(error, Unreachable) and self.tries <= TRIES:
            return self._longer(0)
        if isinstance(error, Refused) and error.status in (408, 425, 429) and self.waited < self.pace.deadline:
            return self._longer(error.retry_after or 0)
        return None

    def _longer(self, least: float) -> float:
        wait = max(least, delay(self.tries, self.pace))
        self.waited += wait
        return wait


def _uncertain(step: Step, error: CallFailed, history: History) -> Outcome:
    message = f"{error}. Krea may have drawn and billed it, so it was not sent again"
    return Outcome(
        "uncertain",
        failure=Failure("answer_lost", message),
        cost_usd=step.price,
        attempts=tuple(history.attempts),
    )


def _refused(error: CallFailed, session: Session, history: History) -> Outcome:
    attempts = tuple(history.attempts)
    if refuse_account(error, session):
        return Outcome("pending", attempts=attempts)
    return Outcome("failed", failure=failure_of(error), attempts=attempts)


def _upload_failed(error: CallFailed, session: Session, history: History) -> Outcome:
    history.note("upload_failed", str(error))
    if session.stop.wanted or refuse_account(error, session):
        return Outcome("pending", attempts=tuple(history.attempts))
    failure = Failure("upload_failed", f"a reference could not be uploaded: {error}")
    return Outcome("failed", failure=failure, attempts=tuple(history.attempts))


def refuse_account(error: CallFailed, session: Session) -> bool:
    """Stop the run when Krea refuses the account rather than the request; whether it does."""
    if not isinstance(error, Refused) or error.status not in _NO_SERVICE:
        return False
    code, hint = _NO_SERVICE[error.status]
    session.stop.refuse(Problem(code, f"Krea refused this account: {error}", hint=hint))
    return True


def failure_of(error: CallFailed) -> Failure:
    """A failed call as the reason why a cell has no image."""
    if not isinstance(error, Refused):
        return Failure("unreachable", str(error))
    code = {410: "model_unavailable", 429: "too_many_requests"}.get(error.status, "rejected")
    return Failure(code, f"Krea answered {error}")
