"""The colours that the words of a prompt name, so that a proof of "ochre and bone" shows ochre and bone."""

import re
from collections.abc import Iterator

from krea_pipe.local.colour import Colour, from_rgb

# Word: sRGB. Common colour names, pigments and materials, then lights and places that imply a colour.
_COLOURS = {
    "red": "c8372d", "crimson": "a51c30", "scarlet": "d63a2a", "oxblood": "5e1a1d", "burgundy": "6b1f2e",
    "rust": "a8492a", "terracotta": "c4694a", "copper": "b46a45", "brick": "9e4a38", "coral": "ee7d68",
    "orange": "e5822e", "amber": "d9902f", "ochre": "c98a2e", "gold": "cfa23f", "golden": "dba845",
    "brass": "b08d4a", "mustard": "c9a13b", "honey": "dfa548", "yellow": "e8c53a", "lemon": "eedb5c",
    "cream": "f1e5cb", "bone": "ebe3d3", "ivory": "f2ecdc", "linen": "e6dccb", "sand": "d8c3a0",
    "beige": "d9c7ae", "brown": "7a5236", "walnut": "5f4331", "wood": "9a6f49", "chocolate": "4e3022",
    "olive": "7c7a3c", "moss": "66743c", "sage": "9dab8b", "green": "4f8a55", "emerald": "1f7d5c",
    "forest": "2e5140", "jade": "4fa27f", "mint": "a9d9c0", "teal": "2b7d80", "turquoise": "3fb3b0",
    "cyan": "46b7cf", "sky": "8cbfdf", "blue": "3567b0", "cobalt": "1f4fae", "ultramarine": "2a3a9c",
    "navy": "1c2b4d", "indigo": "363a7e", "violet": "6d4fa0", "purple": "6b3f8c", "lavender": "b9a8d8",
    "lilac": "c7aed6", "plum": "6a3556", "magenta": "c0307f", "pink": "e79ab0", "rose": "d87b89",
    "blush": "ecc4bb", "peach": "f2b999", "white": "f4f2ed", "black": "1b1a1d", "charcoal": "36363a",
    "slate": "56626e", "grey": "8d8f92", "gray": "8d8f92", "silver": "b9bec4", "marble": "e4e2de",
    "concrete": "a7a49e", "glass": "b5d2d4", "ice": "d3e6ee", "frozen": "bcd8e6", "snow": "eef2f5",
    "lake": "4d7f92", "ocean": "1f5f7d", "sea": "2f7485", "desert": "d9a877", "neon": "e23fa5",
    "sunset": "e9764b", "sunrise": "f0a27a", "dawn": "e9b7a0", "dusk": "6a5d8f", "night": "1a2038",
    "midnight": "141a35", "moonlight": "8fa3c4", "autumn": "b9642d", "fire": "dd5a23", "smoke": "8a8785",
}  # fmt: skip

_BY_WORD = {word: from_rgb((int(h[:2], 16), int(h[2:4], 16), int(h[4:], 16))) for word, h in _COLOURS.items()}
_WORD = re.compile(r"[a-z]+")


def find_colours(prompt: str, *, most: int) -> tuple[Colour, ...]:
    """The first colours that a prompt names, in its order and without repetition."""
    found: dict[str, Colour] = {}
    for word in _words(prompt):
        if word in _BY_WORD:
            found.setdefault(word, _BY_WORD[word])
        if len(found) == most:
            break
    return tuple(found.values())


def _words(prompt: str) -> Iterator[str]:
    for match in _WORD.finditer(prompt.lower()):
        yield match[0]
