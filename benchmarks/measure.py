"""Measure krea-pipe on this machine: `python benchmarks/measure.py`.

A ratio is made of medians of runs that are interleaved with its baseline's, so that a noisy machine disturbs both. The
rates and the peak are medians of three runs, the cold run and the proofs are one run each; they tell of this machine.
"""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

PYTHON = sys.executable
KREA_PIPE = str(Path(PYTHON).with_name("krea-pipe"))
REPEATS = 11

SWEEP = """\
version: 1
name: sweep
prompt: "Study {{ number }} of a glass lamp on {{ surface.text }}, {{ surface.light }}"
matrix:
  surface:
    - {id: marble, text: a marble table, light: soft window light}
    - {id: slate, text: wet slate, light: rain at dusk}
  creativity: [raw, low, medium, high]
  number: {count: COUNT}
"""


def sweep(cells: int) -> str:
    """A pipeline with this many cells, which must be a multiple of 8."""
    return SWEEP.replace("COUNT", str(cells // 8))


def seconds(command: Sequence[str], folder: Path) -> float:
    """The wall time of one command."""
    start = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env=clean_environment())
    return time.perf_counter() - start


def clean_environment() -> dict[str, str]:
    """The environment without anything of krea-pipe's."""
    return {name: value for name, value in os.environ.items() if not name.startswith("KREA_")}


def ratio(command: Sequence[str], baseline: Sequence[str], folder: Path) -> tuple[float, float, float]:
    """Medians of a command and its baseline in seconds, and their ratio."""
    pairs = [(seconds(command, folder), seconds(baseline, folder)) for _ in range(REPEATS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return ours, theirs, ours / theirs


def plan_in_child(folder: Path) -> dict[str, float]:
    """Expand and plan 50,000 cells in a process of its own: cells a second and peak memory in MB."""
    script = """
import json, resource, time
from pathlib import Path
from krea_pipe import flow
from krea_pipe.settings import LOCAL
from krea_pipe.store.space import open_space
start = time.process_time()
made = flow.plan(flow.load(Path("large.yaml")), open_space(Path(".empty"), "local"), LOCAL)
took = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rate": len(made.steps) / took, "peak": peak}))
"""
    done = [
        json.loads(subprocess.run([PYTHON, "-c", script], cwd=folder, check=True, capture_output=True).stdout)
        for _ in range(3)
    ]
    return {name: statistics.median(one[name] for one in done) for name in ("rate", "peak")}


def proofs_in_child() -> float:
    """Proofs a second on one core, PNG encoding included."""
    script = """
import asyncio, json, time
import httpx
from krea_pipe.local.in_process import open_transport
async def main():
    async with httpx.AsyncClient(transport=open_transport(), base_url="http://localhost") as client:
        head, jobs = {"Authorization": "Bearer local"}, []
        for seed in range(24):
            body = {"prompt": "a glass lamp on wet slate", "aspect_ratio": "1:1", "resolution": "1K", "seed": seed,
                    "creativity": ["raw", "low", "medium", "high"][seed % 4]}
            variant = ["medium", "large", "medium-turbo"][seed % 3]
            answer = await client.post(f"/generate/image/krea/krea-2/{variant}", json=body, headers=head)
            jobs.append(answer.json()["job_id"])
        urls = []
        for job in jobs:
            while not urls or urls[-1][0] != job:
                data = (await client.get(f"/jobs/{job}", headers=head)).json()
                if data["status"] == "completed":
                    urls.append((job, data["result"]["urls"][0]))
                else:
                    await asyncio.sleep(0.02)
        start = time.process_time()
        for _, url in urls:
            (await client.get(url)).raise_for_status()
        print(len(urls) / (time.process_time() - start))
asyncio.run(main())
"""
    return float(subprocess.run([PYTHON, "-c", script], check=True, capture_output=True).stdout)


def main() -> None:
    """Print the table."""
    rows: list[tuple[str, str, str, bool]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "thousand.yaml").write_text(sweep(1_000))
        (folder / "large.yaml").write_text(sweep(50_000))

        ours, theirs, times = ratio([KREA_PIPE, "--version"], [PYTHON, "-c", "import click"], folder)
        rows.append(
            ("`--version` / `import click`", f"{ours:.3f} s / {theirs:.3f} s = {times:.2f}", "1.6", times <= 1.6)
        )

        command = [KREA_PIPE, "run", "thousand.yaml", "--local", "--json"]
        cold = seconds(command, folder)
        rows.append(("1,000 proofs, cold", f"{cold:.0f} s", "", True))
        baseline = [PYTHON, "-c", "import yaml, jinja2, jsonschema"]
        ours, theirs, times = ratio(command, baseline, folder)
        what = "1,000 cached cells, whole run / `import yaml, jinja2, jsonschema`"
        rows.append((what, f"{ours:.3f} s / {theirs:.3f} s = {times:.2f}", "4", times <= 4))

        found = plan_in_child(folder)
        rows.append(
            ("50,000 cells, expand and plan", f"{found['rate']:,.0f} cells/s", "15,000", found["rate"] >= 15_000)
        )
        rows.append(("… peak memory", f"{found['peak']:.0f} MB", "200", found["peak"] < 200))
    proofs = proofs_in_child()
    rows.append(("local proofs on one core", f"{proofs:.1f} a second", "10", proofs >= 10))

    print("| What | Measured | Limit | |\n|---|---|---|---|")
    for what, measured, limit, good in rows:
        print(f"| {what} | {measured} | {limit} | {'ok' if good else 'MISSED'} |")
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\nPython {sys.version.split()[0]}, {os.cpu_count()} cores; largest child {children:.0f} MB")


if __name__ == "__main__":
    main()
