"""What a prompt has in tokens at the very least."""

import pytest

from krea_pipe.core.prompt_length import MOST_PROMPT_TOKENS, least_tokens


@pytest.mark.parametrize(
    ("prompt", "least"),
    [("", 0), ("a red lamp", 3), ("a red-hot lamp, 35 mm", 7), ("ein Wörterbuch", 2), ("灯台", 1), ("... !!", 0)],
)
def test_each_word_and_each_digit_is_a_token_at_least(prompt, least):
    assert least_tokens(prompt) == least


def test_a_prompt_of_more_words_than_are_read_is_told():
    assert least_tokens("lamp " * (MOST_PROMPT_TOKENS + 1)) > MOST_PROMPT_TOKENS
    assert least_tokens("lamp " * MOST_PROMPT_TOKENS) <= MOST_PROMPT_TOKENS
