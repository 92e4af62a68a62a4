"""How a job ends, decided when it is accepted.

A prompt can ask for an end by a trigger word:

- `local:fail-nsfw`: failed, with the error code `nsfw` at the top level of the job
- `local:fail-result`: failed, with the same error under `result`, where Krea's guide shows it
- `local:fail-empty`: completed and billed, but without urls
- `local:stuck`: processed for ever; only DELETE ends it

Every other job gives one image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from krea_pipe.local.order import ProofSpec

Outcome = Literal["image", "empty", "failed", "stuck"]
Place = Literal["top", "result", "nowhere"]


@dataclass(frozen=True, slots=True)
class JobOutcome:
    """The end of a job: with an image, `empty` without one, failed with a code and a message, or `stuck` without end.

    `place` is where a failed job shows its code and message: in a top-level `error`, in `result.error`, or nowhere.
    """

    outcome: Outcome = "image"
    code: str = ""
    message: str = ""
    place: Place = "top"

    @property
    def is_billed(self) -> bool:
        """Whether a job that comes to this end is paid for."""
        return self.outcome in ("image", "empty")


FateOf = Callable[[ProofSpec], JobOutcome]

_MODERATED = "The prompt asked for a moderation failure."
_BY_TRIGGER = {
    "local:fail-nsfw": JobOutcome("failed", "nsfw", _MODERATED),
    "local:fail-result": JobOutcome("failed", "nsfw", _MODERATED, "result"),
    "local:fail-empty": JobOutcome("empty"),
    "local:stuck": JobOutcome("stuck"),
}


def fate_by_prompt(brief: ProofSpec) -> JobOutcome:
    """The fate that the prompt asks for by a trigger word, otherwise an image."""
    return next((fate for word, fate in _BY_TRIGGER.items() if word in brief.order.prompt), JobOutcome())
