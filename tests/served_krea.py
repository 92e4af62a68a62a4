"""`krea-pipe serve` for tests: as a process of its own, or its server in a thread of this one."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from krea_server import DEADLINE

import krea_pipe
from krea_pipe.local.script_file import read_script
from krea_pipe.local.server import build_app, listen, make_server

SOURCE = Path(krea_pipe.__file__).parent.parent
LIFE = 300  # seconds after which a server ends by itself, should its test be killed


@dataclass(frozen=True)
class Served:
    """A running server."""

    base: str
    process: subprocess.Popen | None = None

    def book(self):
        """What the server says that has happened."""
        return self.get("/_local/book")

    def acted(self) -> list[int]:
        """How often each rule of its script has acted."""
        return self.get("/_local/faults")["acted"]

    def get(self, path):
        answer = httpx.get(self.base + path, headers={"Authorization": "Bearer local"}, timeout=DEADLINE)
        answer.raise_for_status()
        return answer.json()


@contextmanager
def served_krea(**options) -> Iterator[Served]:
    """`krea-pipe serve` with these options, such as `latency=0`; `faults` is a file, or the text of one."""
    with contextlib.ExitStack() as stack:
        if "\n" in str(options.get("faults", "")):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / "faults.yaml").write_text(options["faults"], encoding="utf-8")
            options["faults"] = folder / "faults.yaml"
        errors = stack.enter_context(tempfile.TemporaryFile())
        process = stack.enter_context(start_serve(**{"port": 0, "seconds": LIFE, **options}, stderr=errors))
        stack.callback(process.kill)
        yield Served(read_first_line(process)["base"], process)
        assert stop(process) == 0
        errors.seek(0)
        assert errors.read() == b""


def start_serve(*, stderr=subprocess.PIPE, **options) -> subprocess.Popen:
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-m", "krea_pipe", "serve", "--json", *words],
        env={**plain, "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "error", "LANG": "C.UTF-8"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
    )


def read_first_line(process):
    watchdog = threading.Timer(DEADLINE, process.kill)
    watchdog.start()
    try:
        line = process.stdout.readline()
    finally:
        watchdog.cancel()
    assert line, f"krea-pipe serve ended without its first line: {process.wait()}"
    return json.loads(line)


def stop(process) -> int:
    """End a server as a service manager does, and return its exit code."""
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


@contextmanager
def threaded_krea(script="rules: []", **settings) -> Iterator[Served]:
    """The same server in a thread: three times as fast to start, with nothing of the command line."""
    app = build_app(script=read_script(script.encode()), **{"latency": 0, **settings})
    ready = threading.Event()
    server = make_server(app, ready.set, seconds=LIFE)
    with listen("127.0.0.1", 0) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        assert ready.wait(DEADLINE)
        try:
            yield Served(f"http://127.0.0.1:{listener.getsockname()[1]}")
        finally:
            server.should_exit = True
            thread.join(DEADLINE)
            assert not thread.is_alive()
