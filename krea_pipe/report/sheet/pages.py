"""Pieces become pages: none has more pixels than asked for, and each is about as wide as a landscape print.

Everything here is known before a picture is opened, so a sheet cannot fail after hours of work.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.model import Report
from krea_pipe.report.sheet.arrange import StageLayout
from krea_pipe.report.sheet.model import Box, Sheet, SheetPage, TileGroup, beside, joined, stacked
from krea_pipe.report.sheet.parts import SheetTable, Typesetter
from krea_pipe.report.sheet.typeface import FontSet

SHAPE = math.sqrt(2)
_MAX_ASPECT = 1.5
MAX_SIDE = 28_000
"""No side of a page is longer: a PDF may have 14,400 points, which are two pixels each."""
MEGAPIXEL = 1_000_000
MOST_PIECES = 12
LEAST_LINES = 6
"""A table with fewer than twice this many lines is not split."""
_PROOFS_TITLE = "LOCAL PROOFS"

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Band:
    """Lines under a head, which is said again on each page."""

    head: tuple[TileGroup, ...]
    lines: tuple[TileGroup, ...]
    gap: int

    @property
    def height(self) -> int:
        """The height of the head and the lines, in pixels."""
        return sum(piece.height for piece in (*self.head, *self.lines)) + self.gap * (len(self.lines) - 1)

    def part(self, first: int, last: int | None = None) -> "_Band":
        """The same head over some of the lines."""
        return replace(self, lines=self.lines[first:last])

    def fitting(self, room: int) -> int:
        """The number of lines that fit a height after the head, in pixels."""
        used, count = self.part(0, 0).height, 0
        while count < len(self.lines) and used + self.lines[count].height + self.gap <= room:
            used += self.lines[count].height + self.gap
            count += 1
        return count


def _height_of(bands: Sequence[_Band], space: int) -> int:
    """The height of bands under each other, in pixels."""
    return sum(band.height for band in bands) + space * (len(bands) - 1)


def pack(bands: Sequence[_Band], rooms: tuple[int, int], space: int) -> list[list[_Band]] | None:
    """The bands of each page, or None when a line is too high.

    Each page has as many lines as fit, and a table on one page rather than cut in two. `rooms` are the heights of
    the first page and of the others, `space` is between two bands, in pixels.
    """
    pages: list[list[_Band]] = [[]]
    for rest in bands:
        while rest.lines:
            room = rooms[len(pages) > 1]
            start = _height_of(pages[-1], space) + space if pages[-1] else 0
            count = rest.fitting(room - start)
            is_better_whole = count < len(rest.lines) and start > room / 2 and rest.height <= rooms[1]
            if pages[-1] and (not count or is_better_whole):
                pages.append([])
                continue
            if not count:
                return None
            pages[-1].append(rest.part(0, count))
            rest = rest.part(count)
    return pages


@dataclass(frozen=True, slots=True)
class Paper:
    """The size of pages: the side of a picture, the maximum pixels, and whether all pages are equal for printing."""

    side: int = 360
    megapixels: float = 40
    even: bool = False

    @property
    def pixels(self) -> int:
        """The most pixels of a page."""
        return int(self.megapixels * MEGAPIXEL)

    @property
    def widest(self) -> int:
        """The most pixels across."""
        return min(MAX_SIDE, math.isqrt(int(self.pixels * _MAX_ASPECT)))


@dataclass(frozen=True, slots=True)
class _Draft:
    """One way to set a stage: its width, the lines of each page, its highest page, and how often tables are cut."""

    width: int
    pages: list[list[_Band]]
    height: int
    pieces: int

    @property
    def rank(self) -> tuple[int, float]:
        """Few pages first, then a good shape; a table in one piece is worth some shape."""
        shape = abs(math.log(self.width / self.height / SHAPE))
        return len(self.pages), shape + 0.15 * (self.pieces - 1)


def make_sheet(report: Report, stages: Sequence[StageLayout], paper: Paper, *, title: str, fonts: FontSet) -> Sheet:
    """Lay out the stages of a report one after the other, each on separate pages.

    Args:
        report: what the head and the foot of each page say.
        stages: the stages with their cells, as `arrange_stage` or `list_cells` give them.
        paper: how large pages are.
        title: the heading.
        fonts: the typefaces, which measure each text.

    Raises:
        UsageError: a picture of that size does not fit a page.
    """
    composer = _Composer(Typesetter(fonts, paper.side), paper, title, report)
    pages = [page for stage in stages for page in composer.pages(stage)]
    numbered = tuple(composer.with_foot(page, at, len(pages)) for at, page in enumerate(pages, 1))
    return Sheet(title, report.run_id, report.finished_at, numbered)


class _Composer:
    def __init__(self, typesetter: Typesetter, paper: Paper, title: str, report: Report) -> None:
        self.typesetter, self.paper, self.title, self.report = typesetter, paper, title, report
        self.m = typesetter.measures
        self.foot = self.m.small * 5

    def pages(self, stage: StageLayout) -> list[SheetPage]:
        """The pages of one stage, without their foot.

        Raises:
            UsageError: there is no way to set it.
        """
        inner = self.paper.widest - 2 * self.m.margin
        drafts = list(filter(None, (self._flow_drafts if stage.flow else self._table_drafts)(stage, inner)))
        if not drafts:
            message = f"a picture of {self.m.side} px with labels needs more than {self.paper.megapixels:g} megapixels"
            raise UsageError(Problem("page_too_small", message, hint="raise --max-megapixels, or lower --size"))
        best = min(drafts, key=lambda draft: draft.rank)
        pages = [self._page(stage, best, bands, at) for at, bands in enumerate(best.pages)]
        if not self.paper.even:
            return pages
        return [replace(page, height=max(one.height for one in pages)) for page in pages]

    def _flow_drafts(self, stage: StageLayout, inner: int) -> Iterator[_Draft | None]:
        """Every number of columns that fits."""
        tiles = self.typesetter.flow(stage)
        step = tiles[0].width + self.m.gap
        for count in range(1, max(2, min(len(tiles), (inner + self.m.gap) // step) + 1)):
            lines = [beside(some, [at * step for at in range(len(some))]) for some in _by(tiles, count)]
            yield self._draft(stage, count * step - self.m.gap, [_Band((), tuple(lines), self.m.space // 2)], 1)

    def _table_drafts(self, stage: StageLayout, inner: int) -> Iterator[_Draft | None]:
        """Tables, whole or split by lines, with as many pieces side by side as fit."""
        longest = max(len(block.lines) for block in stage.blocks)
        for pieces in range(1, max(1, min(longest // LEAST_LINES, MOST_PIECES)) + 1):
            parts = self.typesetter.parts(stage, inner, -(-longest // pieces))
            for count in range(1, min(len(parts), MOST_PIECES) + 1):
                widths = [[part.width for part in some] for some in _by(parts, count)]
                width = max(sum(some) + self.m.space * (len(some) - 1) for some in widths)
                if width > inner:
                    break
                yield self._draft(stage, width, [self._band(some) for some in _by(parts, count)], pieces)

    def _band(self, parts: Sequence[SheetTable]) -> _Band:
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
        return _Band((above, replace(names, height=high + half)), tuple(lines), self.m.gap)

    def _draft(self, stage: StageLayout, width: int, bands: list[_Band], pieces: int) -> _Draft | None:
        """A draft of pages, unless it does not fit any."""
        page_width = max(width, self.m.narrowest) + 2 * self.m.margin
        page_height = min(self.paper.pixels // page_width, MAX_SIDE)
        if page_width > MAX_SIDE:
            return None
        frames = [self._head(stage, page_width, at).height + 2 * self.m.margin + self.foot for at in (0, 1)]
        pages = pack(bands, (page_height - frames[0], page_height - frames[1]), self.m.space)
        if pages is None:
            return None
        heights = [frames[at > 0] + _height_of(runs, self.m.space) for at, runs in enumerate(pages)]
        return _Draft(page_width, pages, max(heights), pieces)

    def _page(self, stage: StageLayout, draft: _Draft, bands: Sequence[_Band], number: int) -> SheetPage:
        head = self._head(stage, draft.width, number)
        pieces, top = [head], head.height
        for at, band in enumerate(bands):
            top += self.m.space if at else 0
            for piece, gap in (*((one, 0) for one in band.head), *((one, band.gap) for one in band.lines)):
                pieces.append(piece.moved(0, top))
                top += piece.height + gap
            top -= band.gap
        whole = joined(pieces, draft.width, top).moved(self.m.margin, self.m.margin)
        return SheetPage(draft.width, top + self.foot + 2 * self.m.margin, whole.tiles, whole.texts)

    def _head(self, stage: StageLayout, page_width: int, number: int) -> TileGroup:
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


def _by(items: Sequence[_T], count: int) -> Iterator[Sequence[_T]]:
    for at in range(0, len(items), count):
        yield items[at : at + count]
