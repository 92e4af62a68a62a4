"""Names that are nearly the one that was written. Looking takes long, so a file has a budget for it, and then none.

The budget of each thread is full again when it starts on a pipeline.
"""

import threading
from collections.abc import Iterable, Sequence
from difflib import SequenceMatcher

MAX_NAMES = 1_000
"""Names that one word is compared with, the first ones."""
MAX_NAME_LENGTH = 100
MAX_LETTERS = 200_000
"""Letters of words and names that are compared for one file; a letter takes about a microsecond."""

_MAX_LISTED = 100
"""Names that a hint lists."""


class _Budget(threading.local):
    letters = MAX_LETTERS


_BUDGET = _Budget()


def reset_name_budget() -> None:
    """Begin with a pipeline, with a full budget."""
    _BUDGET.letters = MAX_LETTERS


def has_budget() -> bool:
    """Whether something of the budget is left."""
    return _BUDGET.letters > 0


def closest(word: str, names: Iterable[str], *, alike: float = 0.6) -> str | None:
    """Find the name that is most like a word.

    Args:
        word: the word that was written.
        names: the names that are known, of which the first `MAX_NAMES` are compared.
        alike: how much a name has to be like the word, from 0 to 1, as `difflib` counts.

    Returns:
        The name, None when none is like it or the budget is used up.
    """
    found, best = None, alike
    if len(word) > MAX_NAME_LENGTH or not has_budget():
        return None
    matcher = SequenceMatcher()
    matcher.set_seq2(word)
    for _, name in zip(range(MAX_NAMES), names, strict=False):
        both = len(word) + len(name)
        _BUDGET.letters -= 1
        if 2 * min(len(word), len(name)) < best * both:
            continue
        _BUDGET.letters -= both
        if not has_budget():
            return None
        matcher.set_seq1(name)
        if matcher.quick_ratio() >= best and (ratio := matcher.ratio()) >= best and (found is None or ratio > best):
            found, best = name, ratio
    return found


def near_word(word: str, known: Sequence[str]) -> str:
    """A hint with the known word nearest to one that was written, or with all of them."""
    near = closest(word, known)
    more = ", …" if len(known) > _MAX_LISTED else ""
    return f"did you mean `{near}`?" if near else f"there is {', '.join(known[:_MAX_LISTED]) or 'nothing'}{more}"
