"""What an error says is found in every form in which services write it, with the path of the field, and in one line."""

import json
import random

import pytest
from krea_server import GENERATE

from krea_pipe.api.error_words import as_json, is_error_of_krea, is_rejection, read_refusal
from krea_pipe.core.failure_codes import failure_class_of
from krea_pipe.core.settings import Token

BODIES = [
    {"error": "the words"},
    {"error": {"code": "some_code", "message": "the words"}},
    {"error": {"message": {"detail": ["the words"]}}},
    {"message": "the words"},
    {"detail": "the words"},
    {"detail": [{"loc": ["body", "seed"], "msg": "the words"}]},
    {"validationErrors": [{"message": "the words"}]},
    {"validation_errors": ["the words"]},
    {"error": "", "details": "the words"},
    {"reason": "the words"},
    ["the words"],
    "the words",
    b"the words",
    b"\xef\xbb\xbfthe words",
    b"<!doctype html><title>the words</title><h1>other</h1>",
    b"<body><h1>the\nwords</h1></body>",
    {"message": "the\x1b[1m\u202e words"},
]
SILENT = [b"", b" ", b"{}", b"[]", b"17", b"true", {"error": None}, {"error": {}}, {"message": 5}]
HOSTILE = [
    random.Random(1).randbytes(60_000),
    b'{"error":' * 7_000,
    b"<h1>" * 16_000,
    b"<" * 60_000,
    b"[" * 60_000,
    json.dumps({"properties": {f"f{number}": {"errors": ["no"]} for number in range(5_000)}}).encode(),
    b'{"errors":[' * 400 + b"]}" * 400,
    b'{"odd":"' + b"x" * 60_000 + b'"}',
]


def sent(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("body", BODIES)
def test_the_words_of_an_error_are_found(body):
    line = read_refusal(422, sent(body))
    assert line.startswith("422 ")
    assert "words" in line
    assert line.isprintable()


ISSUE = {"code": "invalid_type", "expected": "string", "path": ["refs", 0, "url"], "message": "the words"}
PLACED = {
    "zod 3, issues": {"success": False, "error": {"issues": [ISSUE], "name": "ZodError"}},
    "zod 3, written out": {"error": json.dumps([ISSUE], indent=2)},
    "zod 3, its message": {"error": {"name": "ZodError", "message": json.dumps([ISSUE])}},
    "zod 4, issues beside a message": {"error": {"message": "Bad input", "issues": [ISSUE]}},
    "zod, a list of them": {"errors": [ISSUE]},
    "zod, formatted": {
        "error": {"_errors": [], "refs": {"_errors": [], "0": {"_errors": [], "url": {"_errors": ["the words"]}}}}
    },
    "zod 4, treeified": {
        "error": {
            "errors": [],
            "properties": {"refs": {"errors": [], "items": [{"properties": {"url": {"errors": ["the words"]}}}]}},
        }
    },
    "pydantic": {"detail": [{"loc": ["refs", 0, "url"], "msg": "the words", "type": "missing"}]},
    "problem+json": {
        "type": "about:blank",
        "title": "Invalid",
        "status": 400,
        "errors": [{"detail": "the words", "pointer": "#/refs/0/url"}],
    },
    "an error with its path": {"error": {"message": "the words", "path": ["refs", 0, "url"]}},
}
FLAT = {
    "zod, flattened": {"error": {"formErrors": [], "fieldErrors": {"prompt": ["the words"]}}},
    "zod, flattened beside a text": {"error": "Invalid", "details": {"fieldErrors": {"prompt": ["the words"]}}},
    "texts by field": {"message": "Invalid", "errors": {"prompt": ["the words"]}},
    "a field and a reason": {"errors": [{"field": "prompt", "reason": "the words"}]},
}


@pytest.mark.parametrize("body", PLACED.values(), ids=PLACED)
def test_the_path_of_the_field_stands_before_the_words(body):
    assert "refs.0.url: the words" in read_refusal(400, sent(body))
    assert is_error_of_krea(sent(body))


@pytest.mark.parametrize("body", FLAT.values(), ids=FLAT)
def test_the_name_of_the_field_stands_before_the_words(body):
    assert "prompt: the words" in read_refusal(400, sent(body))
    assert is_error_of_krea(sent(body))


def test_a_problem_is_told_by_its_title_and_its_detail():
    body = {"type": "https://x.example/p", "title": "Bad input", "detail": "the ratio is unknown", "status": 400}
    assert read_refusal(400, sent(body)) == "400 Bad input: the ratio is unknown"


def test_several_fields_are_all_named():
    body = {"error": {"fieldErrors": {"prompt": ["is required"], "seed": ["is too large"]}}}
    assert read_refusal(400, sent(body)) == "400 prompt: is required; seed: is too large"


@pytest.mark.parametrize("body", SILENT)
def test_an_error_without_words_is_named_by_its_status(body):
    assert "402 Payment Required" in read_refusal(402, sent(body))
    assert len(read_refusal(599, sent(body))) > 5
    assert not is_error_of_krea(sent(body))


def test_where_there_are_no_words_a_piece_of_the_body_is_shown_without_the_key():
    token = Token("krea-secret-4711")
    body = {"odd": {"state": 7, "echo": "Bearer krea-secret-4711"}}
    line = read_refusal(400, sent(body), token)
    assert line.startswith('400 Bad Request: {"odd": {"state": 7')
    assert "4711" not in line
    assert len(read_refusal(400, sent({"odd": list(range(9_999))}))) < 300


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies_become_one_short_line(body):
    line = read_refusal(500, body)
    assert line.isprintable()
    assert len(line) <= 300


def test_the_way_out_of_a_long_complaint_is_kept():
    body = {"error": "model_unavailable", "message": "gone " * 500, "replacement": "krea-3"}
    complaint = read_refusal(410, sent(body))
    assert complaint.endswith("krea-3")


def test_answers_that_are_no_json_are_none():
    assert [as_json(body) for body in (b"", b"<", b"[" * 90_000, b"\xff", b"9" * 9000)] == [None] * 5


# --- classes


MODERATION = [
    "nsfw",
    "NSFW",
    "nsfw_content",
    "content_policy",
    "CONTENT_POLICY_VIOLATION",
    "ContentPolicy",
    "content-policy",
    "moderated",
    "moderation",
    "moderation_blocked",
    "blocked_by_moderation",
    "safety",
    "SafetyError",
    "unsafe_content",
    "ip_detected",
    "IP_INFRINGEMENT",
    "copyright",
    "violence",
    "violent_content",
    "personal_info",
    "PII",
    "sexual_content",
    "prohibited_content",
    "sensitive_content",
]
OTHERS = [
    "failed",
    "internal_error",
    "timeout",
    "whatever_failed",
    "rate_limited",
    "model_error",
    "out_of_memory",
    "invalid_input",
]


@pytest.mark.parametrize("code", MODERATION)
def test_moderation_is_known_by_its_class_however_it_is_spelled(code):
    assert failure_class_of(code) == "rejected"


@pytest.mark.parametrize("code", OTHERS)
def test_other_codes_are_no_moderation(code):
    assert failure_class_of(code) == "failed"


@pytest.mark.parametrize(
    ("data", "is_one"),
    [
        ({"error": "no"}, True),
        ({"error": {"message": "no"}, "request": {"trace": "x"}}, True),
        ({"errors": [{"message": "no"}]}, True),
        ({"error": "no", "job_id": None, "result": None}, True),
        ({"message": "queued"}, False),
        ({"error": None}, False),
        ({"error": {}}, False),
        ({"error": "no", "id": "j"}, False),
        ({"error": "no", "data": {"jobId": "j"}}, False),
        ({"error": "no", "created_at": "2026-11-22T10:00:00Z"}, False),
        ({"error": "the request timed out"}, False),
        ({"error": {"code": "INTERNAL_ERROR", "message": "something broke"}}, False),
        ({"error": "internal_error"}, False),
        (["no"], False),
        (None, False),
    ],
)
def test_an_error_is_a_rejection_only_where_nothing_looks_like_a_job(data, is_one):
    assert is_rejection(data) is is_one


# --- as a run shows it


def test_a_refusal_without_words_is_shown_with_a_piece_of_its_body(project, krea):
    krea.answer("POST", GENERATE, 400, {"odd": {"state": 7}})
    krea.answer("GET", "/jobs", 400, {"odd": {"state": 7}})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert '{"odd": {"state": 7}}' in done.rows["a"]["error"]["message"]
