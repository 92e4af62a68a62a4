"""Styles are trained at the local Krea: the request is checked, the job names a style, and the style can be used."""

import asyncio
import json
from datetime import datetime
from decimal import Decimal
from uuid import UUID

import httpx
import pytest
from local_krea import LATENCY, serve

URLS = ["https://example.com/1.jpg"]


def body(**fields):
    return {"model": "k2", "name": "House", "urls": URLS, **fields}


def train(box, **fields):
    return box.call("POST", "/styles/train", json=body(**fields))


def trained(box, **fields):
    job_id = train(box, **fields).json()["job_id"]
    box.clock.advance(LATENCY)
    return box.job(job_id)["result"]["style_id"]


def style_ids(box, **query):
    return [one["id"] for one in box.call("GET", "/styles", params=query).json()["items"]]


def test_a_training_is_a_job_like_any_other(box):
    answer = train(box)
    job = answer.json()
    assert answer.status_code == 200
    assert list(job) == ["job_id", "status", "created_at", "completed_at", "result"]
    assert (job["status"], job["completed_at"], job["result"]) == ("queued", None, None)
    assert str(UUID(job["job_id"])) == job["job_id"]
    assert box.job(job["job_id"])["result"] is None
    box.clock.advance(LATENCY)
    assert box.status(job["job_id"]) == "completed"
    [listed] = box.call("GET", "/jobs").json()["items"]
    assert (listed["job_id"], listed["type"]) == (job["job_id"], "style-training")
    assert [bill.amount for bill in box.world.bills] == [Decimal(0)]


def test_its_result_is_a_style_id_and_no_image(box):
    job_id = train(box).json()["job_id"]
    box.clock.advance(LATENCY)
    assert list(box.job(job_id)["result"]) == ["style_id"]
    assert box.submit() != job_id
    box.clock.advance(LATENCY)
    assert list(box.job(box.world.jobs[-1].id)["result"]) == ["urls"]


def test_a_trained_style_is_listed_once_it_is_there(box):
    train(box)
    assert style_ids(box, filter="user") == []
    box.clock.advance(LATENCY)
    first, second = style_ids(box, filter="user")[0], trained(box, name="Second", model="k2-large", trigger_word="sks")
    assert style_ids(box, filter="user") == [second, first]
    assert style_ids(box)[:2] == [second, first]
    assert len(style_ids(box)) == 5
    style = box.call("GET", f"/styles/{second}").json()
    assert (style["title"], style["models"], style["public"], style["prompt"]) == ("Second", ["k2-large"], False, "sks")
    assert datetime.fromisoformat(style["created_at"]) == box.clock.now
    assert style["owner"]["name"]
    assert style_ids(box, filter="krea") == ["st_linework", "st_riso", "st_studio"]
    assert style_ids(box, filter="community") == []
    assert style_ids(box, limit=1, cursor=second) == [first]


def test_a_trained_style_shows_in_what_is_drawn_with_it(box):
    style = trained(box)
    plain, styled = (box.draw(styles=styles) for styles in ([], [{"id": style, "strength": 1}]))
    assert plain != styled


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "k1"},
        {"model": ["k2"]},
        {"model": None},
        {"type": "Default"},
        {"type": "style"},
        {"type": 1},
        {"name": None},
        {"name": 7},
        {"urls": None},
        {"urls": "https://example.com/1.jpg"},
        {"urls": [7]},
        {"urls": ["nonsense"]},
        {"urls": ["https://"]},
        {"urls": ["http://example.com/1.jpg"]},
        {"urls": ["https://[/1.jpg"]},
        {"trigger_word": 7},
        {"max_train_steps": 0},
        {"max_train_steps": 2001},
        {"max_train_steps": 1.5},
        {"max_train_steps": True},
        {"max_train_steps": "7"},
        {"model": "flux_dev", "batch_size": 0},
        {"model": "flux_dev", "learning_rate": "fast"},
    ],
)
def test_what_the_schema_refuses_is_400(box, fields):
    answer = train(box, **fields)
    assert (answer.status_code, list(answer.json())) == (400, ["error"])
    assert next(reversed(fields)) in answer.json()["error"]
    assert box.world.jobs == ()


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b"[" * 100_000, b'{"model": "k2", "max_train_steps": NaN}'])
def test_a_body_that_is_no_object_is_400(box, raw):
    assert box.call("POST", "/styles/train", content=raw).status_code == 400


@pytest.mark.parametrize("key", ["name", "urls"])
def test_a_name_and_urls_are_required(box, key):
    fields = body()
    del fields[key]
    answer = box.call("POST", "/styles/train", json=fields)
    assert (answer.status_code, answer.json()) == (400, {"error": f"{key}: Required"})


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "Style"},
        {"type": "Object", "model": "z-image"},
        {"type": "Default", "model": "wan22", "learning_rate": 1e-4, "batch_size": 2},
        {"max_train_steps": 1},
        {"max_train_steps": 2000, "trigger_word": "sks"},
        {"urls": ["https://example.com/1.jpg"] * 30},
        {"learning_rate": "no knob of this model", "later": "unknown keys are passed over"},
    ],
)
def test_what_the_schema_takes_is_taken(box, fields):
    assert train(box, **fields).status_code == 200


def test_the_base_model_has_a_default(box):
    answer = box.call("POST", "/styles/train", json={"name": "House", "urls": URLS, "type": "Default"})
    assert answer.status_code == 200
    box.clock.advance(LATENCY)
    [style] = box.call("GET", "/styles", params={"filter": "user"}).json()["items"]
    assert style["models"] == ["flux_dev"]


def test_images_have_to_be_there(box, make_picture):
    asset = box.upload(make_picture("red")).json()
    assert train(box, urls=[asset["image_url"]]).status_code == 200
    box.call("DELETE", f"/assets/{asset['id']}")
    assert train(box, urls=[asset["image_url"]]).status_code == 422


@pytest.mark.parametrize(
    ("word", "status", "result"),
    [("local:fail-nsfw", "failed", {}), ("local:fail-empty", "completed", {}), ("local:stuck", "processing", None)],
)
def test_a_trigger_word_makes_a_training_fail(box, word, status, result):
    job_id = train(box, trigger_word=word).json()["job_id"]
    box.clock.advance(LATENCY)
    assert (box.job(job_id)["status"], box.job(job_id)["result"]) == (status, result)
    assert style_ids(box, filter="user") == []


def test_its_end_is_told_to_a_webhook(box):
    heard = []

    async def listener(scope, receive, send):
        heard.append(json.loads((await receive())["body"]))
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def go():
        async with serve(listener) as url, box.client() as client:
            await client.post("/styles/train", json=body(), headers={"X-Webhook-URL": url})
            box.clock.advance(LATENCY)
            async with asyncio.timeout(30):
                while not heard:
                    await client.get("/jobs")
                    await asyncio.sleep(0)

    asyncio.run(go())
    assert heard[0]["status"] == "completed"
    assert heard[0]["result"]["style_id"] == style_ids(box, filter="user")[0]


@pytest.mark.parametrize("header", [{}, {"Authorization": "Key abc"}])
def test_training_needs_a_token(box, header):
    answer: httpx.Response = box.call("POST", "/styles/train", token=None, headers=header, json=body())
    assert answer.status_code == 401
