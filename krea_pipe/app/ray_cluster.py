"""Runs shards as tasks of a Ray cluster; the only module that imports Ray.



What goes to Ray is chosen for what Ray does with it. The command line of this process, names of tasks and runtime
environments appear in the cluster's metadata and its dashboard, so nothing secret is in them. Small arguments of a task
go from process to process, so the environment is one; the files are an object, which may be written to a disk. A result
of at most 100 KiB stays with this process, while a larger one is lost with its machine, and Ray would run the finished
task again: results are cut into parts below that. A task that calls `sys.exit` counts as crashed. Words of Ray's own
about lost workers go to stdout, whatever `log_to_driver` says, and would appear in the output of a run.

What runs on the workers begins with functions that are sent as code and import nothing of krea-pipe before they have
looked which version is there.
"""

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from krea_pipe._version import __version__
from krea_pipe.app.distributed_run import Began, Ended, News, Said
from krea_pipe.app.shard_task import ShardResult, ShardTask
from krea_pipe.core.errors import Problem, StateError, UsageError

RAY_ADDRESS = "RAY_ADDRESS"
_PARTS = 64
"""Into how many parts a result may be cut."""
_PART_BYTES = 90 * 1024
"""Ray keeps results of up to 100 KiB, with what it adds, in the process that wants them."""
_RETRIES = 5
"""The maximum number of restarts of a task whose worker is lost."""
_LOOK_SECONDS = 0.5
_CALL_SECONDS = 10.0
_CONNECT_SECONDS = 10.0


@contextmanager
def open_ray(address: str) -> Iterator["RayCluster"]:
    """Connect to a cluster.

    Args:
        address: HOST:PORT of its head, `auto` for one of this machine, `local` for one that ends with this run.

    Yields:
        The cluster.

    Raises:
        UsageError: Ray is not installed. StateError: the cluster cannot be reached, or is of another version.
    """
    ray = _ray()
    _check_answers(address)
    with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):  # Ray prints there
        _connect(ray, address)
        try:
            yield RayCluster(ray)
        finally:
            ray.shutdown()


def _check_answers(address: str) -> None:
    """Refuse an address at which nothing listens: Ray itself retries for over a minute, and reports it on stderr."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():  # `auto`, `local`, or what Ray refuses
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> StateError:
    hint = f"check {RAY_ADDRESS} or --ray-address; the cluster needs the same versions of Ray and Python as this one"
    return StateError(Problem("no_cluster", f"cannot reach a Ray cluster at {address}: {_words(error)}", hint=hint))


def _connect(ray: Any, address: str) -> None:  # noqa: ANN401 (an optional library)
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (RuntimeError, ValueError, OSError, ImportError, ray.exceptions.RayError) as error:
        raise _no_cluster(address, error) from error


@dataclass(slots=True)
class RayCluster:
    """Starts shards as tasks, and looks what they say.

    Args:
        ray: the package, connected to a cluster.
    """

    ray: Any
    _channel: Any = None
    _parts: dict[str, list[Any]] = field(default_factory=dict)

    def start(self, tasks: Sequence[ShardTask]) -> None:
        """Start tasks; they differ in their shard alone."""
        self._channel = self.ray.remote(num_cpus=0, max_restarts=-1)(_channel_class()).remote()
        files = self.ray.put(dict(tasks[0].files))
        function = self.ray.remote(_task_function())
        for task in tasks:
            plain = (task.launch, task.shard, task.words, task.folder, task.folders)
            options = function.options(
                name=f"krea-pipe {task.shard}",
                num_cpus=1,
                num_returns=1 + _PARTS,
                max_retries=_RETRIES,
                scheduling_strategy="SPREAD",
            )
            sizes = (_PARTS, _PART_BYTES)
            self._parts[task.shard] = options.remote(
                plain, files, dict(task.environment), self._channel, __version__, sizes
            )

    def look(self, *, stopping: bool) -> Iterable[News]:
        """Wait for a moment and return the new events; `stopping` makes all tasks stop."""
        firsts = {parts[0]: shard for shard, parts in self._parts.items()}
        done, _ = self.ray.wait(list(firsts), num_returns=len(firsts), timeout=_LOOK_SECONDS, fetch_local=False)
        yield from self._said(stopping=stopping)
        for ref in done:
            yield self._ended(firsts[ref])

    def _said(self, *, stopping: bool) -> Iterator[News]:
        """The new messages of the tasks; none while the machine with the channel is lost."""
        try:
            told = self.ray.get(self._channel.take.remote(stopping), timeout=_CALL_SECONDS)
        except (self.ray.exceptions.RayError, TimeoutError):
            return
        for shard, machine, lines in told:
            if machine:
                yield Began(shard, machine)
            for line in lines:
                yield Said(shard, line)

    def _ended(self, shard: str) -> Ended:
        """The result of a task, or what has become of it."""
        try:
            head, *parts = self.ray.get(self._parts.pop(shard), timeout=_CALL_SECONDS)
        except (self.ray.exceptions.RayError, TimeoutError) as error:
            return Ended(shard, None, _lost(error))
        return Ended(shard, *_read(head, b"".join(parts)))


def _ray() -> Any:  # noqa: ANN401 (an optional library)
    # An extra of krea-pipe, and a second.
    try:
        import ray  # noqa: PLC0415
    except ImportError as error:
        message = "--on ray needs Ray, which is not installed"
        raise UsageError(Problem("no_ray", message, hint="pip install 'krea-pipe[ray,remote]'")) from error
    return ray


def _read(head: Mapping[str, Any], runs: bytes) -> tuple[ShardResult | None, Problem | None]:
    """A result as the function on the worker gives it."""
    machine = str(head["machine"])
    if "version" in head:
        found = str(head["version"])
        what = f"has krea-pipe {found}, but this machine has {__version__}" if found else "has no krea-pipe"
        hint = (
            f"pip install 'krea-pipe[remote]=={__version__}' on every worker, or in the container image of the cluster"
        )
        return None, Problem("worker_without_krea_pipe", f"the worker {machine} {what}", hint=hint)
    problem = None
    if head["problem"] is not None:
        code, message, hint = head["problem"]
        problem = Problem(code, message, hint=hint)
    return ShardResult(int(head["code"]), machine, problem, runs), None


def _lost(error: Exception) -> Problem:
    hint = "rerun the command to continue; nothing is charged twice"
    return Problem("task_lost", f"Ray gave up on its task: {_words(error)}", hint=hint)


def _words(error: Exception) -> str:
    """The last line of an error that says something: Ray's are long, with the traceback of a worker first."""
    cause = getattr(error, "cause", None) or error
    lines = [line.strip() for line in str(cause).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(cause).__name__


def _channel_class() -> type:
    """An actor that collects messages of tasks, and stores whether they should stop.

    If it is lost, Ray makes a new one, and what was said in it is lost: progress alone.
    """

    class Channel:
        def __init__(self) -> None:
            self.said: list[tuple[str, str, list[Any]]] = []
            self.stopping = False

        def exchange(self, shard: str, machine: str, lines: list[Any]) -> bool:
            if machine or lines:
                self.said.append((shard, machine, lines))
            return self.stopping

        def take(self, stopping: bool) -> list[tuple[str, str, list[Any]]]:
            self.stopping = stopping
            taken, self.said = self.said, []
            return taken

    return Channel


def _task_function() -> Callable[..., Any]:
    """The code that a worker runs.

    It is sent as code, as the worker may have no krea-pipe, or another version.
    """

    def krea_pipe_shard(
        plain: tuple[Any, ...],
        files: dict[str, bytes],
        environment: dict[str, str],
        channel: Any,  # noqa: ANN401 (an actor)
        wanted: str,
        sizes: tuple[int, int],
    ) -> list[Any]:
        import socket  # noqa: PLC0415
        from concurrent.futures import CancelledError  # noqa: PLC0415

        from ray.exceptions import RayError  # noqa: PLC0415

        count, most = sizes
        empty = [b""] * count
        try:
            from krea_pipe._version import __version__ as found  # noqa: PLC0415
        except ImportError:
            found = ""
        if found != wanted:
            return [{"machine": socket.gethostname(), "version": found}, *empty]
        # What is of the right version alone can be imported.
        from krea_pipe.app.shard_task import ShardTask, carry_out  # noqa: PLC0415

        launch, shard, words, folder, folders = plain
        machine = socket.gethostname()

        def exchange(lines: Any) -> bool:  # noqa: ANN401
            nonlocal machine
            call = channel.exchange.remote(shard, machine, list(lines))
            try:  # not `ray.get`, which would give the CPU of this task to another one for as long
                stops = bool(call.future().result(10))
            except (RayError, TimeoutError, CancelledError):  # the machine with the channel is lost
                return False
            machine = ""
            return stops

        result = carry_out(ShardTask(launch, shard, words, folder, files, folders, environment), exchange)
        problem = result.problem and [result.problem.code, result.problem.message, result.problem.hint]
        size = max(most, -(-len(result.runs) // count))
        parts = [result.runs[start : start + size] for start in range(0, len(result.runs), size)]
        return [{"machine": result.machine, "code": result.code, "problem": problem}, *(parts + empty)[:count]]

    return krea_pipe_shard
