"""Measures `krea-pipe watch`: from a save of the file until a page can load the first proof that it changes."""

import json
import statistics
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rig import KREA_PIPE, LIFE, Row, ended_after, environment, limited

SAVES = 9
LONGEST = 120
FILE = """\
version: 1
name: p
prompt: "Study {{ number }} of a glass lamp on WORD, low light"
matrix: {number: {count: 50}}
"""


def first_proof(folder: Path, _: float) -> list[Row]:
    """A save that changes the prompt of all 50 cells, after the proofs of the one before are drawn."""
    file = folder / "watched.yaml"
    file.write_text(FILE)
    command = [*KREA_PIPE, "watch", file.name, "--json", "--no-open", "--seconds", str(LIFE)]
    with watching(folder, command) as (process, url):
        _until(process, "drawn")
        seconds = []
        for number in range(SAVES):
            page = _Page(url)
            began = time.perf_counter()
            file.write_text(FILE.replace("WORD", f"slate {number}"))
            page.first_changed()
            seconds.append(time.perf_counter() - began)
            _until(process, "drawn")
    middle = statistics.median(seconds)
    what = "50 cells: from a save until the first changed proof is served, median (worst)"
    return [limited(what, f"{middle:.2f} s ({max(seconds):.2f} s)", middle, 1.0)]


@contextmanager
def watching(folder: Path, command: list[str]) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The running command, and the address of its page."""
    process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, text=True)
    try:
        with ended_after(process, LONGEST):
            yield process, str(_until(process, "page")["url"])
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _until(process: "subprocess.Popen[str]", event: str) -> dict[str, Any]:
    """The next line about an event."""
    assert process.stdout is not None
    for line in process.stdout:
        said = json.loads(line)
        if said.get("event", "page") == event:
            return dict(said)
    raise RuntimeError(f"it ended without {event!r}")


class _Page:
    """What an open page asks for: the report, the stream of changes, and pictures."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.report = json.loads(self.get("report.json"))
        self.known = {row["sha256"] for row in self.report["cells"]}
        self.stream = self.open()

    def get(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=LONGEST) as answer:
            return bytes(answer.read())

    def open(self) -> Any:  # noqa: ANN401 (a response)
        words = f"events?since={self.report['finished_at'].replace('+', '%2B')}&run={self.report['run_id']}"
        return urllib.request.urlopen(self.url + words, timeout=LONGEST)

    def first_changed(self) -> None:
        """Follow the stream to the first picture that is new, and load it."""
        while True:
            event, data = self._event()
            if event == "rerun":
                self.report = json.loads(self.get("report.json"))
                self.stream = self.open()
            rows = self.report["cells"] if event == "rerun" else data if event == "rows" else []
            new = [row["sha256"] for row in rows if row["sha256"] not in {*self.known, None}]
            if new:
                assert self.get(f"thumbnails/{new[0]}.webp")
                return

    def _event(self) -> tuple[str, Any]:
        event = ""
        while line := self.stream.readline().decode().rstrip("\n"):
            name, _, value = line.partition(": ")
            event = value if name == "event" else event
            if name == "data":
                return event, json.loads(value)
        return ("", None)
