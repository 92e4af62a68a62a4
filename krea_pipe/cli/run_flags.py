"""The options of a run, and what `--on` and `--budget-name` need."""

from decimal import Decimal
from pathlib import Path

import click

from krea_pipe.app.execution import SendOptions, Uncertain
from krea_pipe.app.lock_place import changes_cells
from krea_pipe.cli.cell_options import CellFlags
from krea_pipe.cli.options import LogFlags, combined, overrides
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.matrix.sharding import MAX_SHARDS, Shard
from krea_pipe.planning.out_folder import Changed
from krea_pipe.store.remote.remote import SHARED_NAME, Remote

GOES_ON = (ExitCode.REFUSED, ExitCode.LIMIT_REACHED, ExitCode.INTERRUPTED)
"""Ends after which the same command continues where this one stopped."""

cluster_options = combined(
    click.option(
        "--on",
        "cluster",
        type=click.Choice(["ray"]),
        help="Run the shards as tasks of a Ray cluster; needs the extra `ray`, --shards and a shared store "
        "(KREA_PIPE_REMOTE).",
    ),
    click.option("--shards", type=click.IntRange(1, MAX_SHARDS), help="With --on, the number of shards."),
    click.option(
        "--ray-address",
        metavar="ADDRESS",
        help="With --on ray, HOST:PORT of the cluster, `auto` for one of this machine, `local` for one that ends with "
        "the run.  [default: RAY_ADDRESS]",
    ),
)


class RunFlags(CellFlags, LogFlags):
    """The options of a run."""

    local: bool
    out: Path | None
    max_cost: Decimal | None
    max_new: int | None
    concurrency: int
    submit_parallel: int
    uncertain: Uncertain
    retry_rejected: bool
    job_timeout: float | None
    webhook_url: str | None
    webhook_listen: str | None
    lock: Path | None
    frozen: bool
    allow_render: bool
    allow_commands: bool
    overwrite_changed: bool
    keep_both: bool
    prune: bool
    without_claims: bool
    budget_name: str | None
    shard: str | None
    run_name: str | None
    cluster: str | None
    shards: int | None
    ray_address: str | None


def check_budget_name(name: str | None, remote: Remote | None) -> None:
    """Refuse the name of a budget that no store can keep.

    Raises:
        UsageError: it is not a valid name, or there is no shared store that can be written.
    """
    if name is None:
        return
    if not SHARED_NAME.fullmatch(name):
        hint = "letters, digits, `.`, `_` and `-`, at most 64"
        raise UsageError(Problem("bad_option", f"--budget-name {name!r} is not a valid name", hint=hint))
    if remote is None or remote.bucket.is_read_only:
        hint = "set KREA_PIPE_REMOTE to a writable store, or remove --budget-name"
        raise UsageError(Problem("bad_option", "--budget-name needs a shared store", hint=hint))


def check_run_name(name: str | None, shard: Shard | None, remote: Remote | None) -> None:
    """Refuse a name for a run that is of no shard, or that no store can keep.

    Raises:
        UsageError: so it is.
    """
    if name is None:
        return
    if shard is None:
        raise UsageError(
            Problem("bad_option", "--run-name needs --shard", hint="add --shard 1/4, or remove --run-name")
        )
    if remote is None or remote.bucket.is_read_only:
        hint = "set KREA_PIPE_REMOTE to a writable store, or remove --run-name"
        raise UsageError(Problem("bad_option", "--run-name needs a shared store", hint=hint))


def check_allow_render(flags: RunFlags) -> None:
    """Refuse to allow images in a run that makes them anyway.

    Raises:
        UsageError: so it is.
    """
    if flags["allow_render"] and not flags["frozen"]:
        hint = "remove it: without --frozen, a run generates missing images"
        raise UsageError(Problem("bad_option", "--allow-render needs --frozen", hint=hint))


def check_prune(flags: RunFlags) -> None:
    """Refuse to remove files in a run that does not know all of what its pipeline delivers.

    Raises:
        UsageError: it is the run of a shard, or the command line changes the cells.
    """
    if not flags["prune"]:
        return
    if any(flags[name] is not None for name in ("shard", "cluster", "shards")):
        hint = "prune in a run without shards, after `krea-pipe merge`"
        raise UsageError(Problem("bad_option", "a shard cannot be run with --prune", hint=hint))
    if changes_cells(overrides(flags)):
        hint = "run FILE without them and with --prune; files that other settings delivered stay"
        message = "--prune cannot be combined with --profile, --set and --vars, because they change the cells"
        raise UsageError(Problem("bad_option", message, hint=hint))


def changed_files(flags: RunFlags) -> Changed:
    """What to do with files that someone has changed.

    Raises:
        UsageError: both options are given.
    """
    if flags["overwrite_changed"] and flags["keep_both"]:
        message = "--overwrite-changed and --keep-both cannot be combined"
        raise UsageError(Problem("bad_option", message, hint="use one of them"))
    return "overwrite" if flags["overwrite_changed"] else "beside" if flags["keep_both"] else "keep"


def send_options(flags: RunFlags) -> SendOptions:
    """How requests are sent."""
    return SendOptions(
        concurrency=flags["concurrency"],
        submit_parallel=flags["submit_parallel"],
        uncertain=flags["uncertain"],
        job_timeout=flags["job_timeout"],
        webhook_url=flags["webhook_url"],
        webhook_listen=flags["webhook_listen"],
        budget_name=flags["budget_name"] or "",
    )


def uses_cluster(flags: RunFlags) -> bool:
    """Whether shards are to be started on other machines."""
    return any(flags[name] is not None for name in ("cluster", "shards", "ray_address"))
