"""The marks that a composition is made of, in units of the shorter side of the picture."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from krea_pipe.local.palette import Role

Point = tuple[float, float]
# flat colour; light falling along `angle`; the shading of a cylinder; of a ball; a soft glow; a soft shadow
Light = Literal["flat", "fall", "round", "ball", "glow", "shadow"]


@dataclass(frozen=True, slots=True)
class Ellipse:
    """A centre and two radii."""

    x: float
    y: float
    rx: float
    ry: float


@dataclass(frozen=True, slots=True)
class Arc:
    """A part of a ring: outer radius, width, and two angles in degrees clockwise from three o'clock."""

    x: float
    y: float
    radius: float
    width: float
    start: float = 0
    stop: float = 360


@dataclass(frozen=True, slots=True)
class Polygon:
    """A closed outline."""

    points: tuple[Point, ...]


Form = Ellipse | Arc | Polygon


@dataclass(frozen=True, slots=True)
class Mark:
    """A form, its colour and how light falls on it.

    `tier` is the richness (0 to 5) from which it is drawn, `veil` how far it fades into the haze.
    """

    form: Form
    role: Role
    light: Light = "fall"
    tier: float = 0.0
    veil: float = 0.0
    alpha: float = 1.0
    angle: float = 70.0
    shade: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """The picture's width and height in units of its shorter side."""

    width: float
    height: float

    @classmethod
    def of(cls, pixels: tuple[int, int]) -> "Stage":
        """The stage of a picture of that many pixels."""
        short = min(pixels)
        return cls(pixels[0] / short, pixels[1] / short)


def disc(x: float, y: float, radius: float) -> Ellipse:
    """A circle."""
    return Ellipse(x, y, radius, radius)


def box(left: float, top: float, right: float, bottom: float) -> Polygon:
    """An upright rectangle."""
    return Polygon(((left, top), (right, top), (right, bottom), (left, bottom)))


def sector(x: float, y: float, radius: float, *, start: float, stop: float) -> Polygon:
    """A piece of a pie; angles in degrees clockwise from three o'clock."""
    return Polygon(((x, y), *_bow(x, y, (radius, radius), (start, stop))))


def arch(x: float, base: float, half_width: float, height: float) -> Polygon:
    """A doorway with a round top that stands on `base`."""
    spring = base - max(height - half_width, 0.0)
    top = _bow(x, spring, (half_width, min(half_width, height)), (180, 360))
    return Polygon(((x - half_width, base), *top, (x + half_width, base)))


def vessel(x: float, base: float, profile: Sequence[Point]) -> Polygon:
    """A turned body: half-widths at heights above `base`, smoothed, mirrored at its axis."""
    curve = _smooth(profile)
    left = [(x - half, base - height) for half, height in curve]
    foot = _bow(x, base, (profile[0][0], profile[0][0] * 0.2), (0, 180))
    return Polygon((*left, *((2 * x - px, py) for px, py in reversed(left)), *foot))


def petal(x: float, y: float, *, length: float, width: float, angle: float) -> Polygon:
    """A leaf that grows from a point in the direction of an angle in degrees."""
    along, across = math.radians(angle), math.radians(angle + 90)
    steps = [(1 - math.cos(math.pi * i / 28)) / 2 for i in range(29)]
    rim = [(step * length, width / 2 * math.sin(math.pi * step**0.85)) for step in steps]
    outline = [*rim, *((run, -side) for run, side in reversed(rim))]
    return Polygon(
        tuple(
            (
                x + run * math.cos(along) + side * math.cos(across),
                y + run * math.sin(along) + side * math.sin(across),
            )
            for run, side in outline
        )
    )


def lean(mark: Mark, stage: Stage, slope: float) -> Mark:
    """The mark sheared sideways about the middle of the stage."""

    def moved(x: float, y: float) -> float:
        return x + slope * (stage.height / 2 - y)

    form = mark.form
    if isinstance(form, Polygon):
        return replace(mark, form=Polygon(tuple((moved(x, y), y) for x, y in form.points)))
    return replace(mark, form=replace(form, x=moved(form.x, form.y)))


def _bow(x: float, y: float, radii: Point, span: Point) -> list[Point]:
    start, stop = (math.radians(degrees) for degrees in span)
    angles = [start + (stop - start) * i / 48 for i in range(49)]
    return [(x + radii[0] * math.cos(a), y + radii[1] * math.sin(a)) for a in angles]


def _smooth(profile: Sequence[Point]) -> list[Point]:
    """A Catmull-Rom curve through the points."""
    curve: list[Point] = []
    padded = [profile[0], *profile, profile[-1]]
    for p0, p1, p2, p3 in zip(padded, padded[1:], padded[2:], padded[3:], strict=False):
        for step in range(12):
            curve.append(
                (_spline(p0[0], p1[0], p2[0], p3[0], step / 12), _spline(p0[1], p1[1], p2[1], p3[1], step / 12))
            )
    return [*curve, profile[-1]]


def _spline(a: float, b: float, c: float, d: float, t: float) -> float:
    return b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
