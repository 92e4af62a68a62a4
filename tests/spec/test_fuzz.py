"""Whatever stands in a file, krea-pipe says what is wrong with it or makes its cells: it never fails otherwise."""

import contextlib
import random
from pathlib import Path

import pytest

from krea_pipe import flow
from krea_pipe.errors import InvalidInput

CORPUS = Path(__file__).parents[1] / "pipelines"
MUTATIONS = 250
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
