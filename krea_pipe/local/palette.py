"""The six colours of a proof: from the words of the prompt, a moodboard's id and the pixels of references."""

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from krea_pipe.local.colour import Colour, distance, from_rgb, mix, turn
from krea_pipe.local.proof_spec import ProofSpec, Tint
from krea_pipe.local.words import find_colours

Role = Literal["ground", "haze", "main", "second", "accent", "ink"]
ROLES: tuple[Role, ...] = get_args(Role)

# A weak reference takes the main colour first and the darkest last.
_YIELDING: tuple[Role, ...] = ("main", "ground", "accent", "second", "haze", "ink")
# Hues of second and accent against main: analogous, split, warm against cool, near complement, triad.
_HARMONIES = ((28, 186), (-34, 158), (160, 40), (-24, 214), (48, 232), (200, -30))
_Weighed = tuple[Colour, float]


@dataclass(frozen=True, slots=True)
class Palette:
    """What each part of a composition is painted with."""

    ground: Colour
    haze: Colour
    main: Colour
    second: Colour
    accent: Colour
    ink: Colour

    def __getitem__(self, role: Role) -> Colour:
        colour: Colour = getattr(self, role)
        return colour

    def __iter__(self) -> Iterator[Colour]:
        return (self[role] for role in ROLES)

    @property
    def is_dark(self) -> bool:
        """Whether the ground is darker than what stands on it."""
        return self.ground.light < 0.5


def choose_palette(brief: ProofSpec) -> Palette:
    """The palette of a proof: the prompt's own, then the moodboard's over it, then that of the references."""
    order = brief.order
    palette = _from_prompt(order.prompt)
    if order.moodboard is not None:
        board = _harmonise(_seeded("moodboard", order.moodboard.id), base=None)
        palette = _lay_over(palette, board, order.moodboard.strength)
    if brief.tints:
        strength = 1 - math.prod(1 - min(1.0, abs(tint.strength)) for tint in brief.tints)
        palette = _lay_over(palette, _cast(_gather(brief.tints)), strength)
    return _grade(palette, order.sliders.intensity / 100)


def _seeded(*parts: str) -> random.Random:
    text = "\0".join(parts).encode("utf-8", "backslashreplace")
    return random.Random(hashlib.sha256(text).digest())


def _from_prompt(prompt: str) -> Palette:
    named = find_colours(prompt, most=5)
    rng = _seeded("prompt", prompt)
    vivid = [colour for colour in named if colour.chroma > 0.035]
    palette = _harmonise(rng, base=vivid[0] if vivid else None)
    if not named:
        return palette
    own = [(colour, 1.0 / (1 + index * 0.15)) for index, colour in enumerate(named)]
    return _cast([*own, *((palette[role], 0.12) for role in ("main", "accent", "second", "haze"))])


def _harmonise(rng: random.Random, *, base: Colour | None) -> Palette:
    """A palette of its own, light two times out of three, around the hue of `base` or a random one."""
    hue = base.hue if base else rng.uniform(0, 360)
    to_second, to_accent = rng.choice(_HARMONIES)
    dark = (base.light < 0.35) if base else rng.random() < 0.34
    levels = (0.23, 0.36, 0.62, 0.47, 0.80, 0.12) if dark else (0.93, 0.83, 0.60, 0.46, 0.70, 0.27)
    chromas = (0.045, 0.07, 0.14, 0.11, 0.15, 0.03) if dark else (0.025, 0.055, 0.13, 0.10, 0.16, 0.05)
    hues = (hue + 12, hue + to_second / 3, hue, hue + to_second, hue + to_accent, hue + to_second / 2)
    calm = rng.uniform(0.72, 1.12)
    return Palette(
        *(
            Colour(light + rng.uniform(-0.025, 0.025), chroma * calm, h % 360)
            for light, chroma, h in zip(levels, chromas, hues, strict=True)
        )
    )


def _gather(tints: Sequence[Tint]) -> list[_Weighed]:
    """All swatches weighed by the strength of their reference; a negative strength brings the opposites."""
    weighed = []
    for tint in tints:
        for swatch in tint.picture.swatches:
            colour = from_rgb(swatch.rgb)
            if tint.strength < 0:
                colour = Colour(1 - colour.light * 0.9, colour.chroma, (colour.hue + 180) % 360)
            weighed.append((colour, swatch.share * (abs(tint.strength) + 0.01)))
    return weighed


def _cast(weighed: Sequence[_Weighed]) -> Palette:
    """Give colours their parts: the heaviest is the ground, the liveliest and most distant stand on it."""
    ground = max(weighed, key=_suits_ground)[0]
    lively = [entry for entry in weighed if entry[0].chroma > 0.04] or weighed
    main = _pick(lively, [ground], liking=3.0) or ground.shift(light=_away(ground, 0.28), chroma=1.1)
    accent = _pick(lively, [ground, main], liking=5.0) or main.shift(light=0.12, chroma=1.25, hue=18)
    second = _pick(weighed, [ground, main, accent], liking=1.0) or main.shift(light=-0.16, chroma=0.8, hue=-16)
    haze = _pick(weighed, [ground, main, accent, second], liking=0.5) or mix(ground, main, 0.3)
    tone = min((colour for colour, _ in weighed), key=lambda colour: colour.light)
    ink = Colour(min(tone.light, 0.3), min(tone.chroma, 0.06), tone.hue)
    parts = [_apart(colour, ground, 0.15) for colour in (main, second, accent)]
    return Palette(ground, mix(haze, ground, 0.35), parts[0], parts[1], parts[2], ink)


def _suits_ground(entry: _Weighed) -> float:
    colour, weight = entry
    return weight * (0.6 + 2 * abs(colour.light - 0.58) - 1.2 * min(colour.chroma, 0.3))


def _pick(weighed: Sequence[_Weighed], taken: Sequence[Colour], *, liking: float) -> Colour | None:
    """The colour that differs most from those taken, with a liking for chroma, if one differs enough."""

    def score(entry: _Weighed) -> float:
        colour, weight = entry
        gap = min(distance(colour, other) for other in taken)
        return gap * (1 + liking * colour.chroma * 4) * math.pow(weight, 0.35)

    best = max(weighed, key=score)[0]
    return best if min(distance(best, other) for other in taken) > 0.07 else None


def _away(ground: Colour, step: float) -> float:
    return step if ground.light < 0.5 else -step


def _apart(colour: Colour, ground: Colour, gap: float) -> Colour:
    """The colour moved in lightness until it can be told from the ground."""
    missing = gap - distance(colour, ground)
    if missing <= 0:
        return colour
    step = gap - abs(colour.light - ground.light)
    return colour.shift(light=step if colour.light > ground.light and ground.light < 0.75 else -step)


def _lay_over(palette: Palette, other: Palette, strength: float) -> Palette:
    weight = min(1.0, abs(strength))
    if strength < 0:
        other = Palette(*(colour.shift(hue=180) for colour in other))
    # Role after role gives way, since blending all of them half-way would be mud.
    shares = {role: min(1.0, max(0.0, (weight - 0.14 * k) / 0.3)) for k, role in enumerate(_YIELDING)}
    return Palette(*(turn(palette[role], other[role], shares[role]) for role in ROLES))


def _grade(palette: Palette, intensity: float) -> Palette:
    """Intensity as chroma and contrast around a middle lightness."""
    chroma = 1 + intensity * (0.6 if intensity > 0 else 0.82)
    contrast = 1 + intensity * (0.28 if intensity > 0 else 0.5)
    return Palette(
        *(Colour(min(0.97, max(0.06, 0.6 + (c.light - 0.6) * contrast)), c.chroma * chroma, c.hue) for c in palette)
    )
