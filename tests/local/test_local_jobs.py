import asyncio
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

import httpx
import pytest

from krea_pipe.local.job import JobOutcome

PENDING = ["queued", "scheduled", "processing", "sampling", "intermediate-complete"]


def test_a_submit_is_answered_with_a_pending_job_without_result(box):
    answer = box.generate()
    job = answer.json()
    assert answer.status_code == 200
    assert list(job) == ["job_id", "status", "created_at", "completed_at", "result"]
    assert (job["status"], job["completed_at"], job["result"]) == ("queued", None, None)
    assert str(UUID(job["job_id"])) == job["job_id"]
    assert datetime.fromisoformat(job["created_at"]) == box.clock.now


def test_a_submit_is_pending_even_when_jobs_take_no_time(make_box):
    box = make_box(latency=0)
    answer = box.generate().json()
    assert (answer["status"], answer["result"]) == ("queued", None)
    assert box.status(answer["job_id"]) == "completed"


def test_states_follow_each_other_with_the_clock(box):
    job_id = box.submit()
    seen = []
    for _ in range(201):
        status = box.world.job(job_id).status(box.clock.now)
        seen += [status] if seen[-1:] != [status] else []
        box.clock.advance(0.05)
    assert seen == [*PENDING, "completed"]


def test_completed_at_and_result_appear_only_when_terminal(box):
    job_id = box.submit()
    started = box.clock.now
    box.clock.advance(9.999)
    job = box.job(job_id)
    assert (job["status"], job["completed_at"], job["result"]) == ("intermediate-complete", None, None)
    box.clock.advance(5)
    job = box.job(job_id)
    assert datetime.fromisoformat(job["completed_at"]) == started + timedelta(seconds=10)
    assert len(job["result"]["urls"]) == 1
    assert "error" not in job


def test_a_result_url_is_absolute_and_needs_no_token(box):
    job_id = box.submit()
    box.clock.advance(10)
    [url] = box.job(job_id)["result"]["urls"]
    assert url.startswith("http://localhost/images/")
    assert url.endswith(".png")
    answer = box.call("GET", url, token=None)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png")


def test_a_result_is_not_there_before_its_job_is_completed(box):
    job_id = box.submit()
    image_id = box.world.job(job_id).image_id
    box.clock.advance(9)
    assert box.call("GET", f"/images/{image_id}.png").status_code == 404
    box.clock.advance(1)
    assert box.call("GET", f"/images/{image_id}.png").status_code == 200


@pytest.mark.parametrize(
    ("kind", "media_type"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("GIF", "application/octet-stream")]
)
def test_a_world_can_give_the_bytes_of_its_images(make_box, make_picture, kind, media_type):
    data = make_picture("red", kind)
    box = make_box(image_of=lambda job: data if job.brief.order.prompt == "mine" else b"other")
    image_id = box.world.job(box.submit(prompt="mine")).image_id
    assert box.call("GET", f"/images/{image_id}.png").status_code == 404
    box.clock.advance(10)
    answer = box.call("GET", f"/images/{image_id}.png")
    assert (answer.content, answer.headers["content-type"]) == (data, media_type)


def test_the_nsfw_trigger_fails_the_job_without_a_bill(box):
    job_id = box.submit(prompt="a lamp local:fail-nsfw")
    box.clock.advance(10)
    job = box.job(job_id)
    assert (job["status"], job["result"], job["error"]["code"]) == ("failed", {}, "nsfw")
    assert job["error"]["message"]
    assert job["completed_at"] is not None
    assert box.world.bills == ()


def test_the_result_trigger_shows_the_reason_under_result(box):
    job_id = box.submit(prompt="a lamp local:fail-result")
    box.clock.advance(10)
    job = box.job(job_id)
    assert (job["status"], job["result"]["error"]["code"]) == ("failed", "nsfw")
    assert "error" not in job
    assert box.world.bills == ()


def test_a_fate_can_hide_the_reason_of_a_failure(make_box):
    box = make_box(fate_of=lambda _: JobOutcome("failed", "violence", "secret", "nowhere"))
    job_id = box.submit()
    box.clock.advance(10)
    assert box.job(job_id)["status"] == "failed"
    assert "secret" not in box.call("GET", "/jobs").text
    assert box.call("GET", "/jobs").json()["items"][0]["result"] == {}


@pytest.mark.parametrize("elapsed", [0, 5, 1e9])
def test_a_stuck_job_never_ends_but_can_be_cancelled_unbilled(make_box, elapsed):
    box = make_box(balance_usd=Decimal("0.03"))
    job_id = box.submit(prompt="local:stuck")
    box.clock.advance(elapsed)
    assert box.status(job_id) == ("processing" if elapsed else "queued")
    assert box.call("DELETE", f"/jobs/{job_id}").status_code == 200
    assert box.status(job_id) == "cancelled"
    box.submit()
    assert len(box.world.jobs) == 2
    assert box.world.bills == ()


def test_the_empty_trigger_completes_without_urls_and_is_billed(box):
    job_id = box.submit(prompt="a lamp local:fail-empty")
    box.clock.advance(10)
    job = box.job(job_id)
    assert (job["status"], job["result"]) == ("completed", {})
    assert box.call("GET", f"/images/{box.world.job(job_id).image_id}.png").status_code == 404
    assert [bill.job_id for bill in box.world.bills] == [job_id]


def test_a_completed_job_is_billed_once_however_often_it_is_read(box):
    job_id = box.submit()
    assert box.world.bills == ()
    box.clock.advance(10)
    for _ in range(3):
        box.job(job_id)
        box.call("GET", "/jobs")
    assert box.world.bills == ((job_id, Decimal("0.030")),)
    assert box.world.submits == 1


@pytest.mark.parametrize(
    ("variant", "text", "references", "moodboard"),
    [
        ("medium", "0.030", "0.035", "0.040"),
        ("large", "0.060", "0.065", "0.070"),
        ("medium-turbo", "0.015", "0.0175", "0.020"),
    ],
)
def test_the_dearest_input_sets_the_price(box, variant, text, references, moodboard):
    reference = {"image_style_references": [{"url": "https://example.test/a.png"}]}
    board = {"moodboards": [{"id": "00000000-0000-4000-8000-000000000003"}]}
    for fields in ({}, reference, board, reference | board, {"image_url": "https://example.test/a.png"}):
        box.submit(variant, **fields)
    box.clock.advance(10)
    expected = [text, references, moodboard, moodboard, text]
    assert [bill.amount for bill in box.world.bills] == [Decimal(amount) for amount in expected]


@pytest.mark.parametrize(("elapsed", "before"), [(0, "queued"), (1.5, "scheduled")])
def test_delete_cancels_a_job_that_has_not_started(box, elapsed, before):
    job_id = box.submit()
    box.clock.advance(elapsed)
    assert box.status(job_id) == before
    answer = box.call("DELETE", f"/jobs/{job_id}")
    assert (answer.status_code, answer.content) == (200, b"")
    box.clock.advance(60)
    job = box.job(job_id)
    assert (job["status"], job["result"]) == ("cancelled", None)
    assert datetime.fromisoformat(job["completed_at"]) == box.clock.now - timedelta(seconds=60)
    assert box.world.bills == ()


@pytest.mark.parametrize("elapsed", [2, 5, 9, 10])
def test_delete_comes_too_late_for_a_started_job_which_is_billed(box, elapsed):
    job_id = box.submit()
    box.clock.advance(elapsed)
    assert box.call("DELETE", f"/jobs/{job_id}").status_code == 200
    box.clock.advance(10)
    assert box.status(job_id) == "completed"
    assert len(box.world.bills) == 1


def test_an_empty_balance_is_answered_with_402_and_no_job(make_box):
    box = make_box(balance_usd=Decimal("0.07"))
    assert [box.generate().status_code for _ in range(3)] == [200, 200, 402]
    assert list(box.generate().json()) == ["message"]
    assert box.world.submits == 2


def test_a_cancelled_or_failed_job_gives_its_money_back(make_box):
    box = make_box(balance_usd=Decimal("0.03"))
    box.submit(prompt="local:fail-nsfw")
    box.call("DELETE", f"/jobs/{box.submit()}")
    box.submit()
    assert box.generate().status_code == 402


def test_parallel_submits_cannot_overdraw_the_balance(make_box):
    box = make_box(balance_usd=Decimal("0.09"))

    async def submit_many():
        async with box.client() as client:
            body = {"prompt": "x", "aspect_ratio": "1:1", "resolution": "1K"}
            calls = [client.post("/generate/image/krea/krea-2/medium", json=body) for _ in range(8)]
            return [answer.status_code for answer in await asyncio.gather(*calls)]

    assert sorted(asyncio.run(submit_many())) == [200] * 3 + [402] * 5


def test_unknown_jobs_are_404(box):
    for method in ("GET", "DELETE"):
        answer = box.call(method, "/jobs/00000000-0000-4000-8000-000000000001")
        assert (answer.status_code, answer.json()) == (404, {"error": "Job not found"})


def test_the_list_is_newest_first_and_pages_to_the_end(box):
    submitted = [box.submit() for _ in range(7)]
    seen, cursor, pages = [], None, 0
    while pages == 0 or cursor:
        page = box.call("GET", "/jobs", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
        seen += [job["job_id"] for job in page["items"]]
        cursor, pages = page["next_cursor"], pages + 1
    assert (seen, pages) == (submitted[::-1], 3)


def test_a_full_last_page_has_no_next_cursor(box):
    box.submit()
    assert box.call("GET", "/jobs", params={"limit": 1}).json()["next_cursor"] is None


def test_the_cursor_is_a_time(box):
    first = box.submit()
    box.clock.advance(5)
    middle = box.clock.now.isoformat().replace("+00:00", "Z")
    box.submit()
    items = box.call("GET", "/jobs", params={"cursor": middle}).json()["items"]
    assert [job["job_id"] for job in items] == [first]


def test_the_list_filters_by_status_and_type(box):
    done = box.submit("large")
    box.clock.advance(10)
    fresh = box.submit()

    def list_ids(**query):
        return [job["job_id"] for job in box.call("GET", "/jobs", params=query).json()["items"]]

    assert list_ids(status="completed") == [done]
    assert list_ids(status="queued") == [fresh]
    assert list_ids(types="krea-2-large,other") == [done]
    assert list_ids(types="video") == []


def test_listed_jobs_carry_their_result_and_type(box):
    job_id = box.submit()
    box.clock.advance(10)
    [item] = box.call("GET", "/jobs").json()["items"]
    assert item == {**box.job(job_id), "type": "krea-2-medium"}


def test_a_page_holds_100_jobs_unless_asked(box):
    async def submit_many():
        async with box.client() as client:
            body = {"prompt": "x", "aspect_ratio": "1:1", "resolution": "1K"}
            for _ in range(101):
                await client.post("/generate/image/krea/krea-2/medium", json=body)

    asyncio.run(submit_many())
    page = box.call("GET", "/jobs").json()
    assert len(page["items"]) == 100
    assert page["next_cursor"] == page["items"][-1]["created_at"]


@pytest.mark.parametrize(
    "query",
    [
        {"limit": "0"},
        {"limit": "1001"},
        {"limit": "ten"},
        {"limit": "²"},
        {"cursor": "yesterday"},
        {"status": "done"},
    ],
)
def test_a_bad_query_is_400(box, query):
    answer = box.call("GET", "/jobs", params=query)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


def test_the_url_of_a_result_follows_the_host_of_the_request(box):
    job_id = box.submit()
    box.clock.advance(10)

    async def read_over(base_url):
        transport = httpx.ASGITransport(app=box.app)
        async with httpx.AsyncClient(transport=transport, base_url=base_url) as client:
            answer = await client.get(f"/jobs/{job_id}", headers={"Authorization": "Bearer x"})
            return answer.json()["result"]["urls"][0]

    assert asyncio.run(read_over("http://127.0.0.1:8123")).startswith("http://127.0.0.1:8123/images/")
