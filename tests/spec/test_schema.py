"""The schema and the code say the same, and editors get a description for everything."""

import json

import jsonschema
import pytest

from krea_pipe import fields
from krea_pipe.spec.hints import LATER, RESERVED_AXES, near_ratio, nearest
from krea_pipe.spec.schema import schema_text

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
        ("variant", fields.VARIANTS),
        ("aspect_ratio", fields.ASPECT_RATIOS),
        ("resolution", fields.RESOLUTIONS),
        ("creativity", fields.CREATIVITIES),
    ],
)
def test_words_agree(name, allowed):
    assert limits(DEFINITIONS["fields"]["properties"][name])["enum"] == list(allowed)


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


@pytest.mark.parametrize("holder", ["fields", "stage", "row"])
def test_every_field_can_stand_wherever_fields_can(holder):
    assert {*fields.DEFAULTS, *fields.LISTS} <= DEFINITIONS[holder]["properties"].keys()


def test_at_most_one_moodboard_in_the_schema_too():
    assert DEFINITIONS["moodboardUse"]["then"]["maxItems"] == fields.MAX_MOODBOARDS


def test_no_reserved_word_is_a_key_already():
    used = SCHEMA["properties"].keys() | DEFINITIONS["stage"]["properties"].keys()
    assert not used & LATER.keys()
    assert not {*RESERVED_AXES} & {*fields.FIELD_NAMES}


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
