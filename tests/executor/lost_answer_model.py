"""A model of an account at Krea that lies about times and lists, and of runs whose answers are lost.

A schedule follows from one number. The protocol is the product's own, from the reservation of a price to the verdict
on a lost answer, with its ledger and its reducer; only the wire, the disk and the time are not real.
"""

import asyncio
import contextlib
import random
import selectors
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from email.utils import format_datetime
from types import SimpleNamespace

from krea_pipe.api.clock import ServerClock
from krea_pipe.api.failures import AnswerLost
from krea_pipe.api.wire import Job, JobPage, read_time
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Pace
from krea_pipe.executor import lost
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity, JobSlot, SubmitGate
from krea_pipe.executor.paid_request import PaidRequest
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import Stop
from krea_pipe.store.events import Done, JournalLine
from krea_pipe.store.ledger import DrawnElsewhere, Free, JournalEntry, Ledger
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight

EPOCH = datetime(2026, 11, 30, 12, tzinfo=UTC)
PRICE = Decimal("0.03")
SETTLE = 10.0
LATEST = 8.0
"""Seconds: a job that shows later than the settling lasts cannot be told from one that was never made."""
RUNS = 3
OLD_JOBS = 3
SPAN = 40.0
NEAR = 0.3
FATES = ("answered",) * 5 + ("lost", "lost", "dropped", "dropped", "late")


class NoWait(selectors.BaseSelector):
    """Waits for nothing: the time that there is to wait has passed at once."""

    def __init__(self):
        self.now = 1000.0

    def select(self, timeout=None):
        assert timeout is not None, "nobody would ever go on"
        self.now += max(timeout, 0.0)
        return []

    def register(self, *_):
        return None

    def unregister(self, *_):
        return None

    def get_map(self):
        return {}


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self):
        self.steps = NoWait()
        super().__init__(self.steps)
        self._clock_resolution = 1e-9

    def time(self):
        return self.steps.now


@dataclass
class Made:
    """A job: for which request, when by true time, by its host's clock, and from when the list shows it."""

    id: str
    key: str
    at: float
    created: datetime
    shows: float

    @property
    def times(self):
        """When it was made, and when its host says so."""
        return self.at, (self.created - EPOCH).total_seconds()


@dataclass
class Account:
    """Krea as one account sees it; all that may go wrong is drawn by chance."""

    chance: random.Random
    loop: VirtualLoop
    fates: tuple[str, ...]
    jobs: list[Made] = field(default_factory=list)
    posts: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    """The POSTs of each request: from when to when."""

    def __post_init__(self):
        pick = self.chance.choice
        self.hosts = pick([(0.0,), (0.0,), (0.0, 3.0), (0.0, -3.0), (-8.0, 0.0, 8.0), (20.0,)])
        self.gateway = pick([0.0, 0.0, 1.0, 3.5, -3.5, 30.0, 3600.0, -3600.0])
        self.lag = pick([0.0, 0.0, 0.0, 1.0, LATEST])
        self.tie = pick([0, 0, 1])
        self.oldest_first = self.chance.random() < 0.05
        self.empty = self.chance.random() < 0.05
        self.page = pick([1000, 1000, 4])
        start = self.loop.time()
        for number in range(self.chance.randrange(OLD_JOBS)):
            self.make(f"old {number}", start - 3600 + number)
        foreign = pick(["none", "none", "none", "one", "many"])
        count = {"none": 0, "one": 1, "many": 8}[foreign]
        for number in range(count):
            self.make(f"foreign {number}", start + self.chance.uniform(-SPAN / 2, SPAN))

    def make(self, key, at):
        when = EPOCH + timedelta(seconds=at + self.chance.choice(self.hosts))
        created = when.replace(microsecond=0) if self.tie else when
        made = Made(f"job-{len(self.jobs)}", key, at, created, at + self.chance.uniform(0, self.lag))
        self.jobs.append(made)
        return made

    def listed(self, limit, before):
        now = self.loop.time()
        shown = [] if self.empty else [one for one in self.jobs if one.shows <= now and one.at <= now]
        shown.sort(key=lambda one: one.created, reverse=not self.oldest_first)
        if self.oldest_first:
            start = int(before or 0)
        else:
            cursor = read_time(before)
            shown = [one for one in shown if cursor is None or one.created < cursor]
            start = 0
        size = min(limit, self.page)
        page = shown[start : start + size]
        rest = len(shown) > start + size
        end = str(start + size) if self.oldest_first else page[-1].created.isoformat() if page else ""
        return JobPage(
            tuple(Job(one.id, "completed", ("u",), created_at=one.created) for one in page), end if rest else None
        )

    @property
    def date(self):
        return format_datetime(EPOCH + timedelta(seconds=self.loop.time() + self.gateway), usegmt=True)


class Wire:
    """The client of one run."""

    def __init__(self, account):
        self.account = account
        self.clock = ServerClock(account.loop.time)

    async def jobs(self, limit, before=None):
        sent = self.account.loop.time()
        await asyncio.sleep(0.05)
        page = self.account.listed(limit, before)
        await asyncio.sleep(0.05)
        self.clock.observe(self.account.date, sent)
        return page

    async def post(self, key):
        account, chance = self.account, self.account.chance
        sent = account.loop.time()
        fate = chance.choice(account.fates)
        wait = (
            chance.choice([0.05] * 6 + [0.3, 0.3, 12.0, 60.0])
            if fate != "answered"
            else chance.choice([0.05, 0.2, 2.0])
        )
        if fate == "late":
            account.make(key, sent + wait + chance.uniform(0.1, LATEST - account.lag) if account.lag < LATEST else sent)
        end = sent + 4 * SPAN  # unless it is known to end before
        try:
            await asyncio.sleep(wait / 2)
            made = account.make(key, account.loop.time()) if fate in ("answered", "lost") else None
            await asyncio.sleep(wait / 2)
            end = account.loop.time()
        finally:
            account.posts.setdefault(key, []).append((sent, end))
        if fate != "answered":
            raise AnswerLost(fate, is_given_up=fate == "late" or chance.random() < 0.3)
        self.clock.observe(account.date, sent)
        return Job(made.id, "queued", created_at=made.created)


class Lines:
    """The journal in memory."""

    def __init__(self):
        self.lines = []

    def lock(self):
        return SimpleNamespace(held=contextlib.nullcontext, close=lambda: None)

    def follow(self, replay):
        yield from self.lines[replay.size :]
        replay.size = len(self.lines)

    def write(self, lines):
        self.lines += lines
        return len(self.lines)

    def replay(self):
        state = Replay()
        for line in self.follow(state):
            state.take(line)
        return state


class Writer:
    """The writer of the journal, which is done at once; a dead run writes nothing."""

    def __init__(self, ledger, loop):
        self.ledger, self.loop, self.is_dead = ledger, loop, False

    def _commit(self, event, key, expected=None, only=None):
        job_id = getattr(event, "job_id", None) if type(event).__name__ in ("Submitted", "Adopted") else None
        entry = JournalEntry(JournalLine(event, key, "", self.ledger.run), expected, only, job_id)
        return Free() if self.is_dead else self.ledger.commit([entry])[0]

    def put(self, event, key):
        future = self.loop.create_future()
        future.set_result(self._commit(event, key))
        return future

    async def record(self, event, key):
        return self._commit(event, key)

    async def claim(self, event, key, expected=(Free,), *, only=None):
        return self._commit(event, key, expected, only)

    async def statuses(self, keys):
        self.ledger.refresh()
        return [self.ledger.status(key) for key in keys]

    async def ask(self, question):
        self.ledger.refresh()
        return question(self.ledger.replay)

    async def read_account(self):
        pass

    async def ask_account(self, question):
        return question(self.ledger.account())


@dataclass(slots=True, kw_only=True)
class Request(PaidRequest[str]):
    """A request whose end is one word."""

    async def first(self):
        status = await self.read_status()
        if isinstance(status, InFlight | Free | DrawnElsewhere):
            return status
        self.session.submit_gate.shut()
        try:
            return await self._ask(status)
        finally:
            self.session.submit_gate.open()

    async def ready(self):
        return None

    async def post(self, _):
        return await self.session.client.post(self.key)

    async def collect(self, job, _):
        for _ in range(2):
            await asyncio.sleep(1)
            page = await self.session.client.jobs(1000)
            self.session.account_jobs.show(page.jobs)
        await self.session.record(Done(job_id=job.job_id, result={"job_id": job.job_id}), self.key)
        return "done"

    async def other_run_done(self, _):
        raise AssertionError("there is one run at a time")

    async def reused(self, _):
        return "done"

    def ended(self, status, *_):
        return status

    def empty(self):
        raise AssertionError("each job is drawn")

    def unclear(self, *_):
        return "uncertain"


def new_session(account, writer, run, alive):
    return Session(
        client=Wire(account),
        space=SimpleNamespace(presence=alive),
        journal_writer=writer,
        run_id=run,
        pipeline="p",
        origin="https://api.krea.ai",
        account="a",
        pace=Pace(1.0, 2.0, SETTLE, None),
        stop=Stop(),
        capacity=Capacity(8, time=account.loop.time),
        budget=BudgetLedger(),
        submit_gate=SubmitGate(1),
        started=account.loop.time(),
    )


@dataclass
class Result:
    """What came of a schedule: how often each request was billed, what each got, and what was left open."""

    billed: Counter
    got: dict[str, Made]
    ends: dict[str, str]
    lost: int
    account: Account

    @property
    def faults(self):
        if any(self._is_untold(key, made) for key, made in self.got.items()):
            return []
        swapped = [f"{key} got the image of {made.key}" for key, made in self.got.items() if key != made.key]
        return swapped + [f"{key} was paid {count} times" for key, count in self.billed.items() if count > 1]

    def _is_untold(self, key, made):
        """Whether nobody can tell a job from that of a request.

        Someone else has started it about the time of a POST that was lost, or it is that of another lost answer, and
        the clocks of hosts that differ date it to the very moment of the POST.
        """
        if made.key == key:
            return False
        posts = self.account.posts.get(key, [])
        if made.key.startswith("foreign"):
            reach = lost.REACH.total_seconds()
            return any(sent - reach <= at <= end + SETTLE + reach for sent, end in posts for at in made.times)
        dated = [made.times[1] - offset for offset in self.account.hosts if abs(made.times[1] - made.at - offset) > 1.5]
        return any(sent - NEAR <= at <= end + NEAR for sent, end in posts if end - sent <= 1 for at in dated)


def run_schedule(number, loop, fates=FATES, most=4):
    """One schedule: a few requests, a run that may be killed, and runs after it."""
    chance = random.Random(number)
    random.seed(number)  # the product's jitter
    loop.steps.now = 1000.0
    account, lines = Account(chance, loop, fates), Lines()
    keys = [f"r{one}" for one in range(chance.randint(1, most))]
    kill_after = chance.choice([None, None, chance.uniform(0.1, 20)])
    ends = {}
    for run in range(RUNS):
        open_keys = [key for key in keys if ends.get(key) != "done"]
        if not open_keys:
            break
        ends |= one_run(account, lines, f"run-{run}", open_keys, kill_after if run == 0 else None)
        loop.steps.now += chance.choice([0.0, 1.0, 600.0])
    wanted = [one for one in account.jobs if one.key in keys]
    state = lines.replay()
    made = {one.id: one for one in account.jobs}
    got = {key: made[str(state.done[key]["job_id"])] for key in keys if key in state.done}
    losses = sum(type(line.event).__name__ == "Unanswered" for line in lines.lines)
    return Result(Counter(one.key for one in wanted), got, ends, losses, account)


def one_run(account, lines, run, keys, kill_after):
    loop = account.loop
    alive = SimpleNamespace(is_alive=lambda name: name == run, alive=lambda: frozenset({run}))
    writer = Writer(Ledger(lines, alive, run, "https://api.krea.ai", lines.replay()), loop)
    ends = {}

    async def request(session, search, key):
        uploads = SimpleNamespace(urls=nothing, renew=lambda _: False)
        task = Request(
            key=Key(key), name=key, sources=(), session=session, uploads=uploads, search=search,
            slot=JobSlot(session.capacity), price=PRICE, patience=10.0, variant="medium",
        )  # fmt: skip
        ends[key] = await task.settled()

    async def whole():
        session = new_session(account, writer, run, alive)
        search = lost.Search(session)
        await session.introduce()
        await asyncio.gather(*(request(session, search, key) for key in keys))

    async def killed():
        work = asyncio.ensure_future(whole())
        await asyncio.wait([work], timeout=kill_after)
        if not work.done():
            writer.is_dead = True
            work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work

    loop.run_until_complete(killed())
    return ends


async def nothing(_):
    return {}


def search(numbers, **options):
    """Run schedules; the counts of what came of them, and the numbers of those in which a promise was broken."""
    loop, counts, broken = VirtualLoop(), Counter(), {}
    asyncio.set_event_loop(loop)
    for number in numbers:
        result = run_schedule(number, loop, **options)
        counts.update(result.ends.values())
        counts["lost"] += result.lost
        if result.faults:
            broken[number] = result.faults
    loop.close()
    asyncio.set_event_loop(None)
    return counts, broken
