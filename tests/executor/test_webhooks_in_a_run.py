"""Webhooks in a run: each delivery is confirmed by a read before it counts, and looking goes on in case none comes."""

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest
from flood import few_files, flooded
from krea_rules import change_list
from krea_server import DEADLINE, send_answer, until
from served_krea import threaded_krea

WORDS = ["a", "b", "c"]
LISTEN = ("--webhook-listen", "127.0.0.1:0")
RUNNING = {"status": "processing", "completed_at": None, "result": None}


def hook_of(krea) -> str:
    return krea.posts[0].headers["x-webhook-url"]


def reads(krea):
    return len(krea.calls("GET", "/jobs/"))


def list_lags_behind(krea):
    """A list that says of each job that it is still running; only who is told of its end reads it alone."""
    change_list(krea, lambda _, job: {**job, **RUNNING})


def started(project, krea, *words, env=(), count=3):
    """A run whose jobs are all known to it, and looked at."""
    project.pipeline(WORDS[:count])
    process = project.start("run", "p.yaml", "--json", *LISTEN, *words, env=env)
    until(lambda: len(project.events("submitted")) == count)
    looks = len(krea.calls("GET", "/jobs"))
    until(lambda: process.poll() is not None or len(krea.calls("GET", "/jobs")) > looks + 1, "a look at the jobs")
    return process


def ended(project, process):
    until(lambda: process.poll() is not None, "the end of the run")
    done = project.finish(process)
    assert done.code == 0, done.text
    return done


def post(url, body, times=1):
    """Statuses of as many deliveries as may come at once."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    with httpx.Client(trust_env=False) as client, ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: client.post(url, content=data).status_code, range(times)))


@pytest.fixture(autouse=True)
def _end_of_the_courier(krea):
    """The shared server runs no lifespan: have the app end its, on the server's loop, with what delivers for it."""
    yield

    async def act(scope, seen, send, app):
        async with app.router.lifespan_context(app):
            pass
        await send_answer(send, 200, {"content-length": "0"}, b"")

    krea.rule("GET", "/end", act)
    assert httpx.get(krea.base + "/end", trust_env=False).status_code == 200


@pytest.fixture
def slow_jobs(krea):
    krea.reset(latency=1e6)


def test_a_delivery_ends_the_wait_for_a_job(project, krea, slow_jobs):
    """Only deliveries can have told of these ends: the list never does."""
    list_lags_behind(krea)
    process = started(project, krea)
    assert reads(krea) == 0
    krea.finish_jobs()
    done = ended(project, process)
    assert done.counts == (3, 0, 0)
    assert reads(krea) == 3, "each was read once before it counted"
    assert krea.billed_prompts() == WORDS


def test_a_run_that_is_told_does_not_wait_for_its_next_look(project, krea, slow_jobs):
    """At this pace the next look is 36 seconds away, which is longer than a test waits."""
    assert DEADLINE < 36
    project.pipeline(WORDS)
    process = project.start("run", "p.yaml", "--json", *LISTEN, env={"KREA_PIPE_POLL_SECONDS": "12"})
    until(lambda: len(project.events("submitted")) == 3)
    until(lambda: len(krea.calls("GET", "/jobs")) >= 2, "the look after the last POST")
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)
    assert len(krea.calls("GET", "/jobs")) <= 5


def test_each_run_names_an_address_of_its_own_that_nobody_can_guess(project, krea):
    urls = []
    for word in WORDS[:2]:
        project.pipeline([word])
        assert project.run("run", "p.yaml", *LISTEN).code == 0
        urls.append(krea.posts[-1].headers["x-webhook-url"])
    paths = [url.removeprefix("http://127.0.0.1:").partition("/")[2] for url in urls]
    assert len(set(paths)) == 2
    assert all(len(path) >= 40 for path in paths)
    files = [path for path in project.path.rglob("*") if path.is_file()]
    assert not [file for file in files for path in paths if path.encode() in file.read_bytes()]


def test_without_a_delivery_the_jobs_are_found_by_looking(project, krea):
    krea.reset(latency=0.05, webhook_copies=lambda _: 0)
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml", "--json", *LISTEN).counts == (3, 0, 0)
    assert "x-webhook-url" in krea.posts[0].headers


def test_a_run_that_is_told_looks_more_rarely(project, krea):
    """By the record of Krea: when nothing is delivered, the jobs are still found."""
    looks = []
    for words in ((), LISTEN):
        krea.reset(latency=0.6, webhook_copies=lambda _: 0)
        project.pipeline([f"{len(words)}"])
        assert project.run("run", "p.yaml", *words, env={"KREA_PIPE_POLL_SECONDS": "0.1"}).code == 0
        looks.append(len(krea.calls("GET", "/jobs")))
    assert 2 <= looks[1] < looks[0]


def test_deliveries_that_come_twice_count_once(project, krea, slow_jobs):
    krea.world.webhook_copies = lambda _: 5
    list_lags_behind(krea)
    process = started(project, krea)
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)
    assert len(krea.calls("GET", "/images/")) == 3
    assert reads(krea) <= 6
    assert len(project.events("done")) == 3


def test_a_forged_end_is_not_believed(project, krea, slow_jobs):
    """The job is read from Krea, which says that it is still running; nothing else of the delivery is looked at."""
    process = started(project, krea)
    job = krea.world.jobs[0]
    forged = {"job_id": job.id, "status": "completed", "result": {"urls": [f"{krea.base}/forged/x.png"]}}
    failed = {"job_id": job.id, "status": "failed", "error": {"code": "nsfw"}}
    assert post(hook_of(krea), forged) == post(hook_of(krea), failed) == [204]
    until(lambda: reads(krea) >= 1, "the read that confirms")
    looks = len(krea.calls("GET", "/jobs"))
    until(lambda: len(krea.calls("GET", "/jobs")) > looks + 2)
    assert process.poll() is None
    assert krea.calls("GET", "/images/") == krea.calls("GET", "/forged/") == []
    assert {line["event"] for line in project.journal()} == {"submitting", "submitted"}
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)
    assert krea.calls("GET", "/forged/") == []


BODIES = (
    b"",
    b"\xff\xfe",
    b"[" * 60_000,
    b"x" * 200_000,
    [],
    {"job_id": None},
    {"job_id": {"a": 1}},
    {"job_id": "../../etc/passwd"},
    {"job_id": "00000000-0000-4000-8000-000000000000", "status": "completed"},
)


def test_bodies_that_mean_nothing_do_no_harm(project, krea, slow_jobs):
    process = started(project, krea, count=1)
    for body in BODIES:
        assert set(post(hook_of(krea), body)) <= {204, 400, 413}
    looks = len(krea.calls("GET", "/jobs"))
    until(lambda: len(krea.calls("GET", "/jobs")) > looks + 1)
    assert reads(krea) == 0, "nothing of what was sent names a job of ours"
    krea.finish_jobs()
    assert ended(project, process).counts == (1, 0, 0)
    assert {one.path for one in krea.calls("GET", "/jobs/")} <= {f"/jobs/{krea.world.jobs[0].id}"}


def test_another_path_is_not_there(project, krea, slow_jobs):
    process = started(project, krea, count=1)
    url = hook_of(krea)
    body = {"job_id": krea.world.jobs[0].id}
    for wrong in (url[:-1], url + "/", url.rpartition("/")[0] + "/", url.rpartition("/")[0] + "/x"):
        assert post(wrong, body) == [404]
    assert httpx.get(url, trust_env=False).status_code == 404
    krea.finish_jobs()
    assert ended(project, process).counts == (1, 0, 0)


def test_a_flood_asks_krea_no_more_than_twice_for_each_job(project, krea, slow_jobs):
    process = started(project, krea)
    url = hook_of(krea)
    for job in krea.world.jobs:
        assert set(post(url, {"job_id": job.id, "status": "completed"}, times=100)) <= {204, 503}
    assert set(post(url, {"job_id": "not one of ours"}, times=200)) <= {204, 503}
    looks = len(krea.calls("GET", "/jobs"))
    until(lambda: len(krea.calls("GET", "/jobs")) > looks + 1)
    assert reads(krea) <= 2 * len(WORDS)
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)
    assert reads(krea) <= 2 * len(WORDS)


def test_krea_that_does_not_answer_the_read_of_a_delivery_is_asked_again(project, krea, slow_jobs):
    krea.answer("GET", "/jobs/", 503, b"", times=2)
    process = started(project, krea)
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)


def test_the_script_of_a_served_krea_sends_webhooks_twice_and_not_at_all(project):
    script = "rules:\n- {on: webhook, do: twice, prompt: a}\n- {on: webhook, do: missing, prompt: b}\n"
    with threaded_krea(script, latency=0.1) as served:
        project.pipeline(WORDS)
        done = project.run("run", "p.yaml", "--json", *LISTEN, env={"KREA_API_BASE": served.base})
        assert done.counts == (3, 0, 0)
        until(lambda: served.acted() == [1, 1])
        assert len(served.book()["bills"]) == 3


# --- an address of others


@pytest.mark.parametrize("path", ["/hook", "/a/b/c"])
def test_a_url_is_given_to_krea_as_it_stands_and_the_run_looks_as_ever(project, krea, path):
    told = []

    async def act(scope, seen, send, app):
        told.append(seen.json["status"])
        await send_answer(send, 200, {"content-length": "0"}, b"")

    krea.rule("POST", path, act)
    krea.world.latency = 0.05
    project.pipeline(WORDS)
    done = project.run("run", "p.yaml", "--json", "--webhook-url", krea.base + path)
    assert done.counts == (3, 0, 0)
    assert {one.headers["x-webhook-url"] for one in krea.posts} == {krea.base + path}
    until(lambda: told == ["completed"] * 3, "the deliveries to someone else")


def test_a_run_without_a_webhook_names_none(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    assert "x-webhook-url" not in krea.posts[0].headers


def test_with_both_the_secret_path_stands_below_the_public_url(project, krea, slow_jobs):
    """As behind a tunnel, which here is Krea itself."""
    list_lags_behind(krea)
    process = started(project, krea, "--webhook-url", krea.base + "/tunnel/")
    url = hook_of(krea)
    assert url.startswith(krea.base + "/tunnel/")
    assert len(url.removeprefix(krea.base + "/tunnel/")) >= 40
    krea.rules.clear()
    krea.finish_jobs()
    assert ended(project, process).counts == (3, 0, 0)
    assert {one.path for one in krea.calls("POST", "/tunnel/")} <= {url.removeprefix(krea.base)}


@pytest.mark.parametrize("words", [("--webhook-url", "https://hooks.example.org/x"), LISTEN])
def test_the_local_krea_calls_nobody(project, words):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--local", "--json", *words)
    assert (done.code, done.json["error"]["code"]) == (2, "webhook_local")
    assert done.json["error"]["hint"]
    assert not (project.path / "proofs").exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--webhook-url", "ftp://hooks.example.org/x"), "bad_webhook_url"),
        (("--webhook-url", "https://me:hunter2@hooks.example.org"), "bad_webhook_url"),
        (("--webhook-listen", "8080"), "bad_webhook_address"),
        (("--webhook-listen", "0.0.0.0:0"), "webhook_url_needed"),
    ],
)
def test_an_address_that_can_not_be_used_is_refused_before_anything_is_sent(project, krea, words, code):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", *words)
    assert (done.code, done.json["error"]["code"]) == (2, code), done.text
    assert "hunter2" not in done.text
    assert krea.posts == []


def test_an_address_in_use_is_refused_before_anything_is_sent(project, krea):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", "--webhook-listen", krea.base.removeprefix("http://"))
    assert (done.code, done.json["error"]["code"]) == (2, "webhook_address_in_use"), done.text
    assert krea.posts == []


def test_a_signal_stops_a_run_that_listens(project, krea, slow_jobs):
    process = started(project, krea)
    process.terminate()
    until(lambda: process.poll() is not None, "the end of the run")
    done = project.finish(process)
    assert (done.code, done.json["cells"]["pending"]) == (130, 3)
    assert len(krea.calls("DELETE", "/jobs/")) == 3


def test_connections_that_say_nothing_do_not_end_a_run(project, krea, slow_jobs):
    """They come all at once, more than the run may open files, and stay."""
    with few_files(256):
        process = started(project, krea)
    with flooded(process, urlsplit(hook_of(krea)).port):
        krea.finish_jobs()
        done = ended(project, process)
    assert done.counts == (3, 0, 0)
    assert [row["status"] for row in done.rows.values()] == ["succeeded"] * 3
    assert done.err.count("\n") < 50
