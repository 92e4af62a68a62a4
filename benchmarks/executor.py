"""Measures how krea-pipe uses a Krea over HTTP, compared with a bare loop that makes only the same requests."""

from collections import Counter
from datetime import datetime
from itertools import accumulate
from pathlib import Path

from rig import Row, Trial, finished, floor, limited, ours, png

CALLS = ("POST /generate", "GET /jobs", "GET /jobs/{id}", "GET /images")
FAULTS = (
    "{on: submit, do: 429",
    "{on: submit, do: 429, retry_after: 1",
    "{on: submit, do: 500",
    "{on: submit, do: 502",
    "{on: submit, do: reset",
    "{on: submit, do: reset, after: true",
    "{on: jobs, do: 502",
    "{on: jobs, do: reset",
    "{on: job, do: 502",
    "{on: job, do: reset",
    "{on: image, do: truncated",
    "{on: image, do: corrupt",
    "{on: image, do: 503",
)


def script(share: float) -> str:
    """Every temporary fault, each in this share of the calls that it concerns."""
    return "seed: 3\nrules:\n" + "".join(f"  - {rule}, share: {share}}}\n" for rule in FAULTS)


def cold(folder: Path, scale: float) -> list[Row]:
    """Jobs as an account generates them, with images as large as Krea's."""
    jobs = round(200 * scale)
    (folder / "large.png").write_bytes(png(1024, 1024, noise=True))
    server = {"latency": 4, "spread": 0.2, "concurrency": 50, "image": folder / "large.png"}
    bare, run = finished(floor(folder, jobs, **server), jobs), finished(ours(folder, jobs, **server), jobs)
    images = floor(folder, jobs, loop="bare_images.py", **server)
    return [*cold_rows(run, bare, jobs), *image_rows(run, images, jobs)]


def cold_rows(run: Trial, bare: Trial, jobs: int) -> list[Row]:
    """The figures of the cold run."""
    (wall, least), (unseen, early) = zip(*((trial.ran.wall, _unseen(trial)) for trial in (run, bare)), strict=True)
    ideal, bare_ideal = run.book["ideal_s"], bare.book["ideal_s"]
    calls, few = _calls(run) / jobs, _calls(bare) / jobs
    return [
        limited(
            f"{jobs} jobs of 4 s ± 20 %, 50 at once, 3 MB images: whole run / Krea's own ideal",
            f"{wall:.1f} s / {ideal:.1f} s = {wall / ideal:.3f}",
            wall / ideal,
            1.03,
            f"{least / bare_ideal:.3f}, ×{wall / ideal / (least / bare_ideal):.2f}",
        ),
        limited(
            "… calls for each job, image included",
            f"{calls:.2f}",
            calls,
            2.4,
            f"{few:.2f}, ×{calls / few:.2f}",
        ),
        limited(
            "… end of a job unseen, median",
            f"{unseen:.2f} s",
            unseen,
            1.3,
            f"{early:.2f} s, ×{unseen / early:.2f}",
        ),
    ]


def image_rows(run: Trial, bare: Trial, jobs: int) -> list[Row]:
    """What the images of the cold run cost, compared with a loop that does the bare work on them."""
    cpu, least = 1000 * run.ran.cpu / jobs, 1000 * bare.ran.cpu / jobs
    return [
        limited(
            "… CPU for each job / to receive, hash, decode and shrink its image",
            f"{cpu:.1f} ms / {least:.1f} ms = {cpu / least:.2f}",
            cpu / least,
            1.5,
        ),
        limited("… peak memory", f"{run.ran.peak:.0f} MB", run.ran.peak, 110, f"{bare.ran.peak:.0f} MB"),
    ]


def flight(folder: Path, scale: float) -> list[Row]:
    """The maximum number of concurrent jobs; they last long enough for all to be sent in the meantime.

    The images are tiny: no document says which size Krea's have at 3:4, so that any size is accepted.
    """
    jobs, seconds = round(2000 * scale), 30
    (folder / "small.png").write_bytes(png(64, 48, noise=False))
    server = {"latency": seconds, "concurrency": jobs, "image": folder / "small.png"}
    bare = finished(floor(folder, jobs, "3:4", **server), jobs)
    run = finished(ours(folder, jobs, ["--concurrency", str(jobs)], "3:4", **server), jobs)
    most, cpu, least = overlap(run), 1000 * run.ran.cpu / jobs, 1000 * bare.ran.cpu / jobs
    return [
        Row(
            f"{jobs:,} jobs, in flight at once by Krea's book",
            f"{most:,}",
            f"{jobs:,}",
            f"{overlap(bare):,}",
            most == jobs,
        ),
        limited(
            "… peak memory",
            f"{run.ran.peak:.0f} MB",
            run.ran.peak,
            200,
            f"{bare.ran.peak:.0f} MB, ×{run.ran.peak / bare.ran.peak:.2f}",
        ),
        limited(
            "… CPU for each job / bare loop", f"{cpu:.1f} ms / {least:.1f} ms = {cpu / least:.2f}", cpu / least, 1.4
        ),
    ]


def faults(folder: Path, scale: float) -> list[Row]:
    """The same jobs without and with faults; images have the requested size, so that jobs are adopted."""
    jobs = round(1000 * scale)
    (folder / "flat.png").write_bytes(png(1024, 1024, noise=False))
    server = {"latency": 8, "spread": 0.2, "concurrency": 50, "image": folder / "flat.png"}
    bare, calm = finished(floor(folder, jobs, **server), jobs), finished(ours(folder, jobs, **server), jobs)
    run = ours(folder, jobs, faults=script(0.05), **server)
    return fault_rows(run, calm, bare, jobs)


def fault_rows(run: Trial, calm: Trial, bare: Trial, jobs: int) -> list[Row]:
    """The figures of the run with faults."""
    rows = run.report.get("cells", [])
    done, adopted = (sum(row["status"] == "succeeded" for row in rows), sum(row["adopted"] for row in rows))
    bills = Counter(bill["prompt"] for bill in run.book["bills"])
    twice, wrong = sum(count > 1 for count in bills.values()), mismatched(run)
    times, least = run.ran.wall / calm.ran.wall, calm.ran.wall / bare.ran.wall
    return [
        Row(
            f"{jobs:,} such jobs with 5 % of each fault that passes: done, of them adopted",
            f"{done:,}, {adopted}",
            f"{jobs:,}",
            "",
            done == jobs and min(run.acted[:8] + run.acted[10:]) > 0,
        ),
        Row("… billed twice, or with the image of another", f"{twice}, {wrong}", "0, 0", "", twice == wrong == 0),
        limited(
            "… whole run with faults / without",
            f"{run.ran.wall:.1f} s / {calm.ran.wall:.1f} s = {times:.2f}",
            times,
            1.35,
            f"{bare.ran.wall:.1f} s without, ×{least:.2f}",
        ),
    ]


def overlap(trial: Trial) -> int:
    """The maximum number of jobs that Krea had at the same time."""
    steps = [(datetime.fromisoformat(job["created_at"]), 1) for job in trial.book["jobs"]]
    steps += [(datetime.fromisoformat(job["finished_at"]), -1) for job in trial.book["jobs"]]
    return max(accumulate(step for _, step in sorted(steps)))


def mismatched(trial: Trial) -> int:
    """The number of cells with the image of a job that was started for another prompt."""
    prompts = {job["job_id"]: job["prompt"] for job in trial.book["jobs"]}
    drawn = [row for row in trial.report.get("cells", []) if row["status"] == "succeeded"]
    return sum(prompts.get(row["job_id"]) != row["prompt"] for row in drawn)


def _calls(trial: Trial) -> int:
    return sum(trial.book["requests"][name] for name in CALLS)


def _unseen(trial: Trial) -> float:
    return trial.book["unseen_s"]["median"]
