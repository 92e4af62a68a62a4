"""Measures runs that have little or nothing to do at Krea."""

import json
import statistics
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import bare_expansion
from rig import HERE, KREA_PIPE, PYTHON, Ran, Row, environment, limited, pipeline, run, serving

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


@dataclass(frozen=True)
class Medians:
    """A command and its baseline in seconds, run alternately, and the CPU seconds of the command."""

    ours: float
    theirs: float
    cpu: float

    @property
    def ratio(self) -> float:
        """How many times as long the command takes."""
        return self.ours / self.theirs

    def row(self, what: str, most: float) -> Row:
        """The row of a ratio. Builds are compared by CPU time, which depends less on what else runs."""
        text = f"{self.ours:.3f} s / {self.theirs:.3f} s = {self.ratio:.2f}"
        return limited(what, text, self.ratio, most, cost=self.cpu)


def medians(
    command: Sequence[str], baseline: Sequence[str], folder: Path, env: Mapping[str, str] | None = None
) -> Medians:
    """Run a command and its baseline repeatedly."""
    pairs = [(succeeded(command, folder, env), succeeded(baseline, folder, env)) for _ in range(REPEATS)]
    median = statistics.median
    return Medians(
        median(run.wall for run, _ in pairs),
        median(bare.wall for _, bare in pairs),
        median(run.cpu for run, _ in pairs),
    )


def version(folder: Path, _: float) -> list[Row]:
    """The minimum work of a command."""
    script = str(Path(PYTHON).with_name("krea-pipe"))
    times = medians([script, "--version"], [PYTHON, "-c", "import click"], folder)
    return [times.row("`--version` / `import click`", 1.1)]


def validate(folder: Path, _: float) -> list[Row]:
    """A check of one small file."""
    (folder / "small.yaml").write_text(pipeline(12))
    times = medians([*KREA_PIPE, "validate", "small.yaml"], [PYTHON, "-c", "pass"], folder)
    return [times.row("`validate` of one small file / `python -c pass`", 10)]


def proofs(folder: Path, scale: float) -> list[Row]:
    """A thousand proofs, and the same run again."""
    (folder / "thousand.yaml").write_text(sweep(round(1_000 * scale) // 8 * 8))
    command = [*KREA_PIPE, "run", "thousand.yaml", "--local", "--json"]
    cold = succeeded(command, folder).wall
    times = medians(command, IMPORTS, folder)
    return [
        Row("1,000 proofs, cold", f"{cold:.0f} s", cost=cold),
        times.row("1,000 cached cells, whole run / `import yaml, jinja2, jsonschema`", 1.8),
        _proofs_on_one_core(),
    ]


def warm(folder: Path, scale: float) -> list[Row]:
    """Cells with different images that an earlier run generated over HTTP."""
    cells = round(10_000 * scale)
    (folder / "p.yaml").write_text(pipeline(cells))
    command = [*KREA_PIPE, "run", "p.yaml", "--json"]
    with serving([PYTHON, str(HERE / "colours.py")]) as krea:
        env = krea.env
        for _ in range(2):  # the second run writes the report that the later ones name
            succeeded(command, folder, env)
    runs = [(succeeded(command, folder, env), succeeded(IMPORTS, folder)) for _ in range(3)]
    (wall, peak), (least, low) = (
        (statistics.median(ran.wall for ran in side), max(ran.peak for ran in side)) for side in zip(*runs, strict=True)
    )
    cpu = statistics.median(ran.cpu for ran, _ in runs)
    what = f"{cells:,} cached cells, whole run; the floor is `import yaml, jinja2, jsonschema`"
    return [
        limited(what, f"{wall:.2f} s", wall, 0.9, f"{least:.2f} s, ×{wall / least:.1f}", cpu),
        limited("… peak memory", f"{peak:.0f} MB", peak, 80, f"{low:.0f} MB, ×{peak / low:.1f}"),
    ]


def plan(folder: Path, scale: float) -> list[Row]:
    """`plan` of 100,000 cells: with an empty home folder, and with one that has an image for each."""
    cells = round(100_000 * scale) // 8 * 8
    (folder / "large.yaml").write_text(sweep(cells))
    rows = _planned(folder, f"`plan` of {cells:,} cells, nothing cached: CPU time", 1.2)
    cached_home(folder, "large.yaml", "sweep")
    return [*rows, *_planned(folder, f"`plan` of {cells:,} cells, all cached: CPU time", 1.8)]


def _planned(folder: Path, what: str, most: float) -> list[Row]:
    """Time and memory of a plan; the floor is the time of the imports."""
    command = [*KREA_PIPE, "plan", "large.yaml"]
    pairs = [(succeeded(command, folder), succeeded(IMPORTS, folder)) for _ in range(3)]
    cpu, least = (statistics.median(ran.cpu for ran in side) for side in zip(*pairs, strict=True))
    peak = max(ran.peak for ran, _ in pairs)
    return [
        limited(what, f"{cpu:.2f} s", cpu, most, f"{least:.2f} s, ×{cpu / least:.1f}"),
        limited("… peak memory", f"{peak:.0f} MB", peak, 150),
    ]


def cached_home(folder: Path, file: str, name: str, *options: str) -> None:
    """Have an image for each request of a pipeline in the home folder; see `cached_home.py`."""
    script = [PYTHON, str(HERE / "cached_home.py"), ".krea-pipe", name, *options]
    with subprocess.Popen(
        [*KREA_PIPE, "expand", file, "--jsonl"], cwd=folder, env=environment(), stdout=subprocess.PIPE
    ) as cells:
        subprocess.run(script, stdin=cells.stdout, cwd=folder, env=environment(), check=True)


def sheet(folder: Path, scale: float) -> list[Row]:
    """The contact sheet of thousands of cells as PDF."""
    cells = round(5_000 * scale) // 8 * 8
    (folder / "p.yaml").write_text(sweep(cells))
    cached_home(folder, "p.yaml", "sweep", "--pictures")
    ran = succeeded([*KREA_PIPE, "sheet", "p.yaml", "-o", "sheet.pdf"], folder)
    size = (folder / "sheet.pdf").stat().st_size / 1_000_000
    return [
        limited(f"contact sheet of {cells:,} cells as PDF", f"{ran.wall:.1f} s", ran.wall, 25),
        limited("… its file", f"{size:.0f} MB", size, 40),
        limited("… peak memory", f"{ran.peak:.0f} MB", ran.peak, 250),
    ]


def expand(folder: Path, scale: float) -> list[Row]:
    """A million cells through `expand --jsonl`, compared with a loop that renders the same templates and hashes the
    bodies: a prompt that names four of the six axes, and one that names all of them.
    """
    what = (
        f"{round(1_000 * scale) * 1_000:,} cells streamed as JSON, with `out:`, as a multiple of the bare loop's rate"
    )
    return [
        *_streamed(folder, round(1_000 * scale), "", what, 5.0),
        *_streamed(folder, round(1_000 * scale), "all", "… with a prompt that names every axis", 1.5),
    ]


def _streamed(folder: Path, numbers: int, axes: str, what: str, least: float) -> list[Row]:
    """Rate and memory of an expansion; it must reach this multiple of the loop's rate."""
    data = {"version": 1, "name": "million", "out": bare_expansion.OUT, **bare_expansion.pipeline(numbers, axes)}
    (folder / "million.yaml").write_text(json.dumps(data))
    bare = [PYTHON, str(HERE / "bare_expansion.py"), str(numbers), axes]
    ours = [*KREA_PIPE, "expand", "million.yaml", "--jsonl", "--max-cells", "1000000"]
    pairs = [(succeeded(bare, folder), succeeded(ours, folder)) for _ in range(3)]
    rates = sorted(loop.cpu / mine.cpu for loop, mine in pairs)
    loop, mine = pairs[[one.cpu / two.cpu for one, two in pairs].index(rates[1])]
    cells = 1_000 * numbers
    text = f"{cells / mine.cpu:,.0f} / {cells / loop.cpu:,.0f} cells/s = {rates[1]:.2f}"
    return [
        Row(what, text, f"at least {least:g}", "", rates[1] >= least, 1 / rates[1]),
        limited(f"{what}: peak memory", f"{mine.peak:.0f} MB", mine.peak, 80, f"{loop.peak:.0f} MB"),
    ]


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
    return Row("local proofs on one core", f"{rate:.1f} a second", "at least 10", "", rate >= 10, 1 / rate)
