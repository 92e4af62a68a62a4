"""A contact sheet as a value: pages with boxes and lines of text, in pixels, before any picture is opened."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Literal

from krea_pipe.report.model import Row

Tone = Literal["ink", "quiet", "mark"]

COLOURS = {
    "paper": (255, 255, 255),
    "ink": (24, 24, 26),
    "quiet": (112, 112, 116),
    "mark": (166, 60, 40),
    "rule": (214, 214, 216),
    "empty": (246, 246, 247),
}
"""The colours of a sheet, by what they are for."""
SCREEN_DPI = 144
"""Pixels of each inch where pages have no paper: a picture of 360 px is 63 mm wide."""
LEADING = 1.4
"""The height of a line of text, relative to its font size."""


def line_height(size: int) -> int:
    """The height of one line of text, in pixels."""
    return round(size * LEADING)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first pixel that is right of it."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first pixel that is below it."""
        return self.top + self.height

    def moved(self, across: int, down: int) -> "Box":
        """The same rectangle elsewhere."""
        return Box(self.left + across, self.top + down, self.width, self.height)


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; it fills its box from the left."""

    box: Box
    string: str
    size: int
    tone: Tone = "ink"
    strong: bool = False

    @property
    def baseline(self) -> int:
        """The places of the letters."""
        return self.box.top + round(self.size * 1.05)

    def moved(self, across: int, down: int) -> "Text":
        """The same line elsewhere."""
        return Text(self.box.moved(across, down), self.string, self.size, self.tone, self.strong)


@dataclass(frozen=True, slots=True)
class Tile:
    """One cell: the box that its picture is fitted into, its caption, and the words of a cell without a picture."""

    row: Row
    box: Box
    caption: tuple[Text, ...]
    note: tuple[Text, ...] = ()

    def moved(self, across: int, down: int) -> "Tile":
        """The same cell elsewhere."""
        return Tile(
            self.row,
            self.box.moved(across, down),
            tuple(text.moved(across, down) for text in self.caption),
            tuple(text.moved(across, down) for text in self.note),
        )


@dataclass(frozen=True, slots=True)
class TileGroup:
    """Tiles and texts that are placed as one, and their size; places are seen from its top left corner."""

    width: int
    height: int
    tiles: tuple[Tile, ...] = ()
    texts: tuple[Text, ...] = ()

    def moved(self, across: int, down: int) -> "TileGroup":
        """The same piece, set elsewhere."""
        tiles = tuple(tile.moved(across, down) for tile in self.tiles)
        return TileGroup(self.width, self.height, tiles, tuple(text.moved(across, down) for text in self.texts))


def joined(pieces: Sequence[TileGroup], width: int, height: int) -> TileGroup:
    """One piece of a size from all tiles and texts of others, which stay where they are."""
    tiles = tuple(tile for piece in pieces for tile in piece.tiles)
    return TileGroup(width, height, tiles, tuple(text for piece in pieces for text in piece.texts))


def stacked(*pieces: TileGroup) -> TileGroup:
    """Pieces under each other."""
    tops = [0, *accumulate(piece.height for piece in pieces)]
    moved = [piece.moved(0, top) for piece, top in zip(pieces, tops, strict=False)]
    return joined(moved, max(piece.width for piece in pieces), tops[-1])


def beside(pieces: Sequence[TileGroup], lefts: Sequence[int]) -> TileGroup:
    """Pieces with their tops at one height, each with its left edge at a place."""
    moved = [piece.moved(left, 0) for piece, left in zip(pieces, lefts, strict=True)]
    width = max(left + piece.width for piece, left in zip(pieces, lefts, strict=True))
    return joined(moved, width, max(piece.height for piece in pieces))


@dataclass(frozen=True, slots=True)
class SheetPage:
    """One page, with the text that belongs to no cell, and its hairlines."""

    width: int
    height: int
    tiles: tuple[Tile, ...]
    texts: tuple[Text, ...]
    rules: tuple[Box, ...] = ()


@dataclass(frozen=True, slots=True)
class Sheet:
    """A contact sheet: what it is of, when that was made, its pages, and the pixels of each inch of them."""

    title: str
    run_id: str
    made_at: str
    pages: tuple[SheetPage, ...]
    dpi: int = SCREEN_DPI

    @property
    def points(self) -> float:
        """The points of a pixel; an inch has 72."""
        return 72 / self.dpi
