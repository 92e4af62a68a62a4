"""How messages quote files: the place of a character with part of its line, values, and shortened words.

Texts are examined for secrets before they are cut, well beyond the cut: half of a secret is not known for one
afterwards.
"""

import json
from collections.abc import Iterator
from pathlib import Path

from krea_pipe.core.errors import Place
from krea_pipe.core.secret_kinds import MASK, is_secret, without_secrets
from krea_pipe.core.written import Written

WINDOW = 400
"""Characters of a line that a place holds."""

# What XML 1.0 has no way to write (https://www.w3.org/TR/xml/#charsets) and the controls that drive a terminal. Lone
# surrogates are among them: JSON can carry those, UTF-8 cannot.
_BLOCK = 4096
_MARGIN = 4096  # longer than secrets that are written in one line


class LineIndex:
    """The lines of a text; the lines before each block are counted once, so that finding a place is fast.

    What precedes each block is counted once, so that a place costs no look at it all.
    """

    __slots__ = ("_blocks", "file", "text")

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.text = file, text
        self._blocks: list[tuple[int, int]] = []

    def place(self, index: int) -> Place:
        """The line and column of a character index, with the line, or the piece of it around the index."""
        if not self._blocks:
            self._blocks = list(self._counted())
        before, start = self._blocks[index // _BLOCK]
        first = index // _BLOCK * _BLOCK
        start = max(start, self.text.rfind("\n", first, index) + 1)
        line = before + self.text.count("\n", first, index) + 1
        piece, cut = self._piece(start, index)
        return Place(self.file, line, index - start + 1, piece, cut)

    def _counted(self) -> Iterator[tuple[int, int]]:
        """For each block the line ends before it, and where the line that continues in it starts."""
        before, start = 0, 0
        for first in range(0, len(self.text) + 1, _BLOCK):
            yield before, start
            before += self.text.count("\n", first, first + _BLOCK)
            start = max(start, self.text.rfind("\n", first, first + _BLOCK) + 1)

    def _piece(self, start: int, index: int) -> tuple[str, int]:
        """The part of a line that is shown, and the number of characters before it."""
        low, high = max(start, index - _MARGIN), index + _MARGIN
        end = self.text.find("\n", index, high)
        end = end if end >= 0 else min(high, len(self.text))
        if low == start and end - start <= WINDOW:
            return self.text[start:end].rstrip("\r"), 0
        if is_secret(self.text[low:end]):
            return MASK, 0
        first = max(start, min(index - WINDOW // 2, end - WINDOW))
        return self.text[first : min(first + WINDOW, end)].rstrip("\r"), first - start


def cut(text: str, most: int) -> str:
    """A text cut to a number of characters, with an ellipsis for the rest and without half a secret before it."""
    if len(text) <= most:
        return text
    clean = without_secrets(text[: most + _MARGIN])
    return clean if len(clean) < most else f"{clean[: most - 1]}…"


def shown(value: object, width: int = 40) -> str:
    """A value as a message shows it: text in quotes, cut to a width; lists and mappings by their kind alone."""
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
    if isinstance(value, Written):
        return cut(value.written, width)
    if not isinstance(value, str):
        return cut(json.dumps(value), width)
    text = json.dumps(value, ensure_ascii=False) if len(value) <= width else ""
    return text if 0 < len(text) <= width else json.dumps(cut(value, width - 2), ensure_ascii=False)
