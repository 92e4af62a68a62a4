"""The report as one HTML page: a contact sheet that opens from disk and asks the network for nothing."""

import base64
import binascii
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from krea_pipe.image_header import size_of
from krea_pipe.pricing import usd
from krea_pipe.report.model import Report, Row

_TEMPLATES = Path(__file__).parent / "templates"
_STYLES = ("page.css", "sheet.css", "dialog.css")
_SCRIPTS = ("data.js", "arrange.js", "sheet.js", "filter.js", "dialog.js", "main.js")
_SLOT = "\x00"
_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))
_STATUS_WORDS = {
    "succeeded": "rendered",
    "reused": "reused",
    "failed": "failed",
    "uncertain": "uncertain",
    "pending": "pending",
}


def render(report: Report, *, record: str, thumbnails: Mapping[str, bytes]) -> bytes:
    """Render the page as UTF-8.

    `record` is the report as JSON text, `thumbnails` holds WebP bytes by the SHA-256 of the image that they show. Both
    are megabytes in a long run, so they are put into the rendered shell instead of going through the template.
    """
    shell = _environment().get_template("page.html")
    style, script = _style(), _script()
    page = shell.render(
        report=report,
        sentence=sentence(report),
        facts=_facts(report),
        problems=[(index, row) for index, row in enumerate(report.rows) if row.error or row.status == "failed"],
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        slot=_SLOT,
    )
    head, middle, tail = page.encode("utf-8", "replace").split(_SLOT.encode())
    return b"".join([head, _script_json(record), middle, *_embedded(report.rows, thumbnails), tail])


def sentence(report: Report) -> str:
    """Say what happened in one breath: images by status, then money, which a local run has none of."""
    total = report.cells.total
    counts = [(getattr(report.cells, status), word) for status, word in _STATUS_WORDS.items()]
    parts = ", ".join(f"{count} {word}" for count, word in counts if count)
    images = f"{total} {'image' if total == 1 else 'images'}{f': {parts}' if parts else ''}."
    return images if report.target.kind == "local" else f"{images} {_money_sentence(report)}"


def _money_sentence(report: Report) -> str:
    cost = report.cost
    budget = "" if cost.cap_usd is None else f" of {usd(cost.cap_usd)}"
    saved = f", {usd(cost.saved_usd)} saved" if cost.saved_usd else ""
    uncertain = f", up to {usd(cost.uncertain_usd)} uncertain" if cost.uncertain_usd else ""
    in_flight = f", {usd(cost.in_flight_usd)} in flight" if cost.in_flight_usd else ""
    return f"{usd(cost.spent_usd)} spent{budget}{saved}{uncertain}{in_flight}."


def _facts(report: Report) -> list[tuple[str, str]]:
    facts = [
        ("Run", report.run_id),
        ("Started", _moment(report.started_at)),
        ("Took", _duration(report.started_at, report.finished_at)),
        ("File", report.pipeline.file),
        ("Commit", _commit(report)),
        ("Made by", f"krea-pipe {report.tool_version}"),
    ]
    return [(name, text) for name, text in facts if text]


def _commit(report: Report) -> str:
    if report.git is None:
        return ""
    return f"{report.git.commit[:10]}{' + uncommitted changes' if report.git.dirty else ''}"


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
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


def _embedded(rows: Iterable[Row], thumbnails: Mapping[str, bytes]) -> Iterator[bytes]:
    """Give each distinct picture once: base64 and size, so that the page can lay out before it decodes.

    Digests, numbers and base64 need no escaping.
    """
    digests = dict.fromkeys(row.sha256 for row in rows if row.sha256 in thumbnails)
    comma = b"{"
    for digest in filter(None, digests):
        width, height = size_of(thumbnails[digest]) or (1, 1)
        yield b'%s"%s":{"w":%d,"h":%d,"webp":"' % (comma, digest.encode(), width, height)
        yield binascii.b2a_base64(thumbnails[digest], newline=False)
        yield b'"}'
        comma = b","
    yield b"{}" if comma == b"{" else b"}"


def _script_json(text: str) -> bytes:
    """Write JSON in which nothing can end a script element or start a comment; these signs stand in strings only."""
    for sign, escape in _ESCAPES:
        text = text.replace(sign, escape)
    return text.encode("utf-8", "replace")


def _policy(style: str, script: str) -> str:
    sources = "default-src 'none'; img-src data: file: 'self'; base-uri 'none'; form-action 'none'"
    return f"{sources}; style-src '{_csp_hash(style)}'; script-src '{_csp_hash(script)}'"


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@cache
def _style() -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _STYLES)


@cache
def _script() -> str:
    parts = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();'
