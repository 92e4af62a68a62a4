"""Runs of shards in the shared store, which `krea-pipe merge --remote` makes one run of.

Shards belong together by a name that they have in common: jobs of one CI run have one by themselves.
"""

import hashlib
import tempfile
from collections.abc import Collection
from pathlib import Path

from krea_pipe.app.merge import Merged, find_shard_runs, merge_runs
from krea_pipe.app.packed_runs import write_runs
from krea_pipe.app.shared_store import in_parallel
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.merging import ShardRun
from krea_pipe.store.home import make_home
from krea_pipe.store.remote.remote import Remote
from krea_pipe.store.remote.results import BLOBS
from krea_pipe.store.space import Space

"""What names the run of a CI; the first that is set counts."""
_SHOWN = 5


def merge_shared(
    remote: Remote, home: Path, space: Space, name: str, pipeline: str | None, *, out: Path | None, lock: Path | None
) -> Merged:
    """Make one run of those in the shared store that have a name, with their images.

    Args:
        remote: the store.
        home: the home folder, in which the merged run is kept.
        space: the name space of this home.
        name: the name that the shards have in common.
        pipeline: the name of the pipeline; None if they are all of one.
        out: the folder for the images; None is that of a run of the pipeline.
        lock: the lock file to write; None is the one that the runs kept, as seen from the working folder.

    Returns:
        The merged run.

    Raises:
        UsageError: there are no such runs, or they do not belong together. StateError: one cannot be read, or the
            merged run cannot be written.
        RemoteFailed: the store does not answer.
    """
    with tempfile.TemporaryDirectory() as root:
        packed = in_parallel(remote.shard_runs.packed, remote.shard_runs.places(name))
        folders = [str(folder) for data in packed if data is not None for folder in write_runs(Path(root), data)]
        runs = _of_pipeline(remote, find_shard_runs(home, folders), name, pipeline)
        make_home(home)
        _fetch(remote, space, {row.sha256 for run in runs for row in run.report.rows if row.sha256})
        return merge_runs(home, [str(run.folder) for run in runs], out=out, lock=lock, needs_images=True)


def _of_pipeline(remote: Remote, runs: list[ShardRun], name: str, pipeline: str | None) -> list[ShardRun]:
    names = sorted({run.report.pipeline.name for run in runs})
    if pipeline is None and len(names) > 1:
        message = f"the runs named {name} are of several pipelines: {', '.join(names[:_SHOWN])}"
        raise UsageError(Problem("other_pipeline", message, hint="name the file: krea-pipe merge --remote FILE"))
    found = [run for run in runs if pipeline in (None, run.report.pipeline.name)]
    if not found:
        of_pipeline = "" if pipeline is None else f" of {pipeline}"
        known = remote.shard_runs.names()
        latest = f"; the latest names are {', '.join(known[:_SHOWN])}" if known else ""
        message = f"{remote.bucket.address} has no run of a shard{of_pipeline} that is named {name}{latest}"
        hint = "give the shards the same name: `krea-pipe run --shard 1/4 --run-name NAME`"
        raise UsageError(Problem("no_such_run", message, hint=hint))
    return found


def _fetch(remote: Remote, space: Space, digests: Collection[str]) -> None:
    """Bring the images to this home that it does not have; one that is missing there is missed when runs are merged."""

    def fetch(digest: str) -> None:
        if space.blobs.read(digest) is None:
            data = remote.bucket.read(f"{BLOBS}/{digest}")
            if data is not None and hashlib.sha256(data).hexdigest() == digest:
                space.blobs.put(data)

    for _ in in_parallel(fetch, sorted(digests)):
        pass
