"""Texts that all forms of a report share."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.measures import number_text
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.model import CheckResult, Report, Row

LOCAL_NOTE = "nothing was sent to Krea or charged"
_MOST_NAMED = 10
"""Cells that are named of those that fail a check."""
STATUS_WORDS = {
    "succeeded": "rendered",
    "reused": "reused",
    "failed": "failed",
    "uncertain": "uncertain",
    "pending": "pending",
}


def summary_sentence(report: Report) -> str:
    """Say what happened in one breath: images by status, then money, which a local run has none of."""
    if any(row.pair is not None for row in report.rows):
        return _pairs_sentence(report)
    total = report.cells.total
    counts = [(getattr(report.cells, status), word) for status, word in STATUS_WORDS.items()]
    parts = ", ".join(f"{count} {word}" for count, word in counts if count)
    shard = "" if report.shard is None else f"Shard {report.shard}: "
    images = f"{shard}{total} {'image' if total == 1 else 'images'}{f': {parts}' if parts else ''}."
    return images if not report.has_costs else f"{images} {_money_sentence(report)}"


def _pairs_sentence(report: Report) -> str:
    """What two runs have in common, in the words of `krea-pipe diff`."""
    pairs: dict[str, list[Row]] = {}
    for row in report.rows:
        pairs.setdefault(row.pair or row.id, []).append(row)
    whole = [rows for rows in pairs.values() if len(rows) > 1]
    lone = [rows[0].id.partition("/")[0] for rows in pairs.values() if len(rows) == 1]
    same = sum(rows[0].same for rows in whole)
    counts = {"identical": same, "changed": len(whole) - same}
    counts |= {f"only {word}": lone.count(word) for word in ("before", "after")}
    found = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return f"{len(pairs)} {'cell' if len(pairs) == 1 else 'cells'} of two runs: {found}."


def _money_sentence(report: Report) -> str:
    cost = report.cost
    budget = "" if cost.cap_usd is None else f" of {usd(cost.cap_usd)}"
    saved = f", {usd(cost.saved_usd)} saved" if cost.saved_usd else ""
    uncertain = f", up to {usd(cost.uncertain_usd)} uncertain" if cost.uncertain_usd else ""
    in_flight = f", {usd(cost.in_flight_usd)} in flight" if cost.in_flight_usd else ""
    return f"{usd(cost.spent_usd)} spent{budget}{saved}{uncertain}{in_flight}."


def facts_of(report: Report) -> list[tuple[str, str]]:
    """The facts about the run as a whole, each with its name; unknown ones are omitted."""
    before, between, after = report.run_id.partition("..")
    run = [("Before", before), ("After", after)] if between else [("Run", report.run_id)]
    times = [("Started", _moment(report.started_at)), ("Took", _duration(report.started_at, report.finished_at))]
    if report.assembled:
        run, times = [("Cells", "as in the file now, with the images of all runs")], _latest_image(report)
    found = [
        *run,
        ("Shard", report.shard or ""),
        ("Merged from", _runs(report.merged)),
        *([] if between else times),
        ("Drawn by", _engines(report)),
        ("File", report.pipeline.file),
        ("Commit", commit(report)),
        ("Made by", f"krea-pipe {report.tool_version}"),
    ]
    return [(name, text) for name, text in found if text]


def _engines(report: Report) -> str:
    """The engines that draw the cells in place of Krea."""
    engines = (cast("Mapping[str, Json]", row.request["engine"]) for row in report.rows if "engine" in row.request)
    words = (f"{one['name']} {one['version']}, {one['model']} ({one['revision']})" for one in engines)
    return "; ".join(dict.fromkeys(words))


def _latest_image(report: Report) -> list[tuple[str, str]]:
    has_image = any(row.sha256 for row in report.rows)
    return [("Latest image", _moment(report.finished_at))] if has_image else []


def _runs(ids: tuple[str, ...]) -> str:
    return "" if not ids else "1 run" if len(ids) == 1 else f"{len(ids)} runs"


def commit(report: Report) -> str:
    """The commit that a pipeline file belongs to, short; "" outside git."""
    if report.git is None:
        return ""
    return f"{report.git.commit[:10]}{' + uncommitted changes' if report.git.dirty else ''}"


def explanation(row: Row) -> str:
    """Why a cell has no image, or a note about one that has."""
    if row.error is not None:
        return row.error.message
    return "not done yet; the next run continues with it" if row.status == "pending" else row.reason


def adopted_cells(report: Report) -> list[str]:
    """The ids of images whose job no answer named: it was found in Krea's list."""
    return [row.id for row in report.rows if row.adopted and row.status == "succeeded"]


def notices(report: Report, show: Callable[[str], str] = str, most: int | None = None) -> list[str]:
    """List what a reader should review besides the summary.

    Args:
        report: the report.
        show: how the id of a cell is written.
        most: how many cells are named at most; None for all.

    Returns:
        A sentence for each, without a full stop.
    """
    few = _MOST_NAMED if most is None else most  # a check may be failed by thousands
    found = [f"{one.sentence(show)}: {_named(one.failed, show, few)}" for one in checks_of(report) if one.failed]
    adopted = {*adopted_cells(report)}
    kinds = {
        "Adopted after a lost answer; check that they show what was requested": [
            row for row in report.rows if row.id in adopted
        ],
        "Not all files of their recipes are delivered": [row for row in report.rows if row.lacks_files],
    }
    return found + [f"{said}: {_named(rows, show, most)}" for said, rows in kinds.items() if rows]


def _named(rows: Sequence[Row], show: Callable[[str], str], most: int | None) -> str:
    named = ", ".join(show(row.id) for row in rows[:most])
    return f"{named} and {len(rows) - most:,} more" if most is not None and len(rows) > most else named


_CHECK = attrgetter("name", "measure", "min", "max", "fail")


@dataclass(frozen=True, slots=True)
class CheckView:
    """A check over a whole report: its name and limits, the rows with a result, and those that do not pass."""

    check: CheckResult
    checked: tuple[Row, ...]
    failed: tuple[Row, ...]

    @property
    def limits(self) -> str:
        """What is measured, and within which limits."""
        low, high = self.check.min, self.check.max
        if low is not None and high is not None:
            return f"{self.check.measure} from {number_text(low)} to {number_text(high)}"
        bounds = [f"at least {number_text(low)}"] if low is not None else []
        bounds += [f"at most {number_text(high)}"] if high is not None else []
        return " ".join([self.check.measure, *bounds])

    def sentence(self, show: Callable[[str], str] = str) -> str:
        """How many images do not pass."""
        count, total = len(self.failed), len(self.checked)
        verb = "fails" if count == 1 else "fail"
        limits = "" if self.limits == self.check.name else f" ({self.limits})"
        return (
            f"{count} of {total} {'image' if total == 1 else 'images'} {verb} the check {show(self.check.name)}{limits}"
        )


def checks_of(report: Report) -> list[CheckView]:
    """The checks of a report in the order of the file; two of one name are different checks.

    Args:
        report: the report.
    """
    found: dict[tuple[object, ...], list[tuple[CheckResult, Row]]] = {}
    for row in report.rows:
        for one in row.checks:
            found.setdefault(_CHECK(one), []).append((one, row))
    return [
        CheckView(
            pairs[0][0],
            tuple(row for _, row in pairs),
            tuple(row for one, row in pairs if one.passed is False),
        )
        for pairs in found.values()
    ]


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


def _duration(start: str, end: str) -> str:
    try:
        seconds = round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds())
    except (ValueError, TypeError):
        return ""
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
