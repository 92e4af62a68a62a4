"""One image of a pipeline, and a stage whose images are not known yet."""

from dataclasses import dataclass
from decimal import Decimal
from typing import NamedTuple

from krea_pipe.core.request import Request
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import Recipe


@dataclass(frozen=True, slots=True)
class RecipeFile:
    """A file to deliver: its recipe, and its path below the output folder, without the suffix."""

    recipe: Recipe
    path: str


class Cell(NamedTuple):
    """One image of the matrix: its place in the order of the file, its id, axes, path and request.

    `names` and `axes` are the names and values of its axes. `source` is the id of the cell that it is generated for.
    `template` is what its prompt was rendered from, None where the prompt of its source is used unchanged. `files` are
    made from its image by the recipes of its stage. It is a tuple for the same reason as its request.
    """

    position: int
    id: str
    stage: str
    names: tuple[str, ...]
    axes: tuple[Scalar, ...]
    out: str
    request: Request
    source: str | None = None
    template: str | None = None
    files: tuple[RecipeFile, ...] = ()


@dataclass(frozen=True, slots=True)
class Waiting:
    """A stage that waits for picks: the picks file, the number of picks in it, and the expected cost.

    `each` is how many images the first cell would give if it were picked; `usd_each` and `usd_most` are the least and
    the most that one pick may cost.
    """

    stage: str
    upstream: str
    file: str
    found: int
    wants: tuple[int, int | None]
    each: int
    usd_each: Decimal
    usd_most: Decimal

    @property
    def usd(self) -> tuple[Decimal, Decimal | None]:
        """The least and the most that the stage will cost; None without a most."""
        least, most = self.wants
        return self.usd_each * least, None if most is None else self.usd_most * most
