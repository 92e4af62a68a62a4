"""Which marks a picture has: the seed chooses the composition, the richness how much of it is shown."""

import hashlib
import math
import random
from collections.abc import Callable, Mapping

from krea_pipe.local.abstract import compose_leaves, compose_orbits, compose_poster
from krea_pipe.local.marks import Arc, Mark, Polygon, Stage, box, disc, lean
from krea_pipe.local.palette import Role
from krea_pipe.local.proof_spec import ProofSpec
from krea_pipe.local.scenery import compose_arches, compose_landscape, compose_still_life

_Scene = Callable[[random.Random, Stage], list[Mark]]

_SCENES: tuple[_Scene, ...] = (
    compose_landscape,
    compose_still_life,
    compose_poster,
    compose_orbits,
    compose_arches,
    compose_leaves,
)
_RICHNESS: Mapping[str, float] = {"raw": 0.0, "low": 1.05, "medium": 2.1, "high": 3.4}
_LEAN = 0.34


def compose(brief: ProofSpec, stage: Stage) -> list[Mark]:
    """The marks from back to front; the prompt has no part in it, so that equal seeds share a layout."""
    order = brief.order
    rng = seeded_rng(brief)
    scene = _choose_scene(brief, rng)
    richness = _RICHNESS[order.creativity] + order.sliders.complexity / 100 * 2.0
    drawn = [*_ornaments(seeded_rng(brief), stage), *scene(rng, stage)]
    marks = [mark for mark in drawn if mark.tier <= max(0.0, richness)]
    movement = order.sliders.movement / 100
    if not movement:
        return marks
    slope = movement * _LEAN
    return [*(lean(mark, stage, slope) for mark in marks), *_sweeps(seeded_rng(brief), stage, movement)]


def seeded_rng(brief: ProofSpec) -> random.Random:
    """Randomness that follows from the seed, or from the number of the take where there is no seed."""
    seed = brief.order.seed
    name = f"take {brief.take}" if seed is None else f"seed {seed}"
    return random.Random(hashlib.sha256(name.encode()).digest())


def _choose_scene(brief: ProofSpec, rng: random.Random) -> _Scene:
    """Neighbouring seeds get different scenes, so that a row of seeds is a row of choices."""
    seed = brief.take if brief.order.seed is None else brief.order.seed
    return _SCENES[seed % len(_SCENES)] if isinstance(seed, int) else rng.choice(_SCENES)


def _ornaments(rng: random.Random, stage: Stage) -> list[Mark]:
    """Fine dots, rings, dashes and beads behind the richest pictures, above where the caption is."""
    marks = []
    for k in range(36):
        x, y, size = stage.width * rng.random(), stage.height * rng.uniform(0.03, 0.74), rng.uniform(0.004, 0.012)
        role: Role = rng.choice(("accent", "ground", "ink", "main"))
        kind, tier = rng.randrange(5), 2.5 + 0.08 * k
        if kind == 0:
            marks.append(Mark(Arc(x, y, size * 3.2, 0.005), role, "flat", tier, alpha=0.9, shade=0.2))
        elif kind == 1:
            dash = box(x, y, x + size * 9, y + 0.005)
            marks.append(Mark(dash, role, "flat", tier, alpha=0.9, shade=0.2))
        elif kind == 2:
            marks.append(Mark(disc(x, y, size * 2), role, "ball", tier, angle=1.0, shade=0.2))
        else:
            marks.append(Mark(disc(x, y, size), role, "flat", tier, alpha=0.9, shade=0.2))
    return marks


def _sweeps(rng: random.Random, stage: Stage, movement: float) -> list[Mark]:
    """Long bows across the picture, rising to the right for a positive movement, to the left for a negative one."""
    marks = []
    for k in range(math.ceil(abs(movement) * 5)):
        start, rise = stage.height * rng.uniform(0.45, 1.15), stage.height * rng.uniform(0.45, 0.8)
        bend, width = rng.uniform(0.05, 0.25), rng.uniform(0.01, 0.055) * (0.5 + abs(movement))
        upper, lower = [], []
        for i in range(61):
            place = i / 60
            x = stage.width * (place if movement > 0 else 1 - place)
            y = start - rise * place - bend * math.sin(math.pi * place)
            half = width / 2 * math.sin(math.pi * min(1.0, 0.04 + place * 0.96)) ** 0.7
            upper.append((x, y - half))
            lower.append((x, y + half))
        form = Polygon((*upper, *reversed(lower)))
        marks.append(Mark(form, ("ground", "accent", "haze")[k % 3], "flat", alpha=0.62, shade=0.25))
    return marks
