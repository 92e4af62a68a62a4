"""Data that is said to fit the schema has no error for jsonschema, and valid files need no jsonschema."""

import copy
import random
from pathlib import Path

import jsonschema
import pytest

from krea_pipe.core.errors import InvalidInput
from krea_pipe.pipeline.source import read_document
from krea_pipe.pipeline.spec.schema import allowed_values, pipeline_schema
from krea_pipe.pipeline.spec.schema_fit import fits

CORPUS = Path(__file__).parent / "corpus"
VALID = sorted((CORPUS / "valid").glob("*.yaml"))
INVALID = sorted((CORPUS / "invalid").glob("*.yaml"))
SCHEMA = pipeline_schema({}).data
CHECK = jsonschema.Draft202012Validator(SCHEMA)
VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    1.0,
    0.5,
    1e9,
    "",
    " ",
    "a",
    "{{ a }}",
    "1:1",
    "raw",
    "medium",
    "1K",
    "#fff",
]
VALUES += [
    [],
    {},
    [1],
    ["a", "a"],
    [1, True],
    [{}, {}],
    {"a": 1},
    {"a b": 1},
    {"id": "a"},
    {"images": "a", "image": "b"},
]
VALUES += [{"from": 0, "to": 1, "steps": 2}, {"count": 3}, {"file": "a"}, ["x"] * 21, {"variant": {"xl": 1}}]
KEYS = ["x-note", "version", "image", "count", "zip", "by", "id", "set", "a b", "variant", "matrix", "seed", "deliver"]


def read(file):
    """The data of a file and its schema, unless it is no YAML."""
    try:
        data = read_document(file).data
    except InvalidInput:
        return None
    return data, pipeline_schema(allowed_values(data)).data


@pytest.mark.parametrize("file", VALID, ids=lambda file: file.stem)
def test_a_valid_file_needs_no_jsonschema(file):
    assert fits(*read(file))


@pytest.mark.parametrize("files", [INVALID[start::8] for start in range(8)], ids=str)
def test_jsonschema_finds_no_error_where_an_invalid_file_fits(files):
    for data, schema in filter(None, map(read, files)):
        assert fits(data, schema) == jsonschema.Draft202012Validator(schema).is_valid(data)


def holders(data):
    """Every mapping and list in some data."""
    if isinstance(data, dict | list) and data:
        yield data
        for one in data.values() if isinstance(data, dict) else data:
            yield from holders(one)


@pytest.mark.parametrize("seed", range(8))
def test_changed_files_fit_only_if_jsonschema_finds_no_error(seed):
    chance = random.Random(seed)
    files = [read_document(file).data for file in VALID]
    verdicts = {True: 0, False: 0}
    for _ in range(400):
        data = copy.deepcopy(chance.choice(files))
        for _ in range(chance.randint(1, 3)):
            holder = chance.choice([*holders(data)])
            place = chance.choice([*holder] if isinstance(holder, dict) else range(len(holder)))
            if isinstance(holder, dict) and chance.random() < 0.3:
                place = chance.choice(KEYS)
            holder[place] = copy.deepcopy(chance.choice(VALUES))
        is_valid = CHECK.is_valid(data)
        verdicts[is_valid] += 1
        if fits(data, SCHEMA):
            assert is_valid, data
        else:
            # Values that Python finds equal and JSON does not are left to jsonschema.
            assert not is_valid or "[1, True]" in str(data), data
    assert min(verdicts.values()) > 20


@pytest.mark.parametrize(
    ("schema", "data"),
    [
        ({"const": 1}, True),
        ({"enum": [0]}, False),
        ({"type": "integer"}, True),
        ({"type": "integer"}, 1.5),
        ({"type": "number"}, False),
        ({"minLength": 2}, "é"),
        ({"not": {"minimum": 3}}, 3),
        ({"uniqueItems": True}, ["a", 1, "a"]),
        ({"dependentSchemas": {"a": False}}, {"a": 1}),
        ({"patternProperties": {"^x": {"type": "null"}}}, {"x-a": 1}),
        ({"properties": {"a": {}}, "patternProperties": {"^x": {}}, "additionalProperties": False}, {"b": 1}),
        ({"if": {"type": "string"}, "else": {"type": "null"}}, 1),
        ({"format": "date"}, "2026-01-01"),  # a keyword that the module does not know
        ({"$ref": "#/$defs/missing"}, 1),
        ({"not": {"format": "date"}}, "2026-01-01"),
        ({"uniqueItems": True}, [1, True]),
    ],
)
def test_what_does_not_fit_or_is_not_certain_is_left_to_jsonschema(schema, data):
    assert not fits(data, schema)


def test_data_that_is_nested_deeply_is_left_to_jsonschema():
    schema = {"$ref": "#/$defs/list", "$defs": {"list": {"type": "array", "items": {"$ref": "#/$defs/list"}}}}
    data = []
    for _ in range(10_000):
        data = [data]
    assert not fits(data, schema)
