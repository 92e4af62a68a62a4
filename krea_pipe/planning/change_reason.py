"""Why a request is another than the last one of its cell: which fields differ, and which words of the prompt."""

from collections.abc import Mapping

from krea_pipe.core.json_data import Json
from krea_pipe.core.request import Source, parse_source
from krea_pipe.core.word_diff import PromptChange, WordPart
from krea_pipe.pipeline.references import Fingerprints

PROMPT_CHANGED = "prompt changed"
"""Stands in a reason for the words that changed, which are found only for what is shown."""


def describe_change(before: Mapping[str, Json], now: Mapping[str, Json], fingerprints: Fingerprints) -> str:
    """The difference between two requests, in a few words: `creativity raw → low, prompt changed`.

    Args:
        before: The fields of the earlier request.
        now: The fields of the later request.
        fingerprints: The images that the later request names.

    Returns:
        The words; `new` when nothing differs.
    """
    changes = []
    for name in dict.fromkeys((*before, *now)):
        old, new = before.get(name), now.get(name)
        if old == new:
            continue
        if name == "prompt":
            changes.append(PROMPT_CHANGED)
        elif name == "image_style_references":
            changes.append(_references_change(old, new, fingerprints))
        elif name == "engine":
            changes.append(_engine_change(old, new))
        elif isinstance(old, (list, dict)) or isinstance(new, (list, dict)):
            changes.append(f"{'source image' if name == 'image' else name} changed")
        else:
            changes.append(f"{name} {_word(old)} → {_word(new)}")
    return ", ".join(changes) or "new"


def _engine_change(old: Json, new: Json) -> str:
    """How the engine differs: which is used now, or what of the same one has changed."""
    before, now = (one if isinstance(one, dict) else {} for one in (old, new))
    if before.get("name") != now.get("name"):
        return f"engine {_word(before.get('name', 'krea'))} → {_word(now.get('name', 'krea'))}"
    changed = [name for name in dict.fromkeys((*before, *now)) if before.get(name) != now.get(name)]
    return ", ".join(f"engine {name} {_word(before.get(name))} → {_word(now.get(name))}" for name in changed)


def prompt_change(reason: str, before: Mapping[str, Json], now: Mapping[str, Json]) -> PromptChange | None:
    """The change of the prompt that a reason is about; None if it is about none.

    Args:
        reason: The words of `describe_change`.
        before: The fields of the earlier request.
        now: The fields of the later request.

    Returns:
        The change, which is not compared yet: that is for those that are shown.
    """
    if PROMPT_CHANGED not in reason:
        return None
    old, new = before.get("prompt"), now.get("prompt")
    return PromptChange(old, new) if isinstance(old, str) and isinstance(new, str) and old != new else None


def reason_parts(reason: str, change: PromptChange | None) -> tuple[WordPart, ...]:
    """A reason with the words that changed in place of `prompt changed`, as parts for a terminal.

    Args:
        reason: The words of `describe_change`.
        change: The change of the prompt, if there is one.

    Returns:
        The parts in their order.
    """
    start, found, end = reason.partition(PROMPT_CHANGED)
    if change is None or not found:
        return (WordPart("same", reason),)
    return (WordPart("same", f"{start}prompt: "), *change.brief(), WordPart("same", end))


def _references_change(old: Json, new: Json, fingerprints: Fingerprints) -> str:
    was, now = _sources(old), _sources(new)
    if set(was) == set(now):
        return "reference order changed" if was == now else "reference strength changed"
    images = fingerprints.by_source
    added = [images[one].label if one in images else "an upstream image" for one in now if one not in was]
    return f"{', '.join(added)} changed" if added else "references removed"


def _sources(data: Json) -> dict[Source, Json]:
    found = data if isinstance(data, list) else []
    return {parse_source(str(one["image"])): one.get("strength") for one in found if isinstance(one, dict)}


def _word(data: Json) -> str:
    return "none" if data is None else str(data)
