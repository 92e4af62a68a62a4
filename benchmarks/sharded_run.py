"""Shards against one run: `python benchmarks/sharded_run.py [JOBS] [SHARDS] [LATENCY]`.

One run, and then as many shards at once, each with a home of its own and all with one shared folder, render the same
number of jobs at a Krea that takes 50 at once. The times are from the first job to the end of the last one, by Krea's
book, so that the start of Python does not count.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from rig import KREA_PIPE, end_on_signal, environment, krea, pipeline, png

CONCURRENCY = 50
LIMIT = 1.08
"""By how much shards may be slower than one run."""


def trial(folder: Path, jobs: int, shards: int, latency: float) -> float:
    """The seconds from the first job to the end of the last."""
    folder.mkdir()
    (folder / "p.yaml").write_text(pipeline(jobs))
    (folder / "image.png").write_bytes(png(1024, 1024, noise=False))
    image = folder / "image.png"
    with krea(folder, latency=latency, spread=0.2, concurrency=CONCURRENCY, image=image) as served:
        started = []
        for number in range(1, shards + 1):
            own = {"KREA_PIPE_HOME": str(folder / f"home-{number}"), "KREA_PIPE_REMOTE": (folder / "store").as_uri()}
            words = ["--shard", f"{number}/{shards}"] if shards > 1 else []
            command = [*KREA_PIPE, "run", "p.yaml", "--quiet", "--max-cost", "5000", *words]
            with (folder / f"errors-{number}").open("w") as errors:
                env = environment({**served.env, **own})
                started.append(subprocess.Popen(command, cwd=folder, env=env, stderr=errors))
        codes = [process.wait() for process in started]
        book = served.get("/_local/book?summary=1")
    if any(codes) or len(book["bills"]) != jobs:
        raise RuntimeError(f"{len(book['bills'])} of {jobs} were done, exit codes {codes}")
    load = os.getloadavg()[0]
    print(f"{shards} run(s): {book['makespan_s']:.1f} s, ideal {book['ideal_s']:.1f} s, load {load:.1f}", flush=True)
    return float(book["makespan_s"])


def main() -> int:
    """Compare one run with its shards."""
    words = sys.argv[1:]
    jobs, shards = (int(words[0]) if words else 1000), (int(words[1]) if len(words) > 1 else 4)
    latency = float(words[2]) if len(words) > 2 else 20
    end_on_signal()
    with tempfile.TemporaryDirectory() as name:
        alone = trial(Path(name) / "one", jobs, 1, latency)
        together = trial(Path(name) / "shards", jobs, shards, latency)
    print(f"{jobs:,} jobs: {shards} shards / one run = {together / alone:.3f}, at most {LIMIT}")
    return int(together / alone > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
