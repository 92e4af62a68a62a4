"""The pieces of a page, each measured and set from the top left corner of its own: tiles, tables, lines of text."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from krea_pipe.report.model import Row
from krea_pipe.report.sheet.arrange import TALLEST, Arranged, Block, ratio_of
from krea_pipe.report.sheet.letters import Letters
from krea_pipe.report.sheet.model import Box, Text, Tile, Tone, line_height

MOST_LABEL_LINES = 5
MOST_CAPTION_LINES = 3
WORDS = {"failed": "failed", "uncertain": "uncertain", "pending": "pending"}


@dataclass(frozen=True, slots=True)
class Measures:
    """Sizes that follow from the side of a picture, in pixels: type grows more slowly than pictures do."""

    side: int

    @property
    def small(self) -> int:
        """The size of captions."""
        return max(10, round(12 * math.sqrt(self.side / 360)))

    @property
    def label(self) -> int:
        """The size of labels."""
        return self.small + 1

    @property
    def heading(self) -> int:
        """The size of headings."""
        return round(self.small * 1.35)

    @property
    def title(self) -> int:
        """The size of the title."""
        return round(self.small * 2)

    @property
    def gap(self) -> int:
        """The space between two pictures."""
        return max(8, round(self.side * 0.045))

    @property
    def margin(self) -> int:
        """The white around a page."""
        return self.small * 5

    @property
    def space(self) -> int:
        """The space between two tables."""
        return self.small * 3

    @property
    def narrowest(self) -> int:
        """The least width of what is on a page: the foot has to fit."""
        return self.small * 36


@dataclass(frozen=True, slots=True)
class Piece:
    """Tiles and texts that are placed as one, and their size."""

    width: int
    height: int
    tiles: tuple[Tile, ...] = ()
    texts: tuple[Text, ...] = ()

    def moved(self, across: int, down: int) -> "Piece":
        """The same piece, set elsewhere."""
        tiles = tuple(tile.moved(across, down) for tile in self.tiles)
        return Piece(self.width, self.height, tiles, tuple(text.moved(across, down) for text in self.texts))


@dataclass(frozen=True, slots=True)
class Part:
    """A table that is set as a whole or line by line: its heading, the names of its columns, its lines."""

    width: int
    heading: Piece
    names: Piece
    lines: tuple[Piece, ...]


class Setter:
    """Sets texts and cells."""

    def __init__(self, letters: Letters, measures: Measures) -> None:
        self.letters, self.measures = letters, measures
        self._tiles: dict[tuple[str, int, int, str], Piece] = {}

    def text(
        self, string: str, width: int, size: int, *, tone: Tone = "ink", strong: bool = False, most: int = 3
    ) -> Piece:
        """A text in lines of at most a width."""
        texts, top = [], 0
        for line in self.letters.wrapped(string, width, size, strong=strong, most=most):
            wide = min(width, math.ceil(self.letters.width(line, size, strong=strong)))
            texts.append(Text(Box(0, top, wide, line_height(size)), line, size, tone, strong))
            top += line_height(size)
        return Piece(max((text.box.width for text in texts), default=0), top, (), tuple(texts))

    def tile(self, row: Row, width: int, height: int, label: str = "") -> Piece:
        """A cell as wide as its column, its picture at most so high, with its caption under it; made once."""
        key = (row.id, width, height, label)
        if key not in self._tiles:
            self._tiles[key] = self._tile(row, width, height, label)
        return self._tiles[key]

    def _tile(self, row: Row, width: int, height: int, label: str) -> Piece:
        ratio = ratio_of(row)
        wide = max(1, min(width, round(height * ratio)))
        box = Box(0, 0, wide, max(1, min(height, round(wide / ratio))))
        caption = self._caption(row, label, width)
        caption = caption.moved(0, box.height + self.measures.small // 2)
        note = () if row.image or row.status in ("succeeded", "reused") else self._note(row, box)
        tile = Tile(row, box, caption.texts, note)
        return Piece(width, box.height + self.measures.small // 2 + caption.height, (tile,))

    def note(self, word: str, reason: str, box: Box) -> tuple[Text, ...]:
        """What is said in the box of a picture that is not there; what does not fit is left out."""
        small, inset = self.measures.small, self.measures.small
        width = box.width - 2 * inset
        most = (box.height - 2 * inset) // line_height(small)
        if width < 3 * small or most < 1:
            return ()
        first = self.text(word, width, small, strong=True, most=1)
        second = self.text(reason, width, small, tone="quiet", most=min(most - 1, 8)) if most > 1 else Piece(0, 0)
        texts = (*first.texts, *second.moved(0, first.height).texts)
        return tuple(text.moved(box.left + inset, box.top + inset) for text in texts)

    def _note(self, row: Row, box: Box) -> tuple[Text, ...]:
        reason = row.error.message if row.error else row.reason
        return self.note(WORDS.get(row.status, row.status), reason, box)

    def _caption(self, row: Row, label: str, width: int) -> Piece:
        """The label, the id as commands take it, and what is special about the cell."""
        texts: list[Text] = []
        top = 0
        name = row.id.partition("/")[2] or row.id
        flags = [word for word, is_so in (("reused", row.status == "reused"), ("adopted", row.adopted)) if is_so]
        for one in label.split("\n") if label else ():
            piece = self.text(one, width, self.measures.label, most=MOST_CAPTION_LINES)
            texts += piece.moved(0, top).texts
            top += piece.height
        under = [] if _slug(label) == _slug(name) else [name]
        piece = self.text(
            " · ".join([*under, *flags]), width, self.measures.small, tone="quiet", most=MOST_CAPTION_LINES
        )
        return Piece(width, top + piece.height, (), (*texts, *piece.moved(0, top).texts))

    def flow(self, stage: Arranged) -> list[Piece]:
        """Cells that just follow each other, in columns of one width."""
        side = self.measures.side
        width = round(stage.widths[0] * side)
        height = round(min(1 / stage.widths[0], TALLEST) * side * 1.1)
        return [self.tile(row, width, height, label) for row, label in stage.flow]

    def parts(self, stage: Arranged, widest: int, most_lines: int) -> list[Part]:
        """The blocks of a stage as tables of at most a width and so many lines, each with all its labels."""
        labels = self._label_width(stage)
        ranges = self._column_ranges(stage, widest - labels)
        found = []
        for block in stage.blocks:
            for first, last in _even(len(block.lines), most_lines):
                found += [self._part(stage, block, labels, (first, last), columns) for columns in ranges]
        return found

    def _part(
        self, stage: Arranged, block: Block, labels: int, rows: tuple[int, int], columns: tuple[int, int]
    ) -> Part:
        m = self.measures
        widths = [round(width * m.side) for width in stage.widths[slice(*columns)]]
        left = labels
        lefts = [left := left if not at else left + widths[at - 1] + m.gap for at in range(len(widths))]
        width = lefts[-1] + widths[-1]
        lines = []
        for line in block.lines[slice(*rows)]:
            slots = zip(line.slots[slice(*columns)], widths, lefts, strict=True)
            placed = [self.tile(row, wide, round(line.height * m.side)).moved(at, 0) for row, wide, at in slots if row]
            label = self.text(line.label, labels - m.gap, m.label, most=MOST_LABEL_LINES)
            tiles = tuple(tile for one in placed for tile in one.tiles)
            height = max([label.height, *(one.height for one in placed)])
            lines.append(Piece(width, height, tiles, label.texts))
        names = self._names(stage, stage.labels[slice(*columns)], list(zip(lefts, widths, strict=True)), labels)
        return Part(width, self._heading(stage.outer, block.heading, width), names, tuple(lines))

    def _heading(self, axes: str, labels: str, width: int) -> Piece:
        """The labels of the outer axes, whose names stand small over them."""
        above = self.text(axes, width, self.measures.small, tone="quiet", most=2)
        below = self.text(labels, width, self.measures.heading, strong=True, most=MOST_LABEL_LINES)
        texts = (*above.texts, *below.moved(0, above.height).texts)
        return Piece(max(above.width, below.width), above.height + below.height, (), texts)

    def _names(self, stage: Arranged, labels: Sequence[str], places: Sequence[tuple[int, int]], corner: int) -> Piece:
        """The labels over the columns; the axes' names stand small over the first of them and in the corner."""
        m = self.measures
        first = self.text(stage.columns, places[0][1], m.small, tone="quiet", most=2).moved(places[0][0], 0)
        below = [
            self.text(label, width, m.label, most=MOST_LABEL_LINES).moved(left, first.height)
            for label, (left, width) in zip(labels, places, strict=True)
        ]
        height = first.height + max(piece.height for piece in below)
        own = self.text(stage.rows, corner - m.gap, m.small, tone="quiet", most=MOST_LABEL_LINES) if corner else first
        height = max(height, own.height)
        texts = [text for piece in below for text in piece.texts]
        texts += first.texts if not corner else (*first.texts, *own.moved(0, height - own.height).texts)
        return Piece(places[-1][0] + places[-1][1], height, (), tuple(texts))

    def _label_width(self, stage: Arranged) -> int:
        """The width of the row labels with the gap after them; nothing when there are no rows to tell apart."""
        m = self.measures
        texts = dict.fromkeys(line.label for block in stage.blocks for line in block.lines)
        if not stage.rows or not any(texts):
            return 0
        least, most = m.small * 4, max(round(m.side * 0.5), m.small * 9)
        wide = [self.text(text, most, m.label, most=MOST_LABEL_LINES).width for text in texts]
        return max(least, *wide, self.text(stage.rows, most, m.small, most=MOST_LABEL_LINES).width) + m.gap

    def _column_ranges(self, stage: Arranged, widest: int) -> list[tuple[int, int]]:
        """The columns in as few runs as fit a width, about as many in each; one alone may still be too wide."""
        widths = [round(width * self.measures.side) + self.measures.gap for width in stage.widths]
        for most in range(len(widths), 1, -1):
            runs = _even(len(widths), most)
            if all(sum(widths[slice(*run)]) - self.measures.gap <= widest for run in runs):
                return runs
        return _even(len(widths), 1)


def _even(count: int, most: int) -> list[tuple[int, int]]:
    """So many things in runs of at most `most`, as even as can be."""
    runs = max(1, -(-count // max(1, most)))
    ends = [number * count // runs for number in range(runs + 1)]
    return [(first, last) for first, last in pairwise(ends) if last > first]


def _slug(text: str) -> str:
    return re.sub(r"\W+", "-", text.casefold()).strip("-")
