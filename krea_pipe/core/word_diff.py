"""The words that differ between two texts, in full for programs and brief for people."""

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import lru_cache
from itertools import groupby
from typing import Literal, TypeAlias

WordKind: TypeAlias = Literal["same", "removed", "added"]

_TOKENS = re.compile(r"\w+(?:['’-]\w+)*|\s+|[^\w\s]")
_MOST_COMPARED = 2_000
"""Words and signs of both texts together, without what they begin and end with in common; more count as replaced."""
_AROUND = 3
"""Words that are shown on each side of a change."""
_MOST_CHANGED = 12
"""Words of one change; the middle of a longer one is left out."""
_MOST_BRIEF = 200
"""Characters after which the rest of a brief text is left out."""


@dataclass(frozen=True, slots=True)
class WordPart:
    """A part of one or both texts."""

    kind: WordKind
    text: str

    @property
    def marked(self) -> str:
        """The part with the marks of a word diff."""
        return {"same": "{}", "removed": "[-{}-]", "added": "{{+{}+}}"}[self.kind].format(self.text)


@dataclass(frozen=True, slots=True)
class PromptChange:
    """A text that has changed; it is compared only when its parts are asked for."""

    before: str
    now: str

    def parts(self) -> tuple[WordPart, ...]:
        """All parts of both texts, in their order; whole words and signs differ."""
        first = _first_words(self.before, self.now)
        old, new = self.before[first:], self.now[first:]
        last = _last_words(old, new)
        middle = _compared(old[: len(old) - last], new[: len(new) - last])
        found = [WordPart("same", self.now[:first]), *middle, WordPart("same", new[len(new) - last :])]
        return tuple(_joined([part for part in found if part.text]))

    def brief(self) -> tuple[WordPart, ...]:
        """The parts without what is far from a change."""
        parts = self.parts()
        end, room, found = len(parts) - 1, _MOST_BRIEF, list[WordPart]()
        for place, part in enumerate(parts):
            is_cut = part.kind == "same"
            most = _AROUND if is_cut else _MOST_CHANGED // 2
            text = _shortened(part.text, 0 if is_cut and not place else most, 0 if is_cut and place == end else most)
            if room < 0:
                return (*found, WordPart("same", " …"))
            room -= len(text)
            found.append(WordPart(part.kind, text))
        return tuple(found)


def change_json(change: PromptChange | None) -> dict[str, object]:
    """All parts of the change of a prompt, as a field of a JSON object; no field without a change."""
    if change is None:
        return {}
    return {"prompt_change": [{"kind": part.kind, "text": part.text} for part in change.parts()]}


def marked_words(parts: Sequence[WordPart]) -> str:
    """Parts as one line: `wet [-slate-]{+oak+}, low light`."""
    return "".join(part.marked for part in parts)


def _first_words(one: str, other: str) -> int:
    """The number of characters of the words that both texts begin with."""
    equal = bisect_left(range(min(len(one), len(other))), 1, key=lambda n: one[: n + 1] != other[: n + 1])
    return one.rfind(" ", 0, equal) + 1


def _last_words(one: str, other: str) -> int:
    """The number of characters of the words that both texts end with."""
    most = min(len(one), len(other))
    equal = bisect_left(range(most), 1, key=lambda n: one[len(one) - n - 1 :] != other[len(other) - n - 1 :])
    blank = one.find(" ", len(one) - equal)
    return 0 if blank < 0 else len(one) - blank


@lru_cache(maxsize=64)
def _compared(before: str, now: str) -> tuple[WordPart, ...]:
    """The parts of two texts; a change of a template is the same change in many prompts."""
    old, new = _TOKENS.findall(before), _TOKENS.findall(now)
    if len(old) + len(new) > _MOST_COMPARED:
        return WordPart("removed", before), WordPart("added", now)
    found = list[WordPart]()
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        removed, added = "".join(old[i:j]), "".join(new[k:m])
        found += (
            [WordPart("same", added)] if tag == "equal" else [WordPart("removed", removed), WordPart("added", added)]
        )
    return tuple(found)


def _joined(parts: list[WordPart]) -> Iterator[WordPart]:
    """Parts in which changes that only blanks separate are one change, and neighbours of one kind are one part."""
    inner = range(1, len(parts) - 1)
    is_change = [part.kind != "same" or (place in inner and not part.text.strip()) for place, part in enumerate(parts)]
    for changes, group in groupby(zip(is_change, parts, strict=True), key=lambda one: one[0]):
        run = [part for _, part in group]
        kinds: tuple[WordKind, ...] = ("removed", "added") if changes else ("same",)
        for kind in kinds:
            text = "".join(part.text for part in run if part.kind in (kind, "same"))
            if text:
                yield WordPart(kind, text)


def _shortened(text: str, first: int, last: int) -> str:
    """The first and the last words of a text, on one line."""
    text = re.sub(r"\s+", " ", text)
    words = re.findall(r"\s?\S+\s?", text)
    if len(words) <= first + last + 1:
        return text
    start, end = "".join(words[:first]), "".join(words[len(words) - last :] if last else [])
    return " ".join(filter(None, (start.rstrip(), "…", end.lstrip()))) if end else f"{start.rstrip()} …"
