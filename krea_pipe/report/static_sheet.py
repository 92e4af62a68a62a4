"""The pictures of a page as plain HTML, for readers whose browser runs no scripts and for servers that forbid them."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from urllib.parse import quote

from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Status
from krea_pipe.report.model import Report, Row, by_stage
from krea_pipe.report.words import STATUS_WORDS, explanation

_BATCH = 200
"""How many cells one part of the output has."""
_SIDE = 256
"""The longer side of a thumbnail in pixels."""


class StaticSheet:
    """Writes every picture with its caption and status: images in the folder `thumbnails`, or `embedded` as WebP.

    Args:
        report: what has happened.
        missing: digests without a thumbnail.
        embedded: WebP bytes by digest for a page that contains its pictures; None if they are files beside it.
        decisions: the picks files by stage, as the page takes them.
    """

    def __init__(
        self,
        report: Report,
        *,
        missing: Sequence[str],
        embedded: Mapping[str, bytes] | None,
        decisions: Mapping[str, Json],
    ) -> None:
        self._report, self._missing, self._embedded = report, frozenset(missing), embedded
        self._labels = {
            stage.name: [(axis.name, {repr(value): label for value, label in axis.values}) for axis in stage.axes]
            for stage in report.stages
        }
        self._said = {stage: _said(lists) for stage, lists in decisions.items()}

    def parts(self) -> Iterator[bytes]:
        """The sheet as parts of UTF-8 text."""
        for stage, rows in by_stage((one.name for one in self._report.stages), self._report.rows).items():
            if not rows:
                continue
            images = f"{len(rows)} {'image' if len(rows) == 1 else 'images'}"
            yield _encoded(f'<section class="plain">\n<h2>{escape(stage)}</h2>\n<p class="count">{images}</p>\n<div>\n')
            for start in range(0, len(rows), _BATCH):
                yield _encoded("".join(map(self._cell, rows[start : start + _BATCH])))
            yield b"</div>\n</section>\n"
        shown = [one for one in self._report.references if one.sha256 and self._picture(one.sha256)]
        if shown:
            yield b'<section class="plain">\n<h2>References</h2>\n<div>\n'
            for one in shown:
                image = self._image(one.sha256 or "", "", "")
                yield _encoded(f"<figure>{image}<figcaption>{escape(one.label)}</figcaption></figure>\n")
            yield b"</div>\n</section>\n"

    def _cell(self, row: Row) -> str:
        word = STATUS_WORDS[row.status].capitalize()
        why = explanation(row)
        reason = f' <span class="why">{escape(why)}</span>' if why and row.status != "succeeded" else ""
        said = self._said.get(row.stage, {}).get(row.id, "")
        decision = f' <span class="said">{escape(said)}</span>' if said else ""
        failed = ", ".join(one.name for one in row.failed_checks)
        checks = f' <span class="why">fails {escape(failed)}</span>' if failed else ""
        status = f'<span class="word">{word}</span>{decision}{reason}{checks}'
        caption = f"<figcaption><b>{escape(self._name(row))}</b> {status}</figcaption>"
        size = _shape(row.width, row.height)
        image = self._image(row.sha256, escape(row.prompt), size) if row.sha256 else ""
        shown = image or f'<span class="empty">{_NO_PICTURE[row.status]}</span>'
        return f'<figure id="cell={escape(row.id)}" data-status="{row.status}">{shown}{caption}</figure>\n'

    def _name(self, row: Row) -> str:
        """The labels of a cell on its axes, as the sheet says them."""
        axes = ((labels, row.axes[name]) for name, labels in self._labels.get(row.stage, ()) if name in row.axes)
        return " · ".join(labels.get(repr(value), str(value)) for labels, value in axes) or row.id

    def _image(self, digest: str, alt: str, size: str) -> str:
        source = self._picture(digest)
        mark = "" if self._embedded is None else f' data-of="{digest}"'
        return f'<img{mark} src="{source}"{size} alt="{alt}" loading="lazy" decoding="async">' if source else ""

    def _picture(self, digest: str) -> str:
        """The address of a thumbnail; empty if it is missing."""
        if self._embedded is not None:
            data = self._embedded.get(digest)
            return "" if data is None else f"data:image/webp;base64,{base64.b64encode(data).decode()}"
        return "" if digest in self._missing else f"thumbnails/{quote(digest)}.webp"


_NO_PICTURE: Mapping[Status, str] = {
    "succeeded": "The picture is missing",
    "reused": "The picture is missing",
    "failed": "No picture",
    "uncertain": "No picture",
    "pending": "Not done yet",
}


def _shape(width: int | None, height: int | None) -> str:
    """The size of a thumbnail as attributes, so that captions do not move while pictures load."""
    if not width or not height:
        return ""
    scale = min(1.0, _SIDE / max(width, height))
    return f' width="{max(1, round(width * scale))}" height="{max(1, round(height * scale))}"'


def _said(lists: Json) -> dict[str, str]:
    """What the picks file of a stage says about each cell, in one line."""
    found: dict[str, str] = {}
    if not isinstance(lists, dict):
        return found
    for name, word in (("picks", "Picked"), ("rejected", "Rejected")):
        entries = lists.get(name)
        for one in entries if isinstance(entries, list) else []:
            if isinstance(one, dict):
                stars, note = one.get("stars"), one.get("note")
                shown = "★" * stars if isinstance(stars, int) else word
                found[str(one.get("id"))] = ": ".join(filter(None, [shown, str(note or "")]))
    return found


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "replace")
