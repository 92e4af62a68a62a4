"""Two replicas behind Ray Serve, as docs/how-to/own-gpus.md shows it: one is killed while it draws."""

import asyncio
import os
import signal
import socket
import sys
import time
from pathlib import Path

import pytest
from drawings import engine_spec, image_of
from engine_server import served_engine

from krea_pipe.api.fleet import open_image_servers

ray = pytest.importorskip("ray", reason="Ray is an extra")
HERE = Path(__file__).resolve().parent
EXAMPLE = HERE.parents[1] / "docs/how-to"
SERVER = HERE.parent / "engine_server.py"
DEADLINE = 120.0


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "hold").touch()
    return tmp_path


@pytest.fixture
def url(folder, monkeypatch):
    """The address of Ray Serve on this machine, with two replicas that need no GPU."""
    from ray import serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    for name, value in {
        "KREA_ENGINE": f"{sys.executable} {SERVER} vllm-omni {{port}}",
        "KREA_ENGINE_GPUS": "0",
        "KREA_ENGINE_LEAST": "2",
        "KREA_ENGINE_MOST": "2",
        "ENGINE_FOLDER": str(folder),
        "RAY_USAGE_STATS_ENABLED": "0",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.syspath_prepend(str(EXAMPLE))
    ray.init(address="local", num_cpus=2, include_dashboard=False, logging_level="error", log_to_driver=False)
    try:
        serve.start(http_options={"host": "127.0.0.1", "port": port})
        from ray_serve_krea import app

        serve.run(app, name="krea")
        yield f"http://127.0.0.1:{port}/v1"
        (folder / "hold").unlink(missing_ok=True)
        serve.shutdown()
    finally:
        ray.shutdown()


def begun(folder, prompt) -> list[int]:
    """The processes that have begun to draw an image."""
    file = folder / "begun"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    return [int(line.partition(" ")[0]) for line in lines if line.partition(" ")[2] == prompt]


def parent_of(process) -> int:
    return int(Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


async def until(condition):
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.05)


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_the_image_of_a_killed_replica_is_drawn_by_another(url, folder):
    warnings, drawing = [], image_of("a lamp [hold]")

    async def main():
        async with open_image_servers(engine_spec("vllm-omni", urls=[url], parallel=4), None, warnings.append) as fleet:
            await fleet.check()
            task = asyncio.create_task(fleet.draw(drawing))
            await until(lambda: begun(folder, drawing.prompt))
            [engine] = begun(folder, drawing.prompt)
            os.kill(parent_of(engine), signal.SIGKILL)
            (folder / "hold").unlink()
            held = await asyncio.wait_for(task, DEADLINE)
            others = await asyncio.gather(*(fleet.draw(image_of(f"{number}")) for number in range(8)))
            return held, others

    held, others = asyncio.run(main())
    first, *again = begun(folder, drawing.prompt)
    assert again
    assert first not in again
    with served_engine("vllm-omni") as plain:
        plain.holds = False

        async def alone():
            async with open_image_servers(engine_spec("vllm-omni", urls=[plain.url]), None, print) as fleet:
                return [await fleet.draw(one) for one in (drawing, *(image_of(f"{number}") for number in range(8)))]

        assert asyncio.run(alone()) == [held, *others]
