"""What jobs at Krea cost according to journals: a charge for each job, and for each POST whose job is unknown.

Only `store.replay.Replay` interprets events. A charge follows from how the state of a request changes with a line.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeAlias

from krea_pipe.core.money import FREE
from krea_pipe.store.events import JournalLine
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight, Post

ChargeState: TypeAlias = Literal["paid", "not_billed", "uncertain", "in_flight"]
_RANKS: tuple[ChargeState, ...] = ("paid", "not_billed", "uncertain", "in_flight")
"""If several sources know a job, the first of these states that one of them names applies."""
_COMPLETED = frozenset({"empty", "image_unfetched", "wrong_size"})
"""Why a completed job has no stored image; Krea bills completed jobs, and no failed or cancelled ones."""


@dataclass(frozen=True, slots=True)
class Charge:
    """The price of one job, or of a POST whose job is unknown (`job_id` is "").

    `usd` is in US dollars. `at` is when Krea made the job, or else when it was written down (UTC, ISO 8601). `cell` is
    `PIPELINE/STAGE/…`. `is_training` says that a style came of it. `is_sender` says that its POST is from the same
    source, and `is_adopted` that no answer named the job.
    """

    key: str
    run: str
    state: ChargeState
    usd: Decimal
    at: str
    cell: str = ""
    variant: str = ""
    person: str = ""
    job_id: str = ""
    is_training: bool = False
    is_sender: bool = True
    is_adopted: bool = False


@dataclass(frozen=True, slots=True)
class SourceCharges:
    """The charges of one journal, or of a shared store.

    `posts` are the POSTs whose job is unknown, and `sent` all POSTs that the source knows, by key and run.
    """

    jobs: tuple[Charge, ...]
    posts: tuple[Charge, ...]
    sent: frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _State:
    """What the journal says of a request."""

    open: Post | None
    lost: Post | None
    job: InFlight | None
    done: object


@dataclass(slots=True)
class ChargeReader:
    """Reads lines in their order, and keeps what each job costs.

    `given_up` are POSTs without an answer whose request was sent again: Krea may have billed both.
    """

    replay: Replay = field(default_factory=Replay)
    jobs: dict[str, Charge] = field(default_factory=dict)
    given_up: list[Post] = field(default_factory=list)
    sent: set[tuple[str, str]] = field(default_factory=set)

    def take(self, line: JournalLine) -> None:
        """Read a line.

        Args:
            line: the line after those that were read.
        """
        before = self._state(line.key)
        self.replay.take(line)
        after = self._state(line.key)
        if after.done is not before.done:
            self._note_result(line)
        elif after.job is not before.job:
            self._note_job(line.key, before, after)
        self._note_posts(before, after)

    def charges(self, alive: frozenset[str]) -> SourceCharges:
        """Collect the charges of the lines that were read.

        Args:
            alive: the runs that are alive, whose POSTs are still under way.

        Returns:
            The charges. What costs nothing is left out.
        """
        unanswered = (*self.replay.open.values(), *self.replay.lost.values(), *self.given_up)
        posts = [_of_post(post, "in_flight" if post.run in alive else "uncertain") for post in unanswered]
        jobs = tuple(one for one in self.jobs.values() if one.usd)
        return SourceCharges(jobs, tuple(one for one in posts if one.usd), frozenset(self.sent))

    def note_paid(self, key: str, job_id: str, usd: Decimal, at: str) -> None:
        """Take in that a job has a result, from elsewhere than a journal.

        Args:
            key: the key of its request.
            job_id: the id of the job.
            usd: its price, which counts where the job is unknown.
            at: when its image was stored (UTC, ISO 8601).
        """
        known = self.jobs.get(job_id) or Charge(key, "", "paid", usd, at, job_id=job_id, is_sender=False)
        self.jobs[job_id] = replace(known, state="paid")

    def _state(self, key: str) -> _State:
        replay = self.replay
        return _State(replay.open.get(key), replay.lost.get(key), replay.in_flight.get(key), replay.done.get(key))

    def _note_job(self, key: str, before: _State, after: _State) -> None:
        old, new = before.job, after.job
        if new is None:
            assert old is not None  # else nothing has changed
            self._note_end(key, old)
        elif old is not None and old.job_id == new.job_id:
            self._set_state(new.job_id, _state_of(new))
        elif not new.was_stored:  # else it was paid before, here or elsewhere
            self.jobs[new.job_id] = Charge(
                key,
                new.run,
                _state_of(new),
                _amount(new.usd),
                new.created_at or new.t,
                new.cell,
                new.variant,
                new.person,
                new.job_id,
                is_sender=before.open is not None or before.lost is not None,
                is_adopted=new.adopted,
            )

    def _note_end(self, key: str, job: InFlight) -> None:
        """A job has ended without an image, or was that of another request."""
        if job.job_id in self.replay.disowned:
            self.jobs.pop(job.job_id, None)
        elif self.replay.failed.get(key) != "job_gone":  # then it was completed, and its image is lost
            self._set_state(job.job_id, "not_billed")

    def _set_state(self, job_id: str, state: ChargeState) -> None:
        charge = self.jobs.get(job_id)
        if charge is not None and charge.state != "paid":
            self.jobs[job_id] = replace(charge, state=state)

    def _note_result(self, line: JournalLine) -> None:
        result = self.replay.done[line.key]
        job_id, usd = str(result.get("job_id", "")), _amount(str(result.get("cost_usd", FREE)))
        charge = self.jobs.get(job_id)
        if charge is None:
            if line.key in self.replay.drawn:  # a job that another home has paid, and that was read again
                return
            charge = Charge(line.key, line.run, "paid", usd, line.t, job_id=job_id, is_sender=False)
        is_training = isinstance(result.get("style_id"), str)
        self.jobs[job_id] = replace(charge, state="paid", usd=charge.usd or usd, is_training=is_training)

    def _note_posts(self, before: _State, after: _State) -> None:
        """A POST whose answer is missing may have been billed, unless the line says what came of it."""
        current = [one for one in (before.open, before.lost) if one is not None]
        self.sent |= {(one.key, one.run) for one in (after.open, after.lost) if one is not None}
        gone = [one for one in current if one is not after.open and one is not after.lost]
        has_answer = after.done is before.done and gone[:1] == current[:1]
        self.given_up += gone[1:] if has_answer else gone


def read_charges(lines: Iterable[JournalLine], alive: frozenset[str]) -> SourceCharges:
    """Read the charges of a journal.

    Args:
        lines: its lines, in their order.
        alive: the runs that are alive.

    Returns:
        The charges.
    """
    reader = ChargeReader()
    for line in lines:
        reader.take(line)
    return reader.charges(alive)


def merge_charges(sources: Sequence[SourceCharges]) -> Iterator[tuple[int, Charge]]:
    """Merge what several journals and a shared store know, without counting a job or a POST twice.

    Args:
        sources: the charges of each; what the first knows of a job counts, unless another has sent its POST.

    Yields:
        Each charge, and the index of the source that it belongs to.
    """
    jobs: dict[str, tuple[int, Charge]] = {}
    for index, source in enumerate(sources):
        for charge in source.jobs:
            known = jobs.get(charge.job_id)
            jobs[charge.job_id] = (index, charge) if known is None else _merged(known, (index, charge))
    yield from jobs.values()
    yield from _merged_posts(sources, [charge for _, charge in jobs.values()])


def _merged(known: tuple[int, Charge], other: tuple[int, Charge]) -> tuple[int, Charge]:
    first, second = (known, other) if known[1].is_sender or not other[1].is_sender else (other, known)
    index, charge = first
    more = second[1]
    state = min(charge.state, more.state, key=_RANKS.index)
    return index, replace(
        charge,
        state=state,
        cell=charge.cell or more.cell,
        variant=charge.variant or more.variant,
        person=charge.person or more.person,
        is_training=charge.is_training or more.is_training,
        is_sender=charge.is_sender or more.is_sender,
    )


def _merged_posts(sources: Sequence[SourceCharges], jobs: Iterable[Charge]) -> Iterator[tuple[int, Charge]]:
    """The POSTs of which no source knows what came of them.

    A source that has sent or read a POST, and does not list it as unknown, knows. A job that was adopted by a home
    without a POST of its own came of the POST of another home.
    """
    adopted = {charge.key for charge in jobs if charge.is_adopted and not charge.is_sender}
    unknown = [frozenset((post.key, post.run) for post in source.posts) for source in sources]
    left_out = set().union(*(source.sent - missing for source, missing in zip(sources, unknown, strict=True)))
    for index, source in enumerate(sources):
        yield from (
            (index, post) for post in source.posts if post.key not in adopted and (post.key, post.run) not in left_out
        )
        left_out |= unknown[index]


def _state_of(job: InFlight) -> ChargeState:
    if job.lack in _COMPLETED:
        return "paid"
    return "uncertain" if job.lack or job.unseen else "in_flight"


def _of_post(post: Post, state: ChargeState) -> Charge:
    return Charge(post.key, post.run, state, _amount(post.usd), post.t, post.cell, post.variant, post.person)


def _amount(text: str) -> Decimal:
    """An amount in a journal; 0 for other text."""
    try:
        amount = Decimal(text)
    except InvalidOperation:
        return Decimal(0)
    return amount if amount.is_finite() and amount > 0 else Decimal(0)
