"""Krea's answers become our words, whatever their shape."""

import pytest

from krea_pipe.api.wire import PageReader, asset_url, read_job


@pytest.mark.parametrize("data", [None, [], "x", 5, {}, {"job_id": None}, {"job_id": 7}, {"status": "queued"}])
def test_what_is_no_job_is_none(data):
    assert read_job(data) is None


@pytest.mark.parametrize(
    ("fields", "final", "drawn"),
    [
        ({"status": "queued"}, False, False),
        ({"status": "sampling", "result": {"urls": ["https://x/1"]}}, False, False),
        ({"status": "processing", "completed_at": "2026-11-22T10:00:00Z"}, False, False),
        ({"status": "completed", "result": {"urls": ["https://x/1"]}}, True, True),
        ({"status": "completed", "result": {"urls": {"a": "https://x/1"}}}, True, True),
        ({"status": "completed", "result": {"urls": [{"type": "model", "url": "https://x/1"}]}}, True, True),
        ({"status": "completed", "result": {"urls": [None, 5, ""]}}, True, False),
        ({"status": "completed", "result": []}, True, False),
        ({"status": "failed", "result": {"urls": ["https://x/1"]}}, True, False),
        ({"status": "cancelled"}, True, False),
        ({"status": "expired", "completed_at": "2026-11-22T10:00:00Z"}, True, False),
        ({"status": "expired"}, True, False),
        ({"status": "succeeded", "result": {"urls": ["https://x/1"]}}, True, True),
        ({"status": "released", "result": {"url": "https://x/1"}}, True, True),
        ({"status": "refining", "result": {"urls": ["https://x/1"]}}, False, False),
        ({"status": "refining", "error": {"code": "nsfw"}}, True, False),
        ({"status": "processing", "error": "a hiccup"}, False, False),
        ({"status": "moderated", "result": {"urls": ["https://x/1"]}}, True, False),
        ({"status": "retrying_failed"}, False, False),
        ({"status": "Completed", "result": {"urls": ["https://x/1"]}}, True, True),
        ({"status": "canceled"}, True, False),
        ({"status": "completed", "result": {"urls": ["https://x/1"], "error": {"code": "x"}}}, True, True),
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
        ({"error": {"code": {"a": 1}}}, "failed"),
        ({"error": {"message": "m"}}, "failed"),
        ({"error": "words"}, "failed"),
        ({"error": "content_policy"}, "content_policy"),
        ({"error": "NSFW"}, "nsfw"),
        ({"error": {"code": "ModerationBlocked"}}, "moderation_blocked"),
        ({"error": {"message": "the prompt violates our content policy"}}, "moderated"),
        ({"errors": [{"message": "m"}]}, "failed"),
        ({"failure_reason": "m"}, "failed"),
        ({"result": {"reason": "m"}}, "failed"),
    ],
)
def test_the_reason_of_a_failed_job_is_found(fields, code):
    assert read_job({"job_id": "j", "status": "failed", **fields}).failure.code == code


def test_a_failed_job_may_give_no_reason():
    assert read_job({"job_id": "j", "status": "failed", "result": {}}).failure is None


def test_an_upload_without_an_address_is_none():
    assert [asset_url(data) for data in (None, [], {}, {"image_url": 5}, {"image_url": ""})] == [None] * 5


@pytest.mark.parametrize(
    "shown",
    [
        {"result": {"images": [{"url": "https://a/1.png", "preview": True}, {"url": "https://a/2.png"}]}},
        {"result": {"images": [{"url": "https://a/1.png", "is_thumbnail": True}, {"url": "https://a/2.png"}]}},
        {"output": ["https://a/2.png"]},
        {"result": None, "outputs": [{"type": "preview", "url": "https://a/1.png"}, {"url": "https://a/2.png"}]},
    ],
)
def test_a_flag_marks_a_preview_and_an_output_beside_the_result_counts(shown):
    job = read_job({"job_id": "j1", "status": "completed", **shown})
    assert job is not None
    assert job.urls == ("https://a/2.png",)


@pytest.mark.parametrize("first", ["low_preview.png", "thumb-1.webp", "preview.png?x=1", "a.thumbnail.png"])
def test_a_file_named_like_a_preview_comes_last(first):
    job = read_job({"id": "j1", "status": "completed", "result": {"urls": [f"https://a/{first}", "https://a/2.png"]}})
    assert job is not None
    assert job.urls == ("https://a/2.png", f"https://a/{first}")


def test_an_entry_of_a_list_is_read_again_when_it_has_changed():
    reader = PageReader()
    waiting = {"job_id": "a", "status": "queued", "created_at": "2026-01-01T00:00:00Z"}
    drawn = {**waiting, "status": "completed", "result": {"urls": ["https://x/a.png"]}}
    for item in (waiting, drawn, drawn, waiting):
        page = reader.page({"items": [dict(item), {"job_id": "b", "status": "queued"}], "next_cursor": None})
        assert [job.status for job in page.jobs] == [item["status"], "queued"]
    assert reader.page({"items": [waiting, {"status": "queued"}], "next_cursor": None}) is None
