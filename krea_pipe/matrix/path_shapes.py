"""What is true of all paths of a stage, known from the texts that they are joined from, before there is any path.

A path that no shape accepts may still be a good one: then each path is checked, and compared with all others.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from krea_pipe.matrix.out_paths import (
    MAX_PATH,
    MAX_PATH_PART,
    case_folded,
    flaw_of_part,
    has_refused_character,
    without_image_suffix,
)
from krea_pipe.matrix.rendering import folded

_LONGEST_RESERVED = 4
"""Characters of a name such as `lpt1`, which Windows reserves; none has a sign such as a hyphen."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a path: its text for each value of an axis, by the position of the axis; without an axis one text."""

    axis: int | None
    texts: tuple[str, ...]


def are_sound(segments: Sequence[Segment]) -> bool:
    """Whether `checked_path` would accept every path that is joined from segments, and return it unchanged."""
    if any(folded(text) != text or not text[:1].isascii() for one in segments for text in one.texts):
        return False
    if any("/" in text for one in segments if one.axis is not None for text in one.texts):
        return False
    parts = list(_parts(segments))
    return sum(map(_most_bytes, segments)) <= MAX_PATH and all(map(_is_sound_part, parts)) and _keeps_end(parts[-1])


def are_distinct(segments: Sequence[Segment], lengths: Sequence[int]) -> bool:
    """Whether two cells with different values never have one path on a disk that knows no case.

    Read from its start, a path tells each of its texts if none of them, with the constant text behind it, begins as
    another one does.

    Args:
        segments: what the paths are joined from.
        lengths: how many values each axis has.
    """
    if any(not text[:1].isascii() for one in segments for text in one.texts):
        return False  # a text could be composed with what is before it
    known: dict[int, list[tuple[str, ...]]] = {}
    for one, behind in _with_text_behind(segments):
        texts = [case_folded(text) for text in one.texts]
        if not _begin_differently({text + case_folded(behind) for text in texts}):
            return False
        if one.axis is not None:
            known.setdefault(one.axis, []).append(tuple(texts))
    told = {axis: len(set(zip(*texts, strict=True))) for axis, texts in known.items()}
    return all(told.get(axis, 1) == length for axis, length in enumerate(lengths))


def _with_text_behind(segments: Sequence[Segment]) -> Iterator[tuple[Segment, str]]:
    """Each segment with the constant text behind it; after the last one no other text can follow."""
    for place, one in enumerate(segments):
        behind = segments[place + 1] if place + 1 < len(segments) else None
        if behind is None:
            yield one, "/"
        else:
            yield one, behind.texts[0] if behind.axis is None else ""


def _begin_differently(texts: set[str]) -> bool:
    return not any(later.startswith(first) for first, later in pairwise(sorted(texts)))


def _parts(segments: Sequence[Segment]) -> Iterator[list[Segment]]:
    """The segments of each folder, and of the name of the file."""
    part: list[Segment] = []
    for one in segments:
        if one.axis is not None:
            part.append(one)
            continue
        first, *others = one.texts[0].split("/")
        part.append(Segment(None, (first,)))
        for text in others:
            yield part
            part = [Segment(None, (text,))]
    yield part


def _is_sound_part(part: Sequence[Segment]) -> bool:
    varying = [one for one in part if one.axis is not None]
    if len(varying) < 2:
        return not any(map(flaw_of_part, _texts_of(part)))
    if any(has_refused_character(text) or "." in text for one in part for text in one.texts):
        return False
    shortest = sum(min(map(len, one.texts)) for one in part)
    has_sign = any(not text.isalnum() for one in part if one.axis is None for text in one.texts if text)
    can_be_reserved = shortest <= _LONGEST_RESERVED and not has_sign
    return shortest > 0 and not can_be_reserved and sum(map(_most_bytes, part)) <= MAX_PATH_PART


def _keeps_end(part: Sequence[Segment]) -> bool:
    """Whether no name of a file ends like that of an image."""
    if sum(one.axis is not None for one in part) < 2:
        return all(without_image_suffix(text) == text for text in _texts_of(part))
    return True  # such a part has no dot


def _texts_of(part: Sequence[Segment]) -> list[str]:
    """All texts of a part that depends on one axis at most."""
    count = max(len(one.texts) for one in part)
    return ["".join([one.texts[number if one.axis is not None else 0] for one in part]) for number in range(count)]


def _most_bytes(one: Segment) -> int:
    return max(len(text.encode()) for text in one.texts)
