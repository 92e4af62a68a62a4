"""Receivers of a run's events other than the terminal: an event log during the run, and people at its end."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from krea_pipe.app import events
from krea_pipe.app.execution import RunWork
from krea_pipe.app.finished_run import FinishedRun
from krea_pipe.app.notify import Message, message_of, message_of_refusal, notification_targets, tell_all
from krea_pipe.cli.error_handler import problems_of
from krea_pipe.cli.messages import as_one, error_json
from krea_pipe.cli.options import LogFlags
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.summary import batch_summary_json, summary_json
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Ending, Outcome
from krea_pipe.matrix.sharding import Shard
from krea_pipe.planning.plan import Step
from krea_pipe.report.model import Report
from krea_pipe.store.journal import Observe, unobserved
from krea_pipe.store.line_file import LineFile

_HEAD = frozenset({"t", "event", "run", "key", "cell"})
_StepListener = Callable[[Step, Outcome | None], None]


class RunNotifications:
    """Tells of one run, from the options to the exit code. Nothing that goes wrong here changes how the run ends."""

    def __init__(self, flags: LogFlags, file: Path) -> None:
        """Prepare notifications.

        Raises:
            KreaPipeError: the log cannot be written, or a target cannot be told.
        """
        if flags["quiet"] and flags["verbose"]:
            hint = "use one of them"
            raise UsageError(Problem("bad_option", "--quiet and --verbose cannot be combined", hint=hint))
        self.file, self.stderr_log = file, StderrLog(flags["quiet"], flags["log_format"] == "json")
        self.is_verbose = flags["verbose"]
        self.targets = notification_targets(flags["notify"])
        self.log = LineFile(flags["events"]) if flags["events"] is not None else None
        self.event_log: events.EventLog | None = None
        self.run_id: str | None = None
        self.shard: Shard | None = None
        self.is_over = False
        self.message: Message | None = None

    def begun(self, work: RunWork, run_id: str) -> Observe:
        """Take the start of a run that has work to do, and return the observer of its steps."""
        self.run_id = run_id
        if self.log is None and not self.is_verbose:
            return unobserved
        names = {str(step.key): step.cells[0].id for step in work.plan.steps}
        self.event_log = events.EventLog(run_id, names, self._write)
        kind = work.target.kind
        self._write([events.started(run_id, work.plan, file=work.file, target=kind, cap=work.cap)])
        return self.event_log.observe

    def _write(self, found: Sequence[Mapping[str, Json]]) -> None:
        """Write events to the log, and print those about a request for --verbose; progress tells of its end."""
        if self.log is not None:
            self.log.append(found)
        for event in found if self.is_verbose else ():
            if "cell" in event and event["event"] != "settled":
                self.stderr_log.say("info", "step", _step_words(event), step=event)

    def watched(self, watch: _StepListener) -> _StepListener:
        """Also report the end of each request to a watcher."""
        event_log = self.event_log
        if event_log is None:
            return watch

        def both(step: Step, outcome: Outcome | None) -> None:
            if outcome is not None:
                event_log.settled(step, outcome)
            watch(step, outcome)

        return both

    def finished(self, finished: FinishedRun) -> None:
        """Take the end of a run."""
        report, self.is_over = finished.report, True
        if self.log is not None:
            if self.run_id is None:
                self.log.append([events.started_idle(report)])
            self.log.append([events.ended(report, _code(finished.ending), lost=self.log.lost)])
        has_news = self.run_id is not None or report.exit_code not in (0, ExitCode.WAITING)
        if self.targets and has_news:
            self.message = message_of(report, summary_json(report, finished.folder))

    def finished_batch(self, report: Report, ending: Ending) -> None:
        """Take the end of several runs, which are sent as one; `report` is about all of them."""
        self.is_over = True
        if self.log is not None:
            if self.run_id is None:
                self.log.append([events.started_idle(report)])
            self.log.append([events.ended(report, _code(ending), lost=self.log.lost)])
        has_news = self.run_id is not None or report.exit_code not in (0, ExitCode.WAITING)
        if self.targets and has_news:
            self.message = message_of(report, batch_summary_json(report))

    def __enter__(self) -> "RunNotifications":
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: TracebackType | None) -> None:
        if error is not None and not self.is_over:
            problems, code = problems_of(error)
            self._broken(problems[0], code)
        if self.log is not None:
            self.log.close()
            if self.log.lost:
                self.stderr_log.shortcomings([_incomplete(self.log)])
        if self.message is not None:
            self.stderr_log.shortcomings(tell_all(self.targets, self.message))

    def _broken(self, problem: Problem, code: int) -> None:
        """Take the end of a run that wrote no report, or was not begun."""
        if self.log is not None and self.run_id is None:
            self.log.append([events.refused(str(self.file), code, problem.code)])
        elif self.log is not None and self.run_id is not None:
            self.log.append([events.left(self.run_id, code, problem.code, lost=self.log.lost)])
        if self.targets:
            name = self.file.stem if self.shard is None else f"{self.file.stem}, shard {self.shard}"
            self.message = message_of_refusal(name, problem, code, error_json((problem,), code))


def _code(ending: Ending) -> str | None:
    if ending.error is not None:
        return problems_of(ending.error)[0][0].code
    problem = ending.refusal or ending.limit
    return problem.code if problem else "interrupted" if ending.interrupted else None


def _step_words(event: Mapping[str, Json]) -> str:
    facts = {name: value for name, value in event.items() if name not in _HEAD and value not in (None, "")}
    more = "".join(f" {name}={value}" for name, value in facts.items())
    return as_one(f"{str(event['t'])[11:19]} {event['cell']} {event['event']}{more}")


def _incomplete(log: LineFile) -> Problem:
    lines = "1 event is" if log.lost == 1 else f"{log.lost} events are"
    return Problem("events_lost", f"{lines} missing in {log.path}: {log.reason}")
