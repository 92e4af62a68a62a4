"""Krea's answers become our words, whatever their shape."""

import json
import random

import pytest

from krea_pipe.api.wire import as_json, asset_url, read_job, read_refusal

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
    ["the words"],
    "the words",
    b"the words",
    b"\xef\xbb\xbfthe words",
    b"<!doctype html><title>the words</title><h1>other</h1>",
    b"<body><h1>the\nwords</h1></body>",
    {"message": "the\x1b[1m\u202e words"},
]
SILENT = [b"", b" ", b"{}", b"[]", b"17", b"true", {"error": None}, {"error": {}}, {"message": 5}]
HOSTILE = [random.Random(1).randbytes(60_000), b'{"error":' * 7_000, b"<h1>" * 16_000, b"<" * 60_000, b"[" * 60_000]


def sent(body):
    return body if isinstance(body, bytes) else json.dumps(body).encode()


@pytest.mark.parametrize("body", BODIES)
def test_the_words_of_an_error_are_found(body):
    line = read_refusal(422, sent(body))
    assert line.startswith("422 ")
    assert "words" in line
    assert line.isprintable()


@pytest.mark.parametrize("body", SILENT)
def test_an_error_without_words_is_named_by_its_status(body):
    assert "402" in read_refusal(402, sent(body))
    assert len(read_refusal(402, sent(body))) > 5
    assert len(read_refusal(599, sent(body))) > 5


@pytest.mark.parametrize("body", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_bodies_become_one_short_line(body):
    line = read_refusal(500, body)
    assert line.isprintable()
    assert len(line) <= 300


def test_the_way_out_of_a_long_complaint_is_kept():
    body = {"error": "model_unavailable", "message": "gone " * 500, "replacement": "krea-3"}
    complaint = read_refusal(410, sent(body))
    assert complaint.endswith("krea-3")


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"job_id": None}, {"job_id": 7}, {"status": "queued"}])
def test_what_is_no_job_is_none(data):
    assert read_job(data) is None


@pytest.mark.parametrize(
    ("fields", "final", "drawn"),
    [
        ({"status": "queued"}, False, False),
        ({"status": "sampling", "result": {"urls": ["https://x/1"]}}, False, True),
        ({"status": "processing", "completed_at": "2026-11-22T10:00:00Z"}, False, False),
        ({"status": "completed", "result": {"urls": ["https://x/1"]}}, True, True),
        ({"status": "completed", "result": {"urls": {"a": "https://x/1"}}}, True, True),
        ({"status": "completed", "result": {"urls": [{"type": "model", "url": "https://x/1"}]}}, True, True),
        ({"status": "completed", "result": {"urls": [None, 5, ""]}}, True, False),
        ({"status": "completed", "result": []}, True, False),
        ({"status": "failed", "result": {"urls": ["https://x/1"]}}, True, False),
        ({"status": "cancelled"}, True, False),
        ({"status": "expired", "completed_at": "2026-11-22T10:00:00Z"}, True, False),
        ({"status": "expired"}, False, False),
        ({}, False, False),
    ],
)
def test_jobs_of_every_kind_are_read(fields, final, drawn):
    job = read_job({"job_id": "j", "created_at": "now", **fields})
    assert (job.is_final, job.is_drawn) == (final, drawn)


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"error": {"code": "nsfw", "message": "m"}}, "nsfw"),
        ({"result": {"error": {"code": "ip_detected"}}}, "ip_detected"),
        ({"error": {"code": {"a": 1}}}, "{'a': 1}"),
        ({"error": {"message": "m"}}, "failed"),
        ({"error": "words"}, "failed"),
    ],
)
def test_the_reason_of_a_failed_job_is_found(fields, code):
    assert read_job({"job_id": "j", "status": "failed", **fields}).failure.code == code


def test_a_failed_job_may_give_no_reason():
    assert read_job({"job_id": "j", "status": "failed", "result": {}}).failure is None


def test_answers_that_are_no_json_are_none():
    assert [as_json(body) for body in (b"", b"<", b"[" * 90_000, b"\xff", b"9" * 9000)] == [None] * 5
    assert [asset_url(data) for data in (None, [], {}, {"image_url": 5}, {"image_url": ""})] == [None] * 5
