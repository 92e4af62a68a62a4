"""Draws one image of 40 steps in a process of its own, and says when it has begun."""

import asyncio
import sys
from pathlib import Path

from diffusers_engine import drawing, spec_of

from krea_pipe.api.diffusers_backend import DiffusersBackend


def main(model: str, file: str) -> None:
    asyncio.run(_draw(Path(model), Path(file)))


async def _draw(model: Path, file: Path) -> None:
    backend = DiffusersBackend(spec_of(model))
    await backend.draw(drawing())
    task = asyncio.create_task(backend.draw(drawing(steps=40, seed=3)))
    await asyncio.sleep(0)
    sys.stdout.write("drawing\n")
    sys.stdout.flush()
    file.write_bytes(await task)
