"""A run whose shards are tasks of a cluster on other machines.

The tasks receive the files that they need, and their runs are merged here. The cluster may restart a task at any time:
the claims in the shared store decide who pays, a budget in the store applies to all tasks together, and the images are
copied from the store.
"""

import secrets
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, TypeAlias

from krea_pipe.app import flow
from krea_pipe.app.maintenance.remote_cache import pull, push
from krea_pipe.app.merge import Merged, merge_runs
from krea_pipe.app.packed_runs import write_runs
from krea_pipe.app.shard_files import ShardFiles, check_shard_files, collect_files, from_here
from krea_pipe.app.shard_task import Line, ShardResult, ShardTask
from krea_pipe.core.errors import KreaPipeError, Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import Target
from krea_pipe.matrix.sharding import Shard
from krea_pipe.pipeline.spec import Loaded, Overrides
from krea_pipe.planning.budget import check_budget
from krea_pipe.planning.lock_check import check_frozen
from krea_pipe.planning.lockfile import read_lock
from krea_pipe.planning.plan import Attach, Hold, Plan
from krea_pipe.report.build import git_state
from krea_pipe.report.checks.commands import check_commands
from krea_pipe.store.home import make_home
from krea_pipe.store.home_place import HOME_VARIABLE
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.space import Space, open_space

_PASSED = ("KREA_", "AWS_", "AZURE_", "GOOGLE_")
"""Prefixes of the variables that tasks receive from here: the key, the API, and the shared store."""
_KEPT_HERE = frozenset({HOME_VARIABLE, "KREA_PIPE_SHARD_INDEX", "KREA_PIPE_SHARDS"})
_SHOWN = 5
_IDLE_LOOKS = 20
"""The number of polls without a started shard after which the user is informed."""


@dataclass(frozen=True, slots=True)
class Began:
    """A cluster has started a shard, perhaps not for the first time."""

    shard: str
    machine: str


@dataclass(frozen=True, slots=True)
class Said:
    """A line of output from the run of a shard."""

    shard: str
    line: Line


@dataclass(frozen=True, slots=True)
class Ended:
    """A shard has ended: with a result, or with what has become of its task."""

    shard: str
    result: ShardResult | None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Queued:
    """No shard has begun yet: there is no room for one."""


News: TypeAlias = Began | Said | Ended | Queued


class ShardCluster(Protocol):
    """Starts tasks on other machines, and restarts them when a machine is lost."""

    def start(self, tasks: Sequence[ShardTask]) -> None:
        """Start tasks; they differ in their shard alone."""

    def look(self, *, stopping: bool) -> Iterable[News]:
        """Wait for a moment and return the new events; `stopping` makes all tasks stop."""


@dataclass(frozen=True, slots=True)
class DistributedOrder:
    """The subject of a run on a cluster.

    Args:
        loaded: the pipeline.
        overrides: its overrides.
        file: the file that was named: the pipeline, or a plan of it.
        options: which cells, the limits, the lock file, and the shared store.
        target: the API.
        home: the home folder here.
        out: the folder for the images here; None is the usual one.
        words: further options for the run of each shard.
        shards: how many there are.
        budget_name: the name of the budget in the shared store; "" makes one.
        environment: the environment here.
    """

    loaded: Loaded
    overrides: Overrides
    file: Path
    options: flow.RunOptions
    target: Target
    home: Path
    out: Path | None
    words: tuple[str, ...]
    shards: int
    budget_name: str
    environment: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReadyShards:
    """Tasks that may be started, and the plan of all of them."""

    tasks: tuple[ShardTask, ...]
    plan: Plan
    space: Space
    remote: Remote
    order: DistributedOrder


@dataclass(frozen=True, slots=True)
class ShardEnd:
    """How a shard ended: the number of starts, the last machine, the exit code, and the problem."""

    shard: str
    starts: int
    machine: str
    code: int
    problem: Problem | None


@dataclass(frozen=True, slots=True)
class DistributedRun:
    """The merged run of all shards, and how each of them ended."""

    merged: Merged
    ends: tuple[ShardEnd, ...]


class ShardsFailed(KreaPipeError):
    """No shard wrote a report."""

    def __init__(self, code: int, *problems: Problem) -> None:
        super().__init__(*problems)
        self.exit_code = ExitCode(code) if code in {*ExitCode} - {ExitCode.DONE} else ExitCode.SOME_FAILED


def prepare_shards(order: DistributedOrder) -> ReadyShards:
    """Plan the run, share what is paid already, and collect what the tasks need, without paying for anything.

    Args:
        order: what is run.

    Returns:
        The tasks.

    Raises:
        KreaPipeError: the run cannot begin.
        RemoteFailed: the shared store does not answer.
    """
    loaded, options, remote = order.loaded, order.options, order.options.remote
    assert remote is not None
    check_commands(loaded.pipeline, allowed=options.allow_commands)
    space = open_space(order.home, order.target.space)
    make_home(order.home)
    basis = flow.planned(loaded, space, order.target, options)
    if options.frozen and options.lock is not None:
        check_frozen(basis.plan, basis.lock or read_lock(options.lock))
    fetched = flow.fetch_copies(loaded, space, order.target, options, basis)
    _check_nothing_open(fetched.plan)
    if not options.frozen or options.allow_render:
        check_budget(fetched.plan, fetched.plan, loaded.pipeline.budget, options.limits)
    lock = [options.lock] if options.lock is not None else []
    files = collect_files(loaded, order.overrides, [order.file, *lock], order.environment)
    check_shard_files(files, loaded, order.overrides, options.max_cells)
    push(remote, space, fetched.plan)
    return ReadyShards(tuple(_tasks(order, files)), fetched.plan, space, remote, order)


def run_shards(
    ready: ReadyShards, cluster: ShardCluster, tell: Callable[[News], None], is_stopping: Callable[[], bool]
) -> DistributedRun:
    """Run the tasks and merge their runs.

    Args:
        ready: the tasks.
        cluster: what starts them.
        tell: receives the events.
        is_stopping: whether to start nothing more.

    Returns:
        The merged run.

    Raises:
        KreaPipeError: no shard wrote a report, or their runs cannot be merged.
        RemoteFailed: the images do not come from the shared store.
    """
    cluster.start(ready.tasks)
    starts: dict[str, list[str]] = {task.shard: [] for task in ready.tasks}
    ended: dict[str, Ended] = {}
    looks = 0
    while len(ended) < len(ready.tasks):
        for one in cluster.look(stopping=is_stopping()):
            tell(one)
            if isinstance(one, Began):
                starts[one.shard].append(one.machine)
            elif isinstance(one, Ended):
                ended[one.shard] = one
        looks += 1
        if looks == _IDLE_LOOKS and not any(starts.values()):
            tell(Queued())
    ends = tuple(_end(ended[shard], machines) for shard, machines in starts.items())
    return DistributedRun(_merged(ready, list(ended.values()), ends), ends)


def _check_nothing_open(plan: Plan) -> None:
    """Refuse requests that may have been paid and that only this home knows."""
    found = [
        step.cells[0].id
        for step in plan.steps
        if isinstance(step.action, Attach) or (isinstance(step.action, Hold) and step.action.can_be_settled)
    ]
    if found:
        named = f"{', '.join(found[:_SHOWN])}{' …' if len(found) > _SHOWN else ''}"
        count = "1 request is" if len(found) == 1 else f"{len(found)} requests are"
        hint = "finish them here first, with the same command without --on"
        raise UsageError(Problem("in_flight_here", f"{count} in flight in this home folder: {named}", hint=hint))


def _tasks(order: DistributedOrder, files: ShardFiles) -> Iterable[ShardTask]:
    launch = secrets.token_hex(8)
    name = order.budget_name or f"{order.loaded.pipeline.name}-{launch}"[-64:].lstrip("._-")
    lock = () if order.options.lock is None else ("--lock", from_here(order.options.lock))
    for number in range(1, order.shards + 1):
        shard = str(Shard(number, order.shards))
        own = ("--shard", shard, "--budget-name", name, *lock, "--json", "--log-format", "json")
        yield ShardTask(
            launch=launch,
            shard=shard,
            words=("run", *order.words, *own, "--", from_here(order.file)),
            folder=files.folder,
            files=files.files,
            folders=files.folders,
            environment=_passed(order),
        )


def _passed(order: DistributedOrder) -> dict[str, str]:
    """The variables that tasks get: those of krea-pipe and of the store, and what the pipeline declares."""
    data = order.loaded.pipeline.document.data
    declared = data.get("env") if isinstance(data, dict) else None
    names = frozenset(declared) if isinstance(declared, dict) else frozenset[str]()
    return {
        name: value
        for name, value in order.environment.items()
        if (name.startswith(_PASSED) or name in names) and name not in _KEPT_HERE
    }


def _end(ended: Ended, machines: Sequence[str]) -> ShardEnd:
    result = ended.result
    problem = ended.problem or (result.problem if result else None)
    code = ExitCode.SOME_FAILED if result is None or result.code < 0 else result.code
    machine = result.machine if result else machines[-1] if machines else ""
    return ShardEnd(ended.shard, len(machines), machine, code, problem)


def _merged(ready: ReadyShards, ended: Sequence[Ended], ends: Sequence[ShardEnd]) -> Merged:
    """Make one run of those of all shards, with the images from the shared store."""
    order = ready.order
    with tempfile.TemporaryDirectory() as name:
        folders, bare, git = list[str](), set[str](), git_state(order.loaded.pipeline.document.file)
        own: dict[str, Json] = {"git": {"commit": git.commit, "dirty": git.dirty}} if git is not None else {}
        for one in ended:
            runs = write_runs(Path(name), one.result.runs, own) if one.result else []
            folders += map(str, runs)
            if not runs:
                bare.add(one.shard)
        codes = [end.code for end in ends if end.shard in bare]
        if not folders:
            _fail(ends)
        pull(ready.remote, ready.space, ready.plan)
        lock = order.options.lock
        return merge_runs(order.home, folders, out=order.out, lock=lock, codes=codes, needs_images=True)


def _fail(ends: Sequence[ShardEnd]) -> None:
    """Say why there is no report."""
    if all(end.code == ExitCode.INTERRUPTED for end in ends):
        raise KeyboardInterrupt
    problems = {(end.problem.code, end.problem.message): end.problem for end in ends if end.problem}
    named = tuple(problems.values()) or (Problem("no_report", "no shard wrote a report"),)
    raise ShardsFailed(max(end.code for end in ends), *named)
