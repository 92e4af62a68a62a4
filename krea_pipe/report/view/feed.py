"""Sends changes of a run and of its picks to every page that listens."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from krea_pipe.core.errors import KreaPipeError
from krea_pipe.report.decisions import StageDecisions, decisions_json, pipeline_file, read_decisions
from krea_pipe.report.model import Report
from krea_pipe.report.progress import LaterReports, RunProgress, RunState
from krea_pipe.report.record import json_default
from krea_pipe.report.view.watched_report import WatchedReport, WatchStatus
from krea_pipe.store.blobs import Stamp, stamp_of

LOOK_SECONDS = 0.2
"""Seconds between two polls of a run in progress, and so between two events."""
REST_SECONDS = 1.0
"""Seconds between two polls of the picks files, and of a finished run."""
HEARTBEAT_SECONDS = 15.0
CUT_OFF = {
    "message": "This run ended without a report.",
    "hint": "Rerun the command to continue; nothing is charged twice.",
}


@dataclass(slots=True, eq=False)
class RunFeed:
    """A run that is polled repeatedly.

    Everything here is used on one event loop; files are read in threads.

    `report` and `state` are those of the last look, and `_versions` belong to them: a thread may be ahead.
    """

    progress: RunProgress | WatchedReport
    reruns: LaterReports | None = None
    """Where a later report of the pipeline is searched for once this one has ended; None stays with this one."""
    report: Report = field(init=False)
    state: RunState = field(init=False)
    decisions: Mapping[str, StageDecisions] = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while picks files are read or written, so that what is shown is never older than what was written."""
    is_closed: bool = False
    _versions: dict[int, str] = field(default_factory=dict)
    """When each row last changed, in terms of a `finished_at` of the report."""
    _picks: int = 0
    """The number of changes of the decisions."""
    _stamps: dict[Path, Stamp | None] = field(default_factory=dict)
    _news: asyncio.Event = field(default_factory=asyncio.Event)
    _status: WatchStatus | None = None
    """What the pages of a watched file say."""

    def __post_init__(self) -> None:
        self.report, self.state = self.progress.report, self.progress.state

    async def follow(self) -> None:
        """Look until it is closed."""
        since_picks = REST_SECONDS
        while not self.is_closed:
            is_running = self.state in ("running", "watching")
            if not is_running or since_picks >= REST_SECONDS:
                await self.read_picks()
                since_picks = 0
            await self._look()
            wait = LOOK_SECONDS if is_running else REST_SECONDS
            since_picks += wait
            await asyncio.sleep(wait)

    async def _look(self) -> None:
        before = self.state, self._status, self.report.run_id
        progress, reruns = self.progress, self.reruns
        if self.state != "running" and reruns is not None and isinstance(progress, RunProgress):
            with contextlib.suppress(KreaPipeError, OSError):
                rerun = await asyncio.to_thread(reruns.after, progress)
                if rerun is not None:
                    self._follow_rerun(rerun)
                    return
        try:
            changed = await asyncio.to_thread(self.progress.look)
        except (KreaPipeError, OSError):
            return  # it may be readable a moment later; what is shown stays
        self.report, self.state = self.progress.report, self.progress.state
        self._status = self.progress.status if isinstance(self.progress, WatchedReport) else None
        if self.report.run_id != before[2]:
            self._versions = {}
        self._versions |= dict.fromkeys(changed, self.report.finished_at)
        if changed or (self.state, self._status, self.report.run_id) != before:
            self._tell()

    def _follow_rerun(self, progress: RunProgress) -> None:
        """Serve another run from now on; pages of the earlier one are told, and reload."""
        self.progress, self.report, self.state = progress, progress.report, progress.state
        self._versions, self._stamps = {}, {}
        self._tell()

    async def read_picks(self) -> None:
        """Read the picks files if one of them has changed."""
        async with self.lock:
            files = self._files()
            stamps = await asyncio.to_thread(lambda: {file: stamp_of(file) for file in files})
            if stamps == self._stamps:
                return
            found = await asyncio.to_thread(read_decisions, self.report, self.progress.folder)
            is_new = decisions_json(found) != decisions_json(self.decisions)
            self.decisions = found
            # A changed pipeline file may name other files, whose stamps are not known yet: then the next look reads.
            self._stamps = stamps if stamps.keys() == self._files() else {}
            if is_new:
                self._picks += 1
                self._tell()

    def _files(self) -> set[Path]:
        """The files on which the decisions depend."""
        files = {one.path for one in self.decisions.values() if one.path is not None}
        return files | {pipeline_file(self.report, self.progress.folder)}

    def close(self) -> None:
        """End every stream."""
        self.is_closed = True
        self._tell()

    def _tell(self) -> None:
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def events(self, since: str, run: str = "") -> AsyncIterator[str]:
        """Server-sent events from a state of the report on: the `finished_at` that a page was made with.

        `rows` holds rows that have changed, `ended` says that the report is there, `cut_off` that there will be none,
        `picks` the decisions of all stages, `status` the sentence about a watched file, `bye` that the server goes, and
        `rerun` that another run of the pipeline has begun, or that a watched file was saved, which is the last event:
        the page is of `run`, or of the run that is served when it connects.
        """
        told, picks, said = "", -1, None
        run = run or self.report.run_id
        yield "retry: 3000\n\n"
        while not self.is_closed:
            news = self._news
            if run != self.report.run_id:
                yield _event("rerun", {"run_id": self.report.run_id}, since)
                return
            places = sorted(index for index, version in self._versions.items() if version > since)
            rows = [self.report.rows[index] for index in places]
            if rows and self.state != "ended":
                since = self.report.finished_at
                yield _event("rows", rows, since)
            if self._status is not None and self._status != said:
                said = self._status
                yield _event("status", {"text": said.text, "is_problem": said.is_problem}, since)
            if self.state not in ("running", "watching", told):
                told = self.state
                yield _event(told, CUT_OFF if told == "cut_off" else {}, since)
            if picks != self._picks:
                picks = self._picks
                yield _event("picks", decisions_json(self.decisions), since)
            if news is self._news:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_SECONDS):
                        await news.wait()
                        continue
                yield ": still here\n\n"
        yield _event("bye", {}, since)


def _event(name: str, data: object, version: str) -> str:
    return f"id: {version}\nevent: {name}\ndata: {json.dumps(data, default=json_default)}\n\n"
