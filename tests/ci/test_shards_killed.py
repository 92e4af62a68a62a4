"""Shards that are killed again and again pay for each request once, lose no image, and stay within their budget.

`benchmarks/shards_killed.py` does the same with random kills, pauses, lost answers and outages of the store.
"""

from decimal import Decimal
from itertools import cycle, islice

import pytest
from command_line import Project
from krea_server import until
from money import check_paid_once, count_lines, draw, inhabit, job_ids, kill

SHARDS = 4
KILLS = 20
LINES = [1, 3, 2, 5, 1, 4, 7]
"""After so many more lines of its journal a shard is killed."""
WORDS = [f"word-{number}" for number in range(36)]
PRICE = Decimal("0.03")
CAP = 24 * PRICE


class Shard(Project):
    """A shard with a home of its own, and the run that is at work in it."""

    def begin(self, number, *words):
        shared = {"KREA_PIPE_REMOTE": (self.path.parent / "store").as_uri()}
        self.pipeline(WORDS)
        self.start("run", "p.yaml", "--shard", f"{number}/{SHARDS}", "--quiet", *words, env=shared)

    @property
    def has_ended(self):
        return not self.started or self.started[-1].poll() is not None


@pytest.fixture
def shards(tmp_path, krea):
    krea.reset(latency=0.2, concurrency=4)
    draw(krea)
    inhabit(krea)
    found = [Shard(tmp_path / f"shard-{number}", krea) for number in range(1, SHARDS + 1)]
    for shard in found:
        shard.path.mkdir()
    yield found
    for shard in found:
        shard.stop()


def begin(shards, *words):
    """Start each shard that does not run."""
    for number, shard in enumerate(shards, 1):
        if shard.has_ended:
            shard.begin(number, *words)


def test_twenty_kills_cost_nothing_twice_and_lose_nothing(shards, project, krea):
    for shard, lines in islice(zip(cycle(shards), cycle(LINES), strict=False), KILLS):
        begin(shards, "--budget-name", "release", "--max-cost", str(CAP))
        goal = count_lines(shard) + lines
        until(lambda shard=shard, goal=goal: shard.has_ended or count_lines(shard) >= goal, "a line or the end")
        kill(shard.started[-1])
        krea.catch_up()  # else a job of the dead run could be made after the next one has looked for it
    for shard in shards:
        kill(shard.started[-1])
    krea.catch_up()
    krea.finish_jobs()
    assert len(krea.billed_prompts()) * PRICE <= CAP

    for _ in range(2):
        begin(shards, "--max-cost", "100", "--run-name", "release")
        until(lambda: all(shard.has_ended for shard in shards), "the end of all shards")
    shared = {"KREA_PIPE_REMOTE": (project.path / "store").as_uri()}
    done = project.run("merge", "--remote", "--run-name", "release", "--json", env=shared)
    assert done.json["cells"]["total"] == len(WORDS), done.text
    open_words = {word: row["error"] for word, row in done.rows.items() if row["status"] == "uncertain"}
    assert done.code == bool(open_words), done.text
    for word, error in open_words.items():  # answers that were lost at once, and cannot be told apart
        assert set(job_ids(krea, word)) <= set(error["candidates"])
    billed = [word for word in WORDS if word not in open_words or job_ids(krea, word)]
    check_paid_once(project, krea, billed, but=open_words, env=shared)
