"""The key of a request: golden values, and what canonical JSON is."""

import json
import math
from pathlib import Path

import pytest

from krea_pipe.core.fields import check_field, check_strength
from krea_pipe.core.request import (
    KEY_VERSION,
    ByDigest,
    ByKey,
    ByUrl,
    Request,
    Weighted,
    canonical_json,
    key_of,
    parse_source,
    source_text,
)

GOLDEN = json.loads((Path(__file__).parents[1] / "golden/keys.json").read_text(encoding="utf-8"))


def request_of(data):
    """A request from its golden form: only what differs from the defaults is written there."""
    lists = {kind: tuple(Weighted(*one) for one in data.get(kind, ())) for kind in ("moodboards", "styles")}
    lists["references"] = tuple(Weighted(parse_source(text), strength) for text, strength in data.get("references", ()))
    plain = {
        "variant": "medium",
        "aspect_ratio": "1:1",
        "resolution": "1K",
        "seed": 1,
        "creativity": "medium",
        "intensity": 0,
        "complexity": 0,
        "movement": 0,
    }
    return Request(**{**plain, **data, **lists})


@pytest.mark.parametrize("golden", GOLDEN["requests"], ids=lambda golden: golden["name"])
def test_keys_are_what_they_were(golden):
    assert key_of(request_of(golden["request"])) == golden["key"], (
        "this change gives every stored image another key, and would buy all of them again: undo it, "
        "or bump KEY_VERSION in krea_pipe/core/request.py and write the new keys to tests/golden/keys.json"
    )


def test_the_golden_keys_are_of_this_version():
    assert GOLDEN["key_version"] == KEY_VERSION
    assert len({golden["key"] for golden in GOLDEN["requests"]}) == len(GOLDEN["requests"]) >= 8


def test_canonical_json_is_sorted_tight_and_not_escaped():
    assert canonical_json({"b": [1, 0.5, None, True], "a": "é\n\"'"}) == '{"a":"é\\n\\"\'","b":[1,0.5,null,true]}'


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_have_no_canonical_json(number):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json({"a": number})


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["seed", "intensity"])
def test_fields_are_finite_numbers(name, number):
    with pytest.raises(ValueError, match=f"`{name}` must be a finite number, but is not"):
        check_field(name, number)
    with pytest.raises(ValueError, match="a strength of styles must be a finite number"):
        check_strength("styles", number)


def test_a_key_is_the_digest_of_canonical_json():
    import hashlib

    request = request_of({"prompt": "a lamp 灯", "seed": None, "references": [["https://e.com/a", 0.5]]})
    text = canonical_json({"key_version": KEY_VERSION, "request": request.fields()})
    assert key_of(request) == hashlib.sha256(text.encode()).hexdigest()


def test_no_seed_sends_no_seed_and_empty_lists_are_left_out():
    assert "seed" not in request_of({"prompt": "a", "seed": None}).fields()
    assert "seed" in request_of({"prompt": "a", "seed": 0}).fields()
    assert not {"image_style_references", "moodboards", "styles"} & request_of({"prompt": "a"}).fields().keys()


def test_the_order_of_references_counts():
    ones = [["sha256:a", 0.5], ["sha256:b", 0.5]]
    assert key_of(request_of({"prompt": "a", "references": ones})) != key_of(
        request_of({"prompt": "a", "references": ones[::-1]})
    )


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("sha256:" + "a" * 64, ByDigest("a" * 64)),
        ("key:" + "b" * 64, ByKey("b" * 64)),
        ("https://example.com/sha256:a", ByUrl("https://example.com/sha256:a")),
        ("", ByUrl("")),
    ],
)
def test_a_source_is_read_as_it_was_written(text, source):
    assert parse_source(text) == source
    assert source_text(source) == text


def test_a_source_picture_stands_in_the_request_as_text():
    images = {"image": Weighted(ByKey("b" * 64), 0.5), "references": [["sha256:" + "a" * 64, 0.5]]}
    request = request_of({"prompt": "a", **images})
    assert request.fields()["image"] == {"image": "key:" + "b" * 64, "strength": 0.5}
    assert request.images == (ByDigest("a" * 64), ByKey("b" * 64))
    assert request.upstream == ("b" * 64,)
