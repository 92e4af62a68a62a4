"""Stars and notes that are taken out of a picks file, and what stays."""

import pytest

from krea_pipe.core.errors import UsageError
from krea_pipe.pipeline.editing.pick_changes import change_picks
from krea_pipe.pipeline.editing.picks import Pick

BLOCK = """\
stage: p
picks:
  # the best
  - id: p/a
    stars: 3   # of five
    # seen by all
    note: |
      keep
      it
  - p/b
"""


def cleared(entry, *fields, **values):
    text = f"stage: p\npicks:\n  - {entry}  # why\n  - p/b\n"
    new = change_picks(text, "p", add=[Pick("p/a", **values)], clear={"p/a": fields})
    head, tail = "stage: p\npicks:\n  - ", "  # why\n  - p/b\n"
    assert new.startswith(head)
    assert new.endswith(tail)
    return new.removeprefix(head).removesuffix(tail)


@pytest.mark.parametrize(
    ("entry", "fields", "values", "new"),
    [
        ("{id: p/a, stars: 3, note: x}", ["stars"], {}, "{id: p/a, note: x}"),
        ("{id: p/a, stars: 3, note: x}", ["note"], {}, "{id: p/a, stars: 3}"),
        ("{id: p/a, stars: 3, note: x}", ["stars", "note"], {}, "{id: p/a}"),
        ("{stars: 3, note: x, id: p/a}", ["stars", "note"], {}, "{id: p/a}"),
        ("{stars: 3, id: p/a, note: x}", ["stars", "note"], {}, "{id: p/a}"),
        ("{id: p/a, stars: 3, note: x}", ["note"], {"stars": 5}, "{id: p/a, stars: 5}"),
        ("{id: p/a, stars: 3}", ["stars"], {"note": "y"}, "{id: p/a, note: y}"),
        ("{ id: p/a , stars: 3 , }", ["stars"], {}, "{ id: p/a , }"),
        ("{id: p/a, note: x}", ["stars"], {}, "{id: p/a, note: x}"),
        ("p/a", ["stars", "note"], {}, "p/a"),
        ("p/a", ["stars"], {"note": "y"}, "{id: p/a, note: y}"),
        ("{id: p/a, stars: 3, note: x}", [], {}, "{id: p/a, stars: 3, note: x}"),
    ],
)
def test_an_entry_loses_what_is_named_alone(entry, fields, values, new):
    assert cleared(entry, *fields, **values) == new


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_lines_of_a_block_go_and_comments_between_them_stay(end):
    text = BLOCK.replace("\n", end)
    without_stars = BLOCK.replace("    stars: 3   # of five\n", "").replace("\n", end)
    assert change_picks(text, "p", add=["p/a"], clear={"p/a": ["stars"]}) == without_stars
    without_note = BLOCK.replace("    note: |\n      keep\n      it\n", "").replace("\n", end)
    assert change_picks(text, "p", add=["p/a"], clear={"p/a": ["note"]}) == without_note


def test_the_next_key_takes_the_line_of_the_dash():
    text = "stage: p\npicks:\n  - stars: 3\n    id: p/a\n"
    assert change_picks(text, "p", add=["p/a"], clear={"p/a": ["stars"]}) == "stage: p\npicks:\n  - id: p/a\n"


@pytest.mark.parametrize(
    "text",
    [
        "stage: p\npicks:\n  - stars: 3 # why\n    id: p/a\n",
        "stage: p\npicks:\n  - {id: p/a,  # why\n     stars: 3}\n",
    ],
)
def test_a_comment_that_would_be_lost_keeps_the_file_as_it_is(text):
    with pytest.raises(UsageError) as caught:
        change_picks(text, "p", add=["p/a"], clear={"p/a": ["stars"]})
    assert caught.value.code == "unsafe_edit"


def test_a_rejection_loses_its_note():
    text = "stage: p\nrejected: [{id: p/a, note: x}, p/b]\n"
    new = change_picks(text, "p", reject=["p/a"], clear={"p/a": ["note"]})
    assert new == "stage: p\nrejected: [{id: p/a}, p/b]\n"
