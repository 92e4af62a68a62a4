"""Measures runs that have little or nothing to do at Krea."""

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import bare_expansion
from rig import HERE, KREA_PIPE, PYTHON, Ran, Row, environment, pipeline, run, serving

REPEATS = 11
IMPORTS = (PYTHON, "-c", "import yaml, jinja2, jsonschema")

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


def succeeded(command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command that must succeed."""
    ran = run(command, folder, env)
    if ran.code != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {ran.code}:\n{ran.err[-2000:]}")
    return ran


def medians(
    command: Sequence[str], baseline: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> tuple[float, float, float]:
    """Medians of a command and its baseline in seconds, run alternately, and their ratio."""
    pairs = [(succeeded(command, folder, env).wall, succeeded(baseline, folder, env).wall) for _ in range(REPEATS)]
    ours, theirs = (statistics.median(side) for side in zip(*pairs, strict=True))
    return ours, theirs, ours / theirs


def version(folder: Path, _: float) -> list[Row]:
    """The minimum work of a command."""
    script = str(Path(PYTHON).with_name("krea-pipe"))
    ours, theirs, times = medians([script, "--version"], [PYTHON, "-c", "import click"], folder)
    return [
        Row("`--version` / `import click`", f"{ours:.3f} s / {theirs:.3f} s = {times:.2f}", "1.6", "", times <= 1.6)
    ]


def proofs(folder: Path, scale: float) -> list[Row]:
    """A thousand proofs, and the same run again."""
    (folder / "thousand.yaml").write_text(sweep(round(1_000 * scale) // 8 * 8))
    command = [*KREA_PIPE, "run", "thousand.yaml", "--local", "--json"]
    cold = succeeded(command, folder).wall
    ours, theirs, times = medians(command, IMPORTS, folder)
    what = "1,000 cached cells, whole run / `import yaml, jinja2, jsonschema`"
    return [
        Row("1,000 proofs, cold", f"{cold:.0f} s"),
        Row(what, f"{ours:.3f} s / {theirs:.3f} s = {times:.2f}", "4", "", times <= 4),
        _proofs_on_one_core(),
    ]


def warm(folder: Path, scale: float) -> list[Row]:
    """Cells with different images that an earlier run generated over HTTP."""
    cells = round(10_000 * scale)
    (folder / "p.yaml").write_text(pipeline(cells))
    command = [*KREA_PIPE, "run", "p.yaml", "--json"]
    with serving([PYTHON, str(HERE / "colours.py")]) as krea:
        env = krea.env
        succeeded(command, folder, env)
    runs = [(succeeded(command, folder, env), succeeded(IMPORTS, folder)) for _ in range(3)]
    (wall, peak), (least, low) = (
        (statistics.median(ran.wall for ran in side), max(ran.peak for ran in side)) for side in zip(*runs, strict=True)
    )
    what = f"{cells:,} cached cells, whole run; the floor is `import yaml, jinja2, jsonschema`"
    return [
        Row(what, f"{wall:.2f} s", "3", f"{least:.2f} s, ×{wall / least:.1f}", wall < 3),
        Row("… peak memory", f"{peak:.0f} MB", "200", f"{low:.0f} MB, ×{peak / low:.1f}", peak < 200),
    ]


def plan(folder: Path, scale: float) -> list[Row]:
    """Expand and plan 50,000 cells in a separate process: cells per second of CPU time, and peak memory."""
    (folder / "large.yaml").write_text(sweep(round(50_000 * scale) // 8 * 8))
    script = """
import json, resource, time
from pathlib import Path
from krea_pipe.app import flow
from krea_pipe.core.settings import LOCAL_TARGET
from krea_pipe.store.space import open_space
start = time.process_time()
loaded, space = flow.load_pipeline(Path("large.yaml")), open_space(Path(".empty"), "local")
plan = flow.plan_run(loaded, space, LOCAL_TARGET, flow.RunOptions())
took = time.process_time() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"rate": len(plan.steps) / took, "peak": peak}))
"""
    done = [json.loads(succeeded([PYTHON, "-c", script], folder).out) for _ in range(3)]
    rate, peak = (statistics.median(one[name] for one in done) for name in ("rate", "peak"))
    return [
        Row("50,000 cells, expand and plan", f"{rate:,.0f} cells/s", "15,000", "", rate >= 15_000),
        Row("… peak memory", f"{peak:.0f} MB", "200", "", peak < 200),
    ]


OUT = "{{ subject.id }}/{{ surface | slug }}/{{ adjective }}-{{ creativity }}/{{ number }}-{{ seed }}"


def expand(folder: Path, scale: float) -> list[Row]:
    """A million cells through `expand --jsonl`, compared with a loop that renders the same templates and hashes the
    bodies: with paths that are rendered too, and with a prompt that names every axis.
    """
    cells = 1_000 * round(1_000 * scale)
    few = _expansion(folder, cells, {"prompt": bare_expansion.PROMPT, "out": OUT})
    every = _expansion(folder, cells, {"prompt": bare_expansion.OF_EVERY_AXIS, "out": OUT}, "every")
    what = f"{cells:,} cells with `out:` streamed as JSON, as a share of the bare loop's rate"
    return [*_rate_rows(what, cells, few, 3.0), *_rate_rows("… where the prompt names every axis", cells, every, 1.5)]


def _rate_rows(what: str, cells: int, pairs: Sequence[tuple[Ran, Ran]], least: float) -> list[Row]:
    """The median rate of pairs of the bare loop and an expansion, and the peak memory of that one."""
    loop, mine = sorted(pairs, key=lambda pair: pair[0].cpu / pair[1].cpu)[len(pairs) // 2]
    share = loop.cpu / mine.cpu
    measured = f"{cells / mine.cpu:,.0f} / {cells / loop.cpu:,.0f} cells/s = {share:.2f}"
    return [
        Row(what, measured, f"{least:.2f}", "", share >= least),
        Row("… peak memory", f"{mine.peak:.0f} MB", "80", f"{loop.peak:.0f} MB", mine.peak < 80),
    ]


def _expansion(folder: Path, cells: int, fields: Mapping[str, str], *options: str) -> list[tuple[Ran, Ran]]:
    """Three runs of the bare loop, each followed by one of `expand`."""
    numbers = cells // 1_000
    axes = {
        "subject": bare_expansion.SUBJECTS,
        "surface": bare_expansion.SURFACES,
        "adjective": bare_expansion.ADJECTIVES,
        "creativity": bare_expansion.CREATIVITIES,
        "number": {"count": numbers},
        "seed": {"count": bare_expansion.SEEDS},
    }
    (folder / "million.yaml").write_text(json.dumps({"version": 1, "name": "million", "matrix": axes, **fields}))
    bare = [PYTHON, str(HERE / "bare_expansion.py"), str(numbers), *options]
    ours = [*KREA_PIPE, "expand", "million.yaml", "--jsonl", "--max-cells", "1000000"]
    return [(succeeded(bare, folder), succeeded(ours, folder)) for _ in range(3)]


def _proofs_on_one_core() -> Row:
    """Proofs per second, including PNG encoding."""
    script = """
import asyncio, json, time
import httpx
from krea_pipe.local.app import open_transport
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
    done = subprocess.run([PYTHON, "-c", script], check=True, capture_output=True, text=True, env=environment())
    rate = float(done.stdout)
    return Row("local proofs on one core", f"{rate:.1f} a second", "10", "", rate >= 10)
