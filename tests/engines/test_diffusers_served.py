"""The engine diffusers behind Krea's own API, as any program that calls Krea meets it."""

import hashlib
import io
import time
from contextlib import contextmanager

import httpx
import pytest
import tiny_krea
from diffusers_engine import draw, lora_of, spec_of
from PIL import Image
from served_krea import threaded_krea

from krea_pipe.api.diffusers_backend import DiffusersBackend
from krea_pipe.app.served_engine import open_served_engine
from krea_pipe.core.errors import StateError

DEADLINE = 300
HEADERS = {"Authorization": "Bearer any"}
PLAIN = {"prompt": "a lamp", "aspect_ratio": "1:1", "resolution": "1K", "seed": 7}


@contextmanager
def served(spec, **settings):
    """A client of a server with this engine."""
    with (
        open_served_engine(spec, lambda _: None) as engine,
        threaded_krea(drawer=engine, **settings) as krea,
        httpx.Client(base_url=krea.base, headers=HEADERS, timeout=DEADLINE) as client,
    ):
        yield client


def submit(client, **fields):
    answer = client.post("/generate/image/krea/krea-2/medium-turbo", json={**PLAIN, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()["job_id"]


def ended(client, job_id):
    """The job once it has ended, and the states that it had before."""
    seen, until = [], time.monotonic() + DEADLINE
    while time.monotonic() < until:
        job = client.get(f"/jobs/{job_id}").json()
        if job["status"] in ("completed", "failed"):
            return job, seen
        seen.append(job["status"])
        time.sleep(0.05)  # a caller's own pause, so that the engine has the processor
    raise AssertionError(f"still {seen[-1]}")


@pytest.fixture(scope="module")
def spec(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    style = lora_of(tiny_krea.save_lora(folder / "house.safetensors"))
    return spec_of(tiny_krea.save_model(folder / "raw"), steps=1, loras={f"sha256:{style.sha256}": style})


def test_a_job_has_the_image_that_the_engine_draws(spec):
    with served(spec) as client:
        job, seen = ended(client, submit(client))
        data = client.get(job["result"]["urls"][0]).content
        with_style, _ = ended(client, submit(client, styles=[{"id": "house", "strength": 1}]))
        other = client.get(with_style["result"]["urls"][0]).content
    assert set(seen) == {"processing"}
    assert data == draw(DiffusersBackend(spec), width=1024, height=1024, steps=1)
    assert Image.open(io.BytesIO(other)).size == (1024, 1024)
    assert hashlib.sha256(other).digest() != hashlib.sha256(data).digest()


@pytest.mark.parametrize(
    ("fields", "code", "message"),
    [
        ({"creativity": "high"}, "unsupported", "the open weights of Krea 2 have no creativity high"),
        ({"intensity": 5}, "unsupported", "the open weights of Krea 2 have no sliders"),
        (
            {"image_style_references": [{"url": "https://example.com/a.png", "strength": 0.5}]},
            "unsupported",
            "the open weights of Krea 2 have no style references",
        ),
        ({"image_url": "https://example.com/a.png"}, "unsupported", "the open weights of Krea 2 have no source image"),
        (
            {"styles": [{"id": "noir", "strength": 1}]},
            "style_not_found",
            "the engine has no style noir; it has house",
        ),
        ({"seed": 0.5}, "unsupported", "the open weights of Krea 2 have no seeds that are not whole numbers"),
        ({"seed": -1}, "cannot_draw", "a seed must be a whole number from 0 to 2^63 - 1"),
    ],
)
def test_what_the_engine_cannot_draw_is_a_failed_job(spec, fields, code, message):
    with served(spec) as client:
        job, _ = ended(client, submit(client, **fields))
        assert (job["status"], job["error"]) == ("failed", {"code": code, "message": message})
        assert client.get("/_local/book").json()["bills"] == []


def test_the_server_answers_while_an_image_is_drawn_and_stops_before_it_is_there(spec):
    with served(spec_of(spec.folder, steps=100_000), concurrency=1) as client:
        drawn, waiting = submit(client), submit(client)
        for _ in range(20):
            assert client.get(f"/jobs/{drawn}").json()["status"] == "processing"
        assert client.get(f"/jobs/{waiting}").json()["status"] == "backlogged"


def test_an_engine_that_is_not_there_is_not_served(tmp_path):
    with pytest.raises(StateError, match="cannot read the model"), served(spec_of(tmp_path)):
        pass
