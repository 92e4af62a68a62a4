"""Compositions without a place: a Bauhaus grid, orbits and cut-paper leaves."""

import math
import random

from krea_pipe.local.marks import Arc, Ellipse, Mark, Polygon, Stage, box, disc, petal, sector
from krea_pipe.local.palette import Role

_PAINTS: tuple[Role, ...] = ("main", "second", "accent", "haze", "ink")


def compose_poster(rng: random.Random, stage: Stage) -> list[Mark]:
    """Quarter circles and bars on a grid under one large disc."""
    cell = min(stage.width, stage.height) / 3
    columns, rows = round(stage.width / cell), round(stage.height / cell)
    dx, dy = stage.width / columns, stage.height / rows
    marks: list[Mark] = []
    for k, (column, row) in enumerate(_shuffled(rng, columns, rows)):
        marks += _cell(rng, column * dx, row * dy, (dx, dy), 0.35 * k - 0.4)
    x, y = stage.width * rng.uniform(0.36, 0.64), stage.height * rng.uniform(0.34, 0.5)
    radius = rng.uniform(0.24, 0.31)
    marks += _rules(rng, stage)
    marks += [
        Mark(Ellipse(x + 0.03, y + 0.05, radius * 1.25, radius * 1.25), "ink", "shadow", alpha=0.4),
        Mark(disc(x, y, radius), "accent", "fall", angle=rng.uniform(20, 160)),
        Mark(sector(x, y, radius, start=(turn := 90.0 * rng.randrange(4)), stop=turn + 180), "main", "fall", 0.9),
    ]
    marks += [
        Mark(Arc(x, y, radius * (0.78 - 0.2 * k), 0.02), "ground", "flat", 1.9 + 0.7 * k, alpha=0.85) for k in range(3)
    ]
    return marks


def _shuffled(rng: random.Random, columns: int, rows: int) -> list[tuple[int, int]]:
    """The cells of a grid by column and row, in a random order."""
    cells = [(column, row) for row in range(rows) for column in range(columns)]
    rng.shuffle(cells)
    return cells


def _cell(rng: random.Random, x: float, y: float, size: tuple[float, float], tier: float) -> list[Mark]:
    dx, dy = size
    kind, role, back = rng.randrange(5), rng.choice(_PAINTS[:3]), rng.choice(_PAINTS[2:4])
    corner = rng.randrange(4)
    cx, cy = x + dx * (corner in (1, 2)), y + dy * (corner in (2, 3))
    reach, angle = min(dx, dy), rng.uniform(0, 180)
    plate = Mark(box(x, y, x + dx, y + dy), back, "fall", tier + 1.5, veil=0.35, angle=angle)
    if kind <= 1:
        return [
            plate,
            Mark(sector(cx, cy, reach, start=90.0 * corner, stop=90.0 * corner + 90), role, "fall", tier, angle=angle),
        ]
    if kind == 2:
        return [plate, Mark(disc(x + dx / 2, y + dy / 2, reach * 0.3), role, "ball", tier, angle=1.0)]
    if kind == 3:
        return [plate] + [
            Mark(
                box(x, y + dy * (0.1 + 0.2 * k), x + dx, y + dy * (0.2 + 0.2 * k)),
                role,
                "fall",
                tier + 0.1 * k,
                angle=0,
            )
            for k in range(4)
        ]
    ring = [Arc(cx, cy, reach * (1 - 0.27 * k), reach * 0.13) for k in range(4)]
    return [plate] + [Mark(_quarter(form, corner), role, "fall", tier, angle=angle) for form in ring]


def _quarter(form: Arc, corner: int) -> Arc:
    return Arc(form.x, form.y, form.radius, form.width, 90.0 * corner, 90.0 * corner + 90)


def _rules(rng: random.Random, stage: Stage) -> list[Mark]:
    marks = []
    for k in range(4):
        x, y = stage.width * rng.uniform(0, 0.8), stage.height * rng.uniform(0.08, 0.92)
        marks.append(Mark(box(x, y, x + rng.uniform(0.2, 0.5), y + 0.012), "ink", "flat", 1.3 + 0.6 * k, alpha=0.9))
    for k in range(20):
        x, y = stage.width - 0.3 + 0.05 * (k % 5), 0.08 + 0.05 * (k // 5)
        marks.append(Mark(disc(x, y, 0.009), "ink", "flat", 2.7, alpha=0.8))
    return marks


def compose_orbits(rng: random.Random, stage: Stage) -> list[Mark]:
    """Rings around an off-centre ball, with smaller balls on their way."""
    x, y = stage.width * rng.uniform(0.36, 0.64), stage.height * rng.uniform(0.4, 0.56)
    core = rng.uniform(0.15, 0.2)
    marks = [Mark(disc(x, y, core * 4.2), "haze", "glow", alpha=0.8, shade=0.25), *_beams(rng, x, y)]
    for k in range(9):
        radius = core * 1.42 + 0.088 * k
        start, span = rng.uniform(0, 360), rng.uniform(80, 300)
        width = rng.choice((0.008, 0.014, 0.034, 0.058))
        tier = (0.0, 1.2, 0.0, 1.8, 0.7, 2.4, 1.5, 3.0, 3.6)[k]
        ring, role = Arc(x, y, radius, width, start, start + span), rng.choice(_PAINTS[:3])
        marks.append(Mark(ring, role, "fall" if width > 0.02 else "flat", tier, angle=start))
        marks += _moon(rng, x, y, radius - width / 2, tier)
    marks += [
        Mark(Ellipse(x + core * 0.25, y + core * 0.4, core * 1.35, core * 1.3), "ink", "shadow", alpha=0.42),
        Mark(disc(x, y, core), "accent", "ball", angle=1.0),
        Mark(Arc(x, y, core * 1.16, 0.006), "ink", "flat", 2.0, alpha=0.6),
    ]
    return marks


def _beams(rng: random.Random, x: float, y: float) -> list[Mark]:
    turn, marks = rng.uniform(0, 360), []
    for k in range(6):
        start = turn + 60.0 * k
        marks.append(
            Mark(sector(x, y, 2.4, start=start, stop=start + 14), "haze", "flat", 1.6 + 0.4 * (k % 3), alpha=0.4)
        )
    return marks


def _moon(rng: random.Random, x: float, y: float, radius: float, tier: float) -> list[Mark]:
    angle, size = rng.uniform(0, math.tau), rng.uniform(0.02, 0.055)
    mx, my = x + radius * math.cos(angle), y + radius * math.sin(angle)
    role = rng.choice(_PAINTS[:3])
    return [
        Mark(Ellipse(mx + size * 0.3, my + size * 0.5, size * 1.4, size * 1.4), "ink", "shadow", tier + 0.3, alpha=0.4),
        Mark(disc(mx, my, size), role, "ball", tier + 0.3, angle=1.0),
    ]


def compose_leaves(rng: random.Random, stage: Stage) -> list[Mark]:
    """Cut-paper leaves and petals that grow from one corner over soft fields."""
    w, h = stage.width, stage.height
    side = rng.choice((-1, 1))
    x, y = w * (0.5 - side * 0.16), h * rng.uniform(0.9, 0.98)
    bloom_x, bloom_y = w * (0.5 + side * rng.uniform(0.05, 0.14)), h * rng.uniform(0.3, 0.4)
    marks = [
        *_fields(rng, stage),
        Mark(disc(bloom_x - side * 0.2, bloom_y - 0.08, 0.2), "accent", "fall", 0.0, veil=0.3),
    ]
    marks += _fronds(rng, x, y, side)
    marks += _bloom(rng, bloom_x, bloom_y)
    for k in range(7):
        drop = petal(w * rng.random(), h * rng.random(), length=0.1, width=0.04, angle=rng.uniform(0, 360))
        marks.append(Mark(drop, rng.choice(_PAINTS), "flat", 2.2 + 0.4 * k, alpha=0.9))
    return marks


def _fields(rng: random.Random, stage: Stage) -> list[Mark]:
    cut = stage.height * rng.uniform(0.5, 0.66)
    wave = [(stage.width * i / 60, cut + 0.09 * math.sin(i / 60 * 5 + rng.random() * 0.02)) for i in range(-3, 64)]
    low = Polygon((*wave, (stage.width + 0.2, stage.height + 0.1), (-0.2, stage.height + 0.1)))
    column = stage.width * rng.uniform(0.55, 0.75)
    return [
        Mark(box(column, -0.1, stage.width + 0.3, stage.height + 0.1), "haze", "fall", 0.8, angle=90),
        Mark(low, "haze", "fall", 0.0, angle=90, shade=-0.2),
    ]


def _fronds(rng: random.Random, x: float, y: float, side: int) -> list[Mark]:
    marks = []
    for k in range(9):
        angle = -90 + side * (-62 + 15.5 * k) + rng.uniform(-5, 5)
        leaf = petal(x, y, length=rng.uniform(0.5, 0.82), width=rng.uniform(0.12, 0.2), angle=angle)
        role: Role = ("main", "second", "ink")[k % 3] if k % 4 else "second"
        marks.append(Mark(leaf, role, "fall", 0.45 * ((k * 4) % 9), angle=angle, veil=0.12))
        vein = petal(x, y, length=0.46, width=0.006, angle=angle)
        marks.append(Mark(vein, "ground", "flat", 1.8 + 0.2 * k, alpha=0.7))
    return marks


def _bloom(rng: random.Random, x: float, y: float) -> list[Mark]:
    turn, marks = rng.uniform(0, 45), [Mark(disc(x + 0.02, y + 0.04, 0.3), "ink", "shadow", alpha=0.35)]
    for ring, (count, reach, role) in enumerate(((9, 0.27, "accent"), (8, 0.19, "main"), (7, 0.12, "accent"))):
        for k in range(count):
            leaf = petal(x, y, length=reach, width=reach * 0.62, angle=turn + 360 / count * k + 20 * ring)
            paint: Role = "main" if role == "main" else "accent"
            marks.append(
                Mark(leaf, paint, "fall", (0.0, 0.9, 2.0)[ring], shade=0.15 * (k % 2) - 0.1 * ring, angle=40.0 * k)
            )
    return [*marks, Mark(disc(x, y, 0.05), "ink", "ball", angle=1.0, veil=0.15)]
