"""A local Krea for tests: in the process with a clock of its own, or served over loopback."""

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import httpx
import uvicorn

from krea_pipe.local.app import create_app
from krea_pipe.local.order import Order, ProofSpec
from krea_pipe.local.server_state import ServerState

LATENCY = 10.0


class Clock:
    def __init__(self):
        self.now = datetime(2026, 11, 22, 10, 0, tzinfo=UTC)

    def __call__(self):
        return self.now

    def advance(self, seconds):
        self.now += timedelta(seconds=seconds)


class Box:
    """One local Krea with a clock of its own; jobs take ten of its seconds."""

    def __init__(self, *, dates=None, **settings):
        self.clock = Clock()
        self.world = ServerState(**{"latency": LATENCY, "clock": self.clock, **settings})
        self.app = create_app(self.world, dates=dates)

    def client(self, token="key"):
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        transport = httpx.ASGITransport(app=self.app)
        return httpx.AsyncClient(transport=transport, base_url="http://localhost", headers=headers)

    def call(self, method, path, *, token="key", **options):
        async def send():
            async with self.client(token) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    def generate(self, variant="medium", *, headers=None, **fields):
        # json.dumps escapes lone surrogates, which httpx's own encoder cannot send.
        body = json.dumps(make_body(**fields))
        return self.call("POST", f"/generate/image/krea/krea-2/{variant}", content=body, headers=headers)

    def submit(self, variant="medium", **fields):
        answer = self.generate(variant, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()["job_id"]

    def job(self, job_id):
        return self.call("GET", f"/jobs/{job_id}").json()

    def status(self, job_id):
        return self.job(job_id)["status"]

    def draw(self, variant="medium", **fields):
        job_id = self.submit(variant, **fields)
        self.clock.advance(LATENCY)
        url = self.job(job_id)["result"]["urls"][0]
        return self.call("GET", url, token=None).content

    def upload(self, data, name="ref.png", **fields):
        return self.call("POST", "/assets", files={"file": (name, data)}, data=fields)


@asynccontextmanager
async def serve(app, **options):
    """The base URL of an app that uvicorn serves on a free port."""
    config = uvicorn.Config(app, **{"port": 0, "log_level": "error", "ws": "none", "lifespan": "off", **options})
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0)
    try:
        yield "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
    finally:
        server.should_exit = True
        await serving


def make_order(prompt="a red circle", **fields):
    """A brief for `World.submit`, past the reading of a body."""
    return ProofSpec(Order("medium", prompt, "1:1", **{"seed": 7, **fields}))


def make_body(**fields):
    return {"prompt": "a red circle", "aspect_ratio": "1:1", "resolution": "1K", "seed": 7, **fields}
