"""Which requests to reuse, attach to, submit or hold, each with its reason; which images to upload; the price.

The plan holds distinct requests, and cells point at them, many to one: what two cells share is paid once. It is a
function of the files and the store alone, so it needs no key, no network and no clock.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cached_property
from typing import NamedTuple, TypeAlias

from krea_pipe.core.failure_codes import failure_class_of
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import ByDigest, Key, Request
from krea_pipe.core.word_diff import PromptChange
from krea_pipe.matrix.cell import Cell, Waiting
from krea_pipe.matrix.sharding import Shard
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES, PriceList
from krea_pipe.pipeline.references import Fingerprints, Image
from krea_pipe.planning.change_reason import describe_change, prompt_change
from krea_pipe.planning.free_sources import FreeSource, FromFile, FromHome, FromRemote, Offer
from krea_pipe.planning.lockfile import LockLine
from krea_pipe.store.known import Known
from krea_pipe.store.request_state import InFlight, Post

DAMAGED = "stored image missing or damaged"
"""The reason for reading a generated image again, or regenerating it if its job is unknown."""

LOCKED = "accepted in the lock file and missing locally"
ABSENT = "missing locally"
EMPTY = "an earlier job was completed without an image, and each attempt may be billed"
"""The reason for holding a request whose job may be billed but has no image."""

_UNFETCHED = "the image could not be fetched"
_LACKS: Mapping[str, str] = {
    "empty": "it was completed without an image",
    "wrong_size": "its image does not have the requested size",
    "stuck": "it did not finish in time",
}
"""The problem with a job that may be billed but has no local image, by the code of its failure."""


@dataclass(frozen=True, slots=True)
class Reuse:
    """The image is stored and intact; `results` has it under the `key` of its request.

    `kept` says whether the cache knows it, not the journal alone; `counted` whether the run that paid for it lives or
    has reported that; `adopted` whether its job was found in Krea's list, because no answer named it.
    """

    results: Mapping[str, Result] = field(repr=False)
    key: Key
    kept: bool = True
    counted: bool = True
    adopted: bool = False
    name = "reuse"

    @property
    def result(self) -> Result:
        """The image, which a plan of many cells need not know."""
        return self.results[self.key]


@dataclass(frozen=True, slots=True)
class Fetch:
    """The image lies elsewhere, and is copied at no cost and without a question to Krea.

    `counted` says whether the run that paid for it lives or has reported that.
    """

    offer: Offer
    counted: bool = True
    name = "fetch"

    @property
    def source(self) -> FreeSource:
        """The source of the copy."""
        return self.offer.source


@dataclass(frozen=True, slots=True)
class Attach:
    """Wait for a job that Krea already has; only its image is missing.

    `account` is the one that started it, if that is known; `counted` says that an earlier run reported its price;
    `adopted` that the job was found in Krea's list; `created_at` is its time there. `was_stored` says that the image
    was generated and paid before, and is missing locally: it is read again, and has the digest `sha256` unless that is
    empty.
    """

    job_id: str
    account: str = ""
    counted: bool = False
    adopted: bool = False
    created_at: str = ""
    was_stored: bool = False
    sha256: str = ""
    name = "attach"

    def job(self, origin: str) -> InFlight:
        """The job as the journal has it.

        Args:
            origin: The mark of the API that it belongs to.

        Returns:
            The job, which no run waits for.
        """
        return InFlight(
            job_id=self.job_id,
            origin=origin,
            account=self.account,
            created_at=self.created_at,
            adopted=self.adopted,
            was_stored=self.was_stored,
            sha256=self.sha256,
        )


@dataclass(frozen=True, slots=True)
class Submit:
    """The request has to be sent, and will be paid; `again` says that an earlier one may have been taken as well."""

    again: bool = False
    name = "submit"


_NEW, _NOTHING = Submit(), Decimal(0)
"""The action for a request of which nothing is known, and the price where nothing is billed: the same for all."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Sending the request could pay for it twice; `code` says why: `answer_lost`, or `empty` for no image.

    `empty` is for journals that do not say which job was without one: that of others is read again.
    """

    code: str
    name = "hold"

    @property
    def can_be_settled(self) -> bool:
        """Whether Krea's list of jobs can show the outcome of the request."""
        return self.code == "answer_lost"


@dataclass(frozen=True, slots=True)
class Rejected:
    """Krea's moderation has rejected this request before, so that it is not sent.

    `code` is the one that Krea gave.
    """

    code: str
    name = "rejected"


Action: TypeAlias = Reuse | Fetch | Attach | Submit | Hold | Rejected


class Step(NamedTuple):
    """One distinct request, what to do with it and why, and the cells that it serves.

    `change` is that of its prompt, where the reason is that the prompt changed. It is a tuple because there are as many
    as cells.
    """

    request: Request
    key: Key
    price: Decimal
    action: Action
    reason: str
    cells: tuple[Cell, ...]
    change: PromptChange | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """The number of requests, and their price in US dollars."""

    count: int
    usd: Decimal


@dataclass(frozen=True)
class Plan:
    """Every distinct request in the order of the file, and the images that those to be sent need."""

    pipeline: str
    steps: tuple[Step, ...]
    uploads: tuple[Image, ...]
    images: tuple[Image, ...] = ()
    """The images of everything that Krea is asked about: what is held or in flight may have to be sent after all."""
    needs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The stages that must be generated before a stage begins."""
    waiting: tuple[Waiting, ...] = ()
    shard: Shard | None = None
    """The shard whose requests these are, if a run is one of several."""

    def total(self, action: type[Action], stage: str | None = None) -> Sum:
        """The sum of the steps with one action; a step counts for the stage of its first cell.

        What is fetched costs nothing: images that are copied, and those that were here and are read from Krea again.
        What is not sent because Krea has rejected it costs nothing either.

        Args:
            action: The kind of action.
            stage: Only steps of this stage; None for all.

        Returns:
            The number of steps and their price.
        """
        sums = [one for (of, kind), one in self._sums.items() if kind is action and stage in (None, of)]
        is_free = action in (Fetch, Rejected)
        usd = Decimal(0) if is_free else sum((one.usd for one in sums), Decimal(0))
        return Sum(sum(one.count for one in sums), usd)

    def in_doubt(self, stage: str | None = None) -> Sum:
        """The steps whose images Krea alone can give: they are paid again when it has them no longer.

        Args:
            stage: Only steps of this stage; None for all.

        Returns:
            The number of steps, and what they would cost.
        """
        prices = [step.price for step in self._read_again if stage in (None, step.cells[0].stage)]
        return Sum(len(prices), sum(prices, Decimal(0)))

    @cached_property
    def _sums(self) -> Mapping[tuple[str, type[Action]], Sum]:
        """The number of steps and their prices by stage and kind of action."""
        prices: dict[tuple[str, type[Action]], list[Decimal]] = {}
        for step in self.steps:
            prices.setdefault((step.cells[0].stage, action_kind(step.action)), []).append(step.price)
        return {name: Sum(len(own), sum(own, Decimal(0))) for name, own in prices.items()}

    @cached_property
    def _read_again(self) -> Sequence[Step]:
        return [step for step in self.steps if is_read_again(step.action)]

    @property
    def has_calls(self) -> bool:
        """Whether Krea has to be asked for anything."""
        return any(needs_call(step.action) for step in self.steps)

    @property
    def has_work(self) -> bool:
        """Whether anything is left to be fetched, sent or decided."""
        return any(not isinstance(step.action, Reuse) for step in self.steps)


def in_order(plan: Plan) -> list[Step]:
    """The steps in the order in which a run can send them: what needs the image of another comes after it."""
    if not any(step.request.upstream for step in plan.steps):
        return list(plan.steps)
    waits = {step.key: step.request.upstream for step in plan.steps if not isinstance(step.action, Reuse | Fetch)}
    depths: dict[Key, int] = {}

    def depth(key: Key) -> int:
        if key not in depths:
            depths[key] = max((depth(one) + 1 for one in waits[key] if one in waits), default=0)
        return depths[key]

    return sorted(plan.steps, key=lambda step: depth(step.key) if step.key in waits else 0)


def needs_call(action: Action) -> bool:
    """Whether Krea has to be asked for something.

    Args:
        action: What is done with a request.

    Returns:
        True for what is sent, waited for or looked up.
    """
    return isinstance(action, (Submit, Attach)) or (isinstance(action, Hold) and action.can_be_settled)


def action_kind(action: Action) -> type[Action]:
    """The kind under which an action is counted and shown.

    Args:
        action: What is done with a request.

    Returns:
        Its type; `Fetch` also for an image that was here and is read from Krea again.
    """
    return Fetch if is_read_again(action) else type(action)


def is_read_again(action: Action) -> bool:
    """Whether an image that was here, and is paid, is read from Krea again.

    Args:
        action: What is done with a request.

    Returns:
        False for a job that has not been collected yet.
    """
    return isinstance(action, Attach) and action.was_stored


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """For which pipeline and API a plan is made.

    `origin` is the API that the run would talk to: a job elsewhere cannot be attached to. `free` is for an API that
    bills nothing. `resubmit` sends requests again whose answer was lost, or whose image cannot be fetched,
    `retry_rejected` those that moderation has rejected. `prices` are those of the pipeline. By the keys of requests,
    `locked` has the lines of a lock file, and `offers` the images that can be copied from elsewhere.
    """

    pipeline: str
    origin: str
    free: bool = False
    resubmit: bool = False
    retry_rejected: bool = False
    prices: PriceList = BUILT_IN_PRICES
    locked: Mapping[Key, Sequence[LockLine]] = field(default_factory=dict)
    offers: Mapping[Key, Sequence[Offer]] = field(default_factory=dict)


def make_plan(
    cells: Sequence[tuple[Cell, Key]], known: Known, fingerprints: Fingerprints, options: PlanOptions
) -> Plan:
    """Decide what to do with each distinct request.

    Args:
        cells: Each cell with the key of its request, in the order of the file.
        known: What the store knows about these cells.
        fingerprints: The images that requests name.
        options: For which pipeline and API the plan is made.

    Returns:
        The plan, without the needs of stages and those that wait.
    """
    maker = _StepMaker(known, fingerprints, options)
    steps = tuple([maker.step(key, group) for key, group in _by_key(cells)])
    with_images = [step for step in steps if step.request.has_images]
    sent = [step.request for step in with_images if isinstance(step.action, Submit)]
    asked = [step.request for step in with_images if needs_call(step.action)]
    return Plan(options.pipeline, steps, tuple(_uploads(sent, fingerprints)), tuple(_uploads(asked, fingerprints)))


def _by_key(cells: Sequence[tuple[Cell, Key]]) -> Iterable[tuple[Key, tuple[Cell, ...]]]:
    """The cells of each request, in the order of the file."""
    if len({key for _, key in cells}) == len(cells):
        return ((key, (cell,)) for cell, key in cells)
    groups: dict[Key, list[Cell]] = {}
    for cell, key in cells:
        groups.setdefault(key, []).append(cell)
    return ((key, tuple(group)) for key, group in groups.items())


def _uploads(requests: Iterable[Request], fingerprints: Fingerprints) -> list[Image]:
    sources = dict.fromkeys(source for request in requests for source in request.images)
    return [fingerprints.by_source[source] for source in sources if isinstance(source, ByDigest)]


@dataclass(frozen=True)
class _StepMaker:
    known: Known
    fingerprints: Fingerprints
    options: PlanOptions

    def step(self, key: Key, cells: tuple[Cell, ...]) -> Step:
        request = cells[0].request
        price = _NOTHING if self.options.free else self.options.prices.of(request).usd
        if key in self.known.results:
            return Step(request, key, price, *self._reuse(key), cells)
        before = self._before(cells[0])
        if before is None and key not in self._mentioned:
            return Step(request, key, price, _NEW, "new", cells)
        action, reason = self._decide(key, cells[0])
        change = prompt_change(reason, before, request.fields()) if before else None
        return Step(request, key, price, action, reason, cells, change)

    @cached_property
    def _mentioned(self) -> Set[str]:
        """The keys without an image of which anything is known: every other one is new."""
        known, journal, options = self.known, self.known.journal, self.options
        stored = (known.damaged, known.lost, options.locked, options.offers)
        return set().union(*stored, journal.open, journal.lost, journal.in_flight, journal.failed)

    def _decide(self, key: Key, cell: Cell) -> tuple[Action, str]:
        action, reason = self._ask_krea(key, cell)
        is_free = is_read_again(action)
        if is_free or isinstance(action, Submit) or action == Hold("empty"):
            offers = (one for one in self.options.offers.get(key, ()) if one.is_accepted or not is_free)
            offer = next(offers, None)
            if offer is not None:
                return Fetch(offer, self._is_counted(key)), self._offer_words(key, offer)
        return action, reason

    def _offer_words(self, key: Key, offer: Offer) -> str:
        why = DAMAGED if key in self.known.damaged else LOCKED if key in self.options.locked else ABSENT
        match offer.source:
            case FromFile(path=path):
                return f"{why}; copied from {path.as_posix()}"
            case FromHome() as home:
                return f"{why}; copied from the home folder {home.place}"
            case FromRemote() as remote:
                return f"{why}; copied from the shared store {remote.place}"

    def _ask_krea(self, key: Key, cell: Cell) -> tuple[Action, str]:
        """The action for a request whose image is available at most from Krea."""
        journal = self.known.journal
        post = journal.unanswered(key)  # it may have been sent in place of a job that was given up
        if post is not None and post.origin == self.options.origin:
            return self._hold(post)
        job = journal.in_flight.get(key) or self._paid_job(key)
        if job is not None and job.origin == self.options.origin:
            if self.options.resubmit and (job.lack or job.unseen):
                lack = _LACKS.get(job.lack, _UNFETCHED) if job.lack else "Krea does not show it"
                return Submit(again=True), f"sent again instead of job {job.job_id}: {lack}"
            return self._attach(key, job)
        failed = journal.failed.get(key, "")
        if failed and failure_class_of(failed) == "rejected" and not (self.options.retry_rejected or self.options.free):
            return Rejected(failed), f"rejected by Krea before: {failed}; --retry-rejected sends it again"
        is_empty = failed == "empty"
        if is_empty and not self.options.resubmit and not self.options.free:
            return Hold("empty"), EMPTY
        return Submit(again=is_empty and self.options.resubmit), self._reason(key, cell)

    def _reuse(self, key: Key) -> tuple[Action, str]:
        kept, journal = key not in self.known.unkept, self.known.journal
        counted = self._is_counted(key)
        made = "generated" if self.options.free else "generated and billed"
        reason = "cached" if counted else f"cached; {made} by a run that wrote no report"
        return Reuse(self.known.results, key, kept, counted, key in journal.adopted), reason

    def _is_counted(self, key: Key) -> bool:
        """Whether the run that paid for a result has reported that, or lives and will."""
        journal = self.known.journal
        return journal.is_reported(key) or journal.drawn_by[key] in self.known.alive

    def _paid_job(self, key: Key) -> InFlight | None:
        """The job that has generated what is missing locally, by the journal, or else by the cache or the lock file.

        These two do not say at which API it is; of a job that the journal knows, the journal does.
        """
        journal, known = self.known.journal, self.known
        if journal.failed.get(key) == "job_gone":
            return None
        drawn = journal.drawn_job(key) if key in known.damaged else None
        if drawn is not None:
            return drawn
        locked = self.options.locked.get(key, ())
        for found in () if self.options.free else (known.lost.get(key), *locked[-1:]):
            if found is not None and found.job_id.strip(".") and found.job_id not in journal.jobs:
                return InFlight(found.job_id, self.options.origin, was_stored=True, sha256=found.sha256)
        return None

    def _attach(self, key: Key, job: InFlight) -> tuple[Action, str]:
        counted = self._is_counted(key) if job.was_stored else self.known.journal.is_counted(key)
        waiting = "; another run waits for it" if job.run in self.known.alive else ""
        action = Attach(job.job_id, job.account, counted, job.adopted, job.created_at, job.was_stored, job.sha256)
        if job.was_stored:
            lack = DAMAGED if key in self.known.damaged else LOCKED
            return action, f"{lack}; fetched again if Krea still has it{waiting}"
        if job.lack in _LACKS and not waiting:
            return action, f"job {job.job_id} is read again at no cost: {_LACKS[job.lack]}"
        return action, f"job {job.job_id} is in flight{waiting}"

    def _hold(self, post: Post) -> tuple[Action, str]:
        if post.run in self.known.alive:
            return Hold("answer_lost"), "another run is sending it"
        if self.options.resubmit:
            return Submit(again=True), "sent again, although an earlier answer was lost"
        return Hold("answer_lost"), "an earlier answer was lost, so Krea may have generated and billed it"

    def _reason(self, key: Key, cell: Cell) -> str:
        failed = self.known.journal.failed.get(key)
        if failed is not None:
            return "cancelled before it was generated" if failed == "cancelled" else f"failed before: {failed}"
        if key in self.known.damaged:
            return DAMAGED
        before = self._before(cell)
        return "new" if not before else describe_change(before, cell.request.fields(), self.fingerprints)

    def _before(self, cell: Cell) -> Mapping[str, Json] | None:
        """The fields of the last request of a cell."""
        before = self.known.before
        return before.get(f"{self.options.pipeline}/{cell.id}") if before else None
