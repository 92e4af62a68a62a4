"""How much of a prompt the open weights read."""

import re

MOST_PROMPT_TOKENS = 507
"""The tokens of a prompt that Krea 2 reads; engines cut what follows, and most of them say nothing."""
_PIECE = re.compile(r"[^\W\d_]+|\d")


def least_tokens(prompt: str) -> int:
    """The number of tokens that a prompt has at least.

    The tokenizer never joins two words, and never joins two digits, so each of them is one token or more.

    Args:
        prompt: the prompt as it is sent.

    Returns:
        A lower bound: a prompt for which it is above `MOST_PROMPT_TOKENS` is cut for certain.
    """
    return sum(1 for _ in _PIECE.finditer(prompt))
