"""How a job ends, decided when it is accepted.

A prompt that contains `local:fail-nsfw` gives a failed job with the error code `nsfw`; one that contains
`local:fail-empty` gives a completed, billed job without urls. Every other job gives one image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from krea_pipe.local.brief import Brief


@dataclass(frozen=True, slots=True)
class Fate:
    """The end of a job: with an image, `empty` without one, or failed with a code and a message."""

    outcome: Literal["image", "empty", "failed"] = "image"
    code: str = ""
    message: str = ""


FateOf = Callable[[Brief], Fate]

_BY_TRIGGER = {
    "local:fail-nsfw": Fate("failed", "nsfw", "The prompt asked for a moderation failure."),
    "local:fail-empty": Fate("empty"),
}


def fate_by_prompt(brief: Brief) -> Fate:
    """The fate that the prompt asks for by a trigger word, otherwise an image."""
    return next((fate for word, fate in _BY_TRIGGER.items() if word in brief.order.prompt), Fate())
