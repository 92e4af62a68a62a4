"""The most similar other image of each image of a stage, without comparing each with every other one."""

import hashlib
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from krea_pipe.core.likeness import vector

_LIGHT = 64
_MAX_NEAR = 5
"""The images that are named at most."""


@dataclass(frozen=True, slots=True)
class Signed:
    """An image: the id of its cell, the key of its request, and its perceptual signature."""

    id: str
    key: str
    likeness: str


@dataclass(frozen=True, slots=True)
class Nearest:
    """The distance to the most similar image of another request, and the cells of those that are too near."""

    distance: float
    cells: tuple[str, ...] = ()


def comparison_digest(images: Iterable[Signed], too_near: float) -> str:
    """Identify a comparison, so that it need not be made again.

    Args:
        images: the images of a stage.
        too_near: the distance below which images are named.
    """
    text = "\n".join(f"{one.id} {one.key} {one.likeness}" for one in images)
    return hashlib.sha256(f"{too_near!r}\n{text}".encode("utf-8", "replace")).hexdigest()[:32]


def nearest_of(images: Sequence[Signed], too_near: float) -> dict[str, Nearest]:
    """The nearest of each image, by the id of its cell; cells of one request have one image, and are not compared.

    Points are sorted by the sum of their light. The distance of two points is at least the difference of these sums
    divided by 8, so that only images of about the same light are compared.

    Args:
        images: the images of a stage.
        too_near: the distance below which images are named.
    """
    known = [(one, point) for one in images if (point := vector(one.likeness)) is not None]
    spots = sorted(((sum(point[:_LIGHT]) / math.sqrt(_LIGHT), one, point) for one, point in known), key=lambda s: s[0])
    lights = [light for light, _, _ in spots]
    found: dict[str, Nearest] = {}
    for light, one, point in spots:
        best, near = math.inf, list[tuple[float, str]]()
        up = bisect_left(lights, light)
        down = up - 1
        while True:
            gaps = (
                light - lights[down] if down >= 0 else math.inf,
                lights[up] - light if up < len(spots) else math.inf,
            )
            if min(gaps) > max(best, too_near) or min(gaps) == math.inf:
                break
            at = down if gaps[0] <= gaps[1] else up
            down, up = (down - 1, up) if at == down else (down, up + 1)
            _, other, place = spots[at]
            if other.key != one.key:
                distance = min(1.0, math.dist(point, place))
                best = min(best, distance)
                if distance < too_near:
                    near.append((distance, other.id))
        if best < math.inf:
            found[one.id] = Nearest(best, tuple(cell for _, cell in sorted(near)[:_MAX_NEAR]))
    return found
