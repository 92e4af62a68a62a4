"""Each fault of a script as a plain HTTP client meets it, at the real server."""

import asyncio
import io
import json
import logging
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import httpx
import pytest
from krea_server import picture, until
from PIL import Image
from served_krea import threaded_krea

from krea_pipe.local.app import create_app
from krea_pipe.local.faults import Faults
from krea_pipe.local.script_file import read_script
from krea_pipe.local.server_state import ServerState

PICTURE = picture("PNG", "any", (64, 48))
HOURS = 9999


class Client(httpx.Client):
    """A plain client, with short words for what Krea offers."""

    def submit(self, prompt="a lamp") -> httpx.Response:
        body = {"prompt": prompt, "aspect_ratio": "1:1", "resolution": "1K"}
        return self.post("/generate/image/krea/krea-2/medium", json=body)

    def jobs(self) -> list[dict]:
        return self.get("/_local/book").json()["jobs"]

    def job(self, prompt="a lamp") -> dict:
        return self.get(f"/jobs/{self.submit(prompt).json()['job_id']}").json()

    def image_url(self, prompt="a lamp") -> str:
        return self.job(prompt)["result"]["urls"][0]


@pytest.fixture
def start():
    """Start a Krea with these rules, and give a client of it."""
    with ExitStack() as stack:

        def start(*rules, **settings):
            script = f"rules: [{', '.join(f'{{{rule}}}' for rule in rules)}]"
            served = stack.enter_context(threaded_krea(script, **{"image": PICTURE, **settings}))
            client = Client(base_url=served.base, headers={"Authorization": "Bearer k"}, timeout=30, trust_env=False)
            return stack.enter_context(client)

        yield start


# --- refusals


def test_429_with_a_time_to_wait(start):
    client = start("on: submit, do: 429, retry_after: 2, times: 1")
    answer = client.submit()
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    assert answer.json()["error"]
    assert client.jobs() == []
    assert client.submit().status_code == 200


def test_429_without_a_time_to_wait(start):
    answer = start("on: submit, do: 429").submit()
    assert answer.status_code == 429
    assert "retry-after" not in answer.headers


@pytest.mark.parametrize("status", [500, 502, 503, 504, 524])
def test_a_gateway_answers_with_html_before_or_after_krea_has_acted(start, status):
    client = start(f"on: submit, do: {status}, times: 1", f"on: submit, do: {status}, after: true, times: 1")
    for jobs in (0, 1):
        answer = client.submit()
        assert answer.status_code == status
        assert answer.headers["content-type"].startswith("text/html")
        assert f"<h1>{status}" in answer.text
        assert len(client.jobs()) == jobs


@pytest.mark.parametrize(("status", "key"), [(400, "error"), (401, "message"), (402, "message"), (404, "error")])
def test_krea_itself_answers_with_json(start, status, key):
    answer = start(f"on: submit, do: {status}").submit()
    assert answer.status_code == status
    assert list(answer.json()) == [key]


# --- broken connections


def test_a_reset_before_krea_has_acted_leaves_no_job(start):
    client = start("on: submit, do: reset, times: 1")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.submit()
    assert client.jobs() == []
    assert client.submit().status_code == 200


def test_a_reset_after_krea_has_acted_leaves_a_job(start):
    client = start("on: submit, do: reset, after: true, times: 1")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.submit("the lost one")
    assert [job["prompt"] for job in client.jobs()] == ["the lost one"]


def test_a_large_upload_is_read_before_its_connection_is_reset(start):
    """Else the client would fail while it sends, which tells it that Krea cannot have acted."""
    client = start("on: upload, do: reset")
    with pytest.raises(httpx.ReadError, match="reset by peer"):
        client.post("/assets", files={"file": ("a.png", PICTURE + bytes(3_000_000))})


@pytest.mark.parametrize("fault", ["reset", "truncated"])
def test_a_connection_that_was_broken_on_purpose_is_no_error_of_the_app(start, fault, caplog):
    client = start(f"on: jobs, do: {fault}")
    caplog.set_level(logging.ERROR, "uvicorn.error")
    with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
        client.get("/jobs")
    assert client.get("/_local/book").status_code == 200
    assert caplog.records == []


def test_every_call_can_be_reset(start):
    client = start("on: any, do: reset")
    for method, path in [("GET", "/jobs"), ("GET", "/jobs/x"), ("DELETE", "/jobs/x"), ("GET", "/images/x.png")]:
        with pytest.raises(httpx.ReadError):
            client.request(method, path)


def test_what_is_local_is_never_broken(start):
    client = start("on: any, do: reset", "on: job, do: 404")
    for _ in range(2):
        with pytest.raises(httpx.ReadError):
            client.get("/jobs")
    assert client.get("/_local/book").json()["submits"] == 0
    assert client.get("/_local/faults").json() == {"acted": [2, 0]}


def test_without_a_line_to_break_half_an_answer_stands_for_a_reset():
    """As in process, where there is no connection."""
    app = Faults(create_app(ServerState()), read_script(b"rules: [{on: any, do: reset}]"))

    async def call():
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            return await client.get("/jobs")

    answer = asyncio.run(call())
    assert len(answer.content) < int(answer.headers["content-length"])
    with pytest.raises(json.JSONDecodeError):
        answer.json()


# --- images


def test_a_truncated_image_promises_its_whole_length(start):
    client = start("on: image, do: truncated, times: 1")
    url, parts = client.image_url(), []
    with client.stream("GET", url) as answer:
        assert answer.status_code == 200
        assert answer.headers.get_list("content-length") == [str(len(PICTURE))]
        with pytest.raises(httpx.RemoteProtocolError, match="without sending complete"):
            parts.extend(answer.iter_raw())
    assert b"".join(parts) == PICTURE[: len(PICTURE) // 2]
    assert client.get(url).content == PICTURE


def test_a_corrupt_image_has_the_right_length_and_other_bytes_in_its_middle(start):
    client = start("on: image, do: corrupt, times: 1")
    url = client.image_url()
    answer = client.get(url)
    changed = [index for index, (a, b) in enumerate(zip(answer.content, PICTURE, strict=True)) if a != b]
    assert changed
    assert min(changed) > len(PICTURE) // 4
    assert max(changed) < len(PICTURE) * 3 // 4
    with pytest.raises((OSError, SyntaxError)):
        Image.open(io.BytesIO(answer.content)).load()
    assert client.get(url).content == PICTURE


def test_an_image_that_is_missing_late_or_out_of_reach(start):
    client = start(*(f"on: image, do: {what}, times: 1" for what in (404, 503, "reset")))
    url = client.image_url()
    assert [client.get(url).status_code for _ in range(2)] == [404, 503]
    with pytest.raises(httpx.ReadError):
        client.get(url)
    assert client.get(url).content == PICTURE


def test_a_proof_is_drawn_unless_a_file_stands_for_it(start):
    client = start(image=None)
    assert Image.open(io.BytesIO(client.get(client.image_url()).content)).size == (1024, 1024)


# --- slow answers


def test_a_slow_answer_comes(start):
    client = start("on: job, do: slow, seconds: 0.01", "on: submit, do: slow, seconds: 0.01, after: true")
    assert client.job()["status"] == "completed"
    assert client.get("/_local/faults").json() == {"acted": [1, 1]}


@pytest.mark.parametrize(("after", "jobs"), [("false", 0), ("true", 1)])
def test_krea_acts_before_or_after_a_wait(start, after, jobs):
    client = start(f"on: submit, do: slow, seconds: {HOURS}, after: {after}")
    client.timeout = httpx.Timeout(30, read=0.5)
    with pytest.raises(httpx.ReadTimeout):
        client.submit()
    client.timeout = httpx.Timeout(30)
    assert len(client.jobs()) == jobs


# --- the ends of jobs


def test_a_stuck_job_never_ends(start):
    job = start("on: end, do: stuck").job()
    assert (job["status"], job["completed_at"], job["result"]) == ("processing", None, None)


@pytest.mark.parametrize(
    ("where", "more"),
    [
        ("top", {"result": {}, "error": {"code": "nsfw", "message": "no"}}),
        ("result", {"result": {"error": {"code": "nsfw", "message": "no"}}}),
        ("nowhere", {"result": {}}),
    ],
)
def test_a_failed_job_says_why_or_does_not(start, where, more):
    job = start(f"on: end, do: failed, code: nsfw, message: 'no', where: {where}").job()
    common = {"job_id", "status", "created_at", "completed_at"}
    assert job["status"] == "failed"
    assert {key: value for key, value in job.items() if key not in common} == more


def test_an_empty_job_is_completed_without_urls(start):
    job = start("on: end, do: empty").job()
    assert (job["status"], job["result"]) == ("completed", {})


def test_ends_go_by_the_prompt_and_else_as_the_prompt_itself_asks(start):
    client = start("on: end, do: empty, prompt: teapot", "on: end, do: failed, times: 1")
    prompts = ["a teapot", "a cup", "two teapots", "a cup", "local:fail-nsfw"]
    assert [client.job(prompt)["status"] for prompt in prompts] == [
        "completed", "failed", "completed", "completed", "failed",
    ]  # fmt: skip
    assert client.get("/_local/faults").json() == {"acted": [2, 1]}


# --- whom a rule takes


def test_a_prompt_selects_in_every_call_that_is_about_a_job(start):
    rules = [f"on: {call}, do: 418, prompt: teapot" for call in ("submit", "job", "cancel", "image")]
    client = start("on: submit, do: 418, prompt: first teapot", *rules[1:])
    cup, teapot = (client.submit(prompt).json()["job_id"] for prompt in ("a cup", "a teapot"))
    urls = [item["result"]["urls"][0] for item in client.get("/jobs").json()["items"]]
    assert client.submit("the first teapot").status_code == 418
    assert [client.get(f"/jobs/{job}").status_code for job in (cup, teapot, "unknown")] == [200, 418, 404]
    assert [client.get(url).status_code for url in urls] == [418, 200]
    assert [client.delete(f"/jobs/{job}").status_code for job in (cup, teapot)] == [200, 418]


def test_a_body_that_is_no_order_has_no_prompt(start):
    client = start("on: submit, do: 418, prompt: a")
    for body in (b"", b"{", b"[]", b'{"prompt": 1}', b"\xff"):
        assert client.post("/generate/image/krea/krea-2/medium", content=body).status_code == 400


def test_a_rule_counts_its_calls(start):
    client = start("on: submit, do: 503, every: 3")
    assert [client.submit().status_code for _ in range(7)] == [200, 200, 503, 200, 200, 503, 200]


# --- webhooks


def test_a_webhook_comes_twice_once_or_never(start):
    client = start("on: webhook, do: missing, times: 1", "on: webhook, do: twice, times: 1")
    with _listener() as (url, heard):
        client.headers["X-Webhook-URL"] = url
        ids = [client.submit(prompt).json()["job_id"] for prompt in "abc"]
        until(lambda: len(heard) == 3)
        assert sorted(heard) == sorted([ids[1], ids[1], ids[2]])


@contextmanager
def _listener():
    """A receiver of webhooks: its address, and the ids of the jobs that it was told of."""
    heard = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            heard.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["job_id"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", heard
        server.shutdown()
        thread.join()
