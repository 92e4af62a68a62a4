"""An order with its input images read: everything that decides how a proof looks."""

from dataclasses import dataclass

from krea_pipe.local.order import Order
from krea_pipe.local.picture import Picture


@dataclass(frozen=True, slots=True)
class Tint:
    """A reference image and the strength with which it is used."""

    picture: Picture
    strength: float


@dataclass(frozen=True, slots=True)
class ProofSpec:
    """What to draw; `take` tells apart equal orders without a seed, which Krea draws at random."""

    order: Order
    tints: tuple[Tint, ...] = ()
    source: Tint | None = None
    take: int = 1
