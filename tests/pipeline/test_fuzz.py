"""Whatever stands in a file, krea-pipe says what is wrong with it or makes its cells: it never fails otherwise."""

import contextlib
import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.json_data import CONTROL_CHARACTERS

FUZZING = Path(__file__).parent / "fuzzing.py"
MUTATIONS = 700
MOST_MEGABYTES = 200
TEMPLATES = 50
BATCHES = 4

PIECES = [
    *(
        "x",
        "1",
        "0",
        "-1",
        "1e308",
        "1e999",
        "9" * 40,
        "9" * 5000,
        "''",
        "'a'",
        r'"\ud800"',
        r'"\u001b"',
        "none",
        "true",
    ),
    *(
        "[1, 'a']",
        "[]",
        "{'a': [1]}",
        "(1, 2)",
        "x[1:2]",
        "x[1:2,3]",
        "x.a",
        "x['a']",
        "loop",
        "not " * 2000,
        "(" * 300,
    ),
    *("x*" * 300, "x+" * 60, "x~" * 3000, "[" * 99, "-" * 500),
]
LINKS = [
    "~",
    "+",
    "-",
    "*",
    "/",
    "//",
    "%",
    "**",
    "==",
    "<",
    " in ",
    " not in ",
    " and ",
    " or ",
    " if ",
    ",",
    " is ",
    "|",
]
FILTERS = (
    "abs default first float int join last length round sort sum slug join_and choice replace title trim upper string"
)

TESTS = ["even", "odd", "sequence", "in([1])", "eq(x)", "defined", "nothing"]


def expression(chance):
    """An expression that is nearly one."""
    text = chance.choice(PIECES)
    for _ in range(chance.randint(0, 4)):
        match chance.randrange(4):
            case 0:
                text += chance.choice(LINKS) + chance.choice(PIECES)
            case 1:
                text = f"({text})|{chance.choice(FILTERS.split())}"
            case 2:
                arguments = ", ".join(chance.choices(PIECES, k=chance.randint(1, 2)))
                text = f"({text})|{chance.choice(FILTERS.split())}({arguments})"
            case 3:
                text = f"({text}) is {chance.choice(TESTS)}"
    return text


def template(chance):
    """A template with an expression, alone or in a text, a condition or a loop."""
    one, other = expression(chance), expression(chance)
    forms = [
        "{{{{ {} }}}}",
        "a {{{{ {} }}}}",
        "a {{% if {} %}}{{{{ {} }}}}{{% endif %}}",
        "a {{% for x in {} %}}{{{{ {} }}}}{{% endfor %}}",
    ]
    return chance.choice(forms).format(one, other).replace("'", "''")


FORM = """\
version: 1
prompt: a lamp {{ x }} {{ r.text }}
vars: {y: VARIABLE}
defaults: {seed: SEED, variant: VARIANT}
out: OUT
matrix:
  x: [1, AXIS]
  r: [{id: a, text: TEXT, set: {intensity: INTENSITY}}]
"""


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_templates_render_or_are_refused(batch, tmp_path):
    file = tmp_path / "fuzz.yaml"
    for number in range(TEMPLATES):
        chance = random.Random(batch * TEMPLATES + number)
        text = FORM.replace("{{ x }} {{ r.text }}", template(chance)) if chance.random() < 0.3 else FORM
        for word, plain in (("VARIABLE", "1"), ("SEED", "1"), ("VARIANT", "large"), ("OUT", "a"), ("AXIS", "2")):
            text = text.replace(word, f"'{template(chance)}'" if chance.random() < 0.3 else plain)
        for word in ("TEXT", "INTENSITY"):
            text = text.replace(word, f"'{template(chance)}'" if chance.random() < 0.3 else "1")
        if chance.random() < 0.3:
            text = text.replace("prompt: a lamp", "prompt: '").replace("\nvars", "'\nvars", 1)
        file.write_text(text, encoding="utf-8")
        with contextlib.suppress(InvalidInput):
            for cell, _ in flow.cells(flow.load_pipeline(file), max_cells=2000):
                assert not CONTROL_CHARACTERS.search(cell.request.prompt + cell.out)


@pytest.mark.parametrize("batch", range(BATCHES // 2))
def test_mutated_files_load_or_are_refused_soon_and_in_little_memory(batch, tmp_path):
    """In a process of its own, whose memory can be measured and limited."""
    command = [sys.executable, str(FUZZING), str(tmp_path), str(batch * MUTATIONS), str(MUTATIONS)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["failures"] == []
    assert found["loaded"] > MUTATIONS // 10
    assert found["peak_mb"] < MOST_MEGABYTES


SAMPLE = ["repeated keys on one line", "exclusions", "repeated picks"]


def test_files_that_grow_are_judged_in_time_and_memory_that_grow_no_faster(tmp_path):
    """A small sample: `fuzzing.py cost FOLDER` grows every construct up to what a file may have."""
    command = [sys.executable, str(FUZZING), "cost", str(tmp_path), "--most", "60000", *SAMPLE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) > len(SAMPLE)


def test_a_file_that_costs_too_much_is_told(tmp_path):
    """The limits of the cost mode are such that what they are for fails it."""
    sys.path.insert(0, str(FUZZING.parent))
    from fuzzing import wrong_with

    sound = [(1_000, 0.5, 60, 0), (4_000, 0.9, 80, 2)]
    assert list(wrong_with(sound, 0.4)) == []
    for cost, said in (
        ((4_000, 2.5, 80, 2), "more than 2 s, more than in proportion"),
        ((4_000, 0.9, 251, 2), "more than 250 MB"),
        ((4_000, 0.9, 80, 70), "exit 70"),
        ((16_000, 1.9, 80, 0), ""),
    ):
        assert ", ".join(wrong_with([sound[0], cost], 0.4)) == said
