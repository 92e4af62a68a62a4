"""Lines in their order become pages: as many as fit on each, and a table on one page rather than cut in two."""

from collections.abc import Sequence
from dataclasses import dataclass

from krea_pipe.report.sheet.parts import Piece


@dataclass(frozen=True, slots=True)
class Band:
    """Lines under a head, which is said again on each page."""

    head: tuple[Piece, ...]
    lines: tuple[Piece, ...]
    gap: int

    def height(self, first: int, last: int) -> int:
        """The height of the head and some lines."""
        lines = self.lines[first:last]
        return sum(piece.height for piece in (*self.head, *lines)) + self.gap * (len(lines) - 1)

    def fitting(self, first: int, room: int) -> int:
        """The end of the lines that fit a room after the head."""
        used, last = self.height(first, first), first
        while last < len(self.lines) and used + self.lines[last].height + self.gap <= room:
            used += self.lines[last].height + self.gap
            last += 1
        return last


@dataclass(frozen=True, slots=True)
class Run:
    """Lines of a band that stand on one page."""

    band: Band
    first: int
    last: int

    @property
    def height(self) -> int:
        """Its height with the head."""
        return self.band.height(self.first, self.last)


def height_of(runs: Sequence[Run], space: int) -> int:
    """The height of runs under each other."""
    return sum(run.height for run in runs) + space * (len(runs) - 1)


def pack(bands: Sequence[Band], rooms: tuple[int, int], space: int) -> list[list[Run]] | None:
    """The runs of each page, or None when a line is too high; `rooms` are the first page's height and the others'."""
    pages: list[list[Run]] = [[]]
    for band in bands:
        first, end = 0, len(band.lines)
        while first < end:
            room = rooms[len(pages) > 1]
            start = height_of(pages[-1], space) + space if pages[-1] else 0
            last = band.fitting(first, room - start)
            is_better_whole = last < end and start > room / 2 and band.height(first, end) <= rooms[1]
            if pages[-1] and (last == first or is_better_whole):
                pages.append([])
                continue
            if last == first:
                return None
            pages[-1].append(Run(band, first, last))
            first = last
    return pages
