"""A long run with faults, whose memory must not grow: `python benchmarks/soak.py [JOBS]`.

20,000 jobs of 50 ms with 1 % of each fault that passes. The client's memory is read every half second; the peak of the
last quarter, by jobs done, must be within 10 % of the second's. The report, which is written when all are done, holds
every job at once, and its peak is told apart.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from executor import script
from rig import KREA_PIPE, Krea, Row, end_on_signal, ended_after, environment, krea, limited, pipeline, png

PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1024 / 1024
GROWTH = 1.10
LONGEST = 1500


class Progress:
    """The number of finished jobs, according to the journal."""

    def __init__(self, home: Path) -> None:
        self.path, self.at, self.done = home / "loopback" / "journal.jsonl", 0, 0

    def count(self) -> int:
        """Read the new lines."""
        if self.path.exists():
            with self.path.open("rb") as stream:
                stream.seek(self.at)
                data = stream.read()
            whole = data[: data.rfind(b"\n") + 1]
            self.at += len(whole)
            self.done += sum(json.loads(line)["event"] == "done" for line in whole.splitlines())
        return self.done


def soak(folder: Path, server: Krea, jobs: int) -> list[tuple[int, float]]:
    """Run to the end; yield the finished jobs and the memory in MB, repeatedly."""
    (folder / "p.yaml").write_text(pipeline(jobs))
    env = environment({**server.env, "KREA_PIPE_HOME": str(folder / "home")})
    progress, samples = Progress(folder / "home"), []
    with (folder / "out.json").open("w") as out, (folder / "err.txt").open("w") as err:
        command = [*KREA_PIPE, "run", "p.yaml", "--json"]
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=out, stderr=err)
        with ended_after(process, LONGEST):
            while process.poll() is None:
                pages = Path(f"/proc/{process.pid}/statm").read_text().split()
                samples.append((progress.count(), int(pages[1]) * PAGE_MB if pages else 0.0))
                time.sleep(0.5)
    return samples


def quarter(samples: list[tuple[int, float]], jobs: int, number: int) -> float:
    """The peak of a quarter of the jobs, from 1 to 4; the report, when all are done, is a fifth."""
    low, high = jobs * (number - 1) / 4, jobs * number / 4
    return max((size for done, size in samples if low <= done < high), default=0.0)


@dataclass(frozen=True)
class Soaked:
    """A finished soak: its samples, its seconds, and what its Krea has billed and done wrong."""

    jobs: int
    samples: list[tuple[int, float]]
    took: float
    bills: Counter[str]
    acted: list[int]

    @property
    def peaks(self) -> list[float]:
        """The peaks of the quarters in MB."""
        return [quarter(self.samples, self.jobs, number) for number in (1, 2, 3, 4)]

    @property
    def is_billed_once(self) -> bool:
        """Whether each job was paid, and none twice."""
        return len(self.bills) == self.jobs and max(self.bills.values()) == 1


def soaked(folder: Path, jobs: int) -> Soaked:
    """A soak of a number of jobs with its own Krea."""
    (folder / "flat.png").write_bytes(png(1024, 1024, noise=False))
    server = {"latency": 0.05, "image": folder / "flat.png", "faults": script(0.01)}
    with krea(folder, **server) as served:  # type: ignore[arg-type]
        start = time.perf_counter()
        samples = soak(folder, served, jobs)
        took = time.perf_counter() - start
        bills = Counter(bill["prompt"] for bill in served.get("/_local/book?summary=1")["bills"])
        return Soaked(jobs, samples, took, bills, served.get("/_local/faults")["acted"])


def part(folder: Path, scale: float) -> list[Row]:
    """The rows of `measure.py`."""
    done = soaked(folder, round(20_000 * scale))
    if not done.is_billed_once:
        raise RuntimeError(f"not every job was billed once:\n{(folder / 'err.txt').read_text()[-2000:]}")
    peak, growth = max(size for _, size in done.samples), done.peaks[3] / done.peaks[1]
    what = f"{done.jobs:,} jobs of 50 ms with 1 % of each fault: peak memory with the report at the end"
    return [
        limited(what, f"{peak:.0f} MB", peak, 110),
        limited("… last quarter of the jobs / second quarter", f"{growth:.3f}", growth, GROWTH),
    ]


def main() -> int:
    """Print the figures; 1 if there is a problem."""
    end_on_signal()
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = soaked(folder, jobs)
        text = (folder / "out.json").read_text()
        cells = json.loads(text)["cells"] if text else (folder / "err.txt").read_text()[-2000:]
    peaks, bills = done.peaks, done.bills
    print(f"{jobs:,} jobs in {done.took:.0f} s, {jobs / done.took:.0f} a second; faults {done.acted}; cells {cells}")
    print(f"billed once: {len(bills):,}, more often: {sum(count > 1 for count in bills.values())}")
    print("peaks of the quarters in MB:", ", ".join(f"{peak:.0f}" for peak in peaks), f"= {peaks[3] / peaks[1]:.3f}")
    print(f"peak while the report of all jobs is written: {quarter(done.samples, jobs, 5):.0f} MB")
    return 0 if done.is_billed_once and peaks[3] <= GROWTH * peaks[1] else 1


if __name__ == "__main__":
    sys.exit(main())
