"""Homes with one account and one shared store, killed at random: `python benchmarks/shared_store.py [KILLS] [SEED]`.

Each trial starts several runs of the same cells, each with a separate home, at a Krea that loses answers. Runs are
killed and paused at random moments and restarted, until the requested number of kills is reached. Then all of them run
to their end. Whatever was billed twice, is missing, or is another request's image is printed, and the exit code is 1.
"""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from rig import KREA_PIPE, Krea, environment, krea, pipeline, until_killed

HOMES = 4
CELLS = 24
KILLS_PER_TRIAL = 10
PACE = {"KREA_PIPE_POLL_SECONDS": "0.2", "KREA_PIPE_SETTLE_SECONDS": "1"}
FAULTS = """\
seed: {seed}
rules:
  - {{on: submit, do: reset, after: true, share: 0.05}}
  - {{on: submit, do: reset, share: 0.05}}
  - {{on: submit, do: 502, share: 0.03}}
  - {{on: submit, do: 429, share: 0.03}}
  - {{on: jobs, do: 502, share: 0.03}}
  - {{on: image, do: truncated, share: 0.03}}
"""


class Home:
    """A home folder with its pipeline, and its current run."""

    def __init__(self, folder: Path, cells: int, env: Mapping[str, str]) -> None:
        folder.mkdir()
        (folder / "p.yaml").write_text(pipeline(cells))
        self.folder = folder
        self.env = environment({**env, "KREA_PIPE_HOME": str(folder / "home")})
        self.process: subprocess.Popen[bytes] | None = None
        self.codes: Counter[int] = Counter()

    def start(self, *options: str) -> None:
        """Run the pipeline."""
        command = [*KREA_PIPE, "run", "p.yaml", "--json", *options]
        with (self.folder / "out.txt").open("wb") as out, (self.folder / "err.txt").open("wb") as err:
            self.process = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=out, stderr=err)

    def is_running(self) -> bool:
        """Whether a run is in progress."""
        if self.process is not None and self.process.poll() is not None:
            self.codes[self.process.returncode] += 1
            self.process = None
        return self.process is not None

    def kill(self) -> None:
        """Kill the run."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()
        self.process = None

    def pause(self, seconds: float) -> None:
        """Pause the run."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        self.process.send_signal(signal.SIGCONT)

    def lines(self) -> int:
        """How many lines its journal has."""
        file = self.folder / "home/loopback/journal.jsonl"
        return file.read_bytes().count(b"\n") if file.exists() else 0

    def rows(self) -> list[dict]:
        """The cells of the last report."""
        report = json.loads((self.folder / "out.txt").read_text())["report"]
        return json.loads((self.folder / report).read_text())["cells"]


def trial(folder: Path, seed: int) -> tuple[list[str], Counter[str]]:
    """One trial: the problems, and the events."""
    chance = random.Random(seed)
    with krea(folder, faults=FAULTS.format(seed=seed), latency=1, spread=0.5, concurrency=8) as served:
        env = {**served.env, **PACE, "KREA_PIPE_REMOTE": (folder / "store").as_uri()}
        homes = [Home(folder / f"home-{number}", CELLS, env) for number in range(HOMES)]
        counts: Counter[str] = Counter()
        while counts["kills"] < KILLS_PER_TRIAL:
            for home in homes:
                if not home.is_running():
                    home.start()
            time.sleep(chance.uniform(0.1, 2.5))
            home = chance.choice(homes)
            if not home.is_running():
                continue
            if chance.random() < 0.1:
                home.pause(chance.uniform(0.5, 3.0))
                counts["pauses"] += 1
            else:
                home.kill()
                counts["kills"] += 1
        _finish(homes)
        return _faults(homes, served, counts), counts


def _finish(homes: list[Home]) -> None:
    """Let all runs end, then run each once more."""
    for _ in range(2):
        for home in homes:
            if not home.is_running():
                home.start()
        for home in homes:
            if home.process is not None:
                home.process.wait(timeout=300)
            home.is_running()


def _faults(homes: list[Home], served: Krea, counts: Counter[str]) -> list[str]:
    book = served.get("/_local/book")
    prompts = {job["job_id"]: job["prompt"] for job in book["jobs"]}
    bills = Counter(bill["prompt"] for bill in served.get("/_local/book?summary=1")["bills"])
    wrong = [f"{prompt!r} was billed {count} times" for prompt, count in bills.items() if count > 1]
    for home in homes:
        for row in home.rows():
            counts[row["status"]] += 1
            if row["status"] in ("succeeded", "reused") and prompts.get(row["job_id"]) != row["prompt"]:
                wrong.append(f"{home.folder.name}: {row['prompt']!r} has the image of job {row['job_id']}")
            elif row["status"] not in ("succeeded", "reused", "uncertain"):
                wrong.append(f"{home.folder.name}: {row['prompt']!r} is {row['status']}: {row.get('failure')}")
    counts["bills"] += sum(bills.values())
    return wrong


def main() -> int:
    """Run trials until enough runs were killed."""
    words = [int(word) for word in sys.argv[1:]]
    kills, seed = words[0] if words else 200, words[1] if len(words) > 1 else 0
    return until_killed(kills, seed, trial)


if __name__ == "__main__":
    sys.exit(main())
