"""The one place where options become what the executor gets, for the command line and the Python API alike.

The code of the network is imported here, when there is something to do, and no earlier: a plan without work needs none.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.fields import NONE_ALLOWED, Allowed
from krea_pipe.core.outcome import Ending, Failure, Outcome, Result
from krea_pipe.core.request import Key
from krea_pipe.core.settings import (
    LOCAL_PACE,
    SHORTEST_SECRET,
    Pace,
    Target,
    Token,
    api_token,
    live_pace,
    with_engine,
)
from krea_pipe.executor.deliver import Delivery
from krea_pipe.executor.fetch import Copied
from krea_pipe.pipeline.spec import Loaded
from krea_pipe.planning.budget import Permission
from krea_pipe.planning.lock_check import LockOptions
from krea_pipe.planning.plan import Plan, Step, needs_call
from krea_pipe.planning.shard_record import ShardRecord
from krea_pipe.planning.stale_files import Produced
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.replay import Replay
from krea_pipe.store.space import Space

if TYPE_CHECKING:
    import httpx

    from krea_pipe.api.webhook import WebhookListener

Uncertain: TypeAlias = Literal["hold", "adopt", "resubmit"]
"""What to do with a request that may have been paid: leave it, use the job nearest in time, or resubmit it."""

_ENGINE_SLACK = 300.0
"""Seconds that an image may take beyond those of its engine, while a server of it is lost."""
_WEBHOOK_HINT = "leave the webhook out, or start `krea-pipe serve` and set KREA_API_BASE to its address"


@dataclass(frozen=True, slots=True)
class SendOptions:
    """How requests are sent, and how long to wait for their jobs.

    Args:
        concurrency: the most jobs that Krea may hold for the run at once.
        submit_parallel: how many requests may be on their way to Krea at once.
        uncertain: what to do with requests that may have been paid.
        job_timeout: seconds after which a running job is given up; None takes the default of its variant.
        webhook_url: an address for Krea's notifications about ended jobs.
        webhook_listen: HOST:PORT at which the run itself receives them.
        budget_name: the name of a budget that several runs share in the shared store; "" for a separate cap.
    """

    concurrency: int = 500
    submit_parallel: int = 1
    uncertain: Uncertain = "hold"
    job_timeout: float | None = None
    webhook_url: str | None = None
    webhook_listen: str | None = None
    budget_name: str = ""


@dataclass(frozen=True, slots=True)
class Listeners:
    """The receivers of events during a run.

    Args:
        watch: called for each step, with None when it starts and with its outcome when it ends.
        tell: receives a message that the run is stopping.
        observe: receives the journal's lines once they are on disk.
        begun: receives a function that stops the run as a signal does, from any thread.
    """

    watch: Callable[[Step, Outcome | None], None]
    tell: Callable[[str], None] = lambda _: None
    observe: Observe = unobserved
    begun: Callable[[Callable[[], None]], None] = lambda _: None


@dataclass(frozen=True, slots=True)
class Fetched:
    """A plan whose images from elsewhere on this machine are stored now, and those images.

    `problems` say which sources gave another image, or none, and which other home folders cannot be read.
    """

    plan: Plan
    copied: Mapping[Key, Copied] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A plan that is ready to run, with the source and the target of its images.

    `replay` is the journal as it was when the plan was made. `cap` is what may be spent, in US dollars, `most` how many
    new images may be made; None is no limit. `permission` says which requests may be paid for. `pipeline_cells` is how
    many cells the pipeline has, selected or not. `record` is what is noted of a shard, which the shared
    store gets under its `run_name`. `environment` is that of the commands of checks.
    `produced` says which files stay in the output folder, if others are removed.
    """

    loaded: Loaded
    plan: Plan
    replay: Replay
    space: Space
    target: Target
    delivery: Delivery
    token: Token | None
    cap: Decimal | None
    most: int | None
    locking: LockOptions | None
    permission: Permission
    fetched: Fetched
    remote: Remote | None = None
    run_name: str = ""
    pipeline_cells: int | None = None
    record: ShardRecord | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    produced: Produced | None = None

    @property
    def work(self) -> "RunWork":
        """What has to be asked of Krea."""
        lock = None if self.locking is None else self.locking.lock
        return RunWork(
            plan=self.plan,
            replay=self.replay,
            space=self.space,
            target=self.target,
            deliver=self.delivery.deliver,
            token=self.token,
            cap=self.cap,
            most=self.most,
            permission=self.permission,
            file=str(self.loaded.pipeline.document.file),
            allowed=self.loaded.pipeline.prices.allowed,
            remote=self.remote,
            accepted={} if lock is None else lock.digests(),
            locked_jobs={} if lock is None else lock.jobs(),
        )


@dataclass(frozen=True, slots=True)
class RunWork:
    """What a run asks of Krea, for one pipeline or for several.

    `file` names the pipeline files. `accepted` are the digests in lock files by the keys of their requests, and
    `locked_jobs` the keys by the jobs in lock files.
    """

    plan: Plan
    replay: Replay
    space: Space
    target: Target
    deliver: Callable[[Step, Result], bool | Failure]
    token: Token | None
    cap: Decimal | None
    most: int | None
    permission: Permission
    file: str
    allowed: Allowed = field(default_factory=lambda: NONE_ALLOWED)
    remote: Remote | None = None
    accepted: Mapping[Key, frozenset[str]] = field(default_factory=dict)
    locked_jobs: Mapping[str, str] = field(default_factory=dict)

    @property
    def calls(self) -> int:
        """For how many requests Krea has to be asked."""
        return sum(needs_call(step.action) for step in self.plan.steps)


Listen: TypeAlias = Callable[[RunWork, str], AbstractContextManager[Listeners]]
"""Called with the work of a run and the id of the run; the receiver it returns gets the events of the work."""


@dataclass(frozen=True, slots=True)
class Execution:
    """Carries out plans for one API: see `open_execution`, which makes it."""

    target: Target
    environment: Mapping[str, str]
    options: SendOptions
    pace: Pace
    webhook: str | None
    listener: "WebhookListener | None"

    def token(self) -> Token:
        """The key of the API; the local Krea takes any.

        Raises:
            RefusedByKrea: the environment has no key that can be used.
        """
        return token_for(self.target, self.environment)

    def drawn_by(self, engine: EngineSpec | None) -> "Execution":
        """How the work of a pipeline is carried out.

        Args:
            engine: what draws its images, if it names an engine.

        Returns:
            The same, with the engine in place of the API, unless proofs are drawn.

        Raises:
            UsageError: a webhook is wanted, and an engine calls none.
        """
        target = with_engine(self.target, engine)
        if target.engine is None:
            return self
        if self.webhook is not None or self.listener is not None:
            message = "an engine answers at once and calls no webhook"
            raise UsageError(Problem("webhook_engine", message, hint="remove --webhook-url and --webhook-listen"))
        seconds = self.options.job_timeout or target.engine.seconds + _ENGINE_SLACK
        return replace(self, target=target, pace=replace(LOCAL_PACE, job=seconds))

    def carry_out(self, work: RunWork, run_id: str, listeners: Listeners) -> tuple[dict[Key, Outcome], Ending]:
        """Run a plan, in a separate thread if this thread already has an event loop.

        Args:
            work: the plan, and where its images come from and go.
            run_id: the name of the run, which the journal has in each line.
            listeners: the receivers of its events.

        Returns:
            The outcome of each request that was processed, and the error that ended the run early, if any.

        Raises:
            KeyboardInterrupt: interrupted twice; the journal is safe.
        """
        # Network code, which a plan without work spares.
        from krea_pipe.core.git import person_of  # noqa: PLC0415
        from krea_pipe.executor.executor import ExecutionOptions, Order, execute  # noqa: PLC0415

        options = self.options
        order = Order(
            plan=work.plan,
            replay=work.replay,
            space=work.space,
            target=self.target,
            token=work.token or self.token(),
            run_id=run_id,
            origin=self.target.origin if self.target.lasting else f"{self.target.kind}:{run_id}",
            pace=self.pace,
            watch=listeners.watch,
            deliver=work.deliver,
            tell=listeners.tell,
            options=ExecutionOptions(
                concurrency=options.concurrency,
                submit_parallel=options.submit_parallel,
                cap=work.cap,
                max_new=work.most,
                permission=work.permission,
                uncertain=options.uncertain,
                webhook=self.webhook,
                budget_name=options.budget_name,
            ),
            webhook_listener=self.listener,
            transport=transport_for(self.target, work.allowed),
            observe=listeners.observe,
            person="" if self.target.kind == "local" else person_of(Path.cwd(), self.environment),
            remote=work.remote,
            accepted=work.accepted,
            locked_jobs=work.locked_jobs,
            begun=listeners.begun,
        )
        return execute(order)


def open_execution(target: Target, options: SendOptions, environment: Mapping[str, str]) -> Execution:
    """Prepare to run a plan.

    Nothing is sent, and no network code is loaded without a webhook.

    Args:
        target: the API.
        options: how requests are sent.
        environment: where the key and the pace of looking come from.

    Returns:
        What the flow carries a plan out with.

    Raises:
        UsageError: an address of a webhook or a pace cannot be used, or the local Krea is to call someone.
    """
    pace = LOCAL_PACE if target.kind == "local" else live_pace(environment, options.job_timeout)
    url, listen = options.webhook_url, options.webhook_listen
    if not url and not listen:
        return Execution(target, environment, options, pace, None, None)
    if target.kind == "local":
        raise UsageError(
            Problem(
                "webhook_local", "the local Krea runs in this process and cannot call a webhook", hint=_WEBHOOK_HINT
            )
        )
    # A server, for webhooks alone.
    from krea_pipe.api.webhook import WebhookListener, check_public_url, parse_address  # noqa: PLC0415

    public = check_public_url(url, is_base=bool(listen)) if url else None
    listener = WebhookListener(parse_address(listen), public) if listen else None
    return Execution(target, environment, options, pace, public, listener)


def token_for(target: Target, environment: Mapping[str, str]) -> Token:
    """The key for an API; the local Krea takes any.

    Raises:
        RefusedByKrea: the environment has no key that can be used.
    """
    match target.kind:
        case "local":
            return Token("local")
        case "engine":
            return Token(_engine_key(target.engine, environment))
        case "live":
            return api_token(environment)


def _engine_key(engine: EngineSpec | None, environment: Mapping[str, str]) -> str:
    """The key of an engine's server; "" for one that wants none.

    Raises:
        UsageError: the environment does not have it.
    """
    if engine is None or engine.key_name is None:
        return ""
    secret = environment.get(engine.key_name, "").strip()
    if len(secret) < SHORTEST_SECRET or not secret.isascii() or not secret.isprintable():
        message = f"the environment variable {engine.key_name} has no key of {SHORTEST_SECRET} or more characters"
        raise UsageError(Problem("no_key", message, hint="set it, or remove `key_env` from `engine:`"))
    return secret


def transport_for(target: Target, allowed: Allowed = NONE_ALLOWED) -> "httpx.AsyncBaseTransport | None":
    """A Krea in this process, for the local one; None is the network.

    Args:
        target: the API.
        allowed: values of request fields that the local Krea takes as well.
    """
    if target.kind != "local":
        return None
    from krea_pipe.local.app import open_transport  # noqa: PLC0415 (a whole server)

    return open_transport({name: tuple(values) for name, values in allowed.items()})
