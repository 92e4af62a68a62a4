"""Whatever stands in a file, krea-pipe says what is wrong with it or makes its cells: it never fails otherwise."""

import contextlib
import random
from pathlib import Path

import pytest

from krea_pipe import flow
from krea_pipe.errors import InvalidInput
from krea_pipe.nodes import UNSPEAKABLE

CORPUS = Path(__file__).parents[1] / "pipelines"
MUTATIONS = 250
TEMPLATES = 100
BATCHES = 8

BITS = [
    *("null", "[]", "{}", "[null]", "{a: 1}", "-1", "1.5", "1e999", "1e30", "true", "''", '"\\ud800"', '"\\0"'),
    *("{{ x }}", "'{{ x }}'", "'{{ a.b.c }}'", "'{{ 1/0 }}'", "'{{ a | join }}'", "'{{'", "{% if x %}", "'{% if x %}'"),
    *("*a", "&a ", "!!str ", "<<: ", ": ", "- ", "  ", "\t", "\n", "\r", "#", "'", '"', "[", "]", "{", "}", "%", "@"),
    *(
        "16:9",
        "all",
        "prompt",
        "seed",
        "references",
        "stages",
        "matrix",
        "exclude",
        "out",
        "'../x'",
        "'/x'",
        "---",
        "? ",
    ),
    *("{count: 3}", "{from: 0, to: 1, steps: 3}", "{id: a}", "{image: refs/brand.png}", "é", "\U0001fa94", "\ufeff"),
]


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
            for cell, _ in flow.cells(flow.load(file), max_cells=2000):
                assert not UNSPEAKABLE.search(cell.request.prompt + cell.out)


def mutate(chance, text, others):
    for _ in range(chance.randint(1, 4)):
        lines = text.split("\n")
        here, there, spot = chance.randrange(len(lines)), chance.randrange(len(lines)), chance.randrange(len(text) + 1)
        match chance.randrange(5):
            case 0:
                text = text[:spot] + chance.choice(BITS) + text[spot:]
            case 1:
                text = text[:spot] + text[spot + chance.randint(1, 12) :]
            case 2:
                lines[here], lines[there] = lines[there], lines[here]
                text = "\n".join(lines)
            case 3:
                lines[here] = f"{lines[here].partition(':')[0]}: {chance.choice(BITS)}"
                text = "\n".join(lines)
            case 4:
                donor = chance.choice(others).split("\n")
                lines[here:here] = donor[chance.randrange(len(donor)) :][:3]
                text = "\n".join(lines)
    return text


@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_files_load_or_are_refused(batch, tmp_path):
    (tmp_path / ".git").mkdir()
    texts = [file.read_text(encoding="utf-8") for file in sorted(CORPUS.glob("*/*.yaml"))]
    texts += [file.read_text(encoding="utf-8") for file in sorted(CORPUS.glob("valid/*.yaml"))] * 10
    file = tmp_path / "fuzz.yaml"
    for number in range(MUTATIONS):
        chance = random.Random(batch * MUTATIONS + number)
        file.write_text(mutate(chance, chance.choice(texts), texts), encoding="utf-8", errors="replace", newline="")
        with contextlib.suppress(InvalidInput):
            for _ in flow.cells(flow.load(file), max_cells=2000):
                pass
