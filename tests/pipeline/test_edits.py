"""Edits of pipeline files: the diff is the new lines, the data is the old and the new, and every other byte stays."""

import re
import shutil
import sys
from pathlib import Path

import pytest

from krea_pipe.app.flow import cells, load_pipeline
from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.pipeline.editing.edits import add_stage, add_style, with_stages
from krea_pipe.pipeline.editing.yaml_text import flow_text
from krea_pipe.pipeline.nodes import build_nodes

sys.path.insert(0, str(Path(__file__).parent / "corpus"))
from corpus import build_repository

FILE = Path("lamp.yaml")
ROOT = Path(__file__).parents[2]
CORPUS = sorted([*(ROOT / "tests/pipeline/corpus/valid").glob("*.yaml"), *(ROOT / "pipelines").glob("*.yaml")])

FULL = """\
# yaml-language-server: $schema=../schemas/pipeline.schema.json
version:   1    # spaces
name: autumn

styles:                           # trained styles (LoRAs)
  house: {id: st_8Qd1, strength: 0.8}

stages:
  explore:                        # 36 images
    prompt: >-
      a lamp, {{ light }}
      # no comment

    matrix:
    - light: [a,
        b]
    - {light: 'c', "seed": 010}
    # inside explore

  # ladder: off

# what follows
profiles: {ci: {budget: {usd: 3.00}}}
"""


def promoted(text, stage="explore", to="large", **more):
    return add_stage(text, stage, to, picks_file="picks/explore.yaml", file=FILE, **more)


def data(text):
    return build_nodes(FILE, text.removeprefix("\ufeff")).data


def can_be_written_out(found):
    """Whether a file has one stage at the top level, which its profiles leave alone."""
    is_short = isinstance(found, dict) and "stages" not in found and ("prompt" in found or "matrix" in found)
    return is_short and "profiles" not in found


def added(old, new):
    """The lines that came, after a look that they came in one piece and all others stayed as they were."""
    before, after = old.splitlines(keepends=True), new.splitlines(keepends=True)
    if before and not before[-1].endswith("\n"):
        before[-1] += "\r\n" if "\r\n" in old else "\n"
        after[-1] += "\r\n" if "\r\n" in old else "\n"
    same = 0
    while same < len(before) and before[same] == after[same]:
        same += 1
    count = len(after) - len(before)
    assert before == after[:same] + after[same + count :]
    return "".join(after[same : same + count])


def problem_of(action, *arguments, **more):
    with pytest.raises(UsageError) as caught:
        action(*arguments, **more)
    (problem,) = caught.value.problems
    return problem


def test_a_style_is_one_new_line_under_styles():
    new = add_style(FULL, "mine", "st_1")
    assert added(FULL, new) == "  mine: {id: st_1}\n"
    assert data(new)["styles"] == {"house": {"id": "st_8Qd1", "strength": 0.8}, "mine": {"id": "st_1"}}


def test_a_promotion_is_one_new_block_under_stages():
    new = promoted(FULL)
    assert new.stage == "explore-large"
    assert added(FULL, new.text).strip("\n").split("\n") == [
        "  explore-large:                  # promoted from explore",
        "    for_each: explore",
        "    picks: picks/explore.yaml",
        "    promote: {variant: large}",
    ]
    assert new.text.index("# ladder: off") < new.text.index("explore-large") < new.text.index("# what follows")
    wanted = {"for_each": "explore", "picks": "picks/explore.yaml", "promote": {"variant": "large"}}
    assert data(new.text)["stages"] == {**data(FULL)["stages"], "explore-large": wanted}


def test_a_name_that_a_stage_has_is_refused():
    once = promoted(FULL)
    assert once.stage == "explore-large"
    assert problem_of(promoted, once.text).code == "name_taken"
    assert problem_of(promoted, FULL, name="explore").code == "name_taken"
    assert promoted(once.text, name="final").stage == "final"


def test_styles_are_made_where_they_are_missing():
    old = "version: 1\nmoodboards:\n  a: {id: x}\n  # inside\n\n# the stages\nstages:\n  a: {prompt: x}\n"
    assert added(old, add_style(old, "b", "y")).strip("\n") == "styles:\n  b: {id: y}"
    assert "# inside\n\nstyles:\n  b: {id: y}\n\n# the stages" in add_style(old, "b", "y")
    assert add_style("\ufeffa: 1", "b", "y") == "\ufeffa: 1\nstyles:\n  b: {id: y}"
    assert add_style("a: 1\nb: 2\n", "b", "y") == "a: 1\nb: 2\nstyles:\n  b: {id: y}\n"


def test_the_blank_lines_below_a_stage_stay_below_the_new_one():
    for prompt in ("a", ">-\n      a", "|\n      a", "'a'"):
        old = f"stages:\n  explore:\n    prompt: {prompt}\n\n\n# next\nname: x\n"
        new = promoted(old).text
        assert new.startswith(f"stages:\n  explore:\n    prompt: {prompt}\n\n  explore-large:")
        assert new.endswith("promote: {variant: large}\n\n\n# next\nname: x\n")


STAGES = [
    "stages:\n  explore:\n    prompt: a",
    "stages:\r\n    explore:\r\n        prompt: |+\r\n            a\r\n\r\n\r\nname: x\r\n",
    "\ufeffstages:\n explore: {prompt: &p 'a'}\nvars: {p: *p}\n",
    "stages: &s   # anchored\n  explore:\n    prompt: |\n      a\n       # text\n     # comment\n  # also\n\n\n# end",
    'stages:\n  "explore":\n    prompt: "ä🪔\n\n      b \\\n      c"   # c\n    exclude:\n    - {a: 1}\n...\n',
    "---\nstages:\n  ? explore\n  : prompt: a\nprofiles:\n- 1\n",
    "  stages:\n    explore:\n      prompt:\n        - a\n    other:\n      prompt: b\n  name: x\n",
    "stages:\n  explore:\n    prompt: 16:9\n\n  b: {}\n\n\n\nname: no\nbudget: {usd: 1.0}\n",
    "stages:\n  explore:\n    prompt: a\n    out:\nname: x\n",
]


@pytest.mark.parametrize("old", STAGES)
def test_hard_files_get_a_stage_and_change_in_nothing_else(old):
    new = promoted(old)
    block = added(old, new.text)
    assert re.sub(r"\r?\n", "\n", block).count("\n") in (4, 5)
    assert ("\r\n" in block) == ("\r\n" in old)
    before = data(old)
    wanted = {"for_each": "explore", "picks": "picks/explore.yaml", "promote": {"variant": "large"}}
    assert repr(data(new.text)) == repr({**before, "stages": {**before["stages"], "explore-large": wanted}})
    assert new.text.endswith("\n") == old.endswith("\n")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("styles: {a: {id: x}}  # c\n", "styles: {a: {id: x}, b: {id: y}}  # c\n"),
        ("styles: {a: {id: x}, }\n", "styles: {a: {id: x}, b: {id: y}, }\n"),
        ("styles: {}\n", "styles: {b: {id: y}}\n"),
        ("styles: {\n  a: {id: x}, # c\n}\n", "styles: {\n  a: {id: x}, # c\n  b: {id: y},\n}\n"),
        ("styles: {\n  a: {id: x} # c\n}\n", "styles: {\n  a: {id: x}, # c\n  b: {id: y}\n}\n"),
        ("{styles: {a: {id: x}}}", "{styles: {a: {id: x}, b: {id: y}}}"),
        ("{a: 1}\n", "{a: 1, styles: {b: {id: y}}}\n"),
        ("styles:   # c\n\na: 1\n", "styles:   # c\n  b: {id: y}\n\na: 1\n"),
        ("styles:\n    # - none\na: 1\n", "styles:\n    # - none\n  b: {id: y}\na: 1\n"),
    ],
)
def test_braces_and_empty_sections_are_filled_in_place(old, new):
    assert add_style(old, "b", "y") == new


@pytest.mark.parametrize(
    "old",
    ["styles: null\n", "x: &s {a: {id: x}}\nstyles: *s\n", "styles: &s\n  a: {id: x}\nx: *s\n", "styles: text\n"],
    ids=["null", "alias", "shared", "text"],
)
def test_a_file_that_can_not_be_edited_safely_is_refused_with_the_lines_to_write(old):
    problem = problem_of(add_style, old, "b", "y", file=FILE)
    assert (problem.code, problem.message) == ("unsafe_edit", "the file cannot be edited safely")
    assert problem.hint == "edit it by hand:\nstyles:\n  b: {id: y}"


def test_names_that_can_not_be_are_refused():
    taken = problem_of(add_style, FULL, "house", "st_1", file=FILE)
    assert (taken.code, str(taken.at)) == ("name_taken", "lamp.yaml:6:3")
    assert problem_of(add_style, FULL, "a-b", "st_1").code == "bad_name"
    assert problem_of(promoted, FULL, name="a b").code == "bad_name"
    assert problem_of(promoted, "stages: {" + "a" * 60 + ": {}}", stage="a" * 60).code == "bad_name"
    assert problem_of(promoted, FULL, stage="explor").hint == "did you mean `explore`?"
    assert problem_of(promoted, FULL, to="larg").hint == "did you mean `large`?"
    assert "defaults" in problem_of(add_style, "styles: [a]\n", "b", "y").hint


def test_names_that_yaml_would_take_for_something_else_are_quoted():
    assert data(promoted("stages: {'true': {}}\n", stage="true").text)["stages"]["true-large"]["for_each"] == "true"
    assert data(promoted("stages:\n  '1': {}\n", stage="1", name="2").text)["stages"]["2"]["for_each"] == "1"
    assert data(add_style("a: 1\n", "null", "010"))["styles"] == {"null": {"id": "010"}}


def test_text_that_is_not_yaml_is_located():
    for action in (lambda text: promoted(text), lambda text: add_style(text, "a", "b", file=FILE)):
        for text in ("stages: [\n  a\n", "a: 1\na: 2\n", "- a\n", ""):
            with pytest.raises(InvalidInput) as caught:
                action(text)
            assert caught.value.problems[0].at.path == FILE


@pytest.mark.parametrize(
    "value", ["16:9", "no", "~", "010", "1e3", "a: b", "#c", "a, b", "]", "'\"", " a ", "a\nb", "a\x85b", "ä🪔", {}]
)
def test_what_is_written_on_one_line_is_read_as_what_it_was(value):
    assert data(f"a: {flow_text(value)}\n") == {"a": value}
    assert data(f"[{flow_text(value)}, {{{flow_text('k')}: {flow_text({'v': 1})}}}]\n") == [value, {"k": {"v": 1}}]
    assert "\n" not in flow_text(value)


SHORTHAND = """\
# about the file
version: 1
name: lamp
# about the prompt
prompt: >-
  a lamp on {{ surface }}

    and more
vars: {x: 1}

# about the matrix
matrix:
- {surface: [marble,
 slate]}
-
  # deep
  surface: [|2
     x
  ]
  # deeper
out: "{{ surface }}
  -b"
# end
"""


def test_a_file_in_shorthand_gets_stages_line_by_line():
    old = SHORTHAND.replace("[|2\n     x\n  ]", "[x]")
    new = with_stages(old, FILE)
    moved = ("prompt", "matrix", "out")
    before = data(old)
    rest = {key: value for key, value in before.items() if key not in moved}
    assert data(new) == {**rest, "stages": {"lamp": {key: before[key] for key in moved}}}
    assert [
        line.strip() for line in sorted(new.split("\n"), key=str.strip) if line.strip() not in ("stages:", "lamp:")
    ] == [line.strip() for line in sorted(old.split("\n"), key=str.strip)]
    assert new.startswith(
        "# about the file\nversion: 1\nname: lamp\nvars: {x: 1}\n\nstages:\n  lamp:\n    # about the prompt\n"
    )
    assert new.endswith('      -b"\n# end\n')


def test_promoting_in_shorthand_does_both():
    new = promoted("prompt: a\nout: b\nseed: 1\n", stage="lamp")
    assert new.text.startswith("stages:\n  lamp:\n    prompt: a\n    out: b\n\n  lamp-large:")
    assert new.text.endswith("    promote: {variant: large}\nseed: 1\n")
    spaces = "prompt: |\n  a\n     \n  b\nout: b\n"
    assert data(promoted(spaces, stage="lamp").text)["stages"]["lamp"]["prompt"] == "a\n   \nb\n"


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_every_valid_file_takes_a_style_and_a_stage_and_nothing_else_changes(path):
    old = path.read_bytes().decode()
    before = data(old)
    if not isinstance(before.get("styles"), list):
        new = add_style(old, "added", "st_1")
        assert data(new) == {**before, "styles": {**(before.get("styles") or {}), "added": {"id": "st_1"}}}
        if not re.search(r"^styles: *\{", old, re.MULTILINE):  # braces are edited in their line
            assert added(old, new).strip().endswith("added: {id: st_1}")
    if "stages" in before:
        assert "promote: {variant: large}" in added(old, promoted(old, stage=next(iter(before["stages"]))).text)


SHORT = [path for path in CORPUS if can_be_written_out(data(path.read_bytes().decode()))]


@pytest.mark.parametrize("path", SHORT, ids=lambda path: path.name)
def test_a_file_with_stages_written_out_expands_to_the_same_cells(path, tmp_path):
    old = path.read_bytes().decode()
    folder = build_repository(tmp_path / "repository")
    shutil.copytree(ROOT / "pipelines/refs", folder / "refs", dirs_exist_ok=True)
    file = folder / path.name
    file.write_bytes(path.read_bytes())
    before = expansion(file)
    file.write_bytes(with_stages(old, file).encode())
    assert "stages" in data(file.read_text())
    assert expansion(file) == before


def expansion(file):
    return [(cell.id, cell.out, key) for cell, key in cells(load_pipeline(file))]


def test_without_out_the_file_gets_one_that_leaves_the_images_where_they_are():
    new = promoted("# lamps\nprompt: a\nmatrix: {seed: [1]}  # one\nvars: {b: c}\n", stage="lamp").text
    assert new.startswith("# lamps\n")
    assert '    matrix: {seed: [1]}  # one\n    out: "{{ cell }}"\n' in new


def test_a_file_that_has_another_meaning_for_the_name_of_a_cell_stays_as_it_is():
    problem = problem_of(promoted, 'prompt: "{{ cell }}"\nmatrix: {cell: [a]}\n', stage="lamp")
    assert problem.message == "lamp.yaml has no `stages:`, so without `out:` this edit would move its images to lamp/"
    assert problem.hint.split("\n")[1:] == ["stages:", "  lamp:", "    prompt: …", "    matrix: …"]


@pytest.mark.parametrize(
    "old",
    [
        "{prompt: a, out: b}\n",
        "prompt: &p a\nvars: {b: *p}\nout: b\n",
        "prompt: a\nout: b\nprofiles: {ci: {sample: {method: first, n: 1}}}\n",
    ],
    ids=["braces", "anchor", "profile"],
)
def test_shorthand_that_can_not_be_moved_is_refused_with_what_to_write(old):
    problem = problem_of(promoted, old, stage="lamp")
    assert problem.code == "unsafe_edit"
    assert "stages:\n  lamp:\n    prompt: …\n    out: …" in problem.hint
