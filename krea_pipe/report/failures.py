"""What went wrong in a run, grouped by cause, each with what to do next and the command for it."""

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from krea_pipe.core.outcome import FailureClass
from krea_pipe.report.model import Report, Row
from krea_pipe.report.words import STATUS_WORDS, CheckView, checks_of, explanation

_AGAIN = "Run these cells again; images that exist are reused."
_ADVICE: Mapping[FailureClass, str] = {
    "transient": "Krea was busy or could not be reached. Run these cells again.",
    "rejected": "Krea does not generate this request. Change it; the command shows where each value comes from. "
    "What moderation rejected is not sent again until then, except with --retry-rejected.",
    "refused": "Krea does not accept this request. Change it; the command shows where each value comes from.",
    "empty": "Run again to read the job again at no cost.",
    "wrong_size": "Run again to read the job again at no cost.",
    "stuck": "Run again to look for the job at no cost.",
    "gone": "Krea no longer has the image. The command pays for a new one.",
    "uncertain": "Krea may have generated and charged for the image. The next run looks for its job again; "
    "--uncertain adopt or --uncertain resubmit decides.",
    "local": "Correct the problem on this machine, then run these cells again.",
    "failed": _AGAIN,
}
_ENGINE_ADVICE: Mapping[FailureClass, str] = {
    "transient": "The engine did not answer. Start it, or correct `engine.url`, then run these cells again.",
    "rejected": "The engine does not accept this request. Change it, or `engine:`; the command shows where each value "
    "comes from. It is not sent again until then, except with --retry-rejected.",
    "refused": "The engine does not accept this request. Change it, or `engine:`; the command shows where each value "
    "comes from.",
}
"""Where an engine draws in place of Krea; the rest is the same."""
_ASK_WHY = frozenset({"rejected", "refused"})
_NO_MODEL = "model_unavailable"


@dataclass(frozen=True, slots=True)
class Cause:
    """Cells that need attention for one reason: how many, the reason, and the next step; or a check that they fail."""

    title: str
    reason: str
    advice: str
    command: str
    rows: tuple[Row, ...]
    check: str = ""

    @property
    def differs(self) -> bool:
        """Whether the cells have reasons in different words."""
        return not self.reason

    def explanation(self, row: Row) -> str:
        """What happened to one of its cells."""
        results = [one.message for one in row.failed_checks if one.name == self.check]
        return results[0] if results else explanation(row)


def causes_of(report: Report) -> list[Cause]:
    """The causes of all failures in a report, those of most cells first.

    Args:
        report: the report of a run.
    """
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for row in report.rows:
        if row.error is not None or row.status == "failed":
            kind = row.error.kind if row.error else "failed"
            groups.setdefault((row.status, row.error.code if row.error else row.reason, kind), []).append(row)
    causes = [_cause(report, rows) for rows in sorted(groups.values(), key=len, reverse=True)]
    return causes + [_of_check(one) for one in checks_of(report) if one.failed and one.check.fail]


def _of_check(one: CheckView) -> Cause:
    reasons = {result.message for row in one.failed for result in row.failed_checks if result.name == one.check.name}
    reason = reasons.pop() if len(reasons) == 1 else ""
    advice = "These images are delivered and paid. Change their requests, or the limits of the check."
    return Cause(one.sentence(), reason, advice, "", one.failed, one.check.name)


def _cause(report: Report, rows: list[Row]) -> Cause:
    first = rows[0]
    kind = _kind(first)
    reasons = {explanation(row) for row in rows}
    title = f"{len(rows):,} {STATUS_WORDS[first.status]}"
    reason = reasons.pop() if len(reasons) == 1 else ""
    said = {**_ADVICE, **_ENGINE_ADVICE} if report.target.kind == "engine" else _ADVICE
    advice = said[kind] if first.status != "pending" else "The next run continues with these cells."
    return Cause(title, reason, advice, _command(report, first, kind), tuple(rows))


def _kind(row: Row) -> FailureClass:
    """What kind of failure it was; a model that Krea does not offer must be changed in the file."""
    if row.error is None:
        return "failed"
    return "refused" if row.error.code == _NO_MODEL else row.error.kind


def _command(report: Report, row: Row, kind: FailureClass) -> str:
    if kind in _ASK_WHY and row.status == "failed":
        words = ["krea-pipe", "explain", report.pipeline.file, row.id]
    else:
        words = ["krea-pipe", "run", report.pipeline.file, *_options(row, kind)]
    return shlex.join([*words, *(["--local"] if report.target.kind == "local" else [])])


def _options(row: Row, kind: FailureClass) -> Iterable[str]:
    if row.status == "failed":
        yield "--only-failed"
    if kind == "gone":
        yield from ("--uncertain", "resubmit")
