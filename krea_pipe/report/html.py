"""The report as one HTML page, which opens from disk and makes no network requests."""

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from krea_pipe.core.json_data import Json
from krea_pipe.report.model import Report
from krea_pipe.report.record import to_lines
from krea_pipe.report.words import LOCAL_NOTE, facts_of, summary_sentence

_TEMPLATES = Path(__file__).parent / "templates"
_STYLES = ("page.css", "tools.css", "sheet.css", "decisions.css", "ladders.css", "dialog.css", "compare.css")
_SCRIPTS = (
    *("vendor/sortable-1.15.7.min.js", "vendor/panzoom-4.6.2.min.js"),
    *("data.js", "elements.js", "state.js", "keys.js", "likeness.js"),
    *("decisions.js", "deciding.js", "picks.js"),
    *("measure.js", "pivot.js", "arrange.js", "cell.js", "stage.js", "sheet.js", "walk.js", "print.js"),
    *("axismenu.js", "shelves.js", "filter.js", "tools.js", "ladder_chart.js", "ladders.js"),
    *("wording.js", "cell_file.js", "copying.js", "provenance.js", "panel.js", "zoom.js", "detail.js"),
    *("differences.js", "compared.js", "compare.js"),
    *("live.js", "main.js"),
)
"""The parts of the script in their order; a part may use what the ones before it define."""
_SLOT = Markup("<slot>")  # no text of a report comes out like this
_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


@dataclass(frozen=True, slots=True)
class HtmlOptions:
    """How a page is built: its surroundings, and its contents besides the report.

    A `single` page holds its `thumbnails`, WebP bytes by the digest of the image that they show; others find them in
    the folder `thumbnails` beside them. `missing` are digests without one. `originals` is the folder of the store that
    holds images by digest, as seen from the page: what lies in the output folder may be of a later run. `decisions` are
    the picks files, by stage. `is_live` says that the run is in progress. `thumbnails_url` is where report.md finds the
    small pictures, if not beside it.
    """

    form: Literal["folder", "single", "view"] = "folder"
    is_live: bool = False
    decisions: Mapping[str, Json] = field(default_factory=dict)
    thumbnails: Mapping[str, bytes] | None = None
    missing: Sequence[str] = ()
    originals: str = ""
    thumbnails_url: str | None = None


def render_html(report: Report, page: HtmlOptions = HtmlOptions()) -> Iterator[bytes]:
    """Render the page as parts of UTF-8 text: what is long is never whole in memory."""
    shell = _template().render(
        report=report,
        local_note=LOCAL_NOTE,
        sentence=summary_sentence(report),
        facts=facts_of(report),
        problems=[row for row in report.rows if row.error or row.status == "failed"],
        policy=policy(),
        style=Markup(_style()),
        script=Markup(_script()),
        slot=_SLOT,
    )
    head, middle, tail = shell.encode("utf-8", "replace").split(_SLOT.encode())
    yield head
    yield from map(_script_json, to_lines(report))
    yield middle
    yield from _page_json(page)
    yield tail


def policy() -> str:
    """What the page may load: its own style and script, pictures beside it, and answers of its server."""
    sources = "default-src 'none'; img-src data: file: 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    return f"{sources}; style-src '{_csp_hash(_style())}'; script-src '{_csp_hash(_script())}'"


def _page_json(page: HtmlOptions) -> Iterator[bytes]:
    """How the page was built, as JSON; pictures are in base64, which needs no escaping."""
    options = {"form": page.form, "live": page.is_live, "decisions": dict(page.decisions), "missing": [*page.missing]}
    text = json.dumps({**options, "originals": page.originals, "thumbnails": None}, ensure_ascii=False)
    if page.thumbnails is None:
        yield _script_json(text)
        return
    yield _script_json(text.removesuffix("null}")) + b"{"
    comma = b""
    for digest, picture in page.thumbnails.items():
        yield b'%s"%s":"%s"' % (comma, digest.encode(), base64.b64encode(picture))
        comma = b","
    yield b"}}"


def _script_json(text: str) -> bytes:
    """Write JSON that cannot end a script element or start a comment; these characters occur only in strings."""
    for sign, escape in _ESCAPES:
        text = text.replace(sign, escape)
    return text.encode("utf-8", "replace")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


@cache
def _template() -> Template:
    loader = FileSystemLoader(_TEMPLATES)
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template("page.html")


@cache
def _style() -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _STYLES)


@cache
def _script() -> str:
    parts = "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}}})();'
