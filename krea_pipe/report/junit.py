"""The report as JUnit XML, for the test tabs of GitLab, Jenkins and the like: a suite a stage, a test a cell."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from krea_pipe.core.json_data import writable
from krea_pipe.report.model import Report, Row, by_stage, totals
from krea_pipe.report.words import commit, explanation

_SUITE_END = "\n  </testsuite>"


def render_junit(report: Report) -> Iterator[str]:
    """Render the report as parts of XML: failed cells and undelivered files are failures, uncertain cells errors.

    Pending cells are skipped.
    An image that does not pass a check with `fail: true` is a failure, too.
    """
    shard = f", shard {report.shard}" if report.shard else ""
    root = Element("testsuites", {"name": writable(f"{report.pipeline.name}{shard}"), **_counts(report.rows)})
    yield f'<?xml version="1.0" encoding="UTF-8"?>\n{_text(root, 0).removesuffix(" />")}>'
    for name, rows in by_stage((stage.name for stage in report.stages), report.rows).items():
        class_name = writable(f"{report.pipeline.name}.{name}")
        yield _text(_suite(report, class_name, rows), 1).removesuffix(_SUITE_END)
        for row in rows:
            yield _text(_case(class_name, row), 2)
        yield _SUITE_END
    yield "\n</testsuites>\n"


def _text(element: Element, level: int) -> str:
    """An element as XML on lines of its own, indented for its place."""
    indent(element, level=level)
    start = f"\n{'  ' * level}" if level else ""
    return f"{start}{tostring(element, encoding='unicode')}"


def _counts(rows: Sequence[Row]) -> dict[str, str]:
    cells = totals(rows)
    return {
        "tests": str(cells.total),
        "failures": str(cells.failed + sum(map(_fails, rows)) + sum(row.lacks_files for row in rows)),
        "errors": str(cells.uncertain),
        "skipped": str(cells.pending),
        "time": f"{sum(row.timings.seconds or 0 for row in rows):.3f}",
    }


def _suite(report: Report, class_name: str, rows: Sequence[Row]) -> Element:
    """A suite without its tests."""
    suite = Element("testsuite", {"name": class_name, **_counts(rows), "timestamp": _moment(report.started_at)})
    facts = {
        "run": report.run_id,
        "shard": report.shard or "",
        "file": report.pipeline.file,
        "commit": commit(report),
        "target": report.target.kind,
        "krea-pipe": report.tool_version,
    }
    _add_properties(suite, facts)
    return suite


def _moment(text: str) -> str:
    """A UTC time in the one form that Ant's schema of JUnit knows, which has no time zone."""
    try:
        return datetime.fromisoformat(text).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S")
    except (ValueError, OverflowError):
        return writable(text)


def _add_properties(parent: Element, facts: dict[str, str]) -> None:
    properties = SubElement(parent, "properties")
    for name, value in facts.items():
        if value:
            SubElement(properties, "property", {"name": name, "value": writable(value)})


def _case(class_name: str, row: Row) -> Element:
    time = f"{row.timings.seconds or 0:.3f}"
    case = Element("testcase", {"classname": class_name, "name": writable(row.id), "time": time})
    facts = {"status": "reused"} if row.status == "reused" else {}
    facts |= {"adopted": "true"} if row.status == "succeeded" and row.adopted else {}
    facts |= {"failed_checks": " ".join(one.name for one in row.failed_checks)}
    if any(facts.values()):
        _add_properties(case, facts)
    if _fails(row):
        _add_check_failure(case, row)
    match row.status:
        case "pending":
            SubElement(case, "skipped", {"message": writable(explanation(row))})
        case "failed" | "uncertain":
            _add_problem(case, "failure" if row.status == "failed" else "error", row)
    if row.lacks_files:
        _add_undelivered(case, row)
    return case


def _add_undelivered(case: Element, row: Row) -> None:
    """The image is there, but some of the files made from it are not."""
    lines = [f"{one.path}: {one.error}" for one in row.delivered if one.error]
    failure = SubElement(case, "failure", {"type": "not_delivered", "message": writable("; ".join(lines))})
    failure.text = writable("\n".join([*lines, f"key: {row.key}"]))


def _fails(row: Row) -> bool:
    """Whether the image of a cell does not pass a check that fails the run."""
    return row.has_image and any(one.fail for one in row.failed_checks)


def _add_check_failure(case: Element, row: Row) -> None:
    found = [one for one in row.failed_checks if one.fail]
    message = "; ".join(f"{one.name}: {one.message}" for one in found)
    problem = SubElement(case, "failure", {"type": "check_failed", "message": writable(message)})
    lines = [f"{one.name} ({one.measure}): {one.message}" for one in row.failed_checks]
    problem.text = writable("\n".join([*lines, f"key: {row.key}", f"prompt: {row.prompt}"]))


def _add_problem(case: Element, tag: str, row: Row) -> None:
    kind = row.error.code if row.error else row.status
    problem = SubElement(case, tag, {"type": writable(kind), "message": writable(explanation(row))})
    # What one needs to look into it: some readers show this text and not the message.
    lines = [explanation(row)]
    if row.error:
        lines.append(f"class: {row.error.kind}")
    if row.job_id:
        lines.append(f"job: {row.job_id}")
    if row.error and row.error.candidates:
        lines.append(f"possible jobs: {', '.join(row.error.candidates)}")
    problem.text = writable("\n".join([*lines, f"key: {row.key}", f"prompt: {row.prompt}"]))
