"""What a picks file may say, where its problems stand, and how small the diff of a decision is."""

import difflib
import re
from pathlib import Path

import pytest

from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.pipeline.editing.pick_changes import PicksEdit, change_picks
from krea_pipe.pipeline.editing.picks import Pick, parse_picks, read_picks

FILE = Path("picks.yaml")
KEY = "86197a33cafe1234"
FULL = f"""\
# what we liked

# the best
- {{pick: explore/serum/s1, stars: 5, note: keep the droplets, key: {KEY}}}
- {{pick: explore/cream/s2}}            # a line of its own
- pick: explore/dream/s3
  note: >-
    the lid
    is right
- {{reject: explore/neon/s1}}
"""
OLD = """\
# what we liked
stage: explore
picks:
  # the best
  - {id: explore/serum/s1, stars: 5, note: keep the droplets}
  - explore/cream/s2            # a plain id is enough
  - id: explore/cream/s3
    # within
    note: >-
      the lid
      is right
# not those
rejected:
  - explore/neon/s1
# end
"""


@pytest.fixture
def read(tmp_path):
    """Read text or bytes as a picks file."""

    def read_text(data):
        file = tmp_path / "explore.yaml"
        file.write_bytes(data if isinstance(data, bytes) else data.encode())
        return read_picks(file)

    return read_text


def said(entries):
    return [(one.id, one.stars, one.note) for one in entries]


def all_said(text):
    picks = parse_picks(text.lstrip("\ufeff"), FILE)
    return sorted(said(picks.picks)), sorted(said(picks.rejected))


def problems_of(action, *arguments):
    with pytest.raises(InvalidInput) as caught:
        action(*arguments)
    return [f"{one.at.line}:{one.at.column} {one.code}: {one.message}" for one in caught.value.problems]


def diff(old, new):
    """The lines that went (-) and came (+)."""
    lines = difflib.ndiff((old or "").splitlines(keepends=True), new.splitlines(keepends=True))
    return [line.rstrip("\n") for line in lines if line[0] in "+-"]


def change(old, **decisions):
    """The diff of some decisions."""
    return diff(old, change_picks(old, PicksEdit(**decisions)))


def test_every_way_to_write_a_decision_is_read(read):
    picks = read(FULL)
    assert said(picks.picks) == [
        ("explore/serum/s1", 5, "keep the droplets"),
        ("explore/cream/s2", None, ""),
        ("explore/dream/s3", None, "the lid is right"),
    ]
    assert said(picks.rejected) == [("explore/neon/s1", None, "")]
    assert [one.key for one in picks.decisions] == [KEY, "", "", ""]
    assert str(picks.document.place(picks.picks[1].trail)).endswith("explore.yaml:5:3")


def test_the_first_form_is_read(read):
    picks = read(OLD)
    assert said(picks.picks) == [
        ("explore/serum/s1", 5, "keep the droplets"),
        ("explore/cream/s2", None, ""),
        ("explore/cream/s3", None, "the lid is right"),
    ]
    assert said(picks.rejected) == [("explore/neon/s1", None, "")]
    assert picks.stages == {"explore"}


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "[]", "---\n", "stage: a\n", "stage: a\npicks:\n", "stage: a\npicks: []\n"]
)
def test_a_file_without_a_decision_is_no_error(read, text):
    assert (read(text).decisions, parse_picks(text, FILE).decisions) == ((), ())


def test_every_problem_of_a_file_comes_at_once_and_in_its_order(read):
    text = f"""\
- {{pick: a/1, strs: 4, stars: 9}}
- a/2
-
- {{pick: a/1}}
- {{stars: 1.5, note: [x]}}
- {{pick: 7, stars: true}}
- {{pick: a/3, reject: a/3}}
- {{reject: a/4, key: {KEY[:7]}}}
- {{reject: a/1, stars: 1}}
"""
    assert problems_of(read, text) == [
        "1:15 unknown_key: unknown key `strs` in a decision",
        "1:31 out_of_range: `stars` must be a whole number from 1 to 5, not 9",
        '2:3 wrong_type: a decision cannot be "a/2"',
        "3:2 wrong_type: a decision has no value",
        "5:3 missing_key: a decision needs `pick` or `reject`",
        "5:11 wrong_type: `stars` must be a whole number from 1 to 5, not 1.5",
        "5:22 wrong_type: `note` must be text, not a list",
        "6:10 wrong_type: `pick` must be text, not 7",
        "6:20 wrong_type: `stars` must be a whole number from 1 to 5, not true",
        "7:3 contradiction: a decision is either `pick` or `reject`",
        "8:22 invalid_value: `key` must be the first 16 to 64 hexadecimal digits of a request's key",
        "9:3 decided_twice: `a/1` is decided twice: picked on line 1, rejected with 1 star on line 9",
    ]


def test_every_problem_of_a_file_of_the_first_form_comes_at_once_and_in_its_order(read):
    text = """\
picks:
  - {id: a/1, strs: 4, stars: 9}
  - 12
  -
  - a/1
  - {stars: 1.5, note: [x]}
  - {id: 7, stars: true}
rejected:
  - a/1
reject: x
"""
    assert problems_of(read, text) == [
        "1:1 missing_key: a picks file needs `stage`",
        "2:15 unknown_key: unknown key `strs` in an entry of `picks`",
        "2:31 out_of_range: `stars` must be a whole number from 1 to 5, not 9",
        "3:5 wrong_type: an entry of `picks` cannot be 12",
        "4:4 wrong_type: an entry of `picks` has no value",
        "5:5 decided_twice: `a/1` is decided twice: picked on line 2, picked on line 5",
        "6:5 missing_key: an entry of `picks` needs `id`",
        "6:13 wrong_type: `stars` must be a whole number from 1 to 5, not 1.5",
        "6:24 wrong_type: `note` must be text, not a list",
        "7:10 wrong_type: `id` must be text, not 7",
        "7:20 wrong_type: `stars` must be a whole number from 1 to 5, not true",
        "9:5 decided_twice: `a/1` is decided twice: picked on line 2, rejected on line 9",
        "10:1 unknown_key: unknown key `reject`",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\n", '1:1 wrong_type: a picks file must be a list of decisions, not "a"'),
        ("stage: [a]\n", "1:8 wrong_type: `stage` must be the name of a stage, not a list"),
        ("stage: a\npicks: a/1\n", '2:8 wrong_type: `picks` must be a list, not "a/1"'),
        ("stage: a\nstage: b\n", "2:1 repeated_key: the key `stage` is already set on line 1"),
        (
            "- {pick: a/1}\n---\n- {pick: a/2}\n",
            "2:1 second_document: a picks file contains one document; a second one starts here",
        ),
        ("- {pick: a\n", "1:3 unclosed_bracket: the { that opens here is not closed, or a comma is missing"),
        ("- {pick: a/1}\n<<<<<<< HEAD\n", "2:1 merge_conflict: this is a merge conflict marker"),
    ],
)
def test_each_problem_has_a_code_and_a_place(read, text, expected):
    assert problems_of(read, text) == [expected]
    assert problems_of(parse_picks, text, FILE) == [expected]


def test_hints_are_about_picks_files(read):
    def hint(text):
        with pytest.raises(InvalidInput) as caught:
            read(text)
        return caught.value.problems[0].hint

    assert hint("- a/1\n") == "write - {pick: a/1}"
    assert hint("- {}\n").startswith("write a line for each decision: - {pick:")
    assert hint("stage: a\npick: []\n") == "did you mean `picks`?"
    assert hint("stage: 3\n") == 'put it in quotes: stage: "3"'
    assert hint(b"\xff") == "a picks file is a YAML file, saved as UTF-8"
    assert "merge=union" in hint("<<<<<<< HEAD\n")


def test_a_missing_file_is_unreadable_and_no_traceback(tmp_path):
    assert problems_of(read_picks, tmp_path / "none.yaml") == ["1:1 file_unreadable: the file does not exist"]


def test_lines_that_say_the_same_are_one_decision(read):
    picks = read(f"- {{pick: a/1, stars: 2}}\n- {{pick: a/1, stars: 2, key: {KEY}}}\n")
    assert said(picks.picks) == [("a/1", 2, "")]
    assert change_picks("- {pick: a/1}\n- {pick: a/1}\n", PicksEdit(add=["a/2"])) == "- {pick: a/1}\n- {pick: a/2}\n"


def test_a_file_may_reject_a_large_sweep():
    text = "".join(f"- {{reject: a/{number}, key: {KEY}}}\n" for number in range(15_000))
    assert len(parse_picks(text, FILE).rejected) == 15_000


# --- changes


def test_a_new_file_has_a_line_for_each_decision_by_id():
    picks = [Pick("explore/b", 5, "keep, but: darker"), Pick("explore/a")]
    keys = {"explore/a": f"{KEY}{'0' * 48}", "explore/c": "1" * 64}
    assert change_picks(None, PicksEdit(add=picks, reject=["explore/c"], keys=keys)) == (
        f"- {{pick: explore/a, key: {KEY}}}\n"
        "- {pick: explore/b, stars: 5, note: 'keep, but: darker'}\n"
        '- {reject: explore/c, key: "1111111111111111"}\n'
    )


def test_a_decision_is_a_diff_of_one_line():
    assert change(FULL, add=["explore/e"]) == ["+ - {pick: explore/e}"]
    assert change(FULL, add=[Pick("explore/z", 3)]) == ["+ - {pick: explore/z, stars: 3}"]
    assert change(FULL, remove=["explore/cream/s2"]) == ["- - {pick: explore/cream/s2}            # a line of its own"]
    assert change(FULL, add=["explore/cream/s2"], reject=["explore/neon/s1"]) == []
    assert change(FULL, add=["explore/neon/s1"]) == ["- - {reject: explore/neon/s1}", "+ - {pick: explore/neon/s1}"]


def test_a_first_line_goes_below_what_begins_the_file():
    assert change_picks(FULL, PicksEdit(add=["explore/a"])).startswith(
        "# what we liked\n\n- {pick: explore/a}\n# the best\n- {pick:"
    )


def test_a_line_is_changed_in_place_and_keeps_its_comment():
    assert change(FULL, add=[Pick("explore/serum/s1", 2)]) == [
        f"- - {{pick: explore/serum/s1, stars: 5, note: keep the droplets, key: {KEY}}}",
        f"+ - {{pick: explore/serum/s1, stars: 2, note: keep the droplets, key: {KEY}}}",
    ]
    assert change(FULL, add=[Pick("explore/cream/s2", note="warmer")]) == [
        "- - {pick: explore/cream/s2}            # a line of its own",
        "+ - {pick: explore/cream/s2, note: warmer}  # a line of its own",
    ]
    block = "- pick: a/b   # first\n  # inside\n  stars: 1   # hm\n"
    assert change_picks(block, PicksEdit(add=[Pick("a/b", 5)])) == "# first\n# inside\n- {pick: a/b, stars: 5}  # hm\n"


def test_a_decision_that_is_reversed_keeps_its_note_and_loses_its_stars():
    new = change_picks(FULL, PicksEdit(reject=["explore/serum/s1"]))
    assert said(parse_picks(new, FILE).rejected)[0] == ("explore/serum/s1", None, "keep the droplets")


@pytest.mark.parametrize(
    ("fields", "values", "new"),
    [
        (["stars"], {}, "{pick: p/a, note: x}"),
        (["note"], {}, "{pick: p/a, stars: 3}"),
        (["stars", "note"], {}, "{pick: p/a}"),
        (["note"], {"stars": 5}, "{pick: p/a, stars: 5}"),
        (["stars"], {"note": "y"}, "{pick: p/a, note: y}"),
        ([], {}, "{pick: p/a, stars: 3, note: x}"),
    ],
)
def test_a_line_loses_what_is_named_alone(fields, values, new):
    text = "- {pick: p/a, stars: 3, note: x}\n"
    assert change_picks(text, PicksEdit(add=[Pick("p/a", **values)], clear={"p/a": fields})) == f"- {new}\n"


def test_lines_get_the_key_that_they_lack_and_keep_the_one_that_they_have():
    text = f"- {{pick: a/1}}\n- {{reject: a/2, key: {KEY}}}\n- {{pick: a/3}}\n"
    keys = {"a/1": "a" * 64, "a/2": "b" * 64, "a/4": "c" * 64}
    assert change(text, add=["a/4"], keys=keys) == [
        "- - {pick: a/1}",
        "+ - {pick: a/1, key: aaaaaaaaaaaaaaaa}",
        "+ - {pick: a/4, key: cccccccccccccccc}",
    ]
    assert "reject: a/2, key: bbbbbbbbbbbbbbbb" in change_picks(text, PicksEdit(reject=["a/2"], keys=keys))


def test_a_cell_gets_another_id_in_its_line():
    text = f"- {{pick: a/1, stars: 2, key: {KEY}}} # x\n- {{reject: a/2}}\n"
    assert change_picks(text, PicksEdit(rename={"a/1": "a/one"}, keys={"a/one": "a" * 64})) == (
        "- {pick: a/one, stars: 2, key: aaaaaaaaaaaaaaaa}  # x\n- {reject: a/2}\n"
    )


def test_a_file_of_the_first_form_is_written_anew_with_its_comments():
    assert change_picks(OLD, PicksEdit(add=["explore/aa"], keys={"explore/neon/s1": "d" * 64})) == (
        "# what we liked\n"
        "# the best\n"
        "- {pick: explore/aa}\n"
        "- {pick: explore/serum/s1, stars: 5, note: keep the droplets}\n"
        "- {pick: explore/cream/s2}  # a plain id is enough\n"
        "# within\n"
        "- {pick: explore/cream/s3, note: the lid is right}\n"
        "# not those\n"
        "- {reject: explore/neon/s1, key: dddddddddddddddd}\n"
        "# end\n"
    )


HARD = [
    "# only a comment",
    "\ufeffstage: explore\npicks:\n- explore/a\n",
    "stage: explore\r\npicks:\r\n- explore/a   # c\r\n- explore/b\r\n# end\r\n",
    "stage: explore\npicks:\n    # above\n    -   # odd\n      {id: explore/a,\n       stars: 3}\n\n    # below\n# end",
    "stage: explore\npicks: [explore/a, 'explore/b', ]  # in a line\n",
    "stage: explore\npicks: [\n  explore/a, # one\n  explore/b # two\n]\n",
    "{stage: explore, picks: [explore/a]}\n",
    "{stage: explore}",
    "---\nstage: explore\npicks:   # none\n\n# end\n...\n",
    "stage: explore\npicks: ~  # none\n",
    "picks:\n- id: &x explore/a\n  note: |+\n    keep\n\n\nstage: explore\n",
    "rejected: []\npicks:\n  - explore/ä🪔\nstage: explore   \n",
    "stage: explore\npicks:\n  - {id: explore/a, # why\n     note: 'it # is'}\n",
    "stage: explore\r\npicks:\r\n  - id: explore/a\r\n    # in between\r\n    note: >-\r\n      x\r\n\r\n      y\r\n",
    "- {pick: explore/a}",
    "\ufeff- {pick: explore/a} # c\r\n\r\n- {reject: explore/b}\r\n# end\r\n",
    "  - {pick: explore/a}\n  # b\n  - pick: explore/b\n    note: |+\n      keep\n\n\n  # end\n",
    "[{pick: explore/a}, # one\n {reject: 'explore/b'}] # two\n",
    "---\n- pick: &x explore/a\n  note: *x\n- {pick: 'explore/#1', note: \"a # b\"}\n...\n",
    "-   # odd\n  {pick: explore/a,\n   stars: 3}\n",
]


@pytest.mark.parametrize("old", HARD)
def test_hard_files_take_new_picks_and_lose_nothing(old):
    new = change_picks(old, PicksEdit(add=[Pick("explore/new", 5, "a\nb ?")], reject=["explore/bad"]))
    assert sorted(comments(old)) == sorted(comments(new))
    assert ("\r\n" in old) == ("\r\n" in new)
    assert new.count("\n") == new.count("\r\n") or "\r\n" not in old
    before, after = all_said(old), all_said(new)
    assert after[0] == sorted([*before[0], ("explore/new", 5, "a\nb ?")])
    assert after[1] == sorted([*before[1], ("explore/bad", None, "")])
    assert new.startswith("\ufeff") == old.startswith("\ufeff")
    assert not parse_picks(new.lstrip("\ufeff"), FILE).stage


@pytest.mark.parametrize("old", [one for one in HARD if "explore/a" in one])
def test_hard_files_give_up_what_is_removed(old):
    new = change_picks(old, PicksEdit(remove=["explore/a"]))
    kept = [one for one in all_said(old)[0] if one[0] != "explore/a"]
    assert all_said(new) == (kept, all_said(old)[1])
    again = change_picks(new, PicksEdit(add=["explore/a"]))
    assert all_said(again)[0] == sorted([*kept, ("explore/a", None, "")])


@pytest.mark.parametrize("old", [one for one in HARD if "explore/a" in one])
def test_hard_files_give_stars_to_what_is_there(old):
    new = change_picks(old, PicksEdit(add=[Pick("explore/a", 1)]))
    before, after = all_said(old), all_said(new)
    assert after[0] == [(one, 1 if one == "explore/a" else stars, note) for one, stars, note in before[0]]
    assert sorted(comments(new)) == sorted(comments(old))


def comments(text):
    return re.findall(r"(?<!\S)# [^\r\n\"']*$", text.replace("\r", ""), re.MULTILINE)


@pytest.mark.parametrize(
    "note",
    ["16:9", "no", "true", "null", "~", "010", "1e3", "a: b", "#c", "{{ x }}", "'", '"', "\\", "- a", "*a", " a ",
     "a\tb", "a\nb\n", "ä🪔", "a\u2028b", "a\x85b", "=", "<<", "[", "}", ",", "x" * 500],
)  # fmt: skip
def test_any_note_comes_back_as_it_was_given(note):
    for old in (None, "stage: explore\npicks:\n  - explore/a\n", "- pick: explore/a\n"):
        new = change_picks(old, PicksEdit(add=[Pick("explore/a", 5, note)]))
        assert said(parse_picks(new, FILE).picks) == [("explore/a", 5, note)]
        assert new.count("\n") == 1


@pytest.mark.parametrize("key", ["1234567890123456", "12345678e0123456", "0000000000000000", "abcdefabcdefabcd"])
def test_any_key_comes_back_as_it_was_given(key):
    new = change_picks(None, PicksEdit(add=["explore/a"], keys={"explore/a": key * 4}))
    assert [one.key for one in parse_picks(new, FILE).picks] == [key]


@pytest.mark.parametrize(
    ("decisions", "code", "hint"),
    [
        ({"remove": ["explore/crem/s2"]}, "unknown_pick", "did you mean `explore/cream/s2`?"),
        ({"add": ["explore/a"], "remove": ["explore/a"]}, "contradiction", "choose one of them"),
        ({"add": ["explore/a"], "reject": ["explore/a"]}, "contradiction", "choose one of them"),
        ({"add": [Pick("explore/a", 6)]}, "out_of_range", None),
    ],
)
def test_decisions_that_make_no_sense_are_refused(decisions, code, hint):
    with pytest.raises(UsageError) as caught:
        change_picks(FULL, PicksEdit(**decisions))
    (problem,) = caught.value.problems
    assert (problem.code, problem.hint) == (code, hint)
