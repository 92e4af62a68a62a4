"""The words that differ between two texts, in full for programs and brief for people."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
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
class TextChange:
    """A text that has changed; it is compared only when its parts are asked for."""

    before: str
    now: str

    def parts(self) -> tuple[WordPart, ...]:
        """All parts of both texts, in their order; whole words and signs differ."""
        before, now = _TOKENS.findall(self.before), _TOKENS.findall(self.now)
        first = _common(before, now)
        last = _common(before[first:][::-1], now[first:][::-1])
        old, new = before[first : len(before) - last], now[first : len(now) - last]
        found = [("same", now[:first]), *_compared(old, new), ("same", now[len(now) - last :])]
        return tuple(_joined([WordPart(kind, "".join(tokens)) for kind, tokens in found if tokens]))

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


def change_json(change: TextChange | None) -> dict[str, object]:
    """All parts of the change of a prompt, as a field of a JSON object; no field where there is none."""
    if change is None:
        return {}
    return {"prompt_change": [{"kind": part.kind, "text": part.text} for part in change.parts()]}


def marked_words(parts: Sequence[WordPart]) -> str:
    """Parts as one line: `wet [-slate-]{+oak+}, low light`."""
    return "".join(part.marked for part in parts)


def _common(one: Sequence[str], other: Sequence[str]) -> int:
    """The number of tokens that both begin with."""
    return next((n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _compared(old: list[str], new: list[str]) -> Iterator[tuple[WordKind, list[str]]]:
    if len(old) + len(new) > _MOST_COMPARED:
        yield from (("removed", old), ("added", new))
        return
    for tag, i, j, k, m in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            yield "same", new[k:m]
        else:
            yield "removed", old[i:j]
            yield "added", new[k:m]


def _joined(parts: list[WordPart]) -> Iterator[WordPart]:
    """Parts in which changes that only blanks separate are one change."""
    inner = range(1, len(parts) - 1)
    is_change = [part.kind != "same" or (place in inner and not part.text.strip()) for place, part in enumerate(parts)]
    for changes, group in groupby(zip(is_change, parts, strict=True), key=lambda one: one[0]):
        run = [part for _, part in group]
        if not changes:
            yield from run
            continue
        for kind in ("removed", "added"):
            text = "".join(part.text for part in run if part.kind in (kind, "same"))
            if text:
                yield WordPart("removed" if kind == "removed" else "added", text)


def _shortened(text: str, first: int, last: int) -> str:
    """The first and the last words of a text, on one line."""
    text = re.sub(r"\s+", " ", text)
    words = re.findall(r"\s?\S+\s?", text)
    if len(words) <= first + last + 1:
        return text
    start, end = "".join(words[:first]), "".join(words[len(words) - last :] if last else [])
    return " ".join(filter(None, (start.rstrip(), "…", end.lstrip()))) if end else f"{start.rstrip()} …"
