"""Codes of failures: one spelling for each, and whether moderation stands behind it."""

import re

from krea_pipe.core.outcome import FailureClass

_MAX_CODE = 300
_CODE = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:[_-][A-Za-z0-9]+)*")
_MODERATION = re.compile(
    r"(?:^|_)(?:nsfw|moderat|polic(?:y|ies)|content_filter|filtered|safety|unsafe|prohibited|disallowed|flagged"
    r"|ip_detected|ip_infring|intellectual_property|copyright|trademark|violen|violat|gore|personal_info|pii(?:_|$)"
    r"|privacy|sexual|nud(?:e|ity)|explicit|porn|hate|harass|self_harm|suicid|child|minors?(?:_|$)|csam|public_figure"
    r"|celebrit|likeness|deepfake|sensitive|inappropriate|offensive|toxic|guideline)"
)


def spelled_code(text: str) -> str:
    """Spell a code in one way, in lower case: `ContentPolicy`, `content-policy` and `CONTENT_POLICY` are the same.

    Args:
        text: the code as Krea spells it.

    Returns:
        Words of letters and digits with `_` between them.
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", text[:_MAX_CODE])
    return re.sub(r"[^a-z0-9]+", "_", apart.lower()).strip("_")


def is_code(text: str) -> bool:
    """Whether a text is a code rather than a sentence."""
    return _CODE.fullmatch(text) is not None


def failure_class_of(code: str) -> FailureClass:
    """Tell what class of failure a code stands for.

    Args:
        code: the code, in any spelling.

    Returns:
        `rejected` for everything that moderation calls itself, otherwise `failed`.
    """
    return "rejected" if _MODERATION.search(spelled_code(code)) else "failed"
