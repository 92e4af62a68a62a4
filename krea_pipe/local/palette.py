"""The six colours of a proof: from the words of the prompt, a moodboard's id and the pixels of references."""

import cmath
import hashlib
import json
import math
import random
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Literal, NamedTuple

from krea_pipe.local.colour import Colour, distance, mix
from krea_pipe.local.order import ProofSpec, Tint

Role = Literal["ground", "haze", "main", "second", "accent", "ink"]

# A weak reference takes the main colour first and the darkest last.
_YIELDING: tuple[Role, ...] = ("main", "ground", "accent", "second", "haze", "ink")
# Hues of second and accent against main: analogous, split, warm against cool, near complement, triad.
_HARMONIES = ((28, 186), (-34, 158), (160, 40), (-24, 214), (48, 232), (200, -30))
# Lightness and chroma of each role.
_LIGHT = ((0.93, 0.025), (0.83, 0.055), (0.60, 0.13), (0.46, 0.10), (0.70, 0.16), (0.27, 0.05))
_DARK = ((0.23, 0.045), (0.36, 0.07), (0.62, 0.14), (0.47, 0.11), (0.80, 0.15), (0.12, 0.03))
_DATA = json.loads((files("krea_pipe") / "data" / "colours.json").read_text(encoding="utf-8"))
_NAMED = {word: Colour.of_rgb(bytes.fromhex(hexadecimal)) for word, hexadecimal in _DATA["words"].items()}

_Weighed = tuple[Colour, float]


class Palette(NamedTuple):
    """The colour for each part of a composition."""

    ground: Colour
    haze: Colour
    main: Colour
    second: Colour
    accent: Colour
    ink: Colour

    def of(self, role: Role) -> Colour:
        """The colour of one role."""
        return self[self._fields.index(role)]

    @property
    def is_dark(self) -> bool:
        """Whether the background is darker than the objects."""
        return self.ground.light < 0.5


def choose_palette(spec: ProofSpec) -> Palette:
    """The palette of a proof: the prompt's own, then the moodboard's over it, then that of the references."""
    order = spec.order
    palette = _from_prompt(order.prompt)
    if order.moodboard is not None:
        palette = _lay_over(palette, _harmonise(_seeded(f"moodboard {order.moodboard.id}")), order.moodboard.strength)
    if spec.tints:
        strength = 1 - math.prod(1 - min(1.0, abs(tint.strength)) for tint in spec.tints)
        palette = _lay_over(palette, _assign(_gather(spec.tints)), strength)
    return _grade(palette, order.sliders.intensity / 100)


def _seeded(name: str) -> random.Random:
    return random.Random(hashlib.sha256(name.encode("utf-8", "backslashreplace")).digest())


def _from_prompt(prompt: str) -> Palette:
    words = dict.fromkeys(re.findall("[a-z]+", prompt.lower()))
    named = [_NAMED[word] for word in words if word in _NAMED][:5]
    base = next((colour for colour in named if colour.chroma > 0.035), None)
    palette = _harmonise(_seeded(f"prompt {prompt}"), base)
    if not named:
        return palette
    own = [(colour, 1.0 / (1 + index * 0.15)) for index, colour in enumerate(named)]
    return _assign([*own, *((colour, 0.12) for colour in palette[1:5])])


def _harmonise(rng: random.Random, base: Colour | None = None) -> Palette:
    """A separate palette, light in two of three cases, around the hue of `base` or a random one."""
    hue = math.degrees(cmath.phase(base.tint)) if base else rng.uniform(0, 360)
    to_second, to_accent = rng.choice(_HARMONIES)
    is_dark = base.light < 0.35 if base else rng.random() < 0.34
    hues = (hue + 12, hue + to_second / 3, hue, hue + to_second, hue + to_accent, hue + to_second / 2)
    calm = rng.uniform(0.72, 1.12)
    return Palette(
        *(
            Colour.of_hue(light + rng.uniform(-0.025, 0.025), chroma * calm, angle)
            for (light, chroma), angle in zip(_DARK if is_dark else _LIGHT, hues, strict=True)
        )
    )


def _gather(tints: Sequence[Tint]) -> list[_Weighed]:
    """The colours of references, weighed by their strength; a negative strength brings the opposites."""
    weighed = []
    for tint in tints:
        for rgb, share in tint.picture.swatches:
            colour = Colour.of_rgb(rgb)
            if tint.strength < 0:
                colour = Colour(1 - colour.light * 0.9, -colour.tint)
            weighed.append((colour, share * (abs(tint.strength) + 0.01)))
    return weighed


def _assign(weighed: Sequence[_Weighed]) -> Palette:
    """Assign roles to colours: the heaviest is the background, the liveliest and most distant are the objects."""
    ground = max(weighed, key=_suits_ground)[0]
    main = _pick(weighed, [ground], 12) or ground.shift(0.28 if ground.light < 0.5 else -0.28, chroma=1.1)
    accent = _pick(weighed, [ground, main], 20) or main.shift(0.12, chroma=1.25, hue=18)
    second = _pick(weighed, [ground, main, accent], 4) or main.shift(-0.16, chroma=0.8, hue=-16)
    darkest = min((colour for colour, _ in weighed), key=lambda colour: colour.light)
    ink = Colour(min(darkest.light, 0.3), darkest.tint * 0.5)
    return Palette(ground, mix(ground, main, 0.3), main, second, accent, ink)


def _suits_ground(entry: _Weighed) -> float:
    colour, weight = entry
    return weight * (0.6 + 2 * abs(colour.light - 0.58) - 1.2 * min(colour.chroma, 0.3))


def _pick(weighed: Sequence[_Weighed], taken: Sequence[Colour], liking: float) -> Colour | None:
    """The colour that differs most from those taken, with a liking for chroma, if one differs enough."""

    def gap(colour: Colour) -> float:
        return min(distance(colour, other) for other in taken)

    best = max(weighed, key=lambda entry: gap(entry[0]) * (1 + liking * entry[0].chroma) * entry[1] ** 0.35)[0]
    return best if gap(best) > 0.12 else None


def _lay_over(palette: Palette, other: Palette, strength: float) -> Palette:
    """Role after role gives way, since blending all of them half-way would be mud; a negative strength opposes."""
    weight = min(1.0, abs(strength))
    shares = {role: min(1.0, max(0.0, (weight - 0.14 * k) / 0.3)) for k, role in enumerate(_YIELDING)}
    if strength < 0:
        other = Palette(*(Colour(colour.light, -colour.tint) for colour in other))
    return palette._replace(**{role: mix(palette.of(role), other.of(role), share) for role, share in shares.items()})


def _grade(palette: Palette, intensity: float) -> Palette:
    """Intensity as chroma and as contrast around a middle lightness."""
    chroma = 1 + intensity * (0.6 if intensity > 0 else 0.82)
    contrast = 1 + intensity * (0.28 if intensity > 0 else 0.5)
    return Palette(*(Colour(min(0.97, max(0.06, 0.6 + (c.light - 0.6) * contrast)), c.tint * chroma) for c in palette))
