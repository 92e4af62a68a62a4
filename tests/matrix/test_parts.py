"""What cells have in common is computed once: none of them may differ from the same cell made by itself."""

import json
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_expansion import expand_plainly

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.matrix import blocks

WORDS = ["amber", "wet slate", "no", "16:9", "a b/c", "Ünïcode é", "a.b", "A1", "  pad ", "Straße", "lpt1", '"q"', "#1"]
SEPARATORS = ["", " ", ", ", "-", "/", "  ", "_x"]
words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique_by=str.casefold)


@st.composite
def rows(draw):
    """Rows with a text, a list, and fields that other values may set too."""
    found = []
    for number in range(draw(st.integers(1, 4))):
        row = {
            "id": f"r{number}",
            "text": draw(st.sampled_from(WORDS)),
            "tags": ["a", "b", "c"][: draw(st.integers(1, 3))],
        }
        row |= draw(
            st.sampled_from([{}, {"set": {"movement": 5}}, {"aspect_ratio": "16:9"}, {"look": "warm"}, {"seed": 7}])
        )
        found.append(row)
    return found


AXES = {
    "row": rows(),
    "word": st.one_of(words, st.builds(lambda n: {"count": n}, st.integers(1, 5))),
    "pair": words.map(lambda found: {"zip": {"text": found, "number": list(range(len(found)))}}),
    "flag": st.just([True, False, 1.5, "x"]),
    "seed": st.builds(lambda n: {"count": n}, st.integers(1, 4)),
    "creativity": st.just(["raw", "low", "high"]),
    "look": st.just(["plain", "warm"]),
    "references.ink.strength": st.just([0.25, 0.75]),
}
SETS = [
    {"complexity": 7},
    {"seed": 9},
    {"look": "plain"},
    {"prompt": "p {{ variant }}"},
    {"styles": ["house"], "movement": 8},
    {"image": "https://example.com/a.png", "strength": "{{ 0.3 if variant == 'large' else 0.4 }}"},
]
"""What a patch may set, one or several of them."""
NAMES = {
    "row": ["row.id", "row.text", "row.tags[0]"],
    "word": ["word"],
    "pair": ["pair.text", "pair.number"],
    "flag": ["flag"],
    "seed": ["seed"],
    "creativity": ["creativity"],
    "look": ["look"],
}
SHAPES = [
    "{{ X }}",
    "{{ X | string | slug }}",
    "{{ X ~ '-' ~ Y }}",
    "{% if X %}with {{ X }}{% else %}none{% endif %}",
    "{% for one in [1, 2] %}{{ one }}{{ X }}{% endfor %}",
    "{{ ['a', 'b'] | choice(X | string) }}",
    "{{ X | default('no', true) }}",
]


@st.composite
def templates(draw, names, shapes=SHAPES, separators=SEPARATORS):
    """A text of several expressions about some names."""
    name = st.sampled_from([*names, "brand", "stage", "variant", "intensity"])
    parts = draw(
        st.lists(st.tuples(st.sampled_from(shapes), name, name, st.sampled_from(separators)), min_size=1, max_size=4)
    )
    return "".join(shape.replace("X", one).replace("Y", other) + between for shape, one, other, between in parts)


@st.composite
def stages(draw, upstream=None):
    """A stage with any kind of axes in any order, whose prompt reads all of them."""
    chosen = draw(st.lists(st.sampled_from(sorted(AXES)), min_size=1, max_size=4, unique=True))
    axes = {name: draw(AXES[name]) for name in chosen}
    names = [name for axis in chosen for name in NAMES.get(axis, [])]
    names += ["source.prompt", "source.seed"] if upstream else []
    stage = {
        "prompt": f"a lamp {draw(templates(names))} {' '.join(f'{{{{ {one} }}}}' for one in names)}",
        "matrix": axes,
    }
    stage["references"] = draw(st.sampled_from([["ink"], ["{{ 'ink' }}"]]))
    kind = draw(st.sampled_from(["none", "cell", "plain", "free", "whole"]))
    plain = "-".join(f"{{{{ {one} | string | slug }}}}" for one in names)
    if kind != "none":
        free = f"{{{{ cell }}}}/{draw(templates(names, SHAPES[1:3]))}x"
        stage["out"] = {
            "cell": "{{ cell }}",
            "plain": f"{{{{ stage }}}}/x-{plain}-x",
            "free": free,
            "whole": f"{plain}",
        }[kind]
    if draw(st.booleans()):
        stage["intensity"] = f"{{{{ 10 if {draw(st.sampled_from([*names, 'stage']))} else 20 }}}}"
    rule = {"if": f"{draw(st.sampled_from([*names, 'stage']))} == {draw(st.sampled_from(['1', 'brand', 'true']))}"}
    if draw(st.booleans()):
        stage["exclude"] = [{**rule, "allow_unused": True}]
    if draw(st.booleans()):
        given = draw(st.lists(st.sampled_from(SETS), min_size=1, max_size=3))
        sets = {name: value for one in given for name, value in one.items()}
        stage["patch"] = [{"when": rule, "set": sets, "allow_unused": True}]
    return stage | ({"for_each": upstream} if upstream else {})


@st.composite
def pipelines(draw):
    """A pipeline of one stage, of one for each of its images, or of one that promotes them."""
    found = {"first": draw(stages())}
    if draw(st.booleans()):
        found["second"] = draw(stages("first"))
    if draw(st.booleans()):
        found["third"] = {"for_each": "first", "promote": {"variant": "large"}}
    strength = draw(st.sampled_from([0.5, "{{ 0.2 if variant == 'large' else 0.3 }}"]))
    return {
        "version": 1,
        "vars": {"brand": draw(st.sampled_from(WORDS))},
        "looks": {"plain": {}, "warm": {"complexity": 5, "movement": "{{ 3 if stage else 4 }}"}},
        "styles": {"house": {"id": "st_1", "strength": "{{ 0.2 if creativity == 'low' else 0.3 }}"}},
        "references": {"ink": {"images": ["https://example.com/ink.png"], "strength": strength}},
        "stages": found,
    }


@pytest.fixture(scope="session")
def load(tmp_path_factory):
    """Load data as a pipeline file."""
    file = tmp_path_factory.mktemp("parts") / "a.yaml"

    def load_data(data):
        file.write_text(json.dumps(data), encoding="utf-8")
        return flow.load_pipeline(file)

    return load_data


def row_of(cell, key, text):
    axes = list(zip(cell.names, cell.axes, strict=True))
    return cell.id, cell.out, cell.files, axes, key, text, cell.source, cell.template


def made(loaded):
    """The cells of a pipeline with their keys, the same as text, and the codes of what is wrong with others."""
    try:
        return list(flow.cells(loaded)), list(flow.texts(loaded)), set()
    except InvalidInput as error:
        return [], [], {problem.code for problem in error.problems}


@given(data=pipelines())
@settings(max_examples=150)
def test_every_cell_is_as_if_it_were_made_by_itself(load, data):
    loaded = load(data)
    wanted = expand_plainly(loaded)
    found, texts, codes = made(loaded)
    own = {one for one in wanted if isinstance(one, str)}
    assert own <= codes <= own | {"path_collision", "empty_matrix"}
    if codes:
        return
    requests = [request for *_, request in texts]
    assert [row_of(*one, text) for one, text in zip(found, requests, strict=True)] == wanted
    keyed = [(cell.id, cell.stage, dict(zip(cell.names, cell.axes, strict=True)), cell.out, key) for cell, key in found]
    assert [(*start, json.loads(axes), out, key) for *start, axes, out, key, _ in texts] == keyed


@pytest.mark.parametrize("cells", [4, 30])
@pytest.mark.parametrize("order", ["acns", "cnas"])
def test_blocks_share_only_what_is_the_same_in_both(load, order, cells):
    axes = {"a": ["x", "y"], "creativity": ["raw", "low", "high"], "n": {"count": 5}, "seed": [1, 2]}
    matrix = {name: axes[name] for name in sorted(axes, key=lambda name: order.index(name[0]))}
    first = {"prompt": "{{ n }} of {{ a }}", "out": "{{ a }}-{{ n }}/{{ creativity }}{{ seed }}", "matrix": matrix}
    second = {
        "for_each": "first",
        "prompt": "{{ source.prompt }} {{ m }}{{ k }}",
        "matrix": {"m": [1, 2], "k": [1, 2]},
    }
    loaded = load({"version": 1, "stages": {"first": first, "second": second}})
    with patch.object(blocks, "MOST_CELLS", cells):
        found, texts, _ = made(loaded)
    requests = [request for *_, request in texts]
    assert [row_of(*one, text) for one, text in zip(found, requests, strict=True)] == expand_plainly(loaded)


def test_a_path_that_is_the_id_of_a_cell_keeps_what_looks_like_a_suffix(load):
    words = ["\u0301x", "-", "Ünïcode é", "x.png", "1.0"]
    loaded = load({"version": 1, "prompt": "{{ w }}", "matrix": {"w": words}, "out": "{{ cell }}"})
    assert [cell.out for cell, _ in flow.cells(loaded)] == ["x", "3973e0", "ünïcode-é", "x.png", "1.0"]
