"""What a picks file may say, where its problems stand, and how small the diff of a decision is."""

import difflib
import re
from pathlib import Path

import pytest

from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.pipeline.editing.pick_changes import change_picks
from krea_pipe.pipeline.editing.picks import Pick, parse_picks, read_picks

FILE = Path("picks.yaml")
FULL = """\
# what we liked
stage: explore
picks:
  - {id: explore/serum/s1, stars: 5, note: keep the droplets}
  - explore/cream/s2            # a plain id is enough
  - id: explore/cream/s3
    note: >-
      the lid
      is right
rejected:
  - explore/neon/s1
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


def problems_of(action, *arguments):
    with pytest.raises(InvalidInput) as caught:
        action(*arguments)
    return [f"{one.at.line}:{one.at.column} {one.code}: {one.message}" for one in caught.value.problems]


def diff(old, new):
    """The lines that went (-) and came (+)."""
    lines = difflib.ndiff((old or "").splitlines(keepends=True), new.splitlines(keepends=True))
    return [line.rstrip("\n") for line in lines if line[0] in "+-"]


def change(old, **decisions):
    """The diff of some decisions about `explore`, after a look at what the new text says."""
    new = change_picks(old, "explore", **decisions)
    return diff(old, new)


def test_every_way_to_write_a_pick_is_read(read):
    picks = read(FULL)
    assert picks.stage == "explore"
    assert said(picks.picks) == [
        ("explore/serum/s1", 5, "keep the droplets"),
        ("explore/cream/s2", None, ""),
        ("explore/cream/s3", None, "the lid is right"),
    ]
    assert said(picks.rejected) == [("explore/neon/s1", None, "")]
    assert str(picks.document.place(picks.picks[1].trail)).endswith("explore.yaml:5:5")
    assert picks.rejected[0].trail == ("rejected", 0)


@pytest.mark.parametrize("text", ["stage: a\n", "stage: a\npicks:\n", "stage: a\npicks: []\nrejected: []\n"])
def test_a_file_without_a_decision_yet_is_no_error(read, text):
    assert (read(text).picks, read(text).rejected) == ((), ())


def test_every_problem_of_a_file_comes_at_once_and_in_its_order(read):
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
        "5:5 repeated_value: a/1 is already in line 2",
        "6:5 missing_key: an entry of `picks` needs `id`",
        "6:13 wrong_type: `stars` must be a whole number from 1 to 5, not 1.5",
        "6:24 wrong_type: `note` must be text, not a list",
        "7:10 wrong_type: `id` must be text, not 7",
        "7:20 wrong_type: `stars` must be a whole number from 1 to 5, not true",
        "9:5 picked_and_rejected: a/1 is rejected here and picked in line 2",
        "10:1 unknown_key: unknown key `reject`",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("- a\n", "1:1 wrong_type: a picks file must be a mapping, not a list"),
        ("stage: [a]\n", "1:8 wrong_type: `stage` must be the name of a stage, not a list"),
        ("stage: a\npicks: a/1\n", '2:8 wrong_type: `picks` must be a list, not "a/1"'),
        ("stage: a\nstage: b\n", "2:1 repeated_key: the key `stage` is already set in line 1"),
        (
            "stage: a\n---\nstage: b\n",
            "2:1 second_document: a picks file contains one document; a second one starts here",
        ),
        ("stage: a\npicks: [a\n", "2:8 unclosed_bracket: the [ that opens here is not closed, or a comma is missing"),
        (
            "stage: a\npicks:\n  - {id: a/1, stars: 0}\n",
            "3:22 out_of_range: `stars` must be a whole number from 1 to 5, not 0",
        ),
    ],
)
def test_each_problem_has_a_code_and_a_place(read, text, expected):
    assert problems_of(read, text) == [expected]


def test_an_id_is_some_text(read):
    assert problems_of(read, "stage: a\npicks: ['', {id: ''}]\n") == [
        '2:9 wrong_type: an entry of `picks` cannot be ""',
        '2:18 wrong_type: `id` must be text, not ""',
    ]


def test_hints_are_about_picks_files(read):
    def hint(text):
        with pytest.raises(InvalidInput) as caught:
            read(text)
        return caught.value.problems[0].hint

    assert hint("") == "write `stage: explore`, and under `picks:` a list of cell ids"
    assert hint("stage: a\npick: []\n") == "did you mean `picks`?"
    assert hint("stage: 3\n") == 'put it in quotes: stage: "3"'
    assert hint(b"\xff") == "a picks file is a YAML file, saved as UTF-8"


def test_a_missing_file_is_unreadable_and_no_traceback(tmp_path):
    assert problems_of(read_picks, tmp_path / "none.yaml") == [
        "1:1 file_unreadable: cannot read the file: No such file or directory"
    ]


def test_a_new_file_is_one_that_a_person_would_write():
    picks = [Pick("explore/a"), Pick("explore/b", 5, "keep, but: darker")]
    assert change_picks(None, "explore", add=picks, reject=["explore/c"]) == (
        "stage: explore\n"
        "picks:\n"
        "  - explore/a\n"
        "  - {id: explore/b, stars: 5, note: 'keep, but: darker'}\n"
        "rejected:\n"
        "  - explore/c\n"
    )


def test_a_decision_is_a_diff_of_one_or_two_lines():
    assert change(FULL, add=["explore/new"]) == ["+   - explore/new"]
    assert change(FULL, add=[Pick("explore/new", 3)]) == ["+   - {id: explore/new, stars: 3}"]
    assert change(FULL, remove=["explore/cream/s2"]) == ["-   - explore/cream/s2            # a plain id is enough"]
    assert change(FULL, reject=["explore/x"]) == ["+   - explore/x"]
    assert change(FULL, add=[Pick("explore/cream/s3", 4)]) == ["+     stars: 4"]
    assert change(FULL, add=["explore/cream/s2"], reject=["explore/neon/s1"]) == []


def test_an_entry_is_changed_in_place_and_keeps_its_comment():
    assert change(FULL, add=[Pick("explore/serum/s1", 2)]) == [
        "-   - {id: explore/serum/s1, stars: 5, note: keep the droplets}",
        "+   - {id: explore/serum/s1, stars: 2, note: keep the droplets}",
    ]
    assert change(FULL, add=[Pick("explore/cream/s2", note="warmer")]) == [
        "-   - explore/cream/s2            # a plain id is enough",
        "+   - {id: explore/cream/s2, note: warmer}            # a plain id is enough",
    ]
    assert change("stage: explore\npicks:\n  - id: explore/a   # first\n    stars: 1   # hm\n    # inside\n",
                  add=[Pick("explore/a", 5)]) == ["-     stars: 1   # hm", "+     stars: 5   # hm"]  # fmt: skip


def test_what_a_decision_does_not_say_stays_and_keys_keep_their_order():
    old = "stage: explore\npicks:\n  - {id: 'explore/a', note: x}\n  - {id: explore/b, stars: 2}\n"
    new = change_picks(old, "explore", add=[Pick("explore/a", 5), Pick("explore/b", note="y")])
    assert new.split("\n")[2:4] == [
        "  - {id: 'explore/a', stars: 5, note: x}",
        "  - {id: explore/b, stars: 2, note: y}",
    ]


def test_a_decision_that_is_reversed_moves_the_cell():
    picked = change_picks(FULL, "explore", add=[Pick("explore/neon/s1", 4)])
    assert said(parse_picks(picked, FILE).rejected) == []
    assert diff(FULL, picked) == [
        "+   - {id: explore/neon/s1, stars: 4}",
        "- rejected:",
        "+ rejected: []",
        "-   - explore/neon/s1",
    ]
    rejected = change_picks(FULL, "explore", reject=["explore/serum/s1"])
    assert said(parse_picks(rejected, FILE).rejected) == [("explore/neon/s1", None, ""), ("explore/serum/s1", None, "")]


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
    "stage: explore\npicks: [] # none",
    "stage: explore\r\npicks:\r\n  - id: explore/a\r\n    # in between\r\n    note: >-\r\n      x\r\n\r\n      y\r\n",
]


@pytest.mark.parametrize("old", HARD)
def test_hard_files_take_new_picks_and_lose_nothing(old):
    new = change_picks(old, "explore", add=[Pick("explore/new", 5, "a\nb ?")], reject=["explore/bad"])
    assert comments(old) == comments(new)
    assert ("\r\n" in old) == ("\r\n" in new)
    assert new.count("\n") == new.count("\r\n") or "\r\n" not in old
    before = parse_picks(old.lstrip("\ufeff"), FILE) if "stage" in old else None
    after = parse_picks(new.lstrip("\ufeff"), FILE)
    assert said(after.picks) == [*(said(before.picks) if before else []), ("explore/new", 5, "a\nb ?")]
    assert said(after.rejected) == [*(said(before.rejected) if before else []), ("explore/bad", None, "")]
    assert new.startswith("\ufeff") == old.startswith("\ufeff")


@pytest.mark.parametrize("old", [one for one in HARD if "explore/a" in one])
def test_hard_files_give_up_what_is_removed(old):
    new = change_picks(old, "explore", remove=["explore/a"])
    kept = [one for one in said(parse_picks(old.lstrip("\ufeff"), FILE).picks) if one[0] != "explore/a"]
    assert said(parse_picks(new.lstrip("\ufeff"), FILE).picks) == kept
    again = change_picks(new, "explore", add=["explore/a"])
    assert said(parse_picks(again.lstrip("\ufeff"), FILE).picks) == [*kept, ("explore/a", None, "")]


@pytest.mark.parametrize("old", [one for one in HARD if "explore/a" in one])
def test_hard_files_give_stars_to_what_is_there(old):
    new = change_picks(old, "explore", add=[Pick("explore/a", 1)])
    before, after = (parse_picks(text.lstrip("\ufeff"), FILE).picks for text in (old, new))
    assert said(after) == [(one, 1 if one == "explore/a" else stars, note) for one, stars, note in said(before)]
    assert [one for one in comments(new) if one != "# odd"] == [one for one in comments(old) if one != "# odd"]


def comments(text):
    return re.findall(r"#.*", text)


@pytest.mark.parametrize(
    "note",
    ["16:9", "no", "true", "null", "~", "010", "1e3", "a: b", "#c", "{{ x }}", "'", '"', "\\", "- a", "*a", " a ",
     "a\tb", "a\nb\n", "ä🪔", "a\u2028b", "a\x85b", "=", "<<", "[", "}", ",", "x" * 500],
)  # fmt: skip
def test_any_note_comes_back_as_it_was_given(note):
    for old in (None, "stage: explore\npicks:\n  - explore/a\n", "stage: explore\npicks:\n  - id: explore/a\n"):
        new = change_picks(old, "explore", add=[Pick("explore/a", 5, note)])
        assert said(parse_picks(new, FILE).picks) == [("explore/a", 5, note)]
        assert new.count("\n") <= 5


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
        change_picks(FULL, "explore", **decisions)
    (problem,) = caught.value.problems
    assert (problem.code, problem.hint) == (code, hint)


def test_a_file_of_another_stage_is_refused():
    with pytest.raises(UsageError) as caught:
        change_picks(FULL, "ladder", add=["ladder/a"])
    assert str(caught.value.problems[0]).startswith("picks.yaml:2:8: picks.yaml contains picks of `explore`")


@pytest.mark.parametrize(
    "entry",
    ["{id: explore/a, # why\n   stars: 3}", "id: explore/a\n  note: 2026-01-01 1:02:03.5"],
    ids=["comment in braces", "text that another YAML takes for a time"],
)
def test_a_file_that_can_not_be_edited_safely_stays_as_it_is_and_the_lines_are_shown(entry):
    old = f"stage: explore\npicks:\n- {entry}\n"
    with pytest.raises(UsageError) as caught:
        change_picks(old, "explore", add=[Pick("explore/a", 5)])
    (problem,) = caught.value.problems
    assert problem.message == "the file cannot be edited safely"
    assert problem.hint == "edit it by hand:\npicks:\n  - {id: explore/a, stars: 5}"
