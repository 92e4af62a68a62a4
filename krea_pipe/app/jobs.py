"""Jobs at Krea without a run: which are in flight, cancelling them, and finding those that a lost journal knew."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from krea_pipe.app import flow
from krea_pipe.app.workspace import Workspace
from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.money import exact_text
from krea_pipe.core.settings import api_token
from krea_pipe.planning.plan import Hold, Plan, Submit
from krea_pipe.store.known import known_jobs
from krea_pipe.store.replay import Replay
from krea_pipe.store.request_state import InFlight

if TYPE_CHECKING:
    from krea_pipe.executor.account_calls import ApiCall, CancelEnd

WorkState = Literal["in flight", "not fetched", "not shown", "being sent", "answer lost"]


@dataclass(frozen=True, slots=True)
class Work:
    """A request that Krea has, or may have; `since` is a time in UTC, ISO 8601, `usd` what it may cost."""

    state: WorkState
    cell: str
    key: str
    job_id: str | None
    since: str
    usd: str
    run: str
    is_waited_for: bool


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A job whose cancellation was requested, the key of its request, and the outcome."""

    key: str
    job: InFlight
    end: "CancelEnd"


@dataclass(frozen=True, slots=True)
class UnknownJob:
    """A job that no journal here knows: its status, the size of its image in pixels, and the cell that it was given."""

    job_id: str
    status: str
    size: tuple[int, int] | None
    cell: str | None


def works_in_flight(workspace: Workspace) -> tuple[list[Work], frozenset[str]]:
    """Our jobs at Krea according to the journal, and the ids of running runs.

    Args:
        workspace: where the journal is.

    Returns:
        The jobs and trainings, and the ids of runs that are alive.

    Raises:
        StateError: the journal cannot be read.
    """
    alive = workspace.space.presence.alive()
    return list(_works(workspace.space.journal.replay(), alive, workspace.target.origin)), alive


def _works(journal: Replay, alive: frozenset[str], origin: str) -> Iterator[Work]:
    posts = {key: post for key, post in {**journal.lost, **journal.open}.items() if post.origin == origin}
    jobs = {key: job for key, job in journal.in_flight.items() if job.origin == origin and key not in posts}
    for key, job in jobs.items():
        yield Work(
            _state(job),
            job.cell,
            key,
            job.job_id,
            job.created_at or job.t,
            exact_text(job.usd),
            job.run,
            job.run in alive,
        )
    for key, post in posts.items():
        state: WorkState = "being sent" if post.run in alive else "answer lost"
        yield Work(state, post.cell, key, None, post.after, exact_text(post.usd), post.run, post.run in alive)


def _state(job: InFlight) -> WorkState:
    if job.lack:
        return "not fetched"
    return "not shown" if job.unseen else "in flight"


def cancel_account_jobs(
    workspace: Workspace, names: tuple[str, ...], environment: Mapping[str, str]
) -> list[Cancelled]:
    """Cancel jobs that no run has collected.

    Args:
        workspace: where the journal is.
        names: ids of jobs, or cells; none means all of them.
        environment: where the key comes from.

    Returns:
        The outcome of each; empty if none is in flight.

    Raises:
        UsageError: no job in flight is called so. RefusedByKrea: the key is not valid. StateError: Krea cannot be
            asked.
    """
    chosen = _chosen(workspace.space.journal.replay(), names, workspace.target.origin)
    if not chosen:
        return []
    from krea_pipe.executor.account_calls import cancel_jobs  # noqa: PLC0415 (network code)

    ends = cancel_jobs(_api_call(workspace, environment, "cancel"), chosen)
    return [Cancelled(key, chosen[key], end) for key, end in ends.items()]


def _chosen(journal: Replay, names: tuple[str, ...], origin: str) -> dict[str, InFlight]:
    here = {key: job for key, job in journal.in_flight.items() if job.origin == origin}
    if not names:
        return here
    known = {name for job in here.values() for name in (job.job_id, job.cell)}
    missing = [name for name in names if name not in known]
    if missing:
        hint = "`krea-pipe status` lists what is in flight"
        raise UsageError(Problem("unknown_job", f"no job in flight matches {missing[0]!r}", hint=hint))
    return {key: job for key, job in here.items() if job.job_id in names or job.cell in names}


def recover_account_jobs(
    workspace: Workspace,
    plan: Plan,
    environment: Mapping[str, str],
    *,
    since: timedelta,
    in_order: bool,
    writes: bool,
) -> tuple[list[UnknownJob], int]:
    """Find jobs that the journal does not contain, and pair them with the requests of a plan that have no image.

    Args:
        workspace: where the journal is.
        plan: the plan of all requests.
        environment: where the key comes from.
        since: how old the jobs may be.
        in_order: pair jobs with requests in the order of sending, and not by size alone.
        writes: write down what was paired.

    Returns:
        The jobs, and how many requests have no image.

    Raises:
        StateError: a run is in progress, the order does not fit, or Krea cannot be asked. RefusedByKrea: the key is not
            valid.

    """
    from krea_pipe.executor.account_calls import find_orphans, pair, record_recovered  # noqa: PLC0415 (network code)

    missing = [step for step in plan.steps if isinstance(step.action, (Submit, Hold))]
    if workspace.space.presence.alive():
        message = "a run is in progress in this folder and knows its jobs"
        raise StateError(Problem("run_in_progress", message, hint="wait for it"))
    api_call = _api_call(workspace, environment, "recover")
    orphans = find_orphans(api_call, known_jobs(workspace.space), since)
    pairs = pair(orphans, missing, in_order=in_order)
    if writes:
        record_recovered(api_call, pairs, missing, plan.pipeline)
    cells = {step.key: step.cells[0].id for step in missing}
    paired = {job.id: cells[key] for key, job in pairs.items()}
    found = [UnknownJob(one.job.id, one.job.status, one.size, paired.get(one.job.id)) for one in orphans]
    return found, len(missing)


def _api_call(workspace: Workspace, environment: Mapping[str, str], name: str) -> "ApiCall":
    from krea_pipe.executor.account_calls import ApiCall  # noqa: PLC0415 (network code)

    run_id = flow.new_run_id(name, datetime.now(UTC))
    return ApiCall(workspace.space, workspace.target, api_token(environment), run_id)
