"""One engine for each GPU behind one address, with autoscaling, by Ray Serve: `serve run ray_serve_krea:app`."""

import os
import shlex
import socket
import subprocess
import time

import httpx
from ray import serve
from starlette.requests import Request
from starlette.responses import Response

COMMAND = os.environ.get("KREA_ENGINE", "vllm serve krea/Krea-2-Turbo --omni --host 127.0.0.1 --port {port}")
GPUS = float(os.environ.get("KREA_ENGINE_GPUS", "1"))
LEAST, MOST = (int(os.environ.get(f"KREA_ENGINE_{name}", number)) for name, number in (("LEAST", "1"), ("MOST", "8")))
SCALE = {"min_replicas": LEAST, "max_replicas": MOST, "target_ongoing_requests": 2}


@serve.deployment(ray_actor_options={"num_gpus": GPUS}, max_ongoing_requests=4, autoscaling_config=SCALE)
class Engine:
    """An engine in a process of its own, which sees only the GPU that Ray has given to this replica."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            base = f"http://127.0.0.1:{free.getsockname()[1]}"
        self.process = subprocess.Popen(shlex.split(COMMAND.format(port=base.rpartition(":")[2])))
        # No connection is kept: an engine closes what was idle for 5 s, and a request can meet its end.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.AsyncClient(base_url=base, timeout=None, limits=limits, trust_env=False)
        while not self._is_ready(base):
            time.sleep(1)

    def _is_ready(self, base: str) -> bool:
        self.check_health()
        try:
            return httpx.get(f"{base}/v1/models", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def check_health(self) -> None:
        """Tell Ray that the engine has ended, so that it starts another replica."""
        if self.process.poll() is not None:
            raise RuntimeError(f"the engine has ended with {self.process.returncode}")

    async def __call__(self, request: Request) -> Response:
        """Pass a request on to the engine."""
        kind, body = request.headers.get("content-type", ""), await request.body()
        answer = await self.client.request(
            request.method, request.url.path, headers={"content-type": kind}, content=body
        )
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("content-type"))

    def __del__(self) -> None:
        self.process.kill()


app = Engine.bind()
