"""Images that are lost here after they were paid, in every way, and what is said of them."""

import json
import os
import shutil
from decimal import Decimal

from krea_server import until
from money import hide, kill

GONE = {"error": "Job not found"}
AGAIN = ("attach", "stored image missing or damaged; fetched from Krea again at no cost")


def blob_of(project, word):
    digest = next(one["result"]["sha256"] for one in project.events("done") if one["key"] == key_of(project, word))
    return project.space / "blobs" / digest[:2] / digest


def key_of(project, word):
    return next(one["key"] for one in project.events("submitted") if one["cell"].endswith(f"/{word}"))


def delete(project):
    blob_of(project, "a").unlink()


def truncate(project):
    file = blob_of(project, "a")
    file.write_bytes(file.read_bytes()[:40])


def corrupt(project):
    file = blob_of(project, "a")
    data = bytearray(file.read_bytes())
    data[30] ^= 1
    file.write_bytes(data)
    os.utime(file, ns=(1, 1))


def empty(project):
    blob_of(project, "a").write_bytes(b"")


def delete_folder(project):
    shutil.rmtree(project.space / "blobs")


def delete_folder_and_facts(project):
    shutil.rmtree(project.space / "blobs")
    shutil.rmtree(project.space / "facts")


def keep_the_journal_alone(project):
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


def is_gone(krea, times=5):
    """Let Krea say as often as it is believed that it has no such job."""
    krea.answer("GET", "/jobs/", 404, GONE, times=times)
    hide(krea, "a")


def kill_while_read(project, krea):
    """Kill a run that reads an image again."""
    for place in ("/jobs", "/jobs/"):
        krea.answer("GET", place, 503)
    process = project.start("run", "p.yaml")
    until(lambda: project.events("attached"))
    kill(process)
    krea.rules.clear()
