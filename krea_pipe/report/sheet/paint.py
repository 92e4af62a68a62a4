"""What both kinds of sheet are painted with: colours, letters, and pictures of which some are not there."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image

from krea_pipe.report.sheet.letters import Letters
from krea_pipe.report.sheet.model import Box, Text, Tile
from krea_pipe.report.sheet.pictures import Pictures

MARK = "krea-pipe contact sheet"
"""Stands in each file, so that a later sheet may replace it."""

COLOURS = {
    "paper": (255, 255, 255),
    "ink": (24, 24, 26),
    "quiet": (112, 112, 116),
    "mark": (166, 60, 40),
    "rule": (214, 214, 216),
    "empty": (246, 246, 247),
}
MISSING = ("missing", "The picture is not where the report says, or is damaged")


@dataclass(slots=True)
class Brush:
    """Pictures for the tiles of a sheet; remembers the cells whose picture was not there."""

    pictures: Pictures
    letters: Letters
    note: Callable[[str, str, Box], tuple[Text, ...]]
    missing: list[str] = field(default_factory=list)

    def picture(self, tile: Tile) -> Image.Image | None:
        """The picture of a tile, fitted into its box."""
        if tile.note or tile.row.image is None:
            return None
        found = self.pictures.fitted(tile.row, tile.box.width, tile.box.height)
        if found is None:
            self.missing.append(tile.row.id)
        return found
