"""The account book, which tests and benchmarks read when the local Krea is another process."""

import asyncio
from datetime import timedelta

import pytest
from local_krea import make_body

GENERATE = "/generate/image/krea/krea-2/large"


def read_book(box, **query):
    return box.call("GET", "/_local/book", token=None, params=query).json()


def show(box, seconds):
    return (box.clock.now + timedelta(seconds=seconds)).isoformat(timespec="microseconds").replace("+00:00", "Z")


def test_the_book_tells_what_was_asked_done_and_billed(make_box):
    box = make_box(concurrency=1, backlog=1)
    begin = {at: show(box, at) for at in (0, 0.000001, 10, 13)}
    first, second = box.submit(prompt="one"), box.submit(prompt="two \ud800")
    box.generate()
    box.clock.advance(13)
    box.call("GET", "/jobs")
    book = read_book(box)
    assert book["submits"] == 2
    assert book["bills"] == [{"job_id": first, "prompt": "one", "amount": "0.030"}]
    assert book["jobs"] == [
        {
            "job_id": first,
            "prompt": "one",
            "status": "completed",
            "created_at": begin[0],
            "started_at": begin[0],
            "finished_at": begin[10],
            "first_seen_at": begin[13],
        },
        {
            "job_id": second,
            "prompt": "two \\ud800",
            "status": "processing",
            "created_at": begin[0.000001],
            "started_at": begin[10],
            "finished_at": None,
            "first_seen_at": None,
        },
    ]


def test_a_job_is_seen_when_an_answer_first_shows_its_end(box):
    seen = []
    job_id = box.submit()
    for path in (f"/jobs/{job_id}", "/_local/book", f"/jobs/{job_id}", "/jobs"):
        box.clock.advance(6)
        box.call("GET", path)
        seen.append(read_book(box)["jobs"][0]["first_seen_at"])
    expected = show(box, -6)
    assert seen == [None, None, expected, expected]


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_a_failed_and_a_cancelled_end_are_seen_too(box, status):
    job_id = box.submit(prompt="local:fail-nsfw")
    if status == "cancelled":
        box.call("DELETE", f"/jobs/{job_id}")
    box.clock.advance(20)
    assert box.call("GET", "/jobs").json()["items"][0]["status"] == status
    assert read_book(box)["jobs"][0]["first_seen_at"] == show(box, 0)


def test_requests_are_counted_by_route(box, make_picture):
    calls = {"POST /generate": 0, "GET /jobs": 0, "GET /jobs/{id}": 0, "DELETE /jobs/{id}": 0}
    files = {"GET /images": 0, "POST /assets": 0}
    assert read_book(box)["requests"].items() >= (calls | files).items()
    job_id = box.submit()
    box.submit("large")
    box.generate(prompt=None)
    for _ in range(3):
        box.call("GET", "/jobs", token=None)
    box.call("GET", f"/jobs/{job_id}")
    box.call("DELETE", f"/jobs/{job_id}")
    box.call("GET", "/images/x.png")
    box.upload(make_picture("red"))
    calls = {"POST /generate": 3, "GET /jobs": 3, "GET /jobs/{id}": 1, "DELETE /jobs/{id}": 1}
    files = {"GET /images": 1, "POST /assets": 1}
    assert read_book(box)["requests"].items() >= (calls | files).items()


def test_the_peak_is_of_requests_served_at_the_same_time(box):
    async def ask(together):
        async with box.client() as client:
            for _ in range(9):
                await asyncio.gather(*(client.get("/jobs") for _ in range(together)))

    asyncio.run(ask(1))
    assert read_book(box)["open_connections_peak"] == 1
    asyncio.run(ask(4))
    assert read_book(box)["open_connections_peak"] == 4


def test_the_summary_has_figures_in_place_of_the_jobs(make_box):
    box = make_box(concurrency=1)
    for sleep_unless_leaving in (5, 35, 0):
        box.submit()
        box.clock.advance(sleep_unless_leaving)
        box.call("GET", "/jobs")
    box.clock.advance(12)
    box.call("GET", "/jobs")
    book = read_book(box, summary="1")
    assert "jobs" not in book
    assert (book["submits"], len(book["bills"])) == (3, 3)
    assert (book["makespan_s"], book["ideal_s"]) == (50, 30)
    assert book["unseen_s"] == {"median": 20, "max": 30}


def test_the_ideal_is_first_come_first_served_on_all_places(make_box):
    durations = iter([8.0, 2.0, 3.0, 10.0, 1.0])
    box = make_box(concurrency=2)
    for latency in durations:
        box.world.latency = latency
        box.submit()
        box.clock.advance(20)
    assert read_book(box, summary="1")["ideal_s"] == 15
    box.world.concurrency = None
    assert read_book(box, summary="1")["ideal_s"] == 10


def test_a_summary_of_nothing_has_no_figures(box):
    nothing = {"makespan_s": None, "ideal_s": None, "unseen_s": {"median": None, "max": None}}
    assert read_book(box, summary="1").items() >= nothing.items()
    box.submit(prompt="local:stuck")
    box.clock.advance(1e6)
    assert read_book(box, summary="1").items() >= nothing.items()


def test_the_book_is_not_changed_by_refused_calls(box):
    assert box.call("POST", GENERATE, json=make_body(resolution="2K")).status_code == 400
    book = read_book(box)
    assert (book["submits"], book["bills"], book["jobs"]) == (0, [], [])
