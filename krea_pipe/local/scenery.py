"""Compositions with a place in them: a landscape, a still life and a row of arches."""

import math
import random

from krea_pipe.local.marks import Arc, Ellipse, Mark, Point, Polygon, Stage, arch, box, disc, petal, vessel
from krea_pipe.local.palette import Role

_JAR_HEIGHT = 0.27


def compose_landscape(rng: random.Random, stage: Stage) -> list[Mark]:
    """A sun over ridges that fade into the haze, and its light on water."""
    w, h = stage.width, stage.height
    horizon = h * rng.uniform(0.56, 0.66)
    x, radius = w * rng.uniform(0.24, 0.76), rng.uniform(0.13, 0.21)
    y = horizon - rng.uniform(1.5, 2.4) * radius
    return [
        Mark(disc(x, y, radius * 3.6), "accent", "glow", alpha=0.55),
        Mark(disc(x, y, radius), "accent", "fall", angle=90, shade=0.3),
        *_halo(x, y, radius),
        *_clouds(rng, stage, horizon),
        *_ridges(rng, stage, horizon),
        *_water(rng, stage, horizon, x),
    ]


def _halo(x: float, y: float, radius: float) -> list[Mark]:
    rings = [Arc(x, y, radius * (1.35 + 0.28 * k), 0.006) for k in range(5)]
    return [
        Mark(ring, "accent", "flat", tier=2.4 + 0.5 * k, alpha=0.8 - 0.1 * k, shade=0.3) for k, ring in enumerate(rings)
    ]


def _clouds(rng: random.Random, stage: Stage, horizon: float) -> list[Mark]:
    marks = []
    for k in range(6):
        x, y = stage.width * rng.random(), horizon * rng.uniform(0.12, 0.72)
        rx, ry = rng.uniform(0.14, 0.34), rng.uniform(0.012, 0.026)
        marks.append(Mark(Ellipse(x, y, rx, ry), "ground", "flat", 1.0 + 0.4 * k, alpha=0.55, shade=0.5))
    return marks


def _ridges(rng: random.Random, stage: Stage, horizon: float) -> list[Mark]:
    roles: tuple[Role, ...] = ("main", "main", "second", "second", "ink")
    tiers = (1.8, 0.0, 2.6, 0.9, 3.4)
    marks = []
    for k, (role, tier) in enumerate(zip(roles, tiers, strict=True)):
        base = horizon - stage.height * (0.115 - 0.02 * k) * rng.uniform(0.75, 1.2)
        points = _wave(rng, stage.width, base, swell=0.075 - 0.006 * k)
        form = Polygon((*points, (stage.width + 0.4, horizon + 0.006), (-0.4, horizon + 0.006)))
        marks.append(Mark(form, role, "fall", tier, veil=0.72 - 0.14 * k, angle=90))
    return marks


def _wave(rng: random.Random, width: float, base: float, *, swell: float) -> list[Point]:
    waves = [(rng.uniform(0.6, 1.4), rng.uniform(0, math.tau), 1.0)]
    waves += [
        (rng.uniform(2.0, 3.4), rng.uniform(0, math.tau), 0.42),
        (rng.uniform(5, 8), rng.uniform(0, math.tau), 0.12),
    ]
    points = []
    for i in range(-4, 85):
        x = -0.4 + (width + 0.8) * (i + 4) / 88
        lift = sum(size * math.sin(x * speed * 2.4 + phase) for speed, phase, size in waves)
        points.append((x, base - swell * lift))
    return points


def _water(rng: random.Random, stage: Stage, horizon: float, x: float) -> list[Mark]:
    depth = stage.height - horizon
    marks = [Mark(box(-0.4, horizon, stage.width + 0.4, stage.height + 0.1), "second", "fall", veil=0.35, angle=90)]
    for k in range(9):
        y = horizon + depth * (0.05 + 0.1 * k) + rng.uniform(-0.005, 0.005)
        half = rng.uniform(0.05, 0.12) * (1 + 0.16 * k)
        form = Ellipse(x + rng.uniform(-0.03, 0.03), y, half, 0.005 + 0.0016 * k)
        marks.append(Mark(form, "accent", "flat", tier=(k % 3) * 1.1, alpha=0.72 - 0.05 * k))
    near = _wave(rng, stage.width, stage.height - depth * 0.16, swell=0.05)
    form2 = Polygon((*near, (stage.width + 0.4, stage.height + 0.1), (-0.4, stage.height + 0.1)))
    return [*marks, Mark(form2, "ink", "fall", tier=1.4, veil=0.12, angle=90)]


def compose_still_life(rng: random.Random, stage: Stage) -> list[Mark]:
    """Vessels and balls on a table by a window."""
    w, h = stage.width, stage.height
    edge = h * rng.uniform(0.60, 0.68)
    side = rng.choice((-1, 1))
    slots = [w * (0.5 + side * at) + rng.uniform(-0.03, 0.03) for at in (-0.06, 0.24, -0.30, 0.08, 0.37)]
    floor = [edge + (h - edge) * at for at in (0.26, 0.34, 0.16, 0.46, 0.1)]
    backdrop = Mark(disc(w * 0.5 - side * 0.1, edge - 0.22, 0.34), "haze", "fall", 0.8, alpha=0.9, shade=0.35)
    marks = [
        *_window(rng, stage, edge),
        backdrop,
        Mark(box(-0.5, edge, w + 0.5, h + 0.1), "second", "fall", veil=0.45, angle=90, shade=0.15),
        Mark(box(-0.5, edge, w + 0.5, edge + 0.004), "ground", "flat", tier=1.6, alpha=0.5, shade=0.4),
    ]
    marks += _block(slots[4], floor[4], side)
    marks += _sprig(rng, slots[2], floor[2] - _JAR_HEIGHT + 0.015)
    marks += _jar(rng, slots[2], floor[2], side, tier=0.9)
    marks += _bottle(rng, slots[0], floor[0], side)
    marks += _ball(slots[1], floor[1], rng.uniform(0.11, 0.14), side, "accent", tier=0.0)
    marks += _ball(slots[3], floor[3], rng.uniform(0.05, 0.065), side, "second", tier=2.0)
    marks += _ball(slots[0] - side * 0.2, floor[3] + 0.02, 0.035, side, "main", tier=3.2)
    return marks


def _window(rng: random.Random, stage: Stage, edge: float) -> list[Mark]:
    left, slant = stage.width * rng.uniform(0.08, 0.5), rng.uniform(0.1, 0.25)
    marks = []
    for k in range(3):
        x, span = left + 0.17 * k, 0.14
        form = Polygon(((x, 0.04), (x + span, 0.04), (x + span + slant, edge - 0.06), (x + slant, edge - 0.06)))
        marks.append(Mark(form, "ground", "fall", 0.4 + 0.9 * k, alpha=0.5, shade=0.5, angle=90))
    return marks


def _shadow(x: float, base: float, half: float, side: int, tier: float) -> Mark:
    return Mark(Ellipse(x + side * half * 0.9, base, half * 2.0, half * 0.42), "ink", "shadow", tier, alpha=0.5)


def _bottle(rng: random.Random, x: float, base: float, side: int) -> list[Mark]:
    body, neck = rng.uniform(0.085, 0.115), rng.uniform(0.026, 0.036)
    tall, lit = rng.uniform(0.44, 0.54), float(side)
    turned = ((body * 0.92, 0), (body, 0.04), (body, tall * 0.52), (neck * 1.1, tall * 0.74), (neck, tall))
    lip = box(x - neck * 1.35, base - tall - 0.012, x + neck * 1.35, base - tall + 0.004)
    cap = box(x - neck * 1.45, base - tall - 0.055, x + neck * 1.45, base - tall)
    glint = box(x - side * body * 0.55, base - tall * 0.5, x - side * body * 0.4, base - 0.06)
    return [
        _shadow(x, base, body, side, 0.0),
        Mark(vessel(x, base, turned), "main", "round", angle=lit),
        Mark(lip, "main", "round", angle=lit, shade=-0.15),
        Mark(glint, "ground", "flat", tier=2.4, alpha=0.4, shade=0.6),
        Mark(cap, "ink", "round", 1.2, veil=0.2, angle=lit),
    ]


def _jar(rng: random.Random, x: float, base: float, side: int, *, tier: float) -> list[Mark]:
    belly, tall = rng.uniform(0.11, 0.14), _JAR_HEIGHT
    turned = (
        (belly * 0.6, 0),
        (belly, tall * 0.45),
        (belly * 0.8, tall * 0.8),
        (belly * 0.42, tall * 0.94),
        (belly * 0.5, tall),
    )
    return [
        _shadow(x, base, belly, side, tier),
        Mark(vessel(x, base, turned), "haze", "round", tier, angle=float(side), shade=-0.1),
        Mark(Ellipse(x, base - tall, belly * 0.5, belly * 0.1), "ink", "flat", tier, veil=0.35),
    ]


def _ball(x: float, base: float, radius: float, side: int, role: Role, *, tier: float) -> list[Mark]:
    return [
        _shadow(x, base - radius * 0.06, radius, side, tier),
        Mark(disc(x, base - radius, radius), role, "ball", tier, angle=float(side)),
    ]


def _sprig(rng: random.Random, x: float, y: float) -> list[Mark]:
    marks = []
    for k in range(7):
        angle = -90 + (k - 3) * 19 + rng.uniform(-6, 6)
        leaf = petal(x, y, length=rng.uniform(0.2, 0.36), width=rng.uniform(0.045, 0.07), angle=angle)
        marks.append(Mark(leaf, "second" if k % 2 else "main", "fall", 1.5 + 0.35 * ((k * 3) % 7), angle=60.0 + 20 * k))
    return marks


def _block(x: float, base: float, side: int) -> list[Mark]:
    return [
        _shadow(x, base, 0.1, side, 2.8),
        Mark(arch(x, base, 0.1, 0.3), "accent", "round", 2.8, veil=0.35, angle=float(side)),
        Mark(arch(x, base, 0.05, 0.2), "ink", "fall", 2.8, veil=0.3, angle=90),
    ]


def compose_arches(rng: random.Random, stage: Stage) -> list[Mark]:
    """A portal within a portal, steps before it and a light behind."""
    w, h = stage.width, stage.height
    x, floor = w * rng.uniform(0.38, 0.62), h * rng.uniform(0.70, 0.78)
    half, tall = rng.uniform(0.36, 0.44), min(h * 0.62, 0.98)
    roles: tuple[Role, ...] = ("main", "haze", "second", "ground", "accent")
    tiers = (0.0, 1.0, 0.0, 2.0, 3.0)
    marks = [*_columns(stage, x, floor, half)]
    for k, (role, tier) in enumerate(zip(roles, tiers, strict=True)):
        scale = 1 - 0.17 * k
        marks.append(Mark(arch(x, floor, half * scale, tall * (1 - 0.13 * k)), role, "fall", tier, angle=60 + 15.0 * k))
    glow, sun = rng.uniform(0.08, 0.1), floor - tall * rng.uniform(0.3, 0.36)
    marks += [
        Mark(disc(x, sun, glow * 3), "accent", "glow", 0.0, alpha=0.55, shade=0.2),
        Mark(disc(x, sun, glow), "accent", "ball", 0.0, angle=1.0, shade=0.15),
        Mark(box(-0.5, floor, w + 0.5, h + 0.1), "second", "fall", veil=0.3, angle=90),
    ]
    marks += _steps(stage, x, floor, half)
    marks += _ball(x + half * 1.25, floor + 0.1, rng.uniform(0.08, 0.1), 1, "main", tier=0.8)
    marks += _ball(x - half * 1.2, floor + 0.15, rng.uniform(0.045, 0.06), 1, "accent", tier=1.8)
    return marks


def _columns(stage: Stage, x: float, floor: float, half: float) -> list[Mark]:
    marks = []
    for k in range(4):
        for side in (-1, 1):
            at = x + side * (half * 1.28 + 0.2 * k)
            form = arch(at, floor, 0.075, stage.height * (0.42 - 0.06 * k))
            marks.append(Mark(form, "haze" if k % 2 else "second", "round", 1.4 + 0.7 * k, veil=0.3, angle=1.0))
    return marks


def _steps(stage: Stage, x: float, floor: float, half: float) -> list[Mark]:
    marks = []
    rise = (stage.height - floor) / 6
    for k in range(5):
        wide, top = half * (0.62 + 0.26 * k), floor + rise * k
        form = box(x - wide, top, x + wide, top + rise)
        marks.append(
            Mark(form, "ground" if k % 2 else "haze", "fall", (0.6, 0.6, 1.6, 2.2, 2.9)[k], veil=0.25, angle=90)
        )
    return marks
