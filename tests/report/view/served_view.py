"""`krea-pipe view` as a process of its own, and its event streams."""

import contextlib
import http.client
import itertools
import json
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from urllib.parse import urlsplit

import httpx
from krea_server import DEADLINE

LIFE = 300  # seconds after which a view ends by itself, should its test be killed


@dataclass
class View:
    """A view that is running."""

    url: str
    run_id: str
    process: Popen

    @property
    def port(self) -> int:
        return urlsplit(self.url).port

    @property
    def token(self) -> str:
        return urlsplit(self.url).path.strip("/")

    def get(self, path="", **headers) -> httpx.Response:
        return httpx.get(self.url + path, headers=headers, timeout=DEADLINE, trust_env=False)

    def json(self, path):
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, stage, change, **headers) -> httpx.Response:
        body = change if isinstance(change, bytes) else json.dumps(change).encode()
        fields = {"Content-Type": "application/json", **headers}
        return httpx.post(f"{self.url}picks/{stage}", content=body, headers=fields, timeout=DEADLINE, trust_env=False)

    def raw(self, target, method="GET", host=None) -> tuple[int, bytes]:
        """Ask for exactly this target, which no client has made any nicer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        with contextlib.closing(connection):
            connection.putrequest(method, target, skip_host=True)
            connection.putheader("Host", host or f"127.0.0.1:{self.port}")
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read()

    def rows(self) -> dict[str, dict]:
        """The cells of the report as it stands, by the last part of their ids."""
        return {row["id"].rpartition("/")[2]: row for row in self.json("report.json")["cells"]}

    @contextmanager
    def events(self, since="") -> "Iterator[Events]":
        address = f"{self.url}events?since={since}"
        with (
            httpx.Client(timeout=DEADLINE, trust_env=False) as client,
            client.stream("GET", address) as answer,
        ):
            assert answer.headers["content-type"].startswith("text/event-stream")
            yield Events(answer.iter_lines())


@dataclass
class Events:
    """A stream of server-sent events."""

    lines: Iterator[str]

    def next(self, name, wanted=bool):
        """The data of the next event of that name which is as wanted, or says anything; others are passed over."""
        event, end = "", time.monotonic() + DEADLINE
        for line in self.lines:
            assert time.monotonic() < end, f"`{name}` did not come in {DEADLINE} s"
            field, _, value = line.partition(": ")
            if field == "event":
                event = value
            elif field == "data" and event == name and (value == "{}" or wanted(json.loads(value))):
                return json.loads(value)
        raise AssertionError(f"the stream ended without `{name}`")

    def before(self, name) -> list[str]:
        """The events that come before the first of that name."""
        found = (line.removeprefix("event: ") for line in self.lines if line.startswith("event: "))
        return list(itertools.takewhile(lambda event: event != name, found))

    def rows(self, wanted) -> dict[str, dict]:
        """The latest rows by the last part of their ids, once they are as wanted."""
        found: dict[str, dict] = {}
        while not wanted(found):
            found |= {row["id"].rpartition("/")[2]: row for row in self.next("rows")}
        return found


@contextmanager
def viewed(project, *words) -> Iterator[View]:
    """`krea-pipe view` for as long as the block lasts; it has to end well, and to keep its token to itself."""
    process = project.start("view", *words, "--json", "--no-open", "--seconds", LIFE)
    watchdog = threading.Timer(DEADLINE, process.kill)
    watchdog.start()
    line = process.stdout.readline()
    watchdog.cancel()
    assert line, process.stderr.read().decode()
    said = json.loads(line)
    assert said.keys() - {"assembled"} == {"schema", "url", "run_id"}
    yield View(said["url"], said["run_id"], process)
    assert stop(process) == 0
    assert process.communicate(timeout=DEADLINE) == (b"", b"")


def stop(process) -> int:
    """End a view as Ctrl-C does, and return its exit code."""
    process.send_signal(signal.SIGINT)
    return process.wait(DEADLINE)


def run_folder(project) -> Path:
    """The folder of the one run of a project."""
    (folder,) = (project.home / "runs").iterdir()
    return folder
