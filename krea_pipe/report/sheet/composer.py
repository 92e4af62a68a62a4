"""Bands of cells become pages with a head and a foot; `pages` and `print_pages` decide which band is on which page."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from krea_pipe.report.model import Report
from krea_pipe.report.sheet.arrange import StageLayout
from krea_pipe.report.sheet.model import Box, SheetPage, TileGroup, beside, joined, stacked
from krea_pipe.report.sheet.parts import SheetTable, Typesetter

_PROOFS_TITLE = "LOCAL PROOFS"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Band:
    """Lines under a head, which is said again on each page."""

    head: tuple[TileGroup, ...]
    lines: tuple[TileGroup, ...]
    gap: int

    @property
    def height(self) -> int:
        """The height of the head and the lines, in pixels."""
        return sum(piece.height for piece in (*self.head, *self.lines)) + self.gap * (len(self.lines) - 1)

    def part(self, first: int, last: int | None = None) -> "Band":
        """The same head over some of the lines."""
        return replace(self, lines=self.lines[first:last])

    def fitting(self, room: int) -> int:
        """The number of lines that fit a height after the head, in pixels."""
        used, count = self.part(0, 0).height, 0
        while count < len(self.lines) and used + self.lines[count].height + self.gap <= room:
            used += self.lines[count].height + self.gap
            count += 1
        return count


def height_of(bands: Sequence[Band], space: int) -> int:
    """The height of bands under each other, in pixels."""
    return sum(band.height for band in bands) + space * (len(bands) - 1)


def pack(
    bands: Sequence[Band], rooms: tuple[int, int], space: int, most_lines: int = sys.maxsize
) -> list[list[Band]] | None:
    """The bands of each page, or None when a line is too high.

    Each page has as many lines as fit, up to `most_lines`, and a table on one page rather than cut in two. `rooms` are
    the heights of the first page and of the others, `space` is between two bands, in pixels.
    """
    pages: list[list[Band]] = [[]]
    for rest in bands:
        while rest.lines:
            room = rooms[len(pages) > 1]
            start = height_of(pages[-1], space) + space if pages[-1] else 0
            count = min(rest.fitting(room - start), most_lines - sum(len(band.lines) for band in pages[-1]))
            is_better_whole = count < len(rest.lines) and start > room / 2 and rest.height <= rooms[1]
            if pages[-1] and (not count or is_better_whole):
                pages.append([])
                continue
            if not count:
                return None
            pages[-1].append(rest.part(0, count))
            rest = rest.part(count)
    return pages


class Composer:
    """Composes pages of a report: head, bands of cells and foot."""

    def __init__(self, typesetter: Typesetter, title: str, report: Report) -> None:
        self.typesetter, self.title, self.report = typesetter, title, report
        self.m = typesetter.measures
        self.foot = self.m.small * 5

    def band(self, parts: Sequence[SheetTable]) -> Band:
        """Tables beside each other, their lines at one height."""
        lefts = [sum(part.width + self.m.space for part in parts[:at]) for at in range(len(parts))]
        lines = []
        for at in range(max(len(part.lines) for part in parts)):
            there = [(part.lines[at], left) for part, left in zip(parts, lefts, strict=True) if at < len(part.lines)]
            lines.append(beside([line for line, _ in there], [left for _, left in there]))
        half = self.m.small // 2
        heading = beside([part.heading for part in parts], lefts)
        above = replace(heading, height=heading.height + half) if heading.height else heading
        high = max(part.names.height for part in parts)
        names = beside([part.names.moved(0, high - part.names.height) for part in parts], lefts)
        return Band((above, replace(names, height=high + half)), tuple(lines), self.m.gap)

    def page(self, stage: StageLayout, width: int, bands: Sequence[Band], number: int) -> SheetPage:
        """A page of a width that is as high as its bands, without its foot."""
        head = self.head(stage, width, number)
        pieces, top = [head], head.height
        for at, band in enumerate(bands):
            top += self.m.space if at else 0
            for piece, gap in (*((one, 0) for one in band.head), *((one, band.gap) for one in band.lines)):
                pieces.append(piece.moved(0, top))
                top += piece.height + gap
            top -= band.gap
        whole = joined(pieces, width, top).moved(self.m.margin, self.m.margin)
        return SheetPage(width, top + self.foot + 2 * self.m.margin, whole.tiles, whole.texts)

    def head(self, stage: StageLayout, page_width: int, number: int) -> TileGroup:
        """The headings above the cells of a page: in full on the first page of a stage."""
        width = page_width - 2 * self.m.margin
        local = _PROOFS_TITLE if self.report.target.kind == "local" else ""
        mark = self.typesetter.text(local, width, self.m.label, tone="mark", strong=True, most=1)
        room = width - mark.width - self.m.space
        if number:
            lines = [self.typesetter.text(f"{self.title} · {stage.name}, continued", room, self.m.label, tone="quiet")]
        else:
            facts = " · ".join(filter(None, [stage.said, stage.constants]))
            lines = [
                self.typesetter.text(self.title, room, self.m.title, strong=True),
                self.typesetter.text(stage.name, width, self.m.heading),
                self.typesetter.text(facts, width, self.m.small, tone="quiet"),
            ]
        whole = joined([mark.moved(width - mark.width, 0), stacked(*lines)], width, 0)
        return replace(whole, height=max(sum(piece.height for piece in lines), mark.height) + self.m.space)

    def with_foot(self, page: SheetPage, number: int, count: int) -> SheetPage:
        """A page with its foot: a hairline, the run and the page's number."""
        m, width = self.m, page.width - 2 * self.m.margin
        top = page.height - m.margin - m.small * 2
        where = self.typesetter.text(f"page {number} of {count}", width, m.small, tone="quiet", most=1)
        run = self.typesetter.text(self.report.run_id, width - where.width - m.space, m.small, tone="quiet", most=1)
        texts = (*run.moved(m.margin, top).texts, *where.moved(page.width - m.margin - where.width, top).texts)
        return replace(page, texts=(*page.texts, *texts), rules=(Box(m.margin, top - m.small, width, 1),))


def chunks(items: Sequence[_T], count: int) -> Iterator[Sequence[_T]]:
    """Items in groups of a size; the last group may be smaller."""
    for at in range(0, len(items), count):
        yield items[at : at + count]
