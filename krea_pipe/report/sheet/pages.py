"""Pieces become pages: none has more pixels than asked for, and each is about as wide as a landscape print.

Everything here is known before a picture is opened, so a sheet cannot fail after hours of work.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.model import Report
from krea_pipe.report.sheet.arrange import StageLayout
from krea_pipe.report.sheet.composer import Band, Composer, chunks, height_of, pack
from krea_pipe.report.sheet.model import Sheet, SheetPage, beside
from krea_pipe.report.sheet.parts import Measures, Typesetter, measures_of
from krea_pipe.report.sheet.typeface import FontSet

SHAPE = math.sqrt(2)
_MAX_ASPECT = 1.5
MAX_SIDE = 28_000
"""No side of a page is longer: a PDF may have 14,400 points, which are two pixels each."""
MEGAPIXEL = 1_000_000
MOST_PIECES = 12
LEAST_LINES = 6
"""A table with fewer than twice this many lines is not split."""


@dataclass(frozen=True, slots=True)
class PageLimits:
    """The size of pages: the side of a picture, the maximum pixels, and whether all pages are equal for printing."""

    side: int = 360
    megapixels: float = 40
    even: bool = False

    @property
    def pixels(self) -> int:
        """The most pixels of a page."""
        return int(self.megapixels * MEGAPIXEL)

    @property
    def measures(self) -> Measures:
        """The sizes that follow from the side of a picture."""
        return measures_of(self.side)

    @property
    def widest(self) -> int:
        """The most pixels across."""
        return min(MAX_SIDE, math.isqrt(int(self.pixels * _MAX_ASPECT)))


@dataclass(frozen=True, slots=True)
class _Draft:
    """One way to set a stage: its width, the lines of each page, its highest page, and how often tables are cut."""

    width: int
    pages: list[list[Band]]
    height: int
    pieces: int

    @property
    def rank(self) -> tuple[int, float]:
        """Few pages first, then a good shape; a table in one piece is worth some shape."""
        shape = abs(math.log(self.width / self.height / SHAPE))
        return len(self.pages), shape + 0.15 * (self.pieces - 1)


def make_sheet(
    report: Report, stages: Sequence[StageLayout], limits: PageLimits, *, title: str, fonts: FontSet
) -> Sheet:
    """Lay out the stages of a report one after the other, each on separate pages.

    Args:
        report: what the head and the foot of each page say.
        stages: the stages with their cells, as `arrange_stage` or `list_cells` give them.
        limits: how large pages are.
        title: the heading.
        fonts: the typefaces, which measure each text.

    Raises:
        UsageError: a picture of that size does not fit a page.
    """
    composer = _PageComposer(Typesetter(fonts, limits.measures), limits, title, report)
    pages = [page for stage in stages for page in composer.pages(stage)]
    numbered = tuple(composer.with_foot(page, at, len(pages)) for at, page in enumerate(pages, 1))
    return Sheet(title, report.run_id, report.finished_at, numbered)


class _PageComposer(Composer):
    def __init__(self, typesetter: Typesetter, limits: PageLimits, title: str, report: Report) -> None:
        super().__init__(typesetter, title, report)
        self.limits = limits

    def pages(self, stage: StageLayout) -> list[SheetPage]:
        """The pages of one stage, without their foot.

        Raises:
            UsageError: there is no way to set it.
        """
        inner = self.limits.widest - 2 * self.m.margin
        drafts = list(filter(None, (self._flow_drafts if stage.flow else self._table_drafts)(stage, inner)))
        if not drafts:
            message = f"a picture of {self.m.side} px with labels needs more than {self.limits.megapixels:g} megapixels"
            raise UsageError(Problem("page_too_small", message, hint="raise --max-megapixels, or lower --size"))
        best = min(drafts, key=lambda draft: draft.rank)
        pages = [self.page(stage, best.width, bands, at) for at, bands in enumerate(best.pages)]
        if not self.limits.even:
            return pages
        return [replace(page, height=max(one.height for one in pages)) for page in pages]

    def _flow_drafts(self, stage: StageLayout, inner: int) -> Iterator[_Draft | None]:
        """Every number of columns that fits."""
        tiles = self.typesetter.flow(stage)
        step = tiles[0].width + self.m.gap
        for count in range(1, max(2, min(len(tiles), (inner + self.m.gap) // step) + 1)):
            lines = [beside(some, [at * step for at in range(len(some))]) for some in chunks(tiles, count)]
            yield self._draft(stage, count * step - self.m.gap, [Band((), tuple(lines), self.m.space // 2)], 1)

    def _table_drafts(self, stage: StageLayout, inner: int) -> Iterator[_Draft | None]:
        """Tables, whole or split by lines, with as many pieces side by side as fit."""
        longest = max(len(block.lines) for block in stage.blocks)
        for pieces in range(1, max(1, min(longest // LEAST_LINES, MOST_PIECES)) + 1):
            parts = self.typesetter.parts(stage, inner, -(-longest // pieces))
            for count in range(1, min(len(parts), MOST_PIECES) + 1):
                widths = [[part.width for part in some] for some in chunks(parts, count)]
                width = max(sum(some) + self.m.space * (len(some) - 1) for some in widths)
                if width > inner:
                    break
                yield self._draft(stage, width, [self.band(some) for some in chunks(parts, count)], pieces)

    def _draft(self, stage: StageLayout, width: int, bands: list[Band], pieces: int) -> _Draft | None:
        """A draft of pages, unless it does not fit any."""
        page_width = max(width, self.m.narrowest) + 2 * self.m.margin
        page_height = min(self.limits.pixels // page_width, MAX_SIDE)
        if page_width > MAX_SIDE:
            return None
        frames = [self.head(stage, page_width, at).height + 2 * self.m.margin + self.foot for at in (0, 1)]
        pages = pack(bands, (page_height - frames[0], page_height - frames[1]), self.m.space)
        if pages is None:
            return None
        heights = [frames[at > 0] + height_of(runs, self.m.space) for at, runs in enumerate(pages)]
        return _Draft(page_width, pages, max(heights), pieces)
