"""Finds names similar to a given one; because this is slow, each file has a budget for it.

Looking takes long, so a file has a budget for it, and then none.

The budget of each thread is full again when it starts on a pipeline.
"""

import threading
from collections.abc import Iterable, Mapping, Sequence

MAX_NAMES = 1_000
"""Names that one word is compared with, the first ones."""
MAX_NAME_LENGTH = 100
MAX_LETTERS = 200_000
"""Letters of words and names that are compared for one file; a letter takes about a microsecond."""

_MAX_LISTED = 100
"""Names that a hint lists."""
_MAX_MISSING = 3
"""Letters at the end of a name that an abbreviation may lack."""
_CHEAP = 4
"""Pairs of letters that are compared in the time of one."""
_SHORTEST, _SHORT, _MEDIUM = 2, 5, 8
"""Letters of words in which no slip, one slip or two slips are likely; longer words may have three."""


class _Budget(threading.local):
    letters = MAX_LETTERS


_BUDGET = _Budget()


def reset_name_budget() -> None:
    """Begin with a pipeline, with a full budget."""
    _BUDGET.letters = MAX_LETTERS


def has_budget() -> bool:
    """Whether something of the budget is left."""
    return _BUDGET.letters > 0


def closest(word: str, names: Sequence[str] | Mapping[str, object], *, most: int | None = None) -> str | None:
    """Find the name that differs from a word by a few typing errors.

    Args:
        word: the word that was written.
        names: the names that are known, of which the first `MAX_NAMES` are compared.
        most: the most slips: letters that are missing, added, wrong, or swapped with their neighbours. None allows
            none for words of up to 2 letters, 1 for up to 5, 2 for up to 8, and 3 for longer ones.

    Returns:
        The first name with the fewest slips, or the only one that the word abbreviates by up to 3 letters. None if
        there is no such name or the budget is used up.
    """
    if len(word) > MAX_NAME_LENGTH or not has_budget():
        return None
    found, limit = None, _slips_allowed(word) if most is None else most
    for _, name in zip(range(MAX_NAMES), names, strict=False):
        _BUDGET.letters -= 1
        if abs(len(word) - len(name)) > limit:
            continue
        _BUDGET.letters -= len(word) + len(name) + len(word) * len(name) // _CHEAP
        if not has_budget():
            return None
        slips = _slips(word, name, limit)
        if slips is not None:
            found, limit = name, slips - 1
        if limit < 0:
            break
    return found or _abbreviated(word, names)


def _abbreviated(word: str, names: Iterable[str]) -> str | None:
    """The only name that continues a word by a few letters."""
    found = [one for one in names if one.startswith(word) and len(one) - len(word) <= _MAX_MISSING]
    return found[0] if len(word) > _SHORTEST + 1 and len(found) == 1 else None


def _slips_allowed(word: str) -> int:
    return 0 if len(word) <= _SHORTEST else 1 if len(word) <= _SHORT else 2 if len(word) <= _MEDIUM else 3


def _slips(word: str, name: str, limit: int) -> int | None:
    """The number of letters that are missing, added, wrong or swapped with their neighbours; None above the limit."""
    before: list[int] = []
    row = list(range(len(name) + 1))
    for i, letter in enumerate(word, 1):
        older, before, row = before, row, [i]
        for j, other in enumerate(name, 1):
            least = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != other))
            if i > 1 and j > 1 and letter == name[j - 2] and word[i - 2] == other:
                least = min(least, older[j - 2] + 1)
            row.append(least)
        if min(row) > limit:
            return None
    return row[-1] if row[-1] <= limit else None


def near_word(word: str, known: Sequence[str]) -> str:
    """A hint with the known word nearest to one that was written, or with all of them."""
    near = closest(word, known)
    more = ", …" if len(known) > _MAX_LISTED else ""
    return f"did you mean `{near}`?" if near else f"known: {', '.join(known[:_MAX_LISTED]) or 'none'}{more}"
