"""The schema and the code say the same, and editors get a description for everything."""

import json
from pathlib import Path
from typing import get_args, get_type_hints

import jsonschema
import pytest

from krea_pipe.core import contract, fields
from krea_pipe.pipeline.sampling import Sample
from krea_pipe.pipeline.source import read_document
from krea_pipe.pipeline.spec.hints import near_ratio, nearest
from krea_pipe.pipeline.spec.schema import schema_text

SCHEMA = json.loads(schema_text("pipeline.schema.json"))
DEFINITIONS = SCHEMA["$defs"]


def resolved(schema):
    """A schema with what it refers to, as far as both describe one value."""
    while "$ref" in schema:
        schema = {**DEFINITIONS[schema["$ref"].rpartition("/")[2]], **{k: v for k, v in schema.items() if k != "$ref"}}
    return schema


def limits(schema):
    """What a field may be when it is no template."""
    schema = resolved(schema)
    return schema.get("else", schema)


def properties(schema, trail="schema"):
    """Every property of a schema, with the trail that leads to it."""
    if isinstance(schema, list):
        for index, item in enumerate(schema):
            yield from properties(item, f"{trail}[{index}]")
    elif isinstance(schema, dict):
        for name, item in schema.get("properties", {}).items():
            yield f"{trail}.{name}", item
        for key, item in schema.items():
            if key != "if":  # a condition describes nothing
                yield from properties(item, f"{trail}.{key}")


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_every_property_has_a_description():
    missing = [trail for trail, item in properties(SCHEMA) if not resolved(item).get("description")]
    assert missing == []
    assert len(list(properties(SCHEMA))) > 60


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("variant", contract.VARIANTS),
        ("aspect_ratio", contract.ASPECT_RATIOS),
        ("resolution", contract.RESOLUTIONS),
        ("creativity", contract.CREATIVITIES),
    ],
)
def test_words_agree(name, allowed):
    found = limits(DEFINITIONS["fields"]["properties"][name])
    assert (found["anyOf"][0] if "anyOf" in found else found)["enum"] == list(allowed)


@pytest.mark.parametrize("name", fields.UNKNOWN_FIELDS)
@pytest.mark.parametrize(
    "value", ["xl", "k-2.5", "5:4", "2.39:1", "2K", "1.5k", "X", "a/b", "..", "5x4", "0:1", "", "K"]
)
def test_what_may_be_allowed_has_one_form(name, value):
    """The schema takes a value that only a file can allow where, and only where, the code can allow it."""
    is_known = value in DEFINITIONS[name]["else"]["anyOf"][0]["enum"]
    form = limits(DEFINITIONS[name])["anyOf"][1]
    is_taken = jsonschema.Draft202012Validator({**form, "$defs": DEFINITIONS}).is_valid(value)
    assert (is_taken or is_known) == (fields.can_be_allowed(name, value) or is_known)


def test_the_schema_takes_what_a_file_allows():
    file = Path(__file__).parent / "corpus/valid/allow_unknown.yaml"
    assert jsonschema.Draft202012Validator(SCHEMA).is_valid(read_document(file).data)


def test_ranges_agree():
    own = DEFINITIONS["fields"]["properties"]
    seed = limits(own["seed"])
    assert (seed["minimum"], seed["maximum"]) == (0, fields.MAX_SEED)
    for name in ("intensity", "complexity", "movement"):
        slider = limits(own[name])
        for value in (slider["minimum"], slider["maximum"]):
            assert fields.check_field(name, value) == value
        for value in (slider["minimum"] - 1, slider["maximum"] + 1):
            with pytest.raises(ValueError, match="must be a whole number from -100 to 100"):
                fields.check_field(name, value)


def test_strengths_agree():
    for kind, definition in (("references", "referenceSet"), ("moodboards", "moodboard"), ("styles", "style")):
        strength = resolved(DEFINITIONS[definition]["properties"]["strength"])
        bounds = fields.STRENGTHS[kind]
        assert (strength["else"]["minimum"], strength["else"]["maximum"]) == (bounds.low, bounds.high)
        assert strength["default"] == bounds.default


def test_defaults_agree():
    own = DEFINITIONS["fields"]["properties"]
    assert {name: resolved(own[name])["default"] for name in fields.DEFAULTS} == dict(fields.DEFAULTS)


@pytest.mark.parametrize("holder", ["fields", "stage", "row", "patchFields", "cellValues", "matrix"])
def test_every_field_can_stand_wherever_fields_can(holder):
    assert {*fields.FIELD_NAMES} - {"prompt"} <= DEFINITIONS[holder]["properties"].keys()


@pytest.mark.parametrize("holder", ["stage", "patchFields", "cellValues", "matrix"])
def test_a_prompt_can_stand_wherever_one_cell_or_stage_is_described(holder):
    assert "prompt" in DEFINITIONS[holder]["properties"]


def test_a_file_of_one_stage_has_every_key_of_a_stage_but_those_of_a_chain_and_of_defaults():
    own = DEFINITIONS["stage"]["properties"].keys() - SCHEMA["properties"].keys()
    assert own == {"for_each", "picks", "promote", "needs", *fields.DEFAULTS, *fields.SINGULARS}


def test_the_source_picture_has_one_strength():
    strength = resolved(DEFINITIONS["sourceStrength"])
    assert strength["default"] == fields.SOURCE_STRENGTH
    for value in (strength["else"]["minimum"], strength["else"]["maximum"]):
        assert fields.check_source_strength(value) == value


def test_samples_agree():
    sample = DEFINITIONS["sample"]["properties"]
    assert sample["method"]["enum"] == list(get_args(get_type_hints(Sample)["method"]))


def test_at_most_one_moodboard_in_the_schema_too():
    assert DEFINITIONS["moodboardUse"]["then"]["maxItems"] == contract.MAX_MOODBOARDS


def test_the_key_of_a_language_server_comment_is_the_schema(tmp_path):
    validator = jsonschema.Draft202012Validator(SCHEMA)
    assert validator.is_valid({"version": 1, "prompt": "a lamp"})
    assert not validator.is_valid({"version": 1, "name": "lamp\n"})
    assert not validator.is_valid({"version": 1, "vars": {"a\n": 1}})
    assert not validator.is_valid({"version": 1, "name": "lamp."})


@pytest.mark.parametrize(
    ("written", "meant"),
    [("5:4", "4:3"), ("21:9", "2.35:1"), ("1024x768", "4:3"), ("9/20", "9:16"), ("9x20", "9:16"), ("0:1", None)],
)
def test_the_nearest_shape_is_suggested(written, meant):
    assert near_ratio(written) == (f"the nearest shape is {meant}" if meant else None)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("aspectRatio", "aspect_ratio"),
        ("aspect-ratio", "aspect_ratio"),
        ("Creativity", "creativity"),
        ("reference", "references"),
        ("turbo", "medium-turbo"),
        ("xyz", None),
        ("n", None),
    ],
)
def test_near_words_are_found(written, meant):
    assert nearest(written, ["aspect_ratio", "creativity", "references", "medium-turbo", "name"]) == meant
