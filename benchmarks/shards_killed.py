"""Shards of one pipeline, killed at random: `python benchmarks/shards_killed.py [KILLS] [SEED] [--store file|s3]`.

Each trial runs four shards, each with a home of its own, on one shared store, one account and one named budget, at a
Krea that loses, delays and reorders answers. Shards are killed at random moments and started again. Some are paused for
longer than any lease while another home runs all cells, and wake up later. A store in SeaweedFS also goes down for
seconds. Then the budget is checked, all shards run to their end, and their runs are merged. What was billed twice, is
missing, is another request's image, or was paid above the budget is printed, and the exit code is 1.
"""

import argparse
import json
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

from rig import KREA_PIPE, Krea, krea, run, until_killed
from shared_store import Home

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from remote_servers import Proxy, seaweedfs

SHARDS = 4
CELLS = 48
PRICE = Decimal("0.03")
KILLS_PER_TRIAL = 20
POLL = 0.05
PACE = {"KREA_PIPE_POLL_SECONDS": str(POLL), "KREA_PIPE_SETTLE_SECONDS": "1"}
LEASE = 60 * POLL
"""Seconds after which a home that does not show itself counts as dead: `krea_pipe.store.remote.presence.DEAD_AFTER`."""
LONGEST_WAIT = 6
MOST_RERUNS = 8
FAULTS = """\
seed: {seed}
rules:
  - {{on: submit, do: reset, after: true, share: 0.02}}
  - {{on: submit, do: reset, share: 0.02}}
  - {{on: submit, do: 502, after: true, share: 0.01}}
  - {{on: submit, do: 429, share: 0.03}}
  - {{on: submit, do: slow, seconds: 0.7, after: true, share: 0.1}}
  - {{on: submit, do: slow, seconds: 0.4, share: 0.1}}
  - {{on: jobs, do: 502, share: 0.03}}
  - {{on: jobs, do: slow, seconds: 0.5, after: true, share: 0.1}}
  - {{on: image, do: truncated, share: 0.03}}
"""


class Trial:
    """The shards of a trial, another home with all cells, the Krea of all, and what stands before their store."""

    def __init__(self, folder: Path, served: Krea, env: dict[str, str], chance: random.Random) -> None:
        env = {**served.env, **PACE, **env}
        self.served, self.chance = served, chance
        self.shards = [Home(folder / f"shard-{number}", CELLS, env) for number in range(1, SHARDS + 1)]
        self.rival = Home(folder / "rival", CELLS, env)
        self.cap = PRICE * chance.randint(CELLS // 3, CELLS * 3 // 2)
        self.counts: Counter[str] = Counter()
        self.asleep: dict[int, float] = {}

    def start(self, *options: str) -> None:
        """Start each shard that does not run."""
        for number, home in enumerate(self.shards, 1):
            if not home.is_running():
                home.start("--shard", f"{number}/{SHARDS}", *options)

    def kill_and_pause(self, proxy: Proxy | None) -> None:
        """Let shards die and sleep, and the store fail, until enough were killed."""
        limit = ("--budget-name", "trial", "--max-cost", str(self.cap))
        up_at = 0.0
        while self.counts["kills"] < KILLS_PER_TRIAL:
            self.start(*limit)
            time.sleep(self.chance.uniform(0, 0.3))
            self.wake()
            if proxy is not None and time.monotonic() >= up_at:
                proxy.is_down = proxy.is_cut = False
                if self.chance.random() < 0.08:
                    name = self.chance.choice(("is_down", "is_cut"))
                    setattr(proxy, name, True)
                    up_at = time.monotonic() + self.chance.uniform(0.5, 5)
                    self.counts["outages"] += 1
            self.harm(self.chance.randrange(SHARDS + 1), limit)
        if proxy is not None:
            proxy.is_down = proxy.is_cut = False
        for place in list(self.asleep):
            self.home(place).process.send_signal(signal.SIGCONT)
        for home in (*self.shards, self.rival):
            if home.is_running():
                home.kill()

    def home(self, place: int) -> Any:  # noqa: ANN401 (a home whose run is known to be there)
        """A shard, or the other home."""
        return self.rival if place == SHARDS else self.shards[place]

    def harm(self, place: int, limit: tuple[str, ...]) -> None:
        """Kill a run, or let it sleep while the other home does its cells."""
        home = self.home(place)
        if place in self.asleep or not home.is_running():
            return
        self.let_work(home)
        if not home.is_running():
            return
        if place == SHARDS or self.asleep or self.chance.random() > 0.12:
            home.kill()
            self.counts["kills"] += 1
            return
        home.process.send_signal(signal.SIGSTOP)
        self.asleep[place] = time.monotonic() + LEASE + self.chance.uniform(0.5, 3)
        self.counts["pauses"] += 1
        if not self.rival.is_running():
            self.rival.start(*limit)

    def let_work(self, home: Home) -> None:
        """Wait until a run has written some lines, or for some seconds, and a moment more."""
        goal, end = home.lines() + self.chance.randint(0, 12), time.monotonic() + self.chance.uniform(0, LONGEST_WAIT)
        while home.is_running() and home.lines() < goal and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(self.chance.uniform(0, 0.05))

    def wake(self) -> None:
        """Let those run again that have slept for long enough."""
        for place, at in list(self.asleep.items()):
            if time.monotonic() >= at:
                self.home(place).process.send_signal(signal.SIGCONT)
                del self.asleep[place]

    def check_cap(self) -> list[str]:
        """What all jobs cost that were started with the budget."""
        while True:
            book = self.served.get("/_local/book")
            if all(job["finished_at"] for job in book["jobs"]):
                break
            time.sleep(0.2)
        spent = sum((Decimal(bill["amount"]) for bill in book["bills"]), Decimal(0))
        self.counts["bills under the cap"], self.counts["cap in bills"] = len(book["bills"]), int(self.cap / PRICE)
        return [f"${spent} was spent with a budget of ${self.cap}"] if spent > self.cap else []

    def finish(self) -> None:
        """Run each shard to its end."""
        for _ in range(MOST_RERUNS):
            self.start("--max-cost", "100")
            for home in self.shards:
                home.process.wait(timeout=300)  # type: ignore[union-attr]
            codes = [home.process.returncode for home in self.shards]  # type: ignore[union-attr]
            if not any(codes):
                return
            self.counts["reruns"] += 1

    def check_images(self, folder: Path) -> list[str]:
        """Merge the runs of all shards: each cell has the image of its own job, which was billed once."""
        folder.mkdir()
        folders = [str(home.folder) for home in self.shards]
        done = run([*KREA_PIPE, "merge", "--json", *folders], folder, {"KREA_PIPE_HOME": str(folder / "home")})
        try:
            report = json.loads((folder / json.loads(done.out)["report"]).read_text())
        except (ValueError, KeyError, OSError):
            return [f"the runs cannot be merged: {done.out[-500:]}{done.err[-1500:]}"]
        jobs = {job["job_id"]: job["prompt"] for job in self.served.get("/_local/book")["jobs"]}
        bills = Counter(bill["prompt"] for bill in self.served.get("/_local/book?summary=1")["bills"])
        wrong = [f"{prompt!r} was billed {count} times" for prompt, count in bills.items() if count > 1]
        if done.code != any(row["status"] == "uncertain" for row in report["cells"]) or len(report["cells"]) != CELLS:
            wrong.append(f"merge has left {len(report['cells'])} cells and exit code {done.code}: {done.err[-1500:]}")
        for row in report["cells"]:
            self.counts[row["status"]] += 1
            own = [job for job, prompt in jobs.items() if prompt == row["prompt"]]
            if row["status"] == "uncertain":  # several answers were lost at once: its job, if any, has to be named
                if not set(own) <= set(row["error"].get("candidates", ())):
                    wrong.append(f"{row['id']} is uncertain without its job {own}: {row['error']}")
            elif row["status"] not in ("succeeded", "reused"):
                wrong.append(f"{row['id']} is {row['status']}: {row.get('error')}")
            elif row["job_id"] not in own:
                wrong.append(f"{row['id']} has the image of job {row['job_id']}: {jobs.get(row['job_id'])!r}")
            elif not (folder / "out/p" / Path(row["image"]).name).is_file():
                wrong.append(f"{row['id']} has no image: {row['image']}")
        self.counts["bills"] = sum(bills.values())
        return wrong


def trial(folder: Path, seed: int, env: dict[str, str], proxy: Proxy | None) -> tuple[list[str], Counter[str]]:
    """One trial: what is wrong, and what happened."""
    with krea(folder, faults=FAULTS.format(seed=seed), latency=1.2, spread=0.5, concurrency=8) as served:
        one = Trial(folder, served, env, random.Random(seed))
        try:
            one.kill_and_pause(proxy)
            wrong = one.check_cap()
            one.finish()
            return [*wrong, *one.check_images(folder / "merged")], one.counts
        finally:
            for home in (*one.shards, one.rival):
                if home.is_running():
                    home.kill()


@contextmanager
def stores(kind: str) -> Iterator[tuple[dict[str, str], Proxy | None]]:
    """What leads to the store: a folder of each trial, or SeaweedFS behind a proxy, with a prefix for each trial."""
    if kind == "file":
        yield {}, None
        return
    with seaweedfs() as env:
        proxy = Proxy(env)
        yield proxy.env, proxy
        proxy.close()


def main() -> int:
    """Make trials until enough runs were killed."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kills", nargs="?", type=int, default=200)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--store", choices=["file", "s3"], default="file")
    words = parser.parse_args()

    def stored_trial(folder: Path, seed: int) -> tuple[list[str], Counter[str]]:
        with stores(words.store) as (env, proxy):
            remote = f"s3://bucket/{seed}" if proxy else (folder / "store").as_uri()
            return trial(folder, seed, {**env, "KREA_PIPE_REMOTE": remote}, proxy)

    return until_killed(words.kills, words.seed, stored_trial)


if __name__ == "__main__":
    sys.exit(main())
