"""The parts of a page, each measured and positioned from its top left corner: tiles, tables, lines of text."""

import math
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from krea_pipe.report.model import Row
from krea_pipe.report.sheet.arrange import TALLEST, Block, StageLayout, ratio_of
from krea_pipe.report.sheet.model import Box, Text, Tile, TileGroup, Tone, joined, line_height, stacked
from krea_pipe.report.sheet.typeface import FontSet

MOST_LABEL_LINES = 5


@dataclass(frozen=True, slots=True)
class Measures:
    """Sizes that follow from the side of a picture, in pixels: type grows more slowly than pictures do.

    `small`, `label`, `heading` and `title` are sizes of type. `gap` is between pictures, `space` between tables,
    `margin` around a page. What is on a page is not narrower than `narrowest`, which its foot needs. Labels of rows are
    not wider than `row_labels`, and pictures not higher than `tallest`. Each text of a
    caption has at most `caption_lines`.
    """

    side: int
    small: int
    label: int
    heading: int
    title: int
    gap: int
    margin: int
    space: int
    narrowest: int
    row_labels: int
    tallest: int = sys.maxsize
    caption_lines: int = 3


def measures_of(side: int) -> Measures:
    """The sizes for pictures of a side, in pixels."""
    small = max(10, round(12 * math.sqrt(side / 360)))
    return Measures(
        side=side,
        small=small,
        label=small + 1,
        heading=round(small * 1.35),
        title=small * 2,
        gap=max(8, round(side * 0.045)),
        margin=small * 5,
        space=small * 3,
        narrowest=small * 36,
        row_labels=max(round(side * 0.5), small * 9),
    )


@dataclass(frozen=True, slots=True)
class SheetTable:
    """A table that is set as a whole or line by line: its heading, the names of its columns, its lines."""

    width: int
    heading: TileGroup
    names: TileGroup
    lines: tuple[TileGroup, ...]


class Typesetter:
    """Sets texts and cells in the sizes that it is given."""

    def __init__(self, fonts: FontSet, measures: Measures) -> None:
        self.fonts, self.measures = fonts, measures
        self._tiles: dict[tuple[str, int, int, str], TileGroup] = {}

    def text(
        self, string: str, width: int, size: int, *, tone: Tone = "ink", strong: bool = False, most: int = 3
    ) -> TileGroup:
        """A text in lines of at most a width."""
        texts, top = [], 0
        for line in self.fonts.wrapped(string, width, size, strong=strong, most=most):
            wide = min(width, math.ceil(self.fonts.width(line, size, strong=strong)))
            texts.append(Text(Box(0, top, wide, line_height(size)), line, size, tone, strong))
            top += line_height(size)
        return TileGroup(max((text.box.width for text in texts), default=0), top, (), tuple(texts))

    def tile(self, row: Row, width: int, height: int, label: str = "") -> TileGroup:
        """A cell as wide as its column, its picture at most so high, with its caption under it; made once."""
        key = (row.id, width, height, label)
        if key not in self._tiles:
            self._tiles[key] = self._tile(row, width, height, label)
        return self._tiles[key]

    def _tile(self, row: Row, width: int, height: int, label: str) -> TileGroup:
        ratio = ratio_of(row)
        wide = max(1, min(width, round(height * ratio)))
        box = Box(0, 0, wide, max(1, min(height, round(wide / ratio))))
        caption = self._caption(row, label, width)
        caption = caption.moved(0, box.height + self.measures.small // 2)
        note: tuple[Text, ...] = ()
        if not row.image and row.status not in ("succeeded", "reused"):
            note = self.note(row.status, row.error.message if row.error else row.reason, box)
        tile = Tile(row, box, caption.texts, note)
        return TileGroup(width, box.height + self.measures.small // 2 + caption.height, (tile,))

    def note(self, word: str, reason: str, box: Box) -> tuple[Text, ...]:
        """The text in the box of a missing picture; text that does not fit is omitted."""
        small, inset = self.measures.small, self.measures.small
        width = box.width - 2 * inset
        most = (box.height - 2 * inset) // line_height(small)
        if width < 3 * small or most < 1:
            return ()
        first = self.text(word, width, small, strong=True, most=1)
        second = self.text(reason, width, small, tone="quiet", most=min(most - 1, 8)) if most > 1 else TileGroup(0, 0)
        return stacked(first, second).moved(box.left + inset, box.top + inset).texts

    def _caption(self, row: Row, label: str, width: int) -> TileGroup:
        """The label, the id as commands take it, and what is special about the cell."""
        m, most = self.measures, self.measures.caption_lines
        name = row.id.partition("/")[2] or row.id
        flags = [word for word, is_so in (("reused", row.status == "reused"), ("adopted", row.adopted)) if is_so]
        above = [self.text(one, width, m.label, most=most) for one in (label.split("\n") if label else ())]
        under = " · ".join(flags if _slug(label) == _slug(name) else [name, *flags])
        return stacked(*above, self.text(under, width, m.small, tone="quiet", most=most))

    def flow(self, stage: StageLayout) -> list[TileGroup]:
        """Cells that just follow each other, in columns of one width."""
        side = self.measures.side
        width = round(stage.widths[0] * side)
        height = min(round(min(1 / stage.widths[0], TALLEST) * side * 1.1), self.measures.tallest)
        return [self.tile(row, width, height, label) for row, label in stage.flow]

    def parts(self, stage: StageLayout, widest: int, most_lines: int) -> list[SheetTable]:
        """The blocks of a stage as tables of a maximum width and number of lines, each with all its labels."""
        labels = self.label_width(stage)
        ranges = self._column_ranges(stage, widest - labels)
        found = []
        for block in stage.blocks:
            for first, last in even_runs(len(block.lines), most_lines):
                found += [self._part(stage, block, labels, (first, last), columns) for columns in ranges]
        return found

    def _part(
        self, stage: StageLayout, block: Block, labels: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> SheetTable:
        m = self.measures
        widths = [round(width * m.side) for width in stage.widths[slice(*columns)]]
        left = labels
        lefts = [left := left if not at else left + widths[at - 1] + m.gap for at in range(len(widths))]
        width = lefts[-1] + widths[-1]
        lines = []
        for line in block.lines[slice(*rows)]:
            slots = zip(line.slots[slice(*columns)], widths, lefts, strict=True)
            high = min(round(line.height * m.side), m.tallest)
            placed = [self.tile(row, wide, high).moved(at, 0) for row, wide, at in slots if row]
            label = self.text(line.label, labels - m.gap, m.label, most=MOST_LABEL_LINES)
            lines.append(joined([label, *placed], width, max([label.height, *(one.height for one in placed)])))
        names = self._names(stage, stage.labels[slice(*columns)], list(zip(lefts, widths, strict=True)), labels)
        above = self.text(stage.outer, width, m.small, tone="quiet", most=2)  # the names of the outer axes, small
        below = self.text(block.heading, width, m.heading, strong=True, most=MOST_LABEL_LINES)
        return SheetTable(width, stacked(above, below), names, tuple(lines))

    def _names(
        self, stage: StageLayout, labels: Sequence[str], places: Sequence[tuple[int, int]], corner: int
    ) -> TileGroup:
        """The labels over the columns; the axes' names are small above the first of them and in the corner."""
        m = self.measures
        first = self.text(stage.columns, places[0][1], m.small, tone="quiet", most=2).moved(places[0][0], 0)
        below = [
            self.text(label, width, m.label, most=MOST_LABEL_LINES).moved(left, first.height)
            for label, (left, width) in zip(labels, places, strict=True)
        ]
        height = first.height + max(piece.height for piece in below)
        width = places[-1][0] + places[-1][1]
        if not corner:
            return joined([*below, first], width, height)
        own = self.text(stage.rows, corner - m.gap, m.small, tone="quiet", most=MOST_LABEL_LINES)
        height = max(height, own.height)
        return joined([*below, first, own.moved(0, height - own.height)], width, height)

    def label_width(self, stage: StageLayout) -> int:
        """The width of the row labels including the gap; 0 if there are no row labels."""
        m = self.measures
        texts = dict.fromkeys(line.label for block in stage.blocks for line in block.lines)
        if not stage.rows or not any(texts):
            return 0
        least, most = m.small * 4, m.row_labels
        wide = [self.text(text, most, m.label, most=MOST_LABEL_LINES).width for text in texts]
        return max(least, *wide, self.text(stage.rows, most, m.small, most=MOST_LABEL_LINES).width) + m.gap

    def _column_ranges(self, stage: StageLayout, widest: int) -> list[tuple[int, int]]:
        """The columns in as few runs as fit a width, about as many in each; one alone may still be too wide."""
        widths = [round(width * self.measures.side) + self.measures.gap for width in stage.widths]
        for most in range(len(widths), 1, -1):
            runs = even_runs(len(widths), most)
            if all(sum(widths[slice(*run)]) - self.measures.gap <= widest for run in runs):
                return runs
        return even_runs(len(widths), 1)


def even_runs(count: int, most: int) -> list[tuple[int, int]]:
    """The first and last place of each run of things, which has at most `most` and is about as long as the others."""
    runs = max(1, -(-count // max(1, most)))
    ends = [number * count // runs for number in range(runs + 1)]
    return [(first, last) for first, last in pairwise(ends) if last > first]


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.casefold()).strip("-")
