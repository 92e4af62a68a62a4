"""A job that an earlier run has counted, and that was cancelled since: what is sent in its place is paid anew."""

import asyncio

from krea_server import Seen, ask
from money import job_ids


def cancel_at_krea(krea, job_id):
    """Let someone else of the account cancel a job."""
    path = f"/jobs/{job_id}"
    scope = {"type": "http", "method": "DELETE", "path": path, "raw_path": path.encode(), "query_string": b""}
    headers = [(b"authorization", b"Bearer x")]
    status, _, _ = asyncio.run(ask(krea.app, {**scope, "headers": headers}, Seen("DELETE", path, {}, b"")))
    assert status < 300


def leave_cancelled_job(project, krea):
    """A run that has counted a job which did not end; the job is cancelled after it."""
    krea.answer("DELETE", "/jobs/", 500, b"")
    krea.world.latency = 1e6
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", "--job-timeout", "0.2")
    assert done.json["cost"]["spent_usd"] == "0.03"
    krea.rules.clear()
    cancel_at_krea(krea, job_ids(krea, "a")[0])
    krea.world.latency = 0.0


def test_the_price_of_the_new_job_is_counted(project, krea):
    leave_cancelled_job(project, krea)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, len(krea.posts), done.json["cost"]["spent_usd"]) == (0, 2, "0.03"), done.text


def test_the_cap_holds_when_the_new_image_cannot_be_fetched(project, krea):
    leave_cancelled_job(project, krea)
    krea.world.latency = 0.4
    project.pipeline(["a", "b", "c", "d"])
    krea.image(b"<html>", text="a")
    done = project.run("run", "p.yaml", "--json", "--max-cost", "0.09", "--concurrency", "1")
    assert (done.code, len(krea.posts)) == (5, 4), done.text
