"""From a request to a job that Krea has, never two.

There is no idempotency key, so a POST is repeated only when Krea said no, was never reached, or shows no job of it.
"""

import asyncio
from dataclasses import dataclass, field

from krea_pipe.api.client import Client
from krea_pipe.api.failures import AnswerLost, CallFailed, Refused, Unreachable
from krea_pipe.api.wire import Job
from krea_pipe.core.outcome import Attempt, Failure, Outcome
from krea_pipe.executor.capacity import Place, delay
from krea_pipe.executor.inputs import Uploads
from krea_pipe.executor.journal_writer import now
from krea_pipe.executor.refusal import declined, failure_of, refuse_account
from krea_pipe.executor.session import Session
from krea_pipe.planning.plan import Step, Submit
from krea_pipe.store.events import Adopted, Submitted, Submitting
from krea_pipe.store.ledger import Busy, Free, Standing
from krea_pipe.store.replay import InFlight, Post

TRIES = 8
WENT_WELL = ["submitted", "done"]
"""The attempts of a request with which nothing happened that a reader has to know."""


@dataclass(slots=True)
class History:
    """What was tried for one request."""

    attempts: list[Attempt] = field(default_factory=list)

    def note(self, event: str, detail: str = "", at: str = "") -> str:
        """Add one attempt, now or at a time that is known, and return its time."""
        self.attempts.append(Attempt(at or now(), event, detail))
        return self.attempts[-1].at


@dataclass(frozen=True, slots=True)
class Lost:
    """The answer to a POST did not come."""

    reason: str
    error: CallFailed | None = None


@dataclass(slots=True)
class Offer:
    """One request that is offered to Krea until it is taken, refused, or without an answer."""

    step: Step
    session: Session
    uploads: Uploads
    history: History
    place: Place
    tries: int = 0
    waited: float = 0.0

    async def make(self) -> Job | Standing | Lost | Outcome:
        """Offer it. A `Standing` says that it is not ours to send after all.

        After `Lost` the gate is left shut, for whoever looks for the job.
        """
        sources = [one.id for one in self.step.request.images]
        while True:
            try:
                urls = await self.uploads.urls(sources)
            except CallFailed as error:
                return await self._upload_failed(error)
            if self.session.stop.wanted:
                return self._pending()
            answer = await self._post(urls)
            if answer is None:
                self.place.give_back()
                if not await self.place.take():
                    return self._pending()
                continue
            if not isinstance(answer, CallFailed):
                return answer
            if isinstance(answer, Refused) and answer.status in (400, 404, 422) and self.uploads.renew(urls):
                self.history.note("uploading_again", "a remembered reference may be gone")
                continue
            if not await self._waited_for_another_try(answer):
                return self._refused(answer)

    async def _post(self, urls: dict[str, str]) -> Job | Standing | Lost | Outcome | CallFailed | None:
        """One POST, written down before and after; None when the room has become too small for it meanwhile."""
        session, step = self.session, self.step
        async with session.submit_gate.passed() as has_passed:
            if not has_passed:
                return self._pending()
            if session.capacity.is_crowded:
                return None
            if session.stop.wanted or (
                session.capacity.rest and await session.stop.sleep_unless_closing(session.capacity.rest)
            ):
                return self._pending()
            expected = (Free, Post, InFlight) if isinstance(step.action, Submit) and step.action.again else (Free,)
            post = session.submitting(step.key, step.cells[0].id, step.price)
            standing = await session.journal_writer.claim(post, step.key, expected)
            if not isinstance(standing, expected):
                return standing
            answer = await self._sent(session.client, urls)
            match answer:
                case Job():
                    session.sent.pop(step.key, None)
                    self.place.fill()
                    session.capacity.accept()
                    written = session.journal_writer.put(submitted(post, answer), step.key)
                case Lost(error=error):
                    written = self._put_lost(post)
                    self._make_room(error)
                case error:
                    self._make_room(error)
                    await refuse_account(error, session)  # before the next POST
                    written = session.journal_writer.put(declined(error), step.key)
        # The next POST may begin while this line is written: its own line comes after it.
        if isinstance(await written, Busy) and isinstance(answer, Job):
            answer = Lost(f"Krea's answer names job {answer.id}, which is the job of another request")
            await self._put_lost(post)
        self.history.note(*_words(answer))
        return answer

    def _put_lost(self, post: Submitting) -> "asyncio.Future[object]":
        """Shut the gate for whoever looks for the job of the POST, and write down that its answer is lost."""
        session = self.session
        session.submit_gate.shut()
        written = session.journal_writer.put(session.unanswered(post), self.step.key)
        written.add_done_callback(self._open_after_failure)
        return written

    def _open_after_failure(self, written: "asyncio.Future[object]") -> None:
        """Open the gate when a lost answer could not be written down: nobody will look for its job."""
        if written.cancelled() or written.exception() is not None:
            self.session.submit_gate.open()

    def _make_room(self, error: CallFailed | None) -> None:
        """Take in what a 429 means for all requests, while none of them can be sent yet, whoever has answered it."""
        if isinstance(error, Refused) and error.status == 429 and self.session.capacity.refuse(error.retry_after or 0):
            self.place.give_back()

    async def _sent(self, client: Client, urls: dict[str, str]) -> Job | Lost | CallFailed:
        started = client.clock.steady()
        try:
            job = await client.submit(self.step.request, urls, self.session.webhook)
        except (AnswerLost, Refused, Unreachable) as error:
            return Lost(str(error), error) if error.may_have_acted else error
        if job.id in self.session.shown_before:
            return Lost(f"Krea's answer names job {job.id}, which was there before the request")
        self.session.answers.append(client.clock.steady() - started)
        client.clock.observe_job(job.created_at, started)
        return job

    async def _waited_for_another_try(self, error: CallFailed) -> bool:
        """Wait as long as the error asks for; False when there is to be no other try."""
        self.tries += 1
        if isinstance(error, Unreachable) and self.tries <= TRIES:
            return not await self.session.stop.sleep_unless_closing(delay(self.tries, self.session.pace))
        if not isinstance(error, Refused) or error.status != 429:
            return False
        if self.waited >= self.session.pace.deadline(self.step.request.variant):
            return False
        wait = max(error.retry_after or 0, delay(min(self.tries, 4), self.session.pace))
        self.waited += wait
        ends = await self.session.stop.sleep_unless_closing(wait)
        return not ends and await self.place.take()

    def _pending(self) -> Outcome:
        return Outcome("pending", attempts=tuple(self.history.attempts))

    def _refused(self, error: CallFailed) -> Outcome:
        if self.session.stop.wanted:
            return self._pending()
        return Outcome("failed", failure=failure_of(error), attempts=tuple(self.history.attempts))

    async def _upload_failed(self, error: CallFailed) -> Outcome:
        self.history.note("upload_failed", str(error))
        if self.session.stop.wanted or await refuse_account(error, self.session):
            return self._pending()
        kind = failure_of(error).kind
        failure = Failure("upload_failed", f"a reference could not be uploaded: {error}", kind)
        return Outcome("failed", failure=failure, attempts=tuple(self.history.attempts))


def submitted(post: Submitting, job: Job) -> Submitted:
    """The event after a POST that has become a job."""
    return Submitted(
        job_id=job.id,
        origin=post.origin,
        account=post.account,
        usd=post.usd,
        cell=post.cell,
        created_at=created_at(job),
    )


def adopted(post: Post, job: Job, account: str) -> Adopted:
    """The event after a job was found in Krea's list for a POST whose answer was lost."""
    return Adopted(
        job_id=job.id,
        origin=post.origin,
        account=account,
        usd=post.usd,
        cell=post.cell,
        created_at=created_at(job),
    )


def created_at(job: Job) -> str:
    """When Krea says that a job was made (UTC, ISO 8601); "" if it does not."""
    return "" if job.created_at is None else job.created_at.isoformat()


def _words(answer: Job | Lost | CallFailed) -> tuple[str, str]:
    match answer:
        case Job(id=job_id):
            return "submitted", job_id
        case Lost(reason=reason):
            return "unanswered", reason
        case error:
            return "declined", str(error)
