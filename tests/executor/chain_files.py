"""Pipelines whose later stages need the images of earlier ones, and what Krea was sent for them."""

import json
import signal
from contextlib import contextmanager

LIMIT = 40  # seconds after which a run hangs

HEAD = "version: 1\nbudget: {usd: 9}\nstages:\n"
ONE = '  one:\n    prompt: "{{ w }}"\n    matrix: {w: WORDS}\n'
TWO = """\
  two:
    for_each: one
    prompt: "{{ source.prompt }} two"
    image: "{{ source.image }}"
    strength: 0.5
"""
THREE = """\
  three:
    for_each: two
    prompt: "{{ source.prompt }} three"
    references: [{image: "{{ source.image }}", strength: 0.7}]
"""


def chain(project, words, *stages, name="p.yaml"):
    """A stage `one` with a cell for each word, and stages below it, which are `two` unless others are given."""
    text = HEAD + ONE.replace("WORDS", json.dumps(words)) + "".join(stages or [TWO])
    return project.write(name, text)


def prompt(post):
    """The prompt of a POST."""
    return post.json["prompt"]


def post_of(krea, words):
    """The one POST with a prompt."""
    found = [post for post in krea.posts if prompt(post) == words]
    assert len(found) == 1, [prompt(post) for post in krea.posts]
    return found[0]


def sent_images(krea, post):
    """The bytes behind each image of a POST, with its strength: the source picture first, then the style references."""
    body = post.json
    given = [{"url": body["image_url"], "strength": body["strength"]}] if "image_url" in body else []
    assets = {f"{krea.base}/uploads/{asset.file_name}": asset.data for asset in krea.world.assets}
    return [(assets[one["url"]], one["strength"]) for one in given + body.get("image_style_references", [])]


def keep_running(krea, *words):
    """Show the jobs of some prompts as they run, though they have ended, until the rules are taken away."""

    def running(job):
        text = krea.world.job(job["job_id"]).brief.order.prompt
        return {**job, "status": "processing", "completed_at": None, "result": None} if text in words else job

    krea.mutate_job(running)


def keys(project, *words):
    """The keys of a plan by cell."""
    done = project.run("plan", "p.yaml", "--json", *words)
    assert done.code == 0, done.text
    return {cell["id"]: cell["key"] for cell in done.json["cells"]}


def statuses(done):
    """How each cell stands in the report of a run."""
    return {row["id"]: row["status"] for row in done.report["cells"]}


@contextmanager
def bounded():
    """End what hangs in this process."""

    def hangs(number, frame):
        raise AssertionError(f"no end after {LIMIT} s")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(LIMIT)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
