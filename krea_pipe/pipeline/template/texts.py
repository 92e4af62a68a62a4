"""What values read like in a text, and how a template's problems are told."""

import math
import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

from krea_pipe.core.excerpts import cut
from krea_pipe.core.json_data import CONTROL_CHARACTERS
from krea_pipe.core.near_names import closest

MAX_RENDERED = 20_000
MAX_DIGITS = 30
MAX_SAID = 400
MAX_LISTED = 100
MAX_WORD = 100


class TemplateProblem(ValueError):
    """A template cannot be compiled or rendered: what to point at in it, if that is known, and what to do."""

    def __init__(self, code: str, message: str, word: str | None = None, hint: str | None = None) -> None:
        super().__init__(_speakable(message))
        self.code, self.word, self.hint = code, word, hint and _speakable(hint)


def _speakable(text: str) -> str:
    # A template can name a field as it likes, and a terminal must survive the message.
    return cut(CONTROL_CHARACTERS.sub("-", text), MAX_SAID)


def too_long() -> TemplateProblem:
    """What to raise for a text above the limit."""
    return TemplateProblem("template_too_large", f"the text is longer than {MAX_RENDERED:,} characters")


def not_finite() -> TemplateProblem:
    """What to raise for a number above the limit, infinite or the result of a sum that has none."""
    hint = f"numbers have up to {MAX_DIGITS} digits"
    return TemplateProblem("number_not_finite", "the template gives a number that is too large, or none", hint=hint)


def as_text(value: object) -> str:
    """A value as a part of a text: null is nothing, true and false are as in YAML.

    Raises:
        TemplateProblem: it is a row, a mapping or a list, which nobody wants to read in a prompt, or no number.
    """
    match value:
        case str():
            return value
        case bool():
            return str(value).lower()
        case float() if not math.isfinite(value):
            raise not_finite()
        case int() | float():
            return str(value)
        case None:
            return ""
        case dict():
            hint = f"name one of its fields: {', '.join(str(key) for key in value)}"
            raise TemplateProblem("template_not_text", "a row or mapping cannot be a part of a text", hint=hint)
        case list() | tuple():
            hint = "join its items: {{ items | join_and }}"
            raise TemplateProblem("template_not_text", "a list cannot be a part of a text", hint=hint)
    return str(value)


def slug(value: object) -> str:
    """Turn any text into a part of a path: lower case, letters and digits of any script, single hyphens."""
    return _slug(as_text(value))


@lru_cache(maxsize=4096)
def _slug(text: str) -> str:
    text = unicodedata.normalize("NFKC", text).lower()
    text = re.sub(r"(?<=\d):(?=\d)", "x", text)
    return re.sub(r"-{2,}", "-", re.sub(r"[^\w.]+|_", "-", text)).strip("-.")


def near_word(word: str, known: Sequence[str]) -> str:
    """A hint with the known word nearest to one that was written, or with all of them."""
    near = closest(word, known)
    more = ", …" if len(known) > MAX_LISTED else ""
    return f"did you mean `{near}`?" if near else f"there is {', '.join(known[:MAX_LISTED]) or 'nothing'}{more}"
