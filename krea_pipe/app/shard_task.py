"""One shard as a task of a cluster: a pipeline's files are written to a folder, and a separate process runs them.

A cluster may start a task again, on the same machine or on another: what was paid is in the shared store. The process
ends its run as a first Ctrl-C does when its input is closed, so also when the task that started it is killed; a task
that is started again on the same machine waits for that, and continues in the same home folder.
"""

import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TypeAlias

from krea_pipe.app.packed_runs import pack_runs
from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import Json
from krea_pipe.report.folder import runs_folder
from krea_pipe.store.home_place import HOME_VARIABLE

BEAT_SECONDS = 1.0
"""Seconds between messages from a task, which also checks then whether to stop."""
_TRIES = 3
"""How often to restart a process that the system ends, as it does when memory runs out."""
_PUSH = ("cache", "push", "--json")
_CHILD = "krea_pipe.cli.shard_process"
SETTINGS_VARIABLE = "XDG_CONFIG_HOME"
_MOST_LINES = 1000
"""The maximum number of unread lines; more are dropped."""

Line: TypeAlias = Mapping[str, Json]
"""A message of a run in progress: an object of `--log-format json`."""
Exchange: TypeAlias = Callable[[Sequence[Line]], bool]
"""Tells lines, and answers whether the shard is to stop."""


@dataclass(frozen=True, slots=True)
class ShardTask:
    """Everything that a machine needs to run a shard.

    Args:
        launch: a name for all shards that were started together, which nobody can guess.
        shard: which one, as in 2/8.
        words: the arguments of the process, after `krea-pipe`.
        folder: the working folder, below the root of the files.
        files: the bytes of each file, by its path below that root.
        folders: folders that have to be there, empty or not.
        environment: variables over those of the machine; they hold secrets.
    """

    launch: str
    shard: str
    words: tuple[str, ...]
    folder: str
    files: Mapping[str, bytes]
    folders: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class ShardResult:
    """The result of a shard: small, without images.

    Args:
        code: the exit code of its run.
        machine: the name of the machine.
        problem: why there is no report, or what ended the run early.
        runs: the packed records of its runs; see `app.packed_runs`.
    """

    code: int
    machine: str
    problem: Problem | None = None
    runs: bytes = b""


def carry_out(task: ShardTask, exchange: Exchange) -> ShardResult:
    """Run a shard to its end.

    Args:
        task: the shard.
        exchange: called about once a second.

    Returns:
        How it ended.

    Raises:
        StateError: there is no folder for it.
    """
    machine = socket.gethostname()
    if exchange(()):
        return ShardResult(ExitCode.INTERRUPTED, machine, Problem("interrupted", "it was stopped before it started"))
    place = _own_folder(task)
    was_killed = (place / "home").exists()
    write_files(task, place / "files")
    for _ in range(_TRIES):
        ended = _Child(task, place, task.words).wait(exchange)
        if ended.code >= 0 or ended.was_stopped:
            break
        was_killed = True
    if was_killed:  # perhaps after an image was stored here, and before it was in the shared store
        _Child(task, place, _PUSH).wait(lambda _: False)
    result = ShardResult(ended.code, machine, ended.problem, pack_runs(sorted(runs_folder(place / "home").glob("*"))))
    shutil.rmtree(place, ignore_errors=True)
    return result


def write_files(task: ShardTask, root: Path) -> None:
    """Write the files of a task.

    Args:
        task: the task.
        root: the folder that they are written to, which is made.
    """
    for name in (*task.folders, task.folder):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, data in task.files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def _own_folder(task: ShardTask) -> Path:
    """The folder of a task on this machine, the same each time that it is started."""
    place = Path(tempfile.gettempdir()) / f"krea-pipe-{task.launch}-{task.shard.replace('/', 'of')}"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        is_own = not place.is_symlink() and (not hasattr(os, "getuid") or place.stat().st_uid == os.getuid())
    except OSError as error:
        hint = "free some space there, or set TMPDIR on the workers"
        raise StateError(Problem("no_folder", f"cannot use {place}: {error.strerror}", hint=hint)) from error
    if not is_own:
        raise StateError(Problem("no_folder", f"{place} belongs to someone else"))
    return place


@dataclass(frozen=True, slots=True)
class _Ended:
    code: int
    problem: Problem | None
    was_stopped: bool


class _Child:
    """A process that runs a shard and reports its lines during the run."""

    def __init__(self, task: ShardTask, place: Path, words: Sequence[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", _CHILD, str(place / "process.lock"), *words],
            cwd=place / "files" / task.folder,
            env=_environment(task, place),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.lines: queue.Queue[Line] = queue.Queue(_MOST_LINES)
        self.out: list[bytes] = []
        self.last_words = ""
        self.threads = [threading.Thread(target=one, daemon=True) for one in (self._read_out, self._read_lines)]
        for thread in self.threads:
            thread.start()

    def wait(self, exchange: Exchange) -> _Ended:
        """Wait for the end of the process, and close its input when it is to stop."""
        stdin, was_stopped, has_ended = self.process.stdin, False, False
        while not has_ended:
            try:
                self.process.wait(BEAT_SECONDS)
                has_ended = True
                for thread in self.threads:
                    thread.join()
            except subprocess.TimeoutExpired:
                pass
            if exchange(self._new_lines()) and stdin is not None and not was_stopped:
                stdin.close()
                was_stopped = True
        for stream in (stdin, self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return _Ended(self.process.returncode, self._problem(), was_stopped)

    def _new_lines(self) -> list[Line]:
        found = []
        while not self.lines.empty():
            found.append(self.lines.get())
        return found

    def _read_out(self) -> None:
        self.out.append(_stream(self.process.stdout).read())

    def _read_lines(self) -> None:
        for line in _stream(self.process.stderr):
            try:
                data = json.loads(line)
            except ValueError:
                self.last_words = line.decode(errors="replace").strip() or self.last_words
                continue
            if isinstance(data, dict) and not self.lines.full():
                self.lines.put(data)

    def _problem(self) -> Problem | None:
        """The problem according to the output of the process."""
        code = self.process.returncode
        if code < 0:
            return Problem("process_killed", f"the system ended its process with signal {-code}")
        try:
            data = json.loads(self.out[0])
            error = data.get("error")
        except (ValueError, AttributeError):
            return Problem(
                "no_answer", f"its process ended with exit code {code}: {self.last_words or 'it said nothing'}"
            )
        if not isinstance(error, dict):
            return None
        hint = error.get("hint")
        return Problem(str(error.get("code")), str(error.get("message")), hint=None if hint is None else str(hint))


def _stream(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream


def _environment(task: ShardTask, place: Path) -> dict[str, str]:
    """The machine's own variables, with those of the task; settings of the machine's user do not count."""
    packages = str(Path(__file__).parents[2])
    paths = [path for path in (os.environ.get("PYTHONPATH", ""), packages) if path]
    own = {
        HOME_VARIABLE: str(place / "home"),
        SETTINGS_VARIABLE: str(place / "files" / "settings"),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    return {**os.environ, **task.environment, **own}
