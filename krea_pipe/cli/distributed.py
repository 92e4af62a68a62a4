"""`run --on ray`: the shards of a run on the machines of a cluster, with their progress, and one report here."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from krea_pipe.app import flow
from krea_pipe.app.distributed_run import (
    Began,
    DistributedOrder,
    DistributedRun,
    Ended,
    News,
    Queued,
    Said,
    ShardEnd,
    prepare_shards,
    run_shards,
)
from krea_pipe.app.plan_files import RunRequest, run_request
from krea_pipe.app.ray_cluster import RAY_ADDRESS, open_ray
from krea_pipe.app.shard_files import from_here
from krea_pipe.app.shared_store import shared_store
from krea_pipe.cli.cell_options import selection
from krea_pipe.cli.merged_summary import merged_json, print_merged
from krea_pipe.cli.messages import print_json, problem_json
from krea_pipe.cli.options import overrides
from krea_pipe.cli.run_flags import GOES_ON, RunFlags, check_budget_name
from krea_pipe.cli.stderr_log import Level, StderrLog
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.settings import with_engine
from krea_pipe.planning.budget import Limits
from krea_pipe.store.home import open_home, open_other_homes
from krea_pipe.store.remote.remote import ADDRESS_NAME


def run_distributed(file: Path, flags: RunFlags, *, as_json: bool) -> int:
    """Run a pipeline on a cluster, and say how it has ended.

    Args:
        file: the pipeline, or a plan of it.
        flags: the options of the run.
        as_json: print one JSON object on stdout.

    Returns:
        The exit code.

    Raises:
        KreaPipeError: the run cannot begin, or no shard wrote a report.
    """
    address, shards = _cluster(flags)
    stderr_log = StderrLog(flags["quiet"], flags["log_format"] == "json")
    is_told = not as_json or stderr_log.in_json

    def warn(problem: Problem) -> None:
        if is_told:
            stderr_log.problems([problem], "warning")

    options = flow.RunOptions(
        max_cells=flags["max_cells"],
        limits=Limits(flags["max_cost"], None, is_named=True),
        resubmit=flags["uncertain"] == "resubmit",
        retry_rejected=flags["retry_rejected"],
        selection=selection(flags),
        lock=flags["lock"],
        frozen=flags["frozen"],
        allow_render=flags["allow_render"],
        allow_commands=flags["allow_commands"],
    )
    if options.selection.needs_results:
        hint = "select the cells in another way: the cluster does not know the results on this machine"
        message = f"cells cannot be selected by {options.selection.needs_results} with --on"
        raise UsageError(Problem("bad_option", message, hint=hint))
    request = run_request(file, overrides(flags), options, os.environ, local=False)
    loaded = flow.load_pipeline(request.file, request.overrides)
    request = replace(request, target=with_engine(request.target, loaded.pipeline.engine))
    with shared_store(os.environ, request.target, warn, writes=True) as remote:
        check_budget_name(flags["budget_name"], remote)
        order = _order(file, flags, loaded, request, replace(options, remote=remote), shards)
        for problem in order.loaded.warnings:
            warn(problem)
        ready = prepare_shards(order)
        reporter = _Reporter(stderr_log if is_told else StderrLog(quiet=True))
        with open_ray(address) as cluster, _interrupts(reporter) as interrupts:
            done = run_shards(ready, cluster, reporter.tell, interrupts.is_stopping)
    return _say(done, stderr_log, as_json=as_json)


def _cluster(flags: RunFlags) -> tuple[str, int]:
    """The address of the cluster and the number of shards.

    Raises:
        UsageError: options are missing, or do not go together.
    """
    if flags["cluster"] is None:
        name = "--shards" if flags["shards"] is not None else "--ray-address"
        raise UsageError(Problem("bad_option", f"{name} requires --on", hint="add --on ray"))
    if flags["shards"] is None:
        hint = "add --shards N; two or three shards per machine are a good start"
        raise UsageError(Problem("bad_option", "--on needs the number of shards", hint=hint))
    others = {
        "--local": flags["local"],
        "--shard": flags["shard"] is not None,
        "--run-name": flags["run_name"] is not None,
        "--max-new": flags["max_new"] is not None,
        "--webhook-url": flags["webhook_url"],
        "--webhook-listen": flags["webhook_listen"],
        "--overwrite-changed": flags["overwrite_changed"],
        "--keep-both": flags["keep_both"],
        "--without-claims": flags["without_claims"],
        "--events": flags["events"],
        "--verbose": flags["verbose"],
        "--notify": flags["notify"],
    }
    if given := next((name for name, value in others.items() if value), None):
        message = f"{given} cannot be used with --on"
        raise UsageError(Problem("bad_option", message, hint="remove it; see docs/how-to/ray.md"))
    if not os.environ.get(ADDRESS_NAME, "").strip():
        hint = f"set {ADDRESS_NAME} to a store that all machines of the cluster reach, such as s3://BUCKET/PREFIX"
        raise UsageError(Problem("no_remote", "--on needs a shared store", hint=hint))
    address = (flags["ray_address"] or os.environ.get(RAY_ADDRESS, "")).strip()
    if not address:
        hint = f"set {RAY_ADDRESS}, or add --ray-address HOST:PORT, or --ray-address auto on a machine of the cluster"
        raise UsageError(Problem("no_ray_address", "no Ray cluster is specified", hint=hint))
    return address, flags["shards"]


def _order(
    file: Path, flags: RunFlags, loaded: flow.Loaded, request: RunRequest, options: flow.RunOptions, shards: int
) -> DistributedOrder:
    options = replace(
        options,
        homes=open_other_homes(os.environ, request.file),
        max_cells=request.max_cells,
        lock=request.lock,
        approval=request.approval,
    )
    return DistributedOrder(
        loaded=loaded,
        overrides=request.overrides,
        file=file,
        options=options,
        target=request.target,
        home=open_home(os.environ, request.file),
        out=flags["out"],
        words=tuple(_words(flags)),
        shards=shards,
        budget_name=flags["budget_name"] or "",
        environment=dict(os.environ),
    )


def _words(flags: RunFlags) -> Iterator[str]:
    """The options that the run of each shard has as well."""
    several = {"--profile": flags["profiles"], "--set": flags["sets"], "--select": flags["select"]}
    several["--exclude"] = flags["exclude"]
    for name, values in several.items():
        yield from (f"{name}={value}" for value in values)
    yield from (f"--vars={from_here(path)}" for path in flags["var_files"])
    single = {
        "--max-cost": flags["max_cost"],
        "--concurrency": flags["concurrency"],
        "--submit-parallel": flags["submit_parallel"],
        "--uncertain": flags["uncertain"],
        "--job-timeout": flags["job_timeout"],
        "--max-cells": flags["max_cells"],
    }
    yield from (f"{name}={value}" for name, value in single.items() if value is not None)
    yield from (name for name, value in _switches(flags).items() if value)


def _switches(flags: RunFlags) -> dict[str, bool]:
    return {f"--{name.replace('_', '-')}": bool(flags[name]) for name in ("frozen", "allow_render", "allow_commands")}


@dataclass(slots=True)
class _Reporter:
    """Says what the shards do."""

    stderr_log: StderrLog
    starts: dict[str, int] = field(default_factory=dict)

    def tell(self, one: News) -> None:
        """Say one thing."""
        match one:
            case Began(shard=shard, machine=machine):
                self.starts[shard] = count = self.starts.get(shard, 0) + 1
                text = f"started on {machine}" + (f", for the {count}. time: its worker was lost" if count > 1 else "")
                self._say("info" if count == 1 else "warning", "shard_started", shard, text, machine=machine)
            case Said(shard=shard, line=line):
                level, event = str(line.get("level")), str(line.get("event"))
                facts: dict[str, Any] = {name: value for name, value in line.items() if name not in _OWN}
                self._say(_LEVELS.get(level, "info"), event, shard, str(line.get("message")), **facts)
            case Queued():
                text = "no shard has started yet: each needs a free CPU in the cluster"
                self.stderr_log.say("warning", "queued", text)
            case Ended(shard=shard, result=result, problem=problem):
                code = None if result is None else result.code
                text = f"failed: {problem}" if problem else f"ended with exit code {code}"
                self._say("error" if problem else "info", "shard_ended", shard, text, exit_code=code)

    def stopping(self) -> None:
        """Say that the run is stopping."""
        text = "Stopping: nothing more is sent, and running jobs are collected. Press Ctrl-C again to quit now."
        self.stderr_log.say("info", "stopping", text)

    def _say(self, level: Level, event: str, shard: str, text: str, **facts: object) -> None:
        self.stderr_log.say(level, event, f"shard {shard}: {text}", styled=None, shard=shard, **facts)


_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
_OWN = ("t", "level", "event", "message", "shard", "text", "styled")
_LEVELS: dict[str, Level] = {"warning": "warning", "error": "error"}


@dataclass(slots=True)
class _Interrupts:
    count: int = 0

    def is_stopping(self) -> bool:
        """Whether the first signal has come."""
        return self.count > 0


@contextmanager
def _interrupts(reporter: _Reporter) -> Iterator[_Interrupts]:
    """The first signal stops the shards as it stops a single run; the second leaves them."""
    found = _Interrupts()

    def on_signal(*_: object) -> None:
        found.count += 1
        if found.count > 1:
            raise KeyboardInterrupt
        reporter.stopping()

    before = {one: signal.getsignal(one) for one in _SIGNALS}
    taken = [one for one in _SIGNALS if one == signal.SIGINT or before[one] is not signal.SIG_IGN]
    for one in taken:
        signal.signal(one, on_signal)
    try:
        yield found
    finally:
        for one in taken:
            signal.signal(one, before[one])


def _say(done: DistributedRun, stderr_log: StderrLog, *, as_json: bool) -> int:
    merged = done.merged
    if as_json:
        print_json({**merged_json(merged), "shards": [_end_json(end) for end in done.ends]})
    else:
        print_merged(merged, stderr_log, needs_images=True)
        if merged.report.exit_code in GOES_ON:
            stderr_log.say("info", "to_go_on", "To continue (nothing is charged twice), run the same command again.")
    return merged.report.exit_code


def _end_json(end: ShardEnd) -> dict[str, object]:
    error = None if end.problem is None else problem_json(end.problem)
    return {
        "shard": end.shard,
        "starts": end.starts,
        "machine": end.machine,
        "exit_code": end.code,
        "error": error,
    }
