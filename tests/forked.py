"""`krea-pipe` in processes of their own that are forked from one which has imported it: ten times as fast to start.

Each has its own memory, signals, streams, folder and environment. What Python does when it starts, and when it ends, is
not in it: `command_line.Project.start` starts a new interpreter for tests that are about these.
"""

import os
import resource
import signal
import subprocess
import sys
import threading
from functools import cache
from multiprocessing import connection, get_context
from multiprocessing.forkserver import ensure_running
from multiprocessing.reduction import DupFd
from pathlib import Path

import krea_pipe
from krea_pipe.cli.main import main

SOURCE = Path(krea_pipe.__file__).parent.parent
PARENT = {
    "PYTHONPATH": os.pathsep.join((str(SOURCE), str(Path(__file__).parent))),
    "PYTHONWARNINGS": "error",
    "LANG": "C.UTF-8",
}
ONE_AT_A_TIME = threading.Lock()
"""An exit code comes through a pipe that is read once, whichever thread asks."""


class Handed:
    """An open file that goes over to the new process."""

    def __init__(self, number: int):
        self.number = number

    def __reduce__(self):
        return _taken, (DupFd(self.number),)


def _taken(duplicate) -> int:
    return duplicate.detach()


class Forked:
    """A process that has been forked, with as much of `subprocess.Popen` as tests use."""

    def __init__(self, words, folder, environment, stderr=subprocess.PIPE):
        out, self.stdout = _pipe()
        err, self.stderr = _pipe() if stderr == subprocess.PIPE else (os.dup(stderr), None)
        files = resource.getrlimit(resource.RLIMIT_NOFILE)
        place = (list(map(str, words)), os.fspath(folder), environment, files, Handed(out), Handed(err))
        self._process = _context().Process(target=carry_out, args=place, daemon=True)
        with ONE_AT_A_TIME:
            self._process.start()
        self.pid = self._process.pid
        os.close(out)
        os.close(err)

    @property
    def returncode(self):
        return self.poll()

    def poll(self):
        with ONE_AT_A_TIME:
            return self._process.exitcode

    def wait(self, timeout=None):
        if not connection.wait([self._process.sentinel], timeout):
            raise subprocess.TimeoutExpired("krea-pipe", timeout)
        return self.poll()

    def send_signal(self, number):
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self):
        self.send_signal(signal.SIGTERM)

    def kill(self):
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout=None):
        """All that the process still writes, to its end."""
        streams = [stream for stream in (self.stdout, self.stderr) if stream is not None and not stream.closed]
        texts = {}
        readers = [
            threading.Thread(target=lambda stream=stream: texts.update({stream: stream.read()}), daemon=True)
            for stream in streams
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired("krea-pipe", timeout)
        for stream in streams:
            stream.close()
        self.wait(timeout)
        return texts.get(self.stdout), texts.get(self.stderr)


def _pipe():
    """The end to write to, and a stream of the end to read from."""
    readable, writable = os.pipe()
    return writable, os.fdopen(readable, "rb")


@cache
def _context():
    """Where processes are forked: from one that has imported what commands need, with nothing of this environment."""
    context, before = get_context("forkserver"), dict(os.environ)
    context.set_forkserver_preload(["fork_parent", __name__])
    os.environ.clear()
    os.environ.update({"PATH": before.get("PATH", ""), **PARENT})
    try:
        ensure_running()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return context


def carry_out(words, folder, environment, files, out, err):
    """Be `krea-pipe WORDS`, in a process that does nothing else and may have so many files open."""
    # multiprocessing passes over what it cannot import there, and then each process would import everything anew.
    assert "fork_parent" in sys.modules, "the process from which tests fork cannot import fork_parent"
    resource.setrlimit(resource.RLIMIT_NOFILE, files)
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, place in enumerate((nothing, out, err)):
        os.dup2(place, number)
        os.close(place)
    # As Python makes them: those of the parent believe that they are its files.
    sys.stdout = sys.__stdout__ = os.fdopen(1, "w", encoding="utf-8", errors="surrogateescape", closefd=False)
    sys.stderr = sys.__stderr__ = os.fdopen(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)
    sys.argv = ["krea-pipe", *words]
    main()
