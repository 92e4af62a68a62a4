"""Pages of a real size of paper: a grid with a maximum number of pictures, and all headings on each page.

Everything is known before a picture is opened, as in `pages`; here the page is given, and the pictures follow from it.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.model import Report
from krea_pipe.report.sheet.arrange import StageLayout
from krea_pipe.report.sheet.composer import Band, Composer, chunks, pack
from krea_pipe.report.sheet.model import Sheet, SheetPage, TileGroup, beside, line_height
from krea_pipe.report.sheet.parts import Measures, Typesetter, even_runs
from krea_pipe.report.sheet.typeface import FontSet

PaperName = Literal["A4", "A3", "letter"]
PAPER_SIZES: dict[PaperName, tuple[float, float]] = {"A4": (210, 297), "A3": (297, 420), "letter": (215.9, 279.4)}
"""The width and height of a paper in millimetres, upright."""
PRINT_DPI = 300
_MILLIMETRES_OF_INCH = 25.4
_MARGIN = 12
"""The margin of a page in millimetres: no common printer needs more."""
_TYPE = 7.0
_SMALL_TYPE = 6.0
"""The size of captions in points, and their size on pages with many pictures; nothing is set smaller."""
_MANY = 30
_CAPTION_LINES = 12
"""Narrow columns need many lines; a caption that is cut would lose the end of an id, by which cells differ."""
_LEAST_SIDE = 5
"""The side of the smallest picture in millimetres."""


@dataclass(frozen=True, slots=True)
class Paper:
    """A sheet of paper and the most pictures that it may have."""

    name: PaperName = "A4"
    per_page: int = 12
    is_landscape: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """The width and height of a page in pixels."""
        short, long = map(_pixels, PAPER_SIZES[self.name])
        return (long, short) if self.is_landscape else (short, long)

    @property
    def measures(self) -> Measures:
        """The sizes that follow from the paper, for pictures as wide as it."""
        points = PRINT_DPI / 72
        small = math.ceil((_TYPE if self.per_page <= _MANY else _SMALL_TYPE) * points)
        margin = _pixels(_MARGIN)
        inner = self.size[0] - 2 * margin
        return Measures(
            side=inner,
            small=small,
            label=small + 2,
            heading=round(small * 1.35),
            title=small * 2,
            gap=_pixels(2.5),
            margin=margin,
            space=_pixels(5),
            narrowest=inner,
            row_labels=min(small * 9, inner // 4),
            caption_lines=_CAPTION_LINES,
        )


@dataclass(frozen=True, slots=True)
class _Grid:
    """How a page is divided: tables beside each other, the columns of each, and lines.

    A matrix with more columns takes `runs` pages beside each other.
    """

    tables: int
    columns: int
    lines: int
    runs: int = 1


def print_sheet(report: Report, stages: Sequence[StageLayout], paper: Paper, *, title: str, fonts: FontSet) -> Sheet:
    """Lay out the stages of a report on paper, each on separate pages.

    Args:
        report: what the head and the foot of each page say.
        stages: the stages with their cells, as `arrange_stage` or `list_cells` give them.
        paper: the size of each page, and its most pictures.
        title: the heading.
        fonts: the typefaces, which measure each text.

    Raises:
        UsageError: the pictures of a page do not fit on it with their labels.
    """
    frame = Composer(Typesetter(fonts, paper.measures), title, report)
    pages = [page for stage in stages for page in _StagePrinter(stage, paper, frame).pages()]
    numbered = tuple(frame.with_foot(page, at, len(pages)) for at, page in enumerate(pages, 1))
    return Sheet(title, report.run_id, report.finished_at, numbered, PRINT_DPI)


class _StagePrinter:
    """Finds the grid of a stage and fills its pages; `frame` makes their heads and feet."""

    def __init__(self, stage: StageLayout, paper: Paper, frame: Composer) -> None:
        self.stage, self.paper, self.frame, self.m = stage, paper, frame, frame.m
        width, height = paper.size
        self.width = width - 2 * self.m.margin
        heads = [frame.head(stage, width, number).height for number in (0, 1)]
        first, later = (height - 2 * self.m.margin - frame.foot - head for head in heads)
        self.rooms = first, later
        self.row_labels = 0 if stage.flow else frame.typesetter.label_width(stage)

    def pages(self) -> list[SheetPage]:
        """The pages of the stage, without their foot.

        Raises:
            UsageError: no grid fits.
        """
        width, height = self.paper.size
        for grid in sorted(self._grids(), key=self._cost):
            found = self._filled(grid)
            if found is not None:
                pages = [self.frame.page(self.stage, width, bands, at) for at, bands in enumerate(found)]
                return [replace(page, height=height) for page in pages]
        message = f"{self.paper.per_page} pictures with their labels do not fit on a page of {self.paper.name}"
        raise UsageError(Problem("page_too_small", message, hint="lower --per-page, or use a larger --paper"))

    def _grids(self) -> Iterator[_Grid]:
        """Every way to divide a page that has no more pictures than the paper may have."""
        most, total = self.paper.per_page, self._line_count()
        if self.stage.flow:
            for columns in range(1, min(most, len(self.stage.flow)) + 1):
                yield _Grid(1, columns, min(most // columns, -(-len(self.stage.flow) // columns)))
            return
        count = len(self.stage.labels)
        for columns in {-(-count // runs): runs for runs in range(count, 0, -1)}:
            runs = -(-count // columns)
            for tables in range(1, (min(most // columns, total) if runs == 1 else min(most // columns, 1)) + 1):
                yield _Grid(tables, columns, min(most // (tables * columns), -(-total // tables)), runs)

    def _line_count(self) -> int:
        return sum(len(block.lines) for block in self.stage.blocks)

    def _side(self, grid: _Grid) -> int:
        """The side of pictures whose columns fill the width of the page, in pixels."""
        if self.stage.flow:
            widest = self.stage.widths[0] * grid.columns
        else:
            runs = even_runs(len(self.stage.widths), grid.columns)
            widest = max(sum(self.stage.widths[slice(*run)]) for run in runs)
        gaps = (grid.columns - 1) * self.m.gap + grid.columns  # a column is rounded to whole pixels
        return math.floor((self._table_width(grid) - self.row_labels - gaps) / widest)

    def _table_width(self, grid: _Grid) -> int:
        return (self.width - (grid.tables - 1) * self.m.space) // grid.tables

    def _cost(self, grid: _Grid) -> float:
        """Few pages with large pictures cost least; a matrix that is wider than its page costs some."""
        heights = [line.height for block in self.stage.blocks for line in block.lines] or [1 / self.stage.widths[0]]
        lines = -(-len(self.stage.flow) // grid.columns) or self._line_count()
        pages = grid.runs * -(-lines // (grid.lines * grid.tables))
        caption = (4 if self.stage.flow else 2) * line_height(self.m.small)
        high = (self.rooms[0] / grid.lines - caption - self.m.gap) / (sum(heights) / len(heights))
        side = max(1.0, min(self._side(grid), high))
        return 2 * math.log(pages) - math.log(side) + (0.3 if grid.runs > 1 else 0)

    def _filled(self, grid: _Grid) -> list[list[Band]] | None:
        """The bands of each page; None if the pictures would be too small."""
        measures = replace(self.m, side=self._side(grid))
        least = _pixels(_LEAST_SIDE)
        if measures.side < least:
            return None
        tallest = self._tallest(grid, self._bands(grid, replace(measures, tallest=1)))
        if tallest < least:
            return None
        bands = self._bands(grid, replace(measures, tallest=tallest))
        return pack(bands, self.rooms, self.m.space, grid.lines)

    def _tallest(self, grid: _Grid, bands: Sequence[Band]) -> int:
        """The height of pictures in pixels with which the lines of a page fill it, whatever their captions need."""
        longest = max(len(band.lines) for band in bands)
        tables = max(1, grid.lines // longest)
        count = min(grid.lines, tables * longest)
        head = max(sum(piece.height for piece in band.head) for band in bands)
        captions = [_caption_height(line) for band in bands for line in band.lines]
        highest = max(sum(captions[at : at + count]) for at in range(max(1, len(captions) - count + 1)))
        room = self.rooms[0] - tables * head - (tables - 1) * self.m.space
        return (room - highest) // count - bands[0].gap

    def _bands(self, grid: _Grid, measures: Measures) -> list[Band]:
        typesetter = Typesetter(self.frame.typesetter.fonts, measures)
        if self.stage.flow:
            tiles = typesetter.flow(self.stage)
            lefts = [at * (tiles[0].width + self.m.gap) for at in range(grid.columns)]
            lines = [beside(some, lefts[: len(some)]) for some in chunks(tiles, grid.columns)]
            return [Band((), tuple(lines), self.m.gap)]
        composer = Composer(typesetter, self.frame.title, self.frame.report)
        longest = max(len(block.lines) for block in self.stage.blocks)
        most = longest if grid.tables == 1 else min(longest, grid.lines)
        parts = typesetter.parts(self.stage, self._table_width(grid), most)
        return [composer.band(some) for some in chunks(parts, grid.tables)]


def _caption_height(line: TileGroup) -> int:
    """The height below the pictures of a line, in pixels."""
    return max((text.box.bottom - tile.box.bottom for tile in line.tiles for text in tile.caption), default=0)


def _pixels(millimetres: float) -> int:
    return round(millimetres * PRINT_DPI / _MILLIMETRES_OF_INCH)
