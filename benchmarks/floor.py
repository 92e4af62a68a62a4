"""The minimum work of a run: POST everything, poll the list every second, fetch each image when it is ready.

A bare asyncio loop without journal, cache, checks or retries; `python benchmarks/floor.py JOBS RATIO`, with the Krea
and the folder for images in the environment.
"""

import asyncio
import os
import sys
from pathlib import Path

import httpx

ROUTE = "/generate/image/krea/krea-2/medium"


class Loop:
    """The jobs in progress, and the fetched images."""

    def __init__(self, client: httpx.AsyncClient, folder: Path, ratio: str) -> None:
        self.client, self.folder, self.ratio = client, folder, ratio
        self.open: set[str] = set()
        self.fetches: list[asyncio.Task[None]] = []
        self.posting, self.fetching = asyncio.Semaphore(12), asyncio.Semaphore(20)

    async def run(self, jobs: int) -> None:
        """Have a number of jobs generated."""
        posts = [asyncio.create_task(self._post(number)) for number in range(jobs)]
        while len(self.fetches) < jobs:
            await asyncio.sleep(1)
            await self._look()
        await asyncio.gather(*posts, *self.fetches)

    async def _post(self, number: int) -> None:
        body = {"prompt": f"A glass lamp, number {number}", "aspect_ratio": self.ratio, "resolution": "1K"}
        async with self.posting:
            answer = await self.client.post(ROUTE, json=body)
        self.open.add(answer.raise_for_status().json()["job_id"])

    async def _look(self) -> None:
        query, unseen = {"limit": "1000"}, set(self.open)
        while unseen:
            answer = await self.client.get("/jobs", params=query)
            page = answer.raise_for_status().json()
            for job in page["items"]:
                unseen.discard(job["job_id"])
                if job["job_id"] in self.open and job["status"] == "completed":
                    self.open.remove(job["job_id"])
                    self.fetches.append(asyncio.create_task(self._fetch(job)))
            query["cursor"] = page["next_cursor"]

    async def _fetch(self, job: dict) -> None:
        async with self.fetching:
            answer = await self.client.get(job["result"]["urls"][0])
        (self.folder / f"{job['job_id']}.png").write_bytes(answer.raise_for_status().content)


async def main() -> None:
    """Run the loop."""
    base, key, folder = (os.environ[name] for name in ("KREA_API_BASE", "KREA_API_KEY", "BENCHMARK_OUT"))
    Path(folder).mkdir(parents=True)
    limits, head = httpx.Limits(max_connections=32, max_keepalive_connections=8), {"Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(base_url=base, headers=head, limits=limits, timeout=60) as client:
        await Loop(client, Path(folder), sys.argv[2]).run(int(sys.argv[1]))


if __name__ == "__main__":
    asyncio.run(main())
