"""The report as one HTML page, which opens from disk and asks the network for nothing.

Its pictures are plain HTML (`static_sheet`) for browsers that run no scripts, with a style sheet beside the page for
servers that forbid styles inside it. A short script before each of these opens a `noscript` element. If scripts run,
the sheet is therefore text, whose pictures are neither loaded nor shown; if they are disabled or forbidden, it is HTML.
It is last in the page, because the browser runs the script as soon as it has it.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Literal, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from krea_pipe.core.json_data import Json
from krea_pipe.report.failures import causes_of
from krea_pipe.report.model import Report
from krea_pipe.report.record import to_lines
from krea_pipe.report.row_table import row_tables
from krea_pipe.report.static_sheet import StaticSheet
from krea_pipe.report.words import LOCAL_NOTE, facts_of, summary_sentence

_TEMPLATES = Path(__file__).parent / "templates"
_STATIC_STYLES = ("page.css", "plain.css")
_STYLES = (
    *_STATIC_STYLES,
    *("tools.css", "sheet.css", "decisions.css", "ladders.css", "dialog.css", "compare.css"),
    *("survey.css", "culling.css", "values.css", "reviewers.css"),
)
_SCRIPTS = (
    *("vendor/sortable-1.15.7.min.js", "vendor/panzoom-4.6.2.min.js"),
    *("rows.js", "data.js", "elements.js", "opening.js", "state.js", "keys.js", "likeness.js"),
    *("reviewers.js", "decisions.js", "verdict.js", "deciding.js", "picks.js"),
    *("measure.js", "pivot.js", "arrange.js", "fit.js", "cell.js", "stage.js", "sheet.js", "walk.js", "print.js"),
    *("axismenu.js", "stepper.js", "shelves.js", "filter.js", "checks.js", "tools.js"),
    *("values.js", "ladder_chart.js", "ladders.js"),
    *(
        "wording.js",
        "cell_file.js",
        "copying.js",
        "provenance.js",
        "recipe_files.js",
        "panel.js",
        "zoom.js",
        "detail.js",
    ),
    *("differences.js", "survey.js", "compared.js", "contest.js", "compare.js"),
    *("drafts.js", "selection.js", "culling.js", "reviewing.js", "blind.js"),
    *("problems.js", "live.js", "main.js"),
)
"""The parts of the script in their order; a part may use what the ones before it define."""
_SKIP = 'document.write("<noscript>")'
"""Makes text of what follows, up to the next `</noscript>`, if scripts run."""
STYLE_NAME = "report.css"
"""The style sheet beside the page of a folder, for the static sheet."""
_SLOT = Markup("<slot>")  # no text of a report comes out like this
_ESCAPES = (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("\u2028", "\\u2028"), ("\u2029", "\\u2029"))


Form: TypeAlias = Literal["folder", "single", "view"]
"""What surrounds a page: files beside it, nothing, or the server of `krea-pipe view`."""


@dataclass(frozen=True, slots=True)
class HtmlOptions:
    """How a page is built: its surroundings, and its contents besides the report.

    A `single` page holds its `thumbnails`, WebP bytes by the digest of the image that they show; others
    find them in the folder `thumbnails` beside them. `missing` are digests without one. `originals` is the folder of
    the store that holds images by digest, as seen from the page: what lies in the output folder may be of a later run.
    `decisions` are the picks files, by stage, and `reviewer` is who decides on the page, "" if that is unknown.
    `is_live` says that the run is in progress, `is_watched` that it is no run but a file being edited.
    `thumbnails_url` is where report.md finds the small pictures, if not beside it. `previews` are larger pictures
    that take the place of originals: WebP bytes by digest in a `single` page, otherwise the folder beside the page
    that has them.
    """

    form: Form = "folder"
    is_live: bool = False
    is_watched: bool = False
    decisions: Mapping[str, Json] = field(default_factory=dict)
    reviewer: str = ""
    thumbnails: Mapping[str, bytes] | None = None
    missing: Sequence[str] = ()
    originals: str = ""
    thumbnails_url: str | None = None
    previews: Mapping[str, bytes] | str | None = None


def render_html(report: Report, page: HtmlOptions = HtmlOptions()) -> Iterator[bytes]:
    """Render the page as parts of UTF-8 text: what is long is never whole in memory."""
    causes = causes_of(report)
    shell = _template().render(
        report=report,
        local_note=LOCAL_NOTE,
        sentence=summary_sentence(report),
        facts=facts_of(report),
        causes=causes,
        problems=len({row.id for cause in causes for row in cause.rows}),
        policy=policy(page.form),
        style=Markup(_style()),
        style_sheet=STYLE_NAME if page.form == "folder" else "",
        skip=Markup(_SKIP),
        slot=_SLOT,
    )
    head, between, before_script, after_script, tail = shell.encode("utf-8", "replace").split(_SLOT.encode())
    yield head
    yield from map(_script_json, _report_json(report))
    yield between
    yield from _page_json(page)
    yield before_script
    yield _script().encode("utf-8", "replace")  # not in the shell, of which there are several copies meanwhile
    yield after_script
    sheet = StaticSheet(report, missing=page.missing, embedded=page.thumbnails, decisions=page.decisions)
    yield from sheet.parts()
    yield tail


def policy(form: Form) -> str:
    """What a page may load: its own style and script, pictures beside it, answers of its server."""
    sources = "default-src 'none'; img-src data: file: 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'"
    beside = " file: 'self'" if form == "folder" else ""
    style = f"'{_csp_hash(_style())}'{beside}"
    return f"{sources}; style-src {style}; script-src '{_csp_hash(_SKIP)}' '{_csp_hash(_script())}'"


def render_style() -> str:
    """The style sheet beside the page of a folder."""
    return _joined(_STATIC_STYLES)


def _report_json(report: Report) -> Iterator[str]:
    """The report as JSON, with its rows as tables."""
    head = "".join(to_lines(replace(report, rows=())))
    yield head[: head.rindex("[")]
    yield from row_tables(report.rows)
    yield "}"


def _page_json(page: HtmlOptions) -> Iterator[bytes]:
    """How the page was made, as JSON; each preview as base64, which needs no escaping."""
    options = {"form": page.form, "live": page.is_live, "decisions": dict(page.decisions), "missing": [*page.missing]}
    options |= {"watched": True} if page.is_watched else {}
    previews = page.previews if isinstance(page.previews, str) else None
    more = {"reviewer": page.reviewer, "originals": page.originals, "previews": previews}
    text = json.dumps({**options, **more}, ensure_ascii=False)
    if page.previews is None or isinstance(page.previews, str):
        yield _script_json(text)
        return
    yield _script_json(text.removesuffix("null}")) + b"{"
    comma = b""
    for digest, picture in page.previews.items():
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
    return _joined(_STYLES)


@cache
def _script() -> str:
    return f'(() => {{\n"use strict";\n{_joined(_SCRIPTS)}}})();'


def _joined(names: Iterable[str]) -> str:
    return "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in names)
