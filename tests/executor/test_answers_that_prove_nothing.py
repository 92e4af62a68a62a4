"""Answers after which Krea may have a job all the same: the price stays reserved, and the list of jobs decides."""

import json
from decimal import Decimal

import pytest
from krea_server import GENERATE, Seen, ask, send_answer
from money import check_paid_once, draw, inhabit, job_ids, send_json

from krea_pipe.executor import account_jobs

PAGE = b"<html><head><title>Gateway</title></head></html>"
JSON = {"content-type": "application/json"}
HTML = {"content-type": "text/html"}


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def act_and_answer(krea, status, headers, body, *, text="", times=None):
    """Take a POST, and answer it with something else than its job."""

    async def act(scope, seen, send, app):
        job = json.loads((await ask(app, scope, seen))[2])["job_id"]
        named = {name: value.replace("JOB", job) for name, value in headers.items()}
        await send_answer(send, status, {**named, "content-length": str(len(body))}, body)

    krea.rule("POST", GENERATE, act, text=text, times=times)


ANSWERS = {
    "redirect to the job": (303, {"location": "/jobs/JOB"}, b""),
    "redirect to a login": (302, {"location": "https://login.example/", **HTML}, PAGE),
    "permanent redirect": (308, {"location": "/elsewhere"}, b""),
    "not modified": (304, {}, b""),
    "conflict": (409, JSON, b'{"error": "a job like this exists"}'),
    "client closed request": (499, HTML, PAGE),
    "too large": (413, HTML, PAGE),
    "too early": (425, JSON, b'{"error": "too early"}'),
    "legal reasons": (451, JSON, b'{"error": "no"}'),
    "bad request of a gateway": (400, HTML, PAGE),
    "unauthorized by a gateway": (401, HTML, PAGE),
    "no credit, without a word": (402, {}, b""),
    "forbidden by a firewall": (403, HTML, PAGE),
    "not found by a gateway": (404, HTML, PAGE),
    "gone, as text": (410, {"content-type": "text/plain"}, b"gone"),
    "unprocessable, as a list": (422, JSON, b"[]"),
    "too many, by a gateway": (429, HTML, PAGE),
    "an error without words": (400, JSON, b'{"error": null}'),
    "a status nobody knows": (600, {}, b""),
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
def test_an_answer_that_is_no_refusal_of_kreas_is_a_lost_one(project, krea, answer):
    act_and_answer(krea, *answer, text="b", times=1)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    assert done.rows["b"]["adopted"]
    assert done.json["cost"]["spent_usd"] == "0.09"
    check_paid_once(project, krea, ["a", "b", "c"])


def test_the_cap_holds_though_every_answer_looks_like_a_refusal(project, krea):
    act_and_answer(krea, 409, JSON, b'{"error": "conflict"}')
    project.pipeline([f"w{number}" for number in range(12)])
    done = project.run("run", "p.yaml", "--json", "--max-cost", "0.03")
    billed = sum((bill.amount for bill in krea.world.bills), Decimal(0))
    assert (billed, Decimal(done.json["cost"]["spent_usd"])) == (Decimal("0.03"), Decimal("0.03")), done.text


REFUSALS = {
    "the declared form": {"error": "no such ratio"},
    "a message": {"message": "no such ratio"},
    "an object": {"error": {"code": "bad", "message": "no such ratio"}},
    "a code alone": {"error": {"code": "no such ratio"}},
    "details": {"detail": [{"loc": ["body", "x"], "msg": "no such ratio"}]},
    "a problem": {"type": "about:blank", "title": "no such ratio", "status": 400},
    "fields": {"error": {"formErrors": [], "fieldErrors": {"aspect_ratio": ["no such ratio"]}}},
    "a reason": {"reason": "no such ratio"},
}


@pytest.mark.parametrize("body", REFUSALS.values(), ids=REFUSALS)
def test_a_refusal_in_a_form_of_kreas_is_one_and_says_why(project, krea, body):
    krea.answer("POST", GENERATE, 400, body, text="b")
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, len(krea.posts)) == (1, 2), done.text
    assert (done.rows["b"]["error"]["code"], done.rows["b"]["cost_usd"]) == ("rejected", "0.00")
    assert "no such ratio" in done.rows["b"]["error"]["message"]


def test_an_address_where_no_krea_answers_stops_the_run_at_the_first_request(project, krea):
    krea.answer("POST", GENERATE, 404, PAGE)
    krea.answer("GET", "/jobs", 404, PAGE)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, len(krea.posts)) == (4, 1), done.text
    assert (done.json["error"]["code"], "KREA_API_BASE" in done.json["error"]["hint"]) == ("no_api", True)


# --- 403


def test_a_request_that_is_forbidden_fails_alone(project, krea):
    krea.answer("POST", GENERATE, 403, {"error": "not this style"}, text="b")
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (1, (2, 1, 0)), done.text
    assert "not this style" in done.rows["b"]["error"]["message"]


def test_a_job_that_may_not_be_read_stops_nothing_and_is_not_paid_again(project, krea):
    krea.world.latency = 1e6
    project.pipeline(["a", "b"])
    krea.answer("GET", "/jobs/", 403, {"error": "not this job"})

    async def without_a(scope, seen, send, app):
        page = json.loads((await ask(app, scope, seen))[2])
        hidden = set(job_ids(krea, "a"))
        krea.finish_jobs()
        await send_json(send, {**page, "items": [job for job in page["items"] if job["job_id"] not in hidden]})

    krea.rule("GET", "/jobs", without_a)
    done = project.run("run", "p.yaml", "--json", "--job-timeout", "1")
    assert (done.code, done.rows["b"]["status"]) == (1, "succeeded"), done.text
    krea.rules.clear()
    draw(krea)
    assert project.run("run", "p.yaml", "--json").code == 0
    check_paid_once(project, krea, ["a", "b"])


# --- one job, one request


def name_the_job_of(krea, other, *, acts, text):
    """Answer a POST with the job of another prompt, whether Krea has made one for it or not."""

    async def act(scope, seen, send, app):
        if acts:
            await ask(app, scope, seen)
        await send_json(send, {"job_id": job_ids(krea, other)[0], "status": "queued", "created_at": None})

    krea.rule("POST", GENERATE, act, text=text, times=1)


@pytest.mark.parametrize("acts", [True, False])
def test_an_answer_that_names_the_job_of_another_request_is_a_lost_one(project, krea, acts):
    name_the_job_of(krea, "a", acts=acts, text='"b"')
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, acts), done.text
    assert len({row["job_id"] for row in done.rows.values()}) == 3
    check_paid_once(project, krea, ["a", "b", "c"])


def test_an_answer_that_names_the_job_of_an_earlier_run_is_a_lost_one(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    name_the_job_of(krea, "a", acts=True, text='"b"')
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a", "b"])


def test_an_answer_that_names_a_job_of_before_the_run_is_a_lost_one(project, krea):
    old = inhabit(krea)

    async def name_the_old_one(scope, seen, send, app):
        await ask(app, scope, seen)
        await send_json(send, {"job_id": old, "status": "queued", "created_at": None})

    krea.rule("POST", GENERATE, name_the_old_one, text='"a"', times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a"])


def test_an_answer_that_names_a_job_older_than_what_was_read_of_the_list_is_a_lost_one(project, krea, monkeypatch):
    for name in ("_FIRST_PAGE_JOBS", "_PAGE_JOBS"):
        monkeypatch.setattr(account_jobs, name, 1)
    old, *_ = (inhabit(krea) for _ in range(account_jobs.NEWEST + 2))

    async def name_the_old_one(scope, seen, send, app):
        await ask(app, scope, seen)
        path = f"/jobs/{old}"
        get = {**scope, "method": "GET", "path": path, "raw_path": path.encode()}
        await send_json(send, json.loads((await ask(app, get, Seen("GET", path, {}, b"")))[2]))

    krea.rule("POST", GENERATE, name_the_old_one, text='"a"', times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a"])


def test_one_page_of_a_gateway_that_says_401_does_not_end_the_run(project, krea):
    krea.world.latency = 0.5
    project.pipeline(["a", "b"])

    async def refuse_once(scope, seen, send, app):
        page = (401, {"content-type": "text/html"}, b"<h1>401 Authorization Required</h1>")
        is_first = krea.posts and not refused
        refused.extend([1] * bool(is_first))
        await send_answer(send, *(page if is_first else await ask(app, scope, seen)))

    refused = []
    krea.rule("GET", "/jobs", refuse_once)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, refused) == (0, (2, 0, 0), [1]), done.text


def test_two_requests_that_an_older_journal_gives_one_job_do_not_share_its_image(project, krea):
    krea.world.latency = 1e6
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--job-timeout", "0.2").code == 1
    krea.finish_jobs()
    project.pipeline(["a", "b"])
    key = next(cell["key"] for cell in project.run("plan", "p.yaml", "--json").json["cells"] if cell["id"] == "p/b")
    [line] = project.events("submitted")
    with (project.space / "journal.jsonl").open("a") as journal:
        for event in ("submitting", "submitted"):
            journal.write(json.dumps({**line, "event": event, "key": key, "run": "older"}) + "\n")
    done = project.run("run", "p.yaml", "--json")
    assert done.rows["a"]["status"] == "succeeded"
    assert done.rows["b"]["job_id"] != done.rows["a"]["job_id"], done.text
    assert sorted(krea.billed_prompts()) in (["a"], ["a", "b"])
