"""Lines of text: measured, broken, and drawn with a font that has the letters."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_pipe.report.sheet.typeface import REGULAR, STRONG, FontSet, plain

FONTS = FontSet(())
words = st.text(st.characters(codec="utf-8"), max_size=120)


@given(words, st.integers(20, 600), st.integers(1, 5))
def test_lines_fit_their_width_and_their_number(text, width, most):
    lines = FONTS.wrapped(text, width, 12, most=most)
    assert len(lines) <= most
    for line in lines:
        assert FONTS.width(line, 12) <= width or len(line.rstrip("…")) <= 1 or is_one_cluster(line)


def is_one_cluster(line):
    return sum(unicodedata.category(one) not in ("Mn", "Me", "Mc") for one in line.rstrip("…")) <= 1


@given(words, st.integers(20, 600))
def test_no_letter_is_lost_while_there_is_room_for_lines(text, width):
    lines = FONTS.wrapped(text, width, 12, most=1000)
    assert "".join(lines).replace(" ", "") == plain(text).replace(" ", "")


@given(st.lists(st.sampled_from(["x\u0301", "q\u0303", "k\u0302\u0301", "a"]), min_size=1, max_size=40))
def test_no_line_starts_with_an_accent_that_belongs_to_a_letter_before(letters):
    for line in FONTS.wrapped("".join(letters), 20, 12, most=1000):
        assert not unicodedata.combining(line[0])


def test_words_stay_whole_and_ids_break_at_their_slashes():
    assert FONTS.wrapped("low dawn light", 60, 12) == ("low dawn", "light")
    assert FONTS.wrapped("serum/dawn/brand-grain", 80, 12) == ("serum/dawn/", "brand-grain")
    assert [len(line) for line in FONTS.wrapped("朝の光" * 4, 40, 12, most=9)][:2] == [5, 5]


def test_what_is_left_out_ends_in_an_ellipsis_that_fits():
    lines = FONTS.wrapped("one two three four five six seven", 60, 12, most=2)
    assert len(lines) == 2
    assert lines[-1].endswith("…")
    assert FONTS.width(lines[-1], 12) <= 60


@pytest.mark.parametrize("text", ["Größe", "Ένα φως", "жёлтый свет", "Đặng Łódź", "– … · × ₿"])
def test_latin_greek_and_cyrillic_need_no_font_of_the_machine(text):
    assert {face for face, _ in FONTS.runs(text, strong=False)} == {REGULAR}
    assert {face for face, _ in FONTS.runs(text, strong=True)} == {STRONG}


def test_other_letters_come_from_the_fonts_of_the_machine_and_broken_fonts_are_passed_over(tmp_path):
    (tmp_path / "NotoSansCJK-Regular.ttc").write_bytes(b"no font")
    assert FontSet([str(tmp_path)]).runs("光", strong=False) == [(REGULAR, "光")]
    assert FONTS.width("光", 12) > 0


def test_a_text_is_one_line_without_what_can_not_be_drawn():
    assert plain("a\n b\x00\u202e\ud800c") == "a b\ufffdc"
