"""Webhooks: each end is told once to the URL that the generate call named."""

import asyncio
import json

import httpx
import pytest
from local_krea import LATENCY, make_body, make_order, serve

from krea_pipe.local import webhooks
from krea_pipe.local.job import Webhook
from krea_pipe.local.server_state import read_utc_clock
from krea_pipe.local.webhooks import deliver_due

GENERATE = "/generate/image/krea/krea-2/medium"
KEY = {"Authorization": "Bearer key"}
DEADLINE = 30


class Receiver:
    """Takes webhooks over loopback and keeps their bodies; `answer` is what it says to each."""

    def __init__(self, answer=(200, [])):
        self.answer = answer
        self.bodies = []
        self.headers = []
        self.arrived = asyncio.Queue()
        self.open = self.most = 0
        self.submit_gate = asyncio.Event()
        self.submit_gate.set()

    async def __call__(self, scope, receive, send):
        body = await self._read(receive)
        if scope["method"] == "POST":
            self.open, self.most = self.open + 1, max(self.most, self.open + 1)
            self.bodies.append(json.loads(body))
            self.headers.append(dict(scope["headers"]))
            self.arrived.put_nowait(self.bodies[-1])
            await self.submit_gate.wait()
            self.open -= 1
        status, headers = self.answer
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    @staticmethod
    async def _read(receive):
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                return body

    async def next(self):
        return await asyncio.wait_for(self.arrived.get(), DEADLINE)


def tell(box, *, prompts=("a lamp",), advance=LATENCY, url=None, answer=(200, []), before=lambda: None):
    """The bodies that a receiver gets of jobs with these prompts, once the clock went on."""

    async def submit_and_deliver():
        receiver = Receiver(answer)
        async with serve(receiver) as base_url:
            for prompt in prompts:
                box.world.submit(make_order(prompt), webhook=Webhook(url or f"{base_url}/hook", "http://localhost/"))
            box.clock.advance(advance)
            before()
            await deliver_due(box.world)
            await deliver_due(box.world)
        return receiver.bodies

    return asyncio.run(submit_and_deliver())


@pytest.mark.parametrize("prompt", ["a lamp", "local:fail-nsfw", "local:fail-result", "local:fail-empty"])
def test_the_end_of_a_job_is_told_once_as_the_whole_job(box, prompt):
    [body] = tell(box, prompts=[prompt])
    assert body == box.job(box.world.jobs[0].id)
    assert body["status"] in ("completed", "failed")


def test_a_cancelled_job_is_told(box):
    [body] = tell(box, advance=0, before=lambda: box.world.cancel(box.world.jobs[0]))
    assert (body["status"], body["job_id"]) == ("cancelled", box.world.jobs[0].id)


@pytest.mark.parametrize(("prompt", "elapsed"), [("a lamp", LATENCY - 0.1), ("local:stuck", 1e9)])
def test_a_pending_job_is_not_told(box, prompt, elapsed):
    assert tell(box, prompts=[prompt], advance=elapsed) == []


def test_ends_are_told_in_their_order(make_box):
    box = make_box(spread=0.9)
    for _ in range(20):
        box.world.submit(make_order(), webhook=Webhook("http://localhost/", "http://localhost/"))
    box.clock.advance(2 * LATENCY)
    box.world.now()
    ends = [job.ends_at for job in box.world.outbox]
    assert (len(ends), ends) == (20, sorted(ends))


def test_a_world_decides_how_often_each_job_is_told(make_box):
    box = make_box(webhook_copies=lambda job: int(job.brief.order.prompt))
    bodies = tell(box, prompts=["0", "1", "2"])
    told = [body["job_id"] for body in bodies]
    assert [told.count(job.id) for job in box.world.jobs] == [0, 1, 2]


@pytest.mark.parametrize("answer", [(500, []), (429, [(b"retry-after", b"0")]), (307, [(b"location", b"/again")])])
def test_there_is_no_second_try_and_no_redirect(box, answer):
    assert len(tell(box, answer=answer)) == 1


def test_a_receiver_that_is_away_does_not_keep_others_from_theirs(box):
    box.world.submit(make_order("away"), webhook=Webhook("http://127.0.0.1:9/", "http://localhost/"))
    assert [body["job_id"] for body in tell(box)] == [box.world.jobs[1].id]


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.test",
        "ftp://example.test/a",
        "file:///etc/passwd",
        "http://",
        "http://127.0.0.1:99999999999/",
        "http://xn--/",
        "http://a.test/\x7f",
    ],
)
def test_what_is_no_http_url_is_400_and_no_job(box, url):
    answer = box.generate(headers={"X-Webhook-URL": url})
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert box.world.submits == 0


def test_at_most_eight_are_told_at_once(box):
    async def submit_and_deliver():
        receiver = Receiver()
        receiver.submit_gate.clear()
        async with serve(receiver) as base_url, httpx.AsyncClient(base_url=base_url) as client:
            for _ in range(20):
                box.world.submit(make_order(), webhook=Webhook(base_url, base_url))
            box.clock.advance(LATENCY)
            delivering = asyncio.create_task(deliver_due(box.world))
            for _ in range(8):
                await receiver.next()
            # A ninth would have been sent with the eight, before these.
            for _ in range(5):
                await client.get("/")
            most = receiver.most
            receiver.submit_gate.set()
            await delivering
        return most, receiver.most, len(receiver.bodies)

    assert asyncio.run(submit_and_deliver()) == (8, 8, 20)


def count_tasks():
    return len(asyncio.all_tasks())


def test_a_served_krea_tells_by_itself_and_leaves_no_task_behind(make_box):
    box = make_box(latency=0.02)
    box.world.clock = read_utc_clock

    async def submit_and_wait(client, receiver, hook):
        job = (await client.post(GENERATE, json=make_body(), headers={"X-Webhook-URL": hook})).json()
        return await receiver.next(), (await client.get(f"/jobs/{job['job_id']}")).json()

    async def use():
        before, receiver = count_tasks(), Receiver()
        async with (
            serve(receiver) as hook,
            serve(box.app, lifespan="on") as base_url,
            httpx.AsyncClient(base_url=base_url, headers=KEY) as client,
        ):
            pairs = [await submit_and_wait(client, receiver, f"{hook}/done") for _ in range(3)]
            stuck = make_body(prompt="local:stuck")
            await client.post(GENERATE, json=stuck, headers={"X-Webhook-URL": hook})
        return base_url, pairs, receiver.arrived.empty(), count_tasks() - before

    base_url, pairs, no_more, tasks = asyncio.run(use())
    for told, job in pairs:
        assert (told, told["status"]) == (job, "completed")
        assert told["result"]["urls"][0].startswith(base_url)
    assert (no_more, tasks) == (True, 0)


def test_a_served_krea_notices_that_its_clock_jumped_and_that_a_job_was_cancelled(make_box):
    box = make_box(latency=1e6)

    async def use():
        receiver = Receiver()
        async with serve(receiver) as hook, serve(box.app) as base_url:
            headers = KEY | {"X-Webhook-URL": hook}
            async with httpx.AsyncClient(base_url=base_url, headers=headers) as client:
                first, second = [(await client.post(GENERATE, json=make_body())).json()["job_id"] for _ in range(2)]
                await client.delete(f"/jobs/{second}")
                told = [await receiver.next()]
                box.clock.advance(1e6)
                told.append(await receiver.next())
        return [(body["job_id"], body["status"]) for body in told] == [(second, "cancelled"), (first, "completed")]

    assert asyncio.run(use())


def test_a_served_krea_that_had_nothing_to_tell_for_a_while_tells_the_next_end(make_box, monkeypatch):
    box = make_box(latency=0)
    monkeypatch.setattr(webhooks, "_LONGEST_SLEEP", 1e-4)

    async def use():
        receiver = Receiver()
        async with (
            serve(receiver) as hook,
            serve(box.app) as base_url,
            httpx.AsyncClient(base_url=base_url, headers=KEY) as client,
        ):
            for _ in range(2):
                await client.post(GENERATE, json=make_body(), headers={"X-Webhook-URL": hook})
                await receiver.next()
                for _ in range(20):
                    await client.get("/jobs")
        return len(receiver.bodies)

    assert asyncio.run(use()) == 2


def test_without_a_webhook_nothing_runs_in_the_background(box):
    async def use(headers):
        async with box.client() as client:
            await client.post(GENERATE, json=make_body(), headers=headers)
            return count_tasks()

    assert asyncio.run(use({})) == 1
    assert asyncio.run(use({"X-Webhook-URL": "http://127.0.0.1:9/"})) == 2


def test_an_app_tells_in_one_event_loop_after_another(box):
    async def use():
        receiver = Receiver()
        async with serve(receiver) as hook, box.client() as client:
            await client.post(GENERATE, json=make_body(), headers={"X-Webhook-URL": hook})
            box.clock.advance(LATENCY)
            return await receiver.next()

    assert [asyncio.run(use())["status"] for _ in range(2)] == ["completed"] * 2
