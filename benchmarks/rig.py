"""Shared parts of the benchmarks: a Krea and a client as separate processes, and the resources that they used.

This module imports only the standard library: Linux counts the memory of a process that starts another as part of the
other's peak, so this process must stay small.
"""

import json
import os
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PYTHON = sys.executable
HERE = Path(__file__).parent
KREA_PIPE = (PYTHON, "-m", "krea_pipe")
INSTALLED = "BENCHMARK_INSTALLED"
"""The variable that says that the installed krea-pipe is measured."""
LONGEST = 600
"""Seconds after which a client is ended."""
MOST_TEXT = 1_000_000
LIFE = 1800
"""Seconds after which a server ends by itself, in case its benchmark is killed."""


@dataclass(frozen=True)
class Row:
    """One row of the table; `floor` is the same figure of a bare loop, `is_good` whether it is within the limit.

    `cost` is what two builds are compared by: less is better. Without it, the row is only printed.
    """

    what: str
    measured: str
    limit: str = ""
    floor: str = ""
    is_good: bool = True
    cost: float | None = None


def limited(what: str, measured: str, value: float, most: float, floor: str = "", cost: float | None = None) -> Row:
    """A row whose value may be at most `most`; the value is also its cost, unless there is a steadier one."""
    return Row(what, measured, f"{most:g}", floor, value <= most, value if cost is None else cost)


@dataclass(frozen=True)
class Ran:
    """A finished process: seconds of wall and CPU time, and its peak memory in MB."""

    code: int
    wall: float
    cpu: float
    peak: float
    out: str
    err: str


@dataclass(frozen=True)
class Trial:
    """A client with a separate Krea.

    `book` is that Krea's account book, `report` the run's, where there is one.
    """

    ran: Ran
    book: dict[str, Any]
    acted: list[int]
    report: dict[str, Any]


@dataclass(frozen=True)
class Krea:
    """A running server."""

    base: str

    @property
    def env(self) -> dict[str, str]:
        """The environment of a client."""
        return {"KREA_API_BASE": self.base, "KREA_API_KEY": "local-key"}

    def get(self, path: str) -> Any:  # noqa: ANN401 (as the answer is)
        """An answer as JSON."""
        with urllib.request.urlopen(self.base + path, timeout=60) as answer:
            return json.load(answer)


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment without krea-pipe's variables.

    It has the krea-pipe beside these files, unless the one that is installed for this Python is to be measured.
    """
    plain = {name: value for name, value in os.environ.items() if not name.startswith("KREA_")}
    place = {} if INSTALLED in os.environ else {"PYTHONPATH": str(HERE.parent)}
    return {**plain, **place, **(more or {})}


def run(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command to its end."""
    with (folder / "out.txt").open("w+") as out, (folder / "err.txt").open("w+") as err:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=environment(env), stdout=out, stderr=err)
        with ended_after(process, LONGEST):
            _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        texts = [stream.read(MOST_TEXT) for stream in (out, err) if stream.seek(0) == 0]
    return Ran(process.returncode, wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, *texts)


@contextmanager
def ended_after(process: subprocess.Popen[Any], seconds: float) -> Iterator[None]:
    """End a process that takes too long, or whose benchmark ends."""
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        yield
    except BaseException:
        process.kill()
        raise
    finally:
        watchdog.cancel()


def end_on_signal() -> None:
    """Exit as after Ctrl-C when the process is ended, so that its child processes end too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def until_killed(kills: int, seed: int, trial: Callable[[Path, int], tuple[list[str], Counter[str]]]) -> int:
    """Run trials, each in a new folder, until enough runs were killed; the exit code, 1 if a promise was broken."""
    end_on_signal()
    total: Counter[str] = Counter()
    broken = 0
    while total["kills"] < kills:
        with tempfile.TemporaryDirectory() as name:
            wrong, counts = trial(Path(name), seed)
        for line in wrong:
            print(f"trial {seed}: {line}", flush=True)
        print(f"trial {seed}: {dict(counts)}", flush=True)
        total, broken, seed = total + counts, broken + len(wrong), seed + 1
    print(f"{dict(total)}; {broken} wrong")
    return 1 if broken else 0


@contextmanager
def krea(folder: Path, *, faults: str = "rules: []", **options: object) -> Iterator[Krea]:
    """`krea-pipe serve` with these options; `faults` is the text of a script."""
    (folder / "faults.yaml").write_text(faults)
    given = {"port": 0, "seconds": LIFE, "faults": folder / "faults.yaml", **options}
    words = [word for name, value in given.items() for word in (f"--{name}", str(value))]
    with serving([*KREA_PIPE, "serve", "--json", *words]) as served:
        yield served


@contextmanager
def serving(command: Sequence[str]) -> Iterator[Krea]:
    """A server whose first line is JSON with its address, as `krea-pipe serve --json` says it."""
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE)
    try:
        yield Krea(json.loads(process.stdout.readline())["base"])  # type: ignore[union-attr]
    finally:
        process.terminate()
        process.communicate(timeout=30)


def ours(folder: Path, jobs: int, options: Sequence[str] = (), ratio: str = "1:1", **server: object) -> Trial:
    """A new `krea-pipe run` of a number of jobs; its report contains their outcomes."""
    place = _fresh(folder)
    (place / "p.yaml").write_text(pipeline(jobs, ratio))
    return _trial(place, [*KREA_PIPE, "run", "p.yaml", "--json", *options], server)


def floor(folder: Path, jobs: int, ratio: str = "1:1", loop: str = "floor.py", **server: object) -> Trial:
    """A bare loop with the same number of jobs at the same kind of Krea."""
    trial = _trial(_fresh(folder), [PYTHON, str(HERE / loop), str(jobs), ratio], server)
    if trial.ran.code != 0:
        raise RuntimeError(f"the bare loop has failed:\n{trial.ran.err[-2000:]}")
    return trial


def _fresh(folder: Path) -> Path:
    """A folder for one trial, because a lock file would name the jobs of another Krea."""
    return Path(tempfile.mkdtemp(prefix="trial-", dir=folder))


def _trial(folder: Path, command: Sequence[str], server: Mapping[str, object]) -> Trial:
    with krea(folder, **server) as served:  # type: ignore[arg-type]
        home = folder / f"home-{served.base.rpartition(':')[2]}"
        ran = run(command, folder, {**served.env, "KREA_PIPE_HOME": str(home), "BENCHMARK_OUT": str(home)})
        book = served.get("/_local/book?summary=1") | {"jobs": served.get("/_local/book")["jobs"]}
        return Trial(ran, book, served.get("/_local/faults")["acted"], _report(ran, folder))


def _report(ran: Ran, folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / json.loads(ran.out)["report"]).read_text())
    except (ValueError, KeyError, TypeError, OSError):
        return {}


def finished(trial: Trial, jobs: int) -> Trial:
    """The trial, if every job was done; otherwise its figures are meaningless."""
    if trial.ran.code != 0 or len(trial.book["bills"]) != jobs:
        raise RuntimeError(f"{len(trial.book['bills'])} of {jobs} were done:\n{trial.ran.err[-2000:]}")
    return trial


def pipeline(jobs: int, ratio: str = "1:1") -> str:
    """A pipeline with a number of different requests, each with a different short prompt."""
    return f"""\
version: 1
name: p
prompt: "A glass lamp, number {{{{ number }}}}"
budget: {{usd: 5000}}
defaults: {{aspect_ratio: "{ratio}"}}
matrix:
  number: {{count: {jobs}}}
"""


def png(width: int, height: int, *, noise: bool) -> bytes:
    """An image: noise, which hardly compresses, or one colour, which compresses to almost nothing."""
    dice = random.Random(0)
    rows = (dice.randbytes(3 * width) if noise else bytes(3 * width) for _ in range(height))
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows), 1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, (b"IHDR", b"IDAT", b"IEND"), (head, pixels, b"")))


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
