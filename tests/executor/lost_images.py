"""Images that are lost here after they were paid, in every way, and what is said of them."""

import json
import os
import shutil
from decimal import Decimal

from krea_server import until
from money import change_list, job_ids, kill

GONE = {"error": "Job not found"}
AGAIN = ("fetch", "stored image missing or damaged; fetched again if Krea still has it")


def blob_of(project, word):
    digest = next(one["result"]["sha256"] for one in project.events("done") if one["key"] == key_of(project, word))
    return project.space / "blobs" / digest[:2] / digest


def key_of(project, word):
    return next(one["key"] for one in project.events("submitted") if one["cell"].endswith(f"/{word}"))


def lose_files(project):
    """Take away what was delivered: from there an image is copied before Krea is asked for it."""
    shutil.rmtree(project.path / "out", ignore_errors=True)


def delete(project):
    lose_files(project)
    blob_of(project, "a").unlink()


def truncate(project):
    lose_files(project)
    file = blob_of(project, "a")
    file.write_bytes(file.read_bytes()[:40])


def corrupt(project):
    lose_files(project)
    file = blob_of(project, "a")
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, 1))


def empty(project):
    lose_files(project)
    blob_of(project, "a").write_bytes(b"")


def delete_folder(project):
    lose_files(project)
    shutil.rmtree(project.space / "blobs")


def delete_folder_and_facts(project):
    lose_files(project)
    shutil.rmtree(project.space / "blobs")
    shutil.rmtree(project.space / "facts")


def keep_the_journal_alone(project):
    lose_files(project)
    for path in project.space.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
    shutil.rmtree(project.home / "runs")


def edit_journal(project, change):
    """Change what the journal says, line by line."""
    file = project.space / "journal.jsonl"
    lines = [change(line) for line in project.journal()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def money(done):
    return Decimal(done.json["cost"]["spent_usd"]), Decimal(done.json["cost"]["in_flight_usd"])


def is_gone(krea, times=None, status=404):
    """Let Krea say of the job of `a` as it is now that it has no such job; its list does not show it."""
    gone = job_ids(krea, "a")
    for job_id in gone:
        krea.answer("GET", f"/jobs/{job_id}", status, GONE, times=times)
    change_list(krea, lambda jobs: [job for job in jobs if job["job_id"] not in gone])


def kill_while_read(project, krea):
    """Kill a run that reads an image again."""
    for place in ("/jobs", "/jobs/"):
        krea.answer("GET", place, 503)
    process = project.start("run", "p.yaml")
    until(lambda: project.events("attached"))
    kill(process)
    krea.rules.clear()
