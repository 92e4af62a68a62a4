import pytest

from krea_pipe.local.caption import make_printable, wrap_text


@pytest.mark.parametrize(
    ("text", "printable"),
    [
        ("a  lamp\n on slate", "a lamp on slate"),
        ("café naïve – Öl", "cafe naive - Ol"),
        ("лампа on 雪の中", "[cyrillic] on [cjk]"),
        ("paint 🎨🎨 it", "paint [symbol] it"),
        ("\ud800", "[symbol]"),
        ("", ""),
    ],
)
def test_what_the_font_lacks_is_named(text, printable):
    assert make_printable(text) == printable


def test_a_short_prompt_is_one_line():
    assert wrap_text("a lamp", 470) == ["a lamp"]


def test_lines_break_between_words_and_the_fourth_is_cut():
    text = "a cinematic product photo of a glass lamp " * 5
    lines = wrap_text(text, 470)
    assert len(lines) == 3
    assert lines[-1].endswith("...")
    assert text.startswith(" ".join(lines)[:-3])


def test_a_word_longer_than_the_line_is_broken():
    lines = wrap_text("x" * 300, 470)
    assert len(lines) == 3
    assert len(lines[0]) == len(lines[1])


def test_no_prompt_says_so():
    assert wrap_text("", 470) == ["(empty prompt)"]
