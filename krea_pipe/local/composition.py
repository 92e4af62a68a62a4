"""Which marks a picture has: the seed chooses the composition, the richness how much of it is shown."""

import hashlib
import math
import random
from collections.abc import Mapping
from dataclasses import replace

from krea_pipe.local.order import ProofSpec
from krea_pipe.local.painting import Mark, Outline, arch, bow, box, disc, petal, ring, vessel
from krea_pipe.local.palette import Role

_RICHNESS: Mapping[str, float] = {"raw": 0.0, "low": 1.05, "medium": 2.1, "high": 3.4}
_LEAN = 0.34


def compose(spec: ProofSpec) -> list[Mark]:
    """The marks from back to front; the prompt has no part in it, so that equal seeds share a layout."""
    w, h = (side / min(spec.order.pixels) for side in spec.order.pixels)
    # Neighbouring seeds get different scenes, so that a row of seeds is a row of choices.
    seed = spec.take if spec.order.seed is None else spec.order.seed
    scene = _SCENES[int(seed) % len(_SCENES)]
    sliders = spec.order.sliders
    richness = max(0.0, _RICHNESS[spec.order.creativity] + sliders.complexity / 100 * 2.0)
    marks = [mark for mark in scene(_seeded(spec), w, h) if mark.tier <= richness]
    slope = sliders.movement / 100 * _LEAN
    if not slope:
        return marks
    return [replace(mark, outline=tuple((x + slope * (h / 2 - y), y) for x, y in mark.outline)) for mark in marks]


def _seeded(spec: ProofSpec) -> random.Random:
    """Randomness that follows from the seed, or from the number of the take where there is no seed."""
    seed = spec.order.seed
    name = f"take {spec.take}" if seed is None else f"seed {seed}"
    return random.Random(hashlib.sha256(name.encode()).digest())


def _compose_landscape(rng: random.Random, w: float, h: float) -> list[Mark]:
    """A sun over ridges that fade into the haze, and its light on water."""
    horizon, x, radius = h * rng.uniform(0.56, 0.66), w * rng.uniform(0.24, 0.76), rng.uniform(0.13, 0.21)
    y = horizon - rng.uniform(1.5, 2.4) * radius
    marks = [
        Mark(disc(x, y, radius * 3.6), "accent", "glow", alpha=0.55),
        Mark(disc(x, y, radius), "accent", shade=0.07),
    ]
    for k in range(5):
        halo = ring(x, y, radius * (1.35 + 0.28 * k), 0.006)
        marks.append(Mark(halo, "accent", "flat", 2.4 + 0.5 * k, alpha=0.8 - 0.1 * k, shade=0.07))
        at, half = (w * rng.random(), horizon * rng.uniform(0.12, 0.72)), rng.uniform(0.14, 0.34)
        marks.append(Mark(bow(*at, half, half * 0.08), "ground", "flat", 0.9 + 0.4 * k, alpha=0.55, shade=0.12))
    for k, (tier, role) in enumerate(_RIDGES):
        crest = horizon - h * (0.115 - 0.02 * k) * rng.uniform(0.75, 1.2)
        ridge = _hills(rng, w, crest, horizon + 0.006, 0.075 - 0.006 * k)
        marks.append(Mark(ridge, role, "fall", tier, 0.72 - 0.14 * k))
    marks.append(Mark(box(-0.4, horizon, w + 0.4, h + 0.1), "second", veil=0.35))
    for k in range(9):
        y, half = horizon + (h - horizon) * (0.05 + 0.1 * k), rng.uniform(0.05, 0.12) * (1 + 0.16 * k)
        glint = bow(x + rng.uniform(-0.03, 0.03), y, half, 0.005 + 0.0016 * k)
        marks.append(Mark(glint, "accent", "flat", k % 3 * 1.1, alpha=0.72 - 0.05 * k))
    shore = _hills(rng, w, h - (h - horizon) * 0.16, h + 0.1, 0.05)
    return [*marks, Mark(shore, "ink", "fall", 1.4, 0.12)]


def _hills(rng: random.Random, width: float, crest: float, foot: float, swell: float) -> Outline:
    """Land between a wavy crest and an even foot, from beyond one side of the picture to beyond the other."""
    waves = [
        (rng.uniform(low, high), rng.uniform(0, math.tau), size)
        for low, high, size in ((1.4, 3.4, 1.0), (4.8, 8.2, 0.42), (12, 19, 0.12))
    ]
    xs = [-0.4 + (width + 0.8) * i / 88 for i in range(89)]
    top = [(x, crest - swell * sum(size * math.sin(x * speed + phase) for speed, phase, size in waves)) for x in xs]
    return (*top, (width + 0.4, foot), (-0.4, foot))


def _compose_still_life(rng: random.Random, w: float, h: float) -> list[Mark]:
    """A bottle, a jar with a sprig and balls on a table by a window."""
    edge, side, pane = h * rng.uniform(0.60, 0.68), rng.choice((-1, 1)), w * rng.uniform(0.08, 0.5)
    xs = [w * (0.5 + side * at) + rng.uniform(-0.03, 0.03) for at in (-0.06, -0.30, 0.24, 0.08)]
    bottle, jar, ball, bead = zip(xs, (edge + (h - edge) * at for at in (0.26, 0.16, 0.34, 0.46)), strict=True)
    marks = [Mark(disc(w * 0.5 - side * 0.1, edge - 0.22, 0.34), "haze", "fall", 0.8, alpha=0.9, shade=0.09)]
    for k in range(3):
        left, right = pane + 0.17 * k, pane + 0.17 * k + 0.14
        light = ((left, 0.04), (right, 0.04), (right + 0.16, edge - 0.06), (left + 0.16, edge - 0.06))
        marks.append(Mark(light, "ground", "fall", 0.4 + 0.9 * k, alpha=0.5, shade=0.12))
    return [
        *marks,
        Mark(box(-0.5, edge, w + 0.5, h + 0.1), "second", veil=0.45, shade=0.04),
        *_jar(rng, *jar),
        *_bottle(rng, *bottle),
        *_ball(*ball, rng.uniform(0.11, 0.14), "accent", 0),
        *_ball(*bead, rng.uniform(0.05, 0.065), "second", 2.0),
        *_ball(bottle[0] - side * 0.2, bead[1] + 0.02, 0.035, "main", 3.2),
    ]


def _jar(rng: random.Random, x: float, base: float) -> list[Mark]:
    """A jar with a sprig in it."""
    belly, marks = rng.uniform(0.11, 0.14), []
    for k in range(7):
        angle = 19 * k - 147 + rng.uniform(-6, 6)
        leaf = petal(x, base - 0.255, rng.uniform(0.2, 0.36), rng.uniform(0.045, 0.07), angle)
        marks.append(Mark(leaf, "second" if k % 2 else "main", "fall", 1.5 + 0.35 * (k * 3 % 7)))
    body = vessel(x, base, (belly * 0.6, 0), (belly, 0.13), (belly * 0.42, 0.25), (belly * 0.5, 0.27))
    mouth = bow(x, base - 0.27, belly * 0.5, belly * 0.1)
    shadow = _shadow(x, base, belly, 0.9)
    return [*marks, shadow, Mark(body, "haze", "round", 0.9, shade=-0.03), Mark(mouth, "ink", "flat", 0.9, 0.35)]


def _bottle(rng: random.Random, x: float, base: float) -> list[Mark]:
    body, neck, tall = rng.uniform(0.085, 0.115), rng.uniform(0.026, 0.036), rng.uniform(0.44, 0.54)
    outline = vessel(x, base, (body * 0.92, 0), (body, 0.05), (body, tall * 0.5), (neck, tall * 0.75), (neck, tall))
    cap = box(x - neck * 1.4, base - tall - 0.055, x + neck * 1.4, base - tall + 0.004)
    return [_shadow(x, base, body, 0), Mark(outline, "main", "round"), Mark(cap, "ink", "round", 1.2, 0.2)]


def _shadow(x: float, base: float, half: float, tier: float) -> Mark:
    return Mark(bow(x + half * 0.9, base, half * 2.0, half * 0.42), "ink", "shadow", tier, alpha=0.5)


def _ball(x: float, base: float, radius: float, role: Role, tier: float) -> list[Mark]:
    ball = disc(x, base - radius, radius)
    return [_shadow(x, base - radius * 0.06, radius, tier), Mark(ball, role, "ball", tier)]


def _compose_arches(rng: random.Random, w: float, h: float) -> list[Mark]:
    """A portal within a portal, steps before it, a light behind and columns beside it."""
    x, floor = w * rng.uniform(0.38, 0.62), h * rng.uniform(0.70, 0.78)
    half, tall = rng.uniform(0.36, 0.44), min(h * 0.62, 0.98)
    glow, sun, rise = rng.uniform(0.08, 0.1), floor - tall * rng.uniform(0.3, 0.36), (h - floor) / 6
    marks = []
    for k in range(8):
        away = half * 1.28 + 0.2 * (k // 2)
        column = arch(x + (away if k % 2 else -away), floor, 0.075, h * (0.42 - 0.03 * k))
        marks.append(Mark(column, "second" if k % 4 < 2 else "haze", "round", 1.4 + 0.7 * (k // 2), 0.3))
    for k, (tier, role) in enumerate(_PORTALS):
        marks.append(Mark(arch(x, floor, half * (1 - 0.17 * k), tall * (1 - 0.13 * k)), role, "fall", tier))
    marks.append(Mark(disc(x, sun, glow * 3), "accent", "glow", alpha=0.55, shade=0.05))
    marks.append(Mark(disc(x, sun, glow), "accent", "ball", shade=0.04))
    marks.append(Mark(box(-0.5, floor, w + 0.5, h + 0.1), "second", veil=0.3))
    for k, tier in enumerate((0.6, 0.6, 1.6, 2.2, 2.9)):
        wide, top = half * (0.62 + 0.26 * k), floor + rise * k
        marks.append(Mark(box(x - wide, top, x + wide, top + rise), "ground" if k % 2 else "haze", "fall", tier, 0.25))
    marks += _ball(x + half * 1.25, floor + 0.1, rng.uniform(0.08, 0.1), "main", 0.8)
    return [*marks, *_ball(x - half * 1.2, floor + 0.15, rng.uniform(0.045, 0.06), "accent", 1.8)]


def _compose_leaves(rng: random.Random, w: float, h: float) -> list[Mark]:
    """Cut-paper leaves that grow from one corner, and a bloom, over soft fields."""
    side = rng.choice((-1, 1))
    x, y = w * (0.5 + side * rng.uniform(0.05, 0.14)), h * rng.uniform(0.3, 0.4)
    root = (w * (0.5 - side * 0.16), h * rng.uniform(0.9, 0.98))
    marks = [
        Mark(box(w * rng.uniform(0.55, 0.75), -0.1, w + 0.3, h + 0.1), "haze", "fall", 0.8),
        Mark(_hills(rng, w, h * rng.uniform(0.5, 0.66), h + 0.1, 0.06), "haze", shade=-0.05),
        Mark(disc(x - side * 0.2, y - 0.08, 0.2), "accent", veil=0.3),
    ]
    for k in range(9):
        angle = -90 + side * (-62 + 15.5 * k) + rng.uniform(-5, 5)
        leaf = petal(*root, rng.uniform(0.5, 0.82), rng.uniform(0.12, 0.2), angle)
        role: Role = ("second", "main", "ink")[k % 3]
        marks.append(Mark(leaf, role, "fall", 0.45 * (k * 4 % 9), 0.12, shade=0.03 * (k % 2)))
        marks.append(Mark(petal(*root, 0.46, 0.006, angle), "ground", "flat", 1.8 + 0.2 * k, alpha=0.7))
    marks.append(Mark(disc(x + 0.02, y + 0.04, 0.3), "ink", "shadow", alpha=0.35))
    turn = rng.uniform(0, 45)
    for count, reach, tier in ((9, 0.27, 0.0), (8, 0.19, 0.9), (7, 0.12, 2.0)):
        for k in range(count):
            leaf = petal(x, y, reach, reach * 0.62, turn + 360 / count * k)
            marks.append(Mark(leaf, "main" if count == 8 else "accent", "fall", tier, shade=0.025 * (k % 3) - 0.02))
    marks.append(Mark(disc(x, y, 0.05), "ink", "ball", veil=0.15))
    for k in range(7):
        drop = petal(w * rng.random(), h * rng.random(), 0.1, 0.04, rng.uniform(0, 360))
        marks.append(Mark(drop, _TRIO[k % 3], "flat", 2.2 + 0.4 * k, alpha=0.9))
    return marks


_TRIO: tuple[Role, ...] = ("ground", "accent", "haze")
_RIDGES: tuple[tuple[float, Role], ...] = ((1.8, "main"), (0.0, "main"), (2.6, "second"), (0.9, "second"), (3.4, "ink"))
_PORTALS: tuple[tuple[float, Role], ...] = ((0, "main"), (1, "haze"), (0, "second"), (2, "ground"), (3, "accent"))
_SCENES = (_compose_landscape, _compose_still_life, _compose_arches, _compose_leaves)
