"""`doctor --probe`: orders a few of the cheapest images to learn what Krea does not document.

They are ordered by an ordinary run of an ordinary pipeline file in the home folder, so that the journal knows them, and
a killed probe continues with what it has paid. Meanwhile a second client looks at the list of jobs.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

from krea_pipe.api.client import Client
from krea_pipe.api.failures import CallFailed
from krea_pipe.api.raw_answer import RawAnswer, ask_raw
from krea_pipe.api.wire import read_time
from krea_pipe.app import flow
from krea_pipe.app.execution import Execution, Listeners, RunWork, SendOptions, open_execution, token_for
from krea_pipe.app.probe_findings import ListedJob, ListReading, Posted, cursor_of, look_of
from krea_pipe.app.workspace import Workspace, open_workspace
from krea_pipe.core.errors import KreaPipeError, OverBudget, Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import Target, Token, live_pace
from krea_pipe.executor.account_calls import asked
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.budget import Limits
from krea_pipe.planning.plan import Reuse, Submit
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.events import JournalLine, Note, Submitted, Submitting
from krea_pipe.store.plain import check_files, check_folders
from krea_pipe.store.probe import CursorMeaning

FOLDER = "probe"
MOST_IMAGES = 5
VARIANT = "medium-turbo"
_SEEDS = 1000
_PIPELINE = """\
# Written by `krea-pipe doctor --probe`, which orders the next images of it each time.
version: 1
name: krea-probe
prompt: a plain grey square
defaults: {{variant: {variant}, creativity: raw}}
matrix: {{seed: {seeds}}}
out: "{{{{ seed }}}}"
"""
_ROUTE = f"/generate/image/krea/krea-2/{VARIANT}"
_NO_JOB = "/jobs/00000000-0000-4000-8000-000000000000"
_WRONG = {"aspect_ratio": "none", "resolution": "none"}
"""A request without a prompt and with values that cannot be: no API can generate it."""
_LIST = 100
_PAGES = 10
_AFTER = 30.0
"""Seconds for which the list is polled after the run, until it shows all jobs."""


@dataclass(frozen=True, slots=True)
class LostCall:
    """A call to which no answer came, and why."""

    method: str
    path: str
    words: str


@dataclass(frozen=True, slots=True)
class Observations:
    """All that a probe has seen.

    `looks` are those at the list of jobs during the run and after it, `errors` the answers to calls that are wrong,
    `cancel` those to the attempt to cancel a job and to delete it then. `missing` and `repeated` count jobs in a list
    that was read page by page. `answers` are all, in their order.
    """

    target: Target
    account: str
    posts: tuple[Posted, ...]
    looks: tuple[ListReading, ...]
    errors: tuple[RawAnswer | LostCall, ...]
    cancel: tuple[RawAnswer, ...]
    answers: tuple[RawAnswer, ...]
    cursor: CursorMeaning
    missing: int
    repeated: int
    interval: float
    price: Decimal
    finished: flow.FinishedRun


@dataclass(slots=True)
class _Observer:
    """Observes the account during the run from another thread; the run reports its jobs to it."""

    target: Target
    token: Token
    interval: float
    wanted: int
    begun: dict[str, datetime] = field(default_factory=dict)
    posts: list[Posted] = field(default_factory=list)
    answers: list[RawAnswer] = field(default_factory=list)
    looks: list[ListReading] = field(default_factory=list)
    cancel: list[RawAnswer] = field(default_factory=list)
    ended: threading.Event = field(default_factory=threading.Event)
    has_run: bool = False
    failure: KreaPipeError | None = None

    def observe(self, lines: Sequence[JournalLine | Note]) -> None:
        """Take what the run has written to the journal."""
        for line in lines:
            event = line.event if isinstance(line, JournalLine) else None
            at = read_time(line.t)
            if isinstance(event, Submitting) and at is not None:
                self.begun[line.key] = at
            elif isinstance(event, Submitted) and at is not None and line.key in self.begun:
                self.posts.append(Posted(event.job_id, self.begun[line.key], at, read_time(event.created_at)))

    def watch(self) -> None:
        """Look at the list until the run has ended and every job is shown; the last job is cancelled as it begins."""
        try:
            asked(self.target, self.token, self._watch)
        except KreaPipeError as error:
            self.failure = error

    async def _watch(self, client: Client) -> None:
        left = _AFTER / self.interval
        while left > 0:
            with suppress(CallFailed):
                await self._look(client)
            with suppress(CallFailed):
                await self._cancel_last(client)
            if self.ended.is_set():
                if not self.has_run:  # it was interrupted, or could not be written down
                    return
                shown = {job.id for look in self.looks for job in look.jobs}
                if all(post.job_id in shown for post in self.posts):
                    return
                left -= 1
            await asyncio.sleep(self.interval)

    async def _look(self, client: Client) -> None:
        answer = await self.ask(client, "GET", "/jobs", params={"limit": str(_LIST)})
        look = look_of(answer)
        if look is not None:
            self.looks.append(look)

    async def _cancel_last(self, client: Client) -> None:
        """Cancel the last job, so that the others still give images."""
        if self.cancel or self.ended.is_set() or self.wanted < 2 or len(self.posts) < self.wanted:
            return
        path = _path_of(self.posts[-1].job_id)
        self.cancel.append(await self.ask(client, "DELETE", path))
        self.cancel.append(await self.ask(client, "GET", path))

    async def ask(
        self, client: Client, method: str, path: str, *, params: Mapping[str, str] | None = None
    ) -> RawAnswer:
        """Ask, and keep the answer."""
        answer = await ask_raw(client, method, path, params=params)
        self.answers.append(answer)
        return answer


def probe(environment: Mapping[str, str], max_cost: Decimal, tell: Callable[[str], None]) -> tuple[Observations, Path]:
    """Order a few images, and observe Krea's behaviour.

    Args:
        environment: where the API, the key, the pace and the home folder come from.
        max_cost: the most that may be spent, in US dollars.
        tell: receives messages about the progress.

    Returns:
        What was seen, and the home folder.

    Raises:
        OverBudget: not even one image can be paid. RefusedByKrea: the key is not valid.
        KreaPipeError: Krea cannot be asked, or the run has failed as a whole.
    """
    workspace = open_workspace(environment)
    token, folder = token_for(workspace.target, environment), workspace.home / FOLDER
    check_folders(workspace.home, folder)
    chosen = _choose(workspace, folder, environment, max_cost)
    tell(f"{chosen.new} new images of {VARIANT} for {usd(chosen.price)} each, at {workspace.target.base}")
    interval = max(live_pace(environment).first / 2, 0.02)
    observer = _Observer(workspace.target, token, interval, chosen.new)
    can_pay_another = chosen.price * (len(chosen.seeds) + 1) <= max_cost
    errors = asked(workspace.target, token, lambda client: _wrong_calls(client, with_post=can_pay_another))
    loaded = _load(folder, environment, str(chosen.seeds))
    limits = Limits(max_cost - chosen.price if can_pay_another else max_cost, len(chosen.seeds))
    execution = open_execution(workspace.target, SendOptions(), environment)
    finished = _run(workspace, loaded, execution, limits, observer, tell)
    cursor, missing, repeated = asked(workspace.target, token, lambda client: _pages(client, observer))
    answers = (*(one for one in errors if isinstance(one, RawAnswer)), *observer.answers)
    observations = Observations(
        target=workspace.target,
        account=token.account,
        posts=tuple(observer.posts),
        looks=tuple(observer.looks),
        errors=tuple(errors),
        cancel=tuple(observer.cancel),
        answers=answers,
        cursor=cursor,
        missing=missing,
        repeated=repeated,
        interval=interval,
        price=chosen.price,
        finished=finished,
    )
    return observations, workspace.home


@dataclass(frozen=True, slots=True)
class _Choice:
    """The seeds of the images, how many of these are new, and the price of one in US dollars."""

    seeds: list[int]
    new: int
    price: Decimal


def _choose(workspace: Workspace, folder: Path, environment: Mapping[str, str], max_cost: Decimal) -> _Choice:
    """Which images are ordered: first what an earlier probe has left behind.

    Raises:
        OverBudget: the limit pays for no image.
    """
    loaded = _load(folder, environment, f"{{count: {_SEEDS}}}")
    plan = flow.plan_run(loaded, workspace.space, workspace.target, flow.RunOptions())
    price = plan.steps[0].price
    most = min(MOST_IMAGES, int(max_cost / price)) if price else MOST_IMAGES
    if most == 0:
        hint = f"--max-cost {usd(MOST_IMAGES * price).removeprefix('$')} pays for {MOST_IMAGES}"
        message = f"one image costs {usd(price)}, above the cap of {usd(max_cost)}; nothing was sent"
        raise OverBudget(Problem("over_budget", message, hint=hint))
    left = [step for step in plan.steps if not isinstance(step.action, (Reuse, Submit))]
    new = [step for step in plan.steps if isinstance(step.action, Submit)]
    new = new[: max(most - len(left), 0)]
    return _Choice(sorted(int(str(step.request.seed)) for step in (*left, *new)), len(new), price)


def _load(folder: Path, environment: Mapping[str, str], seeds: str) -> flow.Loaded:
    file = folder / "probe.yaml"
    check_files(file)
    write_atomically(file, _PIPELINE.format(variant=VARIANT, seeds=seeds).encode())
    return flow.load_pipeline(file, Overrides(environment=environment))


def _run(
    workspace: Workspace,
    loaded: flow.Loaded,
    execution: Execution,
    limits: Limits,
    observer: _Observer,
    tell: Callable[[str], None],
) -> flow.FinishedRun:
    """Order the images as any run does, and observe the account in the meantime."""

    def listen(_: RunWork, __: str) -> nullcontext[Listeners]:
        return nullcontext(Listeners(lambda _, __: None, tell, observer.observe))

    thread = threading.Thread(target=observer.watch, name="krea-pipe probe", daemon=True)
    thread.start()
    try:
        finished = flow.run_pipeline(
            loaded,
            workspace.home,
            execution,
            out=workspace.home / FOLDER / "images",
            options=flow.RunOptions(limits=limits),
            listen=listen,
        )
        observer.has_run = True
    finally:
        observer.ended.set()
        thread.join()
    if finished.ending.error is not None:
        raise finished.ending.error
    if observer.failure is not None and not observer.looks:
        raise observer.failure
    return finished


async def _wrong_calls(client: Client, *, with_post: bool) -> list[RawAnswer | LostCall]:
    """Calls that no API can follow, for the forms of their errors. A POST is among them when it could be paid.

    Raises:
        CallFailed: Krea cannot be asked, or refuses the account.
    """
    await client.jobs(1)
    found = [
        await _tried(client, "GET", _NO_JOB),
        await _tried(client, "DELETE", _NO_JOB),
        await _tried(client, "GET", "/jobs", params={"limit": "none"}),
        await _tried(client, "GET", "/no-such-path"),
    ]
    if with_post:
        post = await _tried(client, "POST", _ROUTE, json=_WRONG)
        job = post.data.get("job_id") if isinstance(post, RawAnswer) and isinstance(post.data, dict) else None
        # It may be taken after all.
        found += [post] if not isinstance(job, str) else [post, await _tried(client, "DELETE", _path_of(job))]
    return found


async def _tried(
    client: Client,
    method: str,
    path: str,
    *,
    params: Mapping[str, str] | None = None,
    json: Mapping[str, Json] | None = None,
) -> RawAnswer | LostCall:
    """An answer, or why none came."""
    try:
        return await ask_raw(client, method, path, params=params, json=json)
    except CallFailed as error:
        return LostCall(method, path, str(error))


def _path_of(job_id: str) -> str:
    return f"/jobs/{quote(job_id, safe='')}"


async def _pages(client: Client, observer: _Observer) -> tuple[CursorMeaning, int, int]:
    """The meaning of a cursor, and the number of jobs missing or repeated when the list is read in pages of two.

    The cancelled job is deleted once more, to see what happens to a job that has ended.
    """
    if observer.cancel and _status(observer.cancel[-1]) == "cancelled":
        path = observer.cancel[-1].path
        with suppress(CallFailed):
            observer.cancel.append(await observer.ask(client, "DELETE", path))
            observer.cancel.append(await observer.ask(client, "GET", path))
    with suppress(CallFailed):
        return await _read_pages(client, observer)
    return "unknown", 0, 0


async def _read_pages(client: Client, observer: _Observer) -> tuple[CursorMeaning, int, int]:
    """The whole list, with a cursor, and page by page.

    Raises:
        CallFailed: an answer did not come; what was paid is still reported.
    """
    look = look_of(await observer.ask(client, "GET", "/jobs", params={"limit": str(_LIST)}))
    jobs = [] if look is None else [job for job in look.jobs if job.at is not None]
    if look is None or not jobs:
        return "unknown", 0, 0
    meaning = await _cursor(client, observer, jobs)
    if meaning in ("refused", "ignored", "unknown"):
        return meaning, 0, 0
    own = {post.job_id for post in observer.posts} & {job.id for job in look.jobs}
    seen = [job.id async for job in _paged(client, observer, own)]
    return meaning, len(own - {*seen}), len(seen) - len({*seen})


async def _cursor(client: Client, observer: _Observer, jobs: Sequence[ListedJob]) -> CursorMeaning:
    """The meaning of a cursor at the time of a job that is neither the newest nor the oldest, if there is one."""
    by_time = sorted(jobs, key=lambda job: job.at or datetime.min.replace(tzinfo=UTC), reverse=True)
    job = by_time[min(1, len(by_time) - 1)]
    query = {"limit": str(_LIST), "cursor": job.created}
    return cursor_of(jobs, job, await observer.ask(client, "GET", "/jobs", params=query))


async def _paged(client: Client, observer: _Observer, own: set[str]) -> AsyncIterator[ListedJob]:
    """Jobs page by page, until all of some have come or pages end."""
    cursor: str | None = None
    left = {*own}
    for _ in range(_PAGES):
        query = {"limit": "2"} | ({} if cursor is None else {"cursor": cursor})
        look = look_of(await observer.ask(client, "GET", "/jobs", params=query))
        if look is None:
            return
        for job in look.jobs:
            yield job
        left -= {job.id for job in look.jobs}
        if look.next is None or not left:
            return
        cursor = look.next


def _status(answer: RawAnswer) -> str:
    data = answer.data
    return str(data.get("status", "")) if isinstance(data, dict) else ""
