"""What an editor shows while a pipeline is written, read from the schema the way a language server reads it."""

import json

import jsonschema
import pytest

from krea_pipe.pipeline.spec.schema import schema_text

SCHEMA = json.loads(schema_text("pipeline.schema.json"))
BRANCHES = ("if", "then", "else", "not")
UNIONS = ("allOf", "anyOf", "oneOf")
# What people make up, or what another file or a date says: nothing that could be offered.
FREE = {"description", "label", "note", "id", "when"}


def merge_nodes(schema):
    """A schema with what it refers to; what stands beside a `$ref` comes first."""
    while isinstance(schema, dict) and "$ref" in schema:
        target = SCHEMA
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    return schema


def places():
    """Every value that a cursor can stand on, by the trail that leads there, each schema at its first place."""
    seen, found = [], {}
    todo = [("", SCHEMA)]
    while todo:
        trail, schema = todo.pop(0)
        schema = merge_nodes(schema)
        if not isinstance(schema, dict) or schema in seen:
            continue
        seen.append(schema)
        below = {f"{trail}.{name}": one for name, one in schema.get("properties", {}).items()}
        if isinstance(schema.get("additionalProperties"), dict):
            below[f"{trail}.*"] = schema["additionalProperties"]
        if isinstance(schema.get("items"), dict):
            below[f"{trail}[]"] = schema["items"]
        found = {**below, **found}  # a condition (`if`) comes after what it is about, and says less
        todo += below.items()
        todo += [(trail, schema[key]) for key in BRANCHES if key in schema]
        todo += [(trail, one) for key in UNIONS for one in schema.get(key, [])]
    return found


PLACES = places()
KEYS = {trail: schema for trail, schema in PLACES.items() if not trail.endswith("[]")}


def fixed(schema):
    """The values that a schema allows where it allows few, wherever in it that is said."""
    schema = merge_nodes(schema)
    if not isinstance(schema, dict):
        return []
    if schema.get("type") == "boolean":
        return [True, False]
    own = [*schema.get("enum", []), *([schema["const"]] if "const" in schema else [])]
    return own + [value for key in ("then", "else") if key in schema for value in fixed(schema[key])]


def offered(schema):
    """The values that a language server offers: it looks into unions, and not behind `then` or `else`."""
    schema = merge_nodes(schema)
    own = [*schema.get("enum", []), *schema.get("examples", [])]
    own += [schema[key] for key in ("const", "default") if key in schema]
    own += [True, False] if schema.get("type") == "boolean" else []
    return own + [value for key in UNIONS for one in schema.get(key, []) for value in offered(one)]


def has_keys(schema):
    """Whether what can be written here are keys that the schema knows or values that it describes."""
    schema = merge_nodes(schema)
    if not isinstance(schema, dict):
        return False
    inner = [schema[key] for key in ("then", "else", "items", "additionalProperties") if key in schema]
    return "properties" in schema or any(has_keys(one) or fixed(one) for one in inner)


def test_the_walk_reaches_the_depths_of_the_language():
    ends = ("picks.file", "creativity[]", "zip", "patch[].set", "looks.*", "references.*.strength", "sample.method")
    for end in ends:
        assert any(trail.endswith(f".{end}") for trail in PLACES), end
    assert len(PLACES) > 100


@pytest.mark.parametrize("trail", KEYS)
def test_every_key_explains_itself(trail):
    said = merge_nodes(KEYS[trail]).get("description", "")
    assert len(said) > 8, "no description"
    assert said[0].isupper() or said.split(":")[0] in offered(KEYS[trail]), "a sentence"
    assert said.rstrip().endswith("."), "a sentence"


@pytest.mark.parametrize("trail", [trail for trail, schema in PLACES.items() if fixed(schema)])
def test_values_that_are_fixed_are_offered(trail):
    assert [value for value in fixed(PLACES[trail]) if value not in offered(PLACES[trail])] == []


@pytest.mark.parametrize("trail", [trail for trail in KEYS if trail.rpartition(".")[2] not in FREE])
def test_every_key_offers_something_to_begin_with(trail):
    assert offered(KEYS[trail]) or has_keys(KEYS[trail]), "an enum, an example, a default or known keys"


def test_what_is_offered_is_allowed():
    for trail, schema in PLACES.items():
        validator = jsonschema.Draft202012Validator({**merge_nodes(schema), "$defs": SCHEMA["$defs"]})
        for value in offered(schema):
            assert validator.is_valid(value), f"{trail}: {value}"
