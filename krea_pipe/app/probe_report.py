"""The results of a probe: values for later runs, and a report without key, ids and paths that can be shared."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.api.raw_answer import RawAnswer
from krea_pipe.app.probe import FOLDER, VARIANT, LostCall, Observations
from krea_pipe.app.probe_findings import (
    ClockDifference,
    date_clock,
    job_clock,
    lag_of,
    order_of,
    settle_of,
    ties_in,
    tolerance_of,
)
from krea_pipe.core.contract import SIZES
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import Json
from krea_pipe.core.money import exact
from krea_pipe.core.outcome import iso
from krea_pipe.core.secret_kinds import without_secrets
from krea_pipe.core.settings import DEFAULT_BASE
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.model import Row
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.plain import check_files
from krea_pipe.store.probe import Probe, write_probe

PROBE_REPORT, TEXT = "report.json", "report.txt"
_ID = re.compile(r"\b([0-9a-f]{8})-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b", re.IGNORECASE)
_URL = re.compile(r"\b(https?://[^/\s\"'<>?#]+)[^\s\"'<>]*")
_MAIL = re.compile(r"[^\s@<>\"']+@[^\s@<>\"']+\.\w+")
_MAX_WORDS = 300


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """The results of a probe: values for later runs, the report as JSON and as text, and an exit code.

    `is_worth_keeping` says that it has ordered images: without any, its values are guesses.
    """

    probe: Probe
    data: Mapping[str, Json]
    text: str
    exit_code: ExitCode
    is_worth_keeping: bool


def report_of(seen: Observations, moment: datetime) -> ProbeReport:
    """Evaluate the observations of a probe.

    Args:
        seen: the observations.
        moment: when it was made, in UTC.

    Returns:
        The values that later runs start from, and the report.
    """
    jobs, dates = job_clock(seen.posts), date_clock(seen.answers)
    offset = jobs.minus(dates) if jobs is not None and dates is not None else None
    lag = lag_of(seen.posts, seen.looks) if seen.posts else None
    slowest = max(((post.answered - post.begun).total_seconds() for post in seen.posts), default=None)
    fullest = max(seen.looks, key=lambda look: (len(look.jobs), look.sent), default=None)
    listed = fullest.jobs if fullest else ()
    probe = Probe(
        probed_at=iso(moment),
        origin=seen.target.origin,
        account=seen.account,
        tolerance_seconds=tolerance_of(offset),
        settle_seconds=settle_of(lag, slowest or 0.0),
        order=order_of(listed),
        cursor=seen.cursor,
        lag_seconds=_rounded(lag),
        date_offset_seconds=_rounded(offset.nearest if offset else None),
        host_spread_seconds=_rounded(offset.spread if offset else None),
        post_seconds=_rounded(slowest),
        ties=ties_in(listed),
    )
    ids = {post.job_id for post in seen.posts} | {job.id for look in seen.looks for job in look.jobs if job.id}
    data = _shared(_data(seen, probe, jobs, offset), sorted(ids, key=len, reverse=True))
    assert isinstance(data, dict)
    text = "".join(f"{line}\n" for line in _lines(probe, data))
    return ProbeReport(probe, data, text, _exit_code(seen), is_worth_keeping=bool(seen.posts))


def keep_probe_report(home: Path, report: ProbeReport) -> Path:
    """Keep the values for later runs, and write the report beside them.

    Args:
        home: the home folder.
        report: what was learnt.

    Returns:
        The folder of the report, which has it as JSON and as text.

    Raises:
        StateError: a file cannot be written.
    """
    folder = home / FOLDER
    check_files(folder / PROBE_REPORT, folder / TEXT)
    write_atomically(folder / PROBE_REPORT, (json.dumps(report.data, indent=1, ensure_ascii=False) + "\n").encode())
    write_atomically(folder / TEXT, report.text.encode())
    if report.is_worth_keeping:
        write_probe(home, report.probe)
    return folder


def _exit_code(seen: Observations) -> ExitCode:
    """The exit code of the run, unless it has generated images: one of its jobs was cancelled on purpose."""
    report = seen.finished.report
    code = ExitCode(report.exit_code)
    drawn = any(row.status in ("succeeded", "reused") for row in report.rows) or any(_unfit_sizes(report.rows))
    return ExitCode.DONE if drawn and code in (ExitCode.SOME_FAILED, ExitCode.LIMIT_REACHED) else code


def _unfit_sizes(rows: Sequence[Row]) -> Iterator[tuple[int, int]]:
    """The pixels of images that have another size than was asked for."""
    for row in rows:
        for attempt in row.attempts:
            if attempt.event == "wrong_size":
                width, height = attempt.detail.split(" x ")
                yield int(width), int(height)


def _data(seen: Observations, probe: Probe, jobs: ClockDifference | None, offset: ClockDifference | None) -> Json:
    rows, cost = seen.finished.report.rows, seen.finished.report.cost
    digits = {len(_digits(job.created)) for look in seen.looks for job in look.jobs if job.created}
    sizes = {(row.width, row.height) for row in rows if row.width is not None} | set(_unfit_sizes(rows))
    return {
        "schema": "krea-pipe/probe-report@1",
        "krea_pipe": __version__,
        "probed_at": probe.probed_at,
        "api": DEFAULT_BASE if seen.target.base == DEFAULT_BASE else "another address",
        "images": {
            "variant": VARIANT,
            "price_usd": exact(seen.price),
            "spent_usd": exact(cost.spent_usd),
            "status": {row.id.rpartition("/")[2]: row.status for row in rows},
            "jobs": [post.job_id for post in seen.posts],
        },
        "values": {"tolerance_seconds": probe.tolerance_seconds, "settle_seconds": probe.settle_seconds},
        "list": {
            "order": probe.order,
            "lag_seconds": probe.lag_seconds,
            "looks": len(seen.looks),
            "seconds_between_looks": seen.interval,
            "cursor": probe.cursor,
            "missing_in_pages": seen.missing,
            "repeated_in_pages": seen.repeated,
            "ties": probe.ties,
            "digits_of_created_at": [*sorted(digits)],
            "item": _item_shape(seen),
        },
        "clocks": {
            "created_at_ahead_of_date_seconds": _span_json(offset),
            "created_at_ahead_of_this_machine_seconds": _span_json(jobs),
            "contradictions_seconds": probe.host_spread_seconds,
        },
        "posts": {"slowest_seconds": probe.post_seconds},
        "errors": [_answer_json(one) for one in seen.errors],
        "cancel": [_answer_json(one) for one in seen.cancel],
        "pixels": {"asked": [*SIZES["1:1"]], "got": [[wide, high] for wide, high in sorted(sizes, key=str)]},
        "headers": _headers(seen),
    }


def _digits(created: str) -> str:
    """The digits of a time behind its seconds."""
    found = re.search(r"\.(\d+)", created)
    return found[1] if found else ""


def _item_shape(seen: Observations) -> Json:
    """The form of a job in the list."""
    for answer in reversed(seen.answers):
        shape = answer.shape if answer.path == "/jobs" and answer.status == 200 else None
        if isinstance(shape, dict) and shape.get("items"):
            return shape
    return None


def _headers(seen: Observations) -> dict[str, Json]:
    """Each header that says something of limits or of an end, with its values."""
    found: dict[str, dict[str, None]] = {}
    for answer in seen.answers:
        for name, text in answer.headers.items():
            found.setdefault(name, {})[text] = None
    return {name: [*texts] for name, texts in sorted(found.items())}


def _answer_json(answer: RawAnswer | LostCall) -> dict[str, Json]:
    if isinstance(answer, LostCall):
        silent: dict[str, Json] = dict.fromkeys(("status", "content_type", "form", "job_status"))
        words = answer.words[:_MAX_WORDS]
        return {"call": f"{answer.method} {answer.path}", **silent, "says": words, "is_understood": False}
    data = answer.data if isinstance(answer.data, dict) else {}
    return {
        "call": f"{answer.method} {answer.path}",
        "status": answer.status,
        "content_type": answer.content_type,
        "form": answer.shape,
        "says": answer.words[:_MAX_WORDS],
        "is_understood": answer.is_understood,
        "job_status": data.get("status") if isinstance(data.get("status"), str) else None,
    }


def _span_json(span: ClockDifference | None) -> Json:
    return None if span is None else {"least": round(span.low, 3), "most": round(span.high, 3)}


def _shared(data: Json, ids: Sequence[str]) -> Json:
    """Data that can be shown to others: ids are cut, addresses have no paths, and nothing looks like a key."""
    if isinstance(data, dict):
        return {str(_shared(key, ids)): _shared(one, ids) for key, one in data.items()}
    if isinstance(data, list):
        return [_shared(one, ids) for one in data]
    if not isinstance(data, str):
        return data
    for one in ids:
        data = data.replace(one, f"{one[:8]}…")
    return _MAIL.sub("(mail)", without_secrets(_URL.sub(r"\1", _ID.sub(r"\1…", data))))


def _lines(probe: Probe, data: Mapping[str, Json]) -> Iterator[str]:
    """The report in words."""
    images, lists, clocks = (_part(data, name) for name in ("images", "list", "clocks"))
    spent = usd(Decimal(str(images["spent_usd"])))
    yield f"Probe of {data['api']} at {probe.probed_at}, krea-pipe {data['krea_pipe']}: {spent} spent"
    status = _part(images, "status")
    counts = ", ".join(f"{count} {one}" for one, count in Counter(str(one) for one in status.values()).items())
    yield (
        "images                  "
        f"{counts or 'none'}{'; the last one was meant to be cancelled' if data['cancel'] else ''}"
    )
    yield f"order of GET /jobs      {probe.order.replace('_', ' ')}"
    yield f"lag of GET /jobs        {_seconds(probe.lag_seconds)}, polled every {lists['seconds_between_looks']} s"
    pages = f"{lists['missing_in_pages']} jobs missing and {lists['repeated_in_pages']} repeated in pages of two"
    yield f"cursor                  {probe.cursor}; {probe.ties} jobs share a time; {pages}"
    yield f"created_at and Date     {_seconds(probe.date_offset_seconds)} apart or more"
    yield f"times that contradict   {_seconds(clocks['contradictions_seconds'])}"
    yield f"slowest POST            {_seconds(probe.post_seconds)}"
    for title, name in (("error", "errors"), ("cancel", "cancel")):
        found = data[name]
        for one in found if isinstance(found, list) else ():
            assert isinstance(one, dict)
            said = one["says"] or one["job_status"] or ""
            odd = "" if one["is_understood"] or not one["says"] else ", in an unknown form"
            answered = f"{one['status']} {one['content_type']}{odd}" if one["status"] else "no answer"
            yield f"{title:<24}{one['call']}: {answered}  {said}".rstrip()
    pixels = _part(data, "pixels")
    yield f"pixels                  requested {pixels['asked']}, received {pixels['got']}"
    headers = ", ".join(f"{name}: {texts}" for name, texts in _part(data, "headers").items())
    yield f"headers                 {headers or 'none of limits'}"
    yield f"later runs start from   tolerance {probe.tolerance_seconds} s, settling {probe.settle_seconds} s"


def _part(data: Mapping[str, Json], name: str) -> dict[str, Json]:
    found = data[name]
    assert isinstance(found, dict)
    return found


def _seconds(value: Json) -> str:
    return "not known" if value is None else f"{value} s"


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
