"""An account with bounds: how many jobs run, how many wait, and when each one starts."""

import random
import threading
import time
from datetime import timedelta

import pytest
from local_krea import LATENCY, make_order

TOO_MANY = {"error": "Maximum number of concurrent jobs reached", "code": "CONCURRENCY_LIMIT_REACHED"}


def read_starts(box):
    """Seconds from the beginning to each job's start, None in the backlog."""
    jobs = box.world.jobs
    begin = jobs[0].created_at
    return [job.started_at and (job.started_at - begin).total_seconds() for job in jobs]


def test_jobs_beyond_the_concurrency_wait_in_order_of_submission(make_box):
    box = make_box(concurrency=2)
    ids = [box.submit(prompt=f"{number}") for number in range(5)]
    assert [box.status(job_id) for job_id in ids] == ["queued"] * 2 + ["backlogged"] * 3
    box.clock.advance(LATENCY)
    assert [box.status(job_id) for job_id in ids] == ["completed"] * 2 + ["queued"] * 2 + ["backlogged"]


def test_a_waiting_job_is_accepted_as_backlogged(make_box):
    box = make_box(concurrency=1)
    assert [box.generate().json()["status"] for _ in range(2)] == ["queued", "backlogged"]


def test_jobs_start_when_a_place_became_free_however_late_anyone_looks(make_box):
    box = make_box(concurrency=2)
    for _ in range(3):
        box.world.submit(make_order())
    box.clock.advance(4)
    box.world.submit(make_order())
    box.clock.advance(1000)
    assert read_starts(box) == [0, 0, LATENCY, LATENCY]
    box.world.submit(make_order())
    assert read_starts(box)[-1] == 1004
    assert box.job(box.world.jobs[2].id)["completed_at"] == "2026-11-22T10:00:20.000000Z"


@pytest.mark.parametrize("seed", range(20))
def test_looking_changes_nothing(make_box, seed):
    boxes = [make_box(concurrency=3, spread=0.9) for _ in range(2)]
    rng = random.Random(seed)
    for _ in range(60):
        sleep_unless_leaving, cancels, looks = rng.choice((0, 0.1, 7, 30)), rng.random() < 0.3, rng.random()
        for watched, box in enumerate(boxes):
            box.world.submit(make_order("local:stuck" if looks > 0.95 else "a lamp"))
            if cancels:
                box.world.cancel(box.world.jobs[int(looks * box.world.submits)])
            for _ in range(10):
                box.clock.advance(sleep_unless_leaving / 10)
                if watched:
                    assert box.world.submits == len(box.world.jobs)
    assert read_starts(boxes[0]) == read_starts(boxes[1])
    assert [job.cancelled_at for job in boxes[0].world.jobs] == [job.cancelled_at for job in boxes[1].world.jobs]
    assert boxes[0].world.bills != ()
    assert len(boxes[0].world.bills) == len(boxes[1].world.bills)


def count_running(jobs, instant):
    return sum(job.started_at is not None and job.started_at <= instant < job.ends_at for job in jobs)


def test_never_more_than_the_concurrency_run_and_no_place_stays_empty(make_box):
    box = make_box(concurrency=4, spread=0.5)
    for _ in range(50):
        box.world.submit(make_order())
    box.clock.advance(1000)
    jobs = box.world.jobs
    last_start = max(job.started_at for job in jobs)
    assert {count_running(jobs, job.started_at) for job in jobs if job.started_at < last_start} <= {1, 2, 3, 4}
    assert all(count_running(jobs, job.started_at) == 4 for job in jobs if job.started_at > jobs[0].started_at)
    assert [job.started_at for job in jobs] == sorted(job.started_at for job in jobs)


def test_a_full_backlog_is_answered_with_429_and_no_job(make_box):
    box = make_box(concurrency=2, backlog=1)
    answers = [box.generate() for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].json() == TOO_MANY
    assert "retry-after" not in answers[-1].headers
    assert box.world.submits == 3
    box.clock.advance(LATENCY)
    assert [box.generate().status_code for _ in range(3)] == [200, 200, 429]


def test_without_bounds_nothing_waits_and_nothing_is_refused(make_box):
    for settings in ({}, {"backlog": 0}):
        box = make_box(**settings)
        assert [box.generate().json()["status"] for _ in range(30)] == ["queued"] * 30
    endless = make_box(concurrency=1)
    assert {endless.generate().status_code for _ in range(30)} == {200}


def test_a_refused_call_leaves_the_account_as_it_was(make_box):
    bounded, free = make_box(concurrency=1, backlog=0), make_box()
    bounded.submit(seed=None)
    assert bounded.generate(seed=None).status_code == 429
    bounded.clock.advance(LATENCY)
    takes = [box.world.job(box.submit(seed=None)).brief.take for box in (bounded, free, free)]
    assert takes == [2, 1, 2]


@pytest.mark.parametrize("cancelled", [0, 1])
def test_a_cancelled_job_frees_its_place(make_box, cancelled):
    box = make_box(concurrency=1, backlog=1)
    ids = [box.submit(), box.submit()]
    box.clock.advance(0.5)
    assert box.generate().status_code == 429
    assert box.call("DELETE", f"/jobs/{ids[cancelled]}").status_code == 200
    assert box.status(ids[cancelled]) == "cancelled"
    assert box.status(ids[1 - cancelled]) == "queued"
    ids.append(box.submit())
    assert box.generate().status_code == 429
    box.clock.advance(2 * LATENCY)
    assert [bill.job_id for bill in box.world.bills] == [ids[1 - cancelled], ids[2]]


def test_a_cancelled_job_in_the_backlog_never_starts(make_box):
    box = make_box(concurrency=1)
    ids = [box.submit() for _ in range(4)]
    box.call("DELETE", f"/jobs/{ids[1]}")
    box.call("DELETE", f"/jobs/{ids[1]}")
    box.clock.advance(2 * LATENCY)
    assert [box.status(job_id) for job_id in ids] == ["completed", "cancelled", "completed", "queued"]
    assert box.job(ids[1])["completed_at"] == "2026-11-22T10:00:00.000001Z"


def test_a_stuck_job_holds_its_place_until_it_is_cancelled(make_box):
    box = make_box(concurrency=1)
    stuck, behind = box.submit(prompt="a lamp local:stuck"), box.submit()
    box.clock.advance(1e6)
    job = box.job(stuck)
    assert (job["status"], job["completed_at"], job["result"]) == ("processing", None, None)
    assert box.status(behind) == "backlogged"
    assert box.call("DELETE", f"/jobs/{stuck}").status_code == 200
    assert [box.status(job_id) for job_id in (stuck, behind)] == ["cancelled", "queued"]
    box.clock.advance(LATENCY)
    assert [bill.job_id for bill in box.world.bills] == [behind]


def test_more_places_are_taken_at_once(make_box):
    box = make_box(concurrency=1)
    ids = [box.submit() for _ in range(3)]
    box.world.concurrency = None
    assert [box.status(job_id) for job_id in ids] == ["queued"] * 3


def test_durations_spread_alike_in_every_world(make_box):
    def read_latencies(spread):
        box = make_box(spread=spread)
        return [box.world.submit(make_order(f"{number}")).latency.total_seconds() for number in range(200)]

    spread = read_latencies(0.3)
    assert spread == read_latencies(0.3)
    assert len(set(spread)) == 200
    assert 7 <= min(spread) < 7.5 < 12.5 < max(spread) <= 13
    assert set(read_latencies(0)) == {LATENCY}
    assert min(read_latencies(5)) == 0


def test_the_latency_of_running_jobs_stays_when_the_world_changes_it(box):
    job_id = box.submit()
    box.world.latency = 0
    assert box.status(job_id) == "queued"
    assert box.status(box.submit()) == "completed"


def test_the_list_tells_who_waits_who_runs_and_who_is_done(make_box):
    box = make_box(concurrency=2)
    ids = [box.submit() for _ in range(6)]
    box.clock.advance(LATENCY)
    box.call("DELETE", f"/jobs/{ids[5]}")

    def list_ids(status, **query):
        items = box.call("GET", "/jobs", params={"status": status, **query}).json()["items"]
        return [ids.index(job["job_id"]) for job in items]

    assert list_ids("completed") == [1, 0]
    assert list_ids("queued") == [3, 2]
    assert list_ids("backlogged") == [4]
    assert list_ids("cancelled") == [5]
    assert list_ids("failed") == []
    assert list_ids("completed", cursor=box.job(ids[1])["created_at"]) == [0]
    assert list_ids("queued", cursor=box.job(ids[3])["created_at"]) == [2]


def test_the_list_by_status_is_newest_first_whatever_ended_first(make_box):
    box = make_box(spread=0.9)
    ids = [box.submit() for _ in range(20)]
    box.clock.advance(2 * LATENCY)
    items = box.call("GET", "/jobs", params={"status": "completed"}).json()["items"]
    assert [job["job_id"] for job in items] == ids[::-1]


def test_a_clock_that_goes_back_undoes_nothing(box):
    job_id = box.submit()
    box.clock.advance(LATENCY)
    assert box.status(job_id) == "completed"
    box.clock.advance(-LATENCY)
    assert box.status(job_id) == "completed"
    assert len(box.world.bills) == 1


def test_one_thread_at_a_time_moves_the_account_on(make_box):
    box, together = make_box(concurrency=3, spread=0.5), threading.Barrier(4)
    for _ in range(500):
        box.world.submit(make_order())
    instant, inside, most, counts = box.clock(), [], [], []

    def read_slowly():
        inside.append(1)
        for _ in range(20):
            time.sleep(0)  # let another thread in, if it can come
        most.append(len(inside))
        inside.pop()
        return instant + timedelta(seconds=1e6)

    def look():
        together.wait()
        counts.append(len(box.world.bills))

    box.world.clock = read_slowly
    readers = [threading.Thread(target=look) for _ in range(4)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert counts == [500] * 4
    assert set(most) == {1}
