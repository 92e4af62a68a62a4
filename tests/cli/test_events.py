"""The event log of a run: every step, in the order in which it became true, whole lines only, and no secrets."""

import json
import os
import signal
from collections import defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from command_line import KEY, SOURCE
from jsonschema import Draft202012Validator
from krea_server import GENERATE, picture, until
from money import STRANGER, draw, intrude

from krea_pipe.store.atomic import make_folder
from krea_pipe.store.events import JournalLine, Submitting
from krea_pipe.store.ledger import Busy, Free, JournalEntry, Ledger
from krea_pipe.store.space import open_space

SCHEMA = Draft202012Validator(json.loads((SOURCE / "schemas/event.schema.json").read_text(encoding="utf-8")))
LOG = "log/e.jsonl"

BEGIN = {"submitting", "attached", "waiting", "adopted", "cleared", "failed", "settled"}
END = {"stored", "failed", "cancelled", "download_failed", "unfetched", "unseen", "settled"}
FOLLOWS = {
    "": BEGIN,
    "waiting": {"submitting", "attached", "adopted", "cleared", "settled"},
    "submitting": {"submitted", "declined", "unanswered"},
    "declined": {"submitting", "failed", "settled"},
    "unanswered": {"adopted", "cleared", "settled"},
    "cleared": {"submitting", "failed", "settled"},
    "submitted": END,
    "attached": END,
    "adopted": END | {"disowned"},
    "download_failed": {"download_failed", "stored", "unfetched"},
    "stored": {"settled"},
    "failed": {"settled"},
    "cancelled": {"submitting", "settled"},
    "disowned": {"settled"},
    "unfetched": {"settled"},
    "unseen": {"settled"},
    "settled": set(),
}
"""Which events of one request may follow each other in one run."""


def parsed(line):
    """One line as data that its schema allows."""
    found = json.loads(line)
    SCHEMA.validate(found)
    return found


def events_of(project, name=LOG):
    return [parsed(line) for line in (project.path / name).read_text(encoding="utf-8").splitlines()]


def ways(events):
    """What happened to each cell, by the last part of its id, once it is sure that this follows the vocabulary."""
    found, jobs = defaultdict(list), {}
    for event in events:
        if "key" not in event:
            continue
        way = found[event["cell"].rpartition("/")[2]]
        assert event["event"] in FOLLOWS[way[-1] if way else ""], (way, event)
        way.append(event["event"])
        if event.get("job_id"):
            assert jobs.setdefault(event["key"], event["job_id"]) == event["job_id"]
    return dict(found)


def run(project, *words, **options):
    return project.run("run", "p.yaml", "--json", "--events", LOG, *words, **options)


def test_every_step_of_a_run_is_told_in_its_order(project, krea):
    draw(krea)
    krea.answer("POST", GENERATE, 429, {"error": "full"}, text='"busy"', times=1)
    krea.answer("POST", GENERATE, 422, {"error": f"no: {KEY}"}, text='"bad"')
    krea.lose("POST", GENERATE, text='"lost"', times=1)
    krea.answer("POST", GENERATE, 502, b"", text='"gone"', times=1)
    krea.answer("POST", "/assets", 503, b"", times=1)
    krea.answer("GET", "/images/", 503, b"", times=1)
    project.write("ref.png", picture())
    words = json.dumps(["plain", "busy", "bad", "lost", "gone", "local:fail-nsfw"])
    stage = f'{{prompt: "{{{{ w }}}}", references: [look], matrix: {{w: {words}}}}}'
    project.write(
        "p.yaml",
        f"version: 1\nbudget: {{usd: 5}}\nreferences: {{look: {{images: [ref.png]}}}}\nstages: {{p: {stage}}}\n",
    )
    done = run(project)
    assert done.code == 1, done.text
    events = events_of(project)
    found = ways(events)
    tried = [name for way in found.values() for name in way].count("download_failed")
    assert tried == 1
    assert {word: [name for name in way if name != "download_failed"] for word, way in found.items()} == {
        "plain": ["submitting", "submitted", "stored", "settled"],
        "busy": ["submitting", "declined", "submitting", "submitted", "stored", "settled"],
        "bad": ["submitting", "declined", "failed", "settled"],
        "lost": ["submitting", "unanswered", "adopted", "stored", "settled"],
        "gone": ["submitting", "unanswered", "cleared", "submitting", "submitted", "stored", "settled"],
        "local-fail-nsfw": ["submitting", "submitted", "failed", "settled"],
    }
    assert [event["event"] for event in events if "source" in event] == ["upload_failed", "uploaded"]
    assert (events[0]["event"], events[-1]["event"]) == ("run_started", "run_ended")
    assert {event["run"] for event in events} == {done.json["run_id"]}
    assert events[0]["plan"] == {"reuse": 0, "fetch": 0, "attach": 0, "submit": 6, "hold": 0}
    assert (Decimal(events[0]["usd"]), events[0]["cap_usd"], events[0]["uploads"]) == (6 * krea_price(done), "5.00", 1)
    check_sums(done, events)


def krea_price(done):
    return next(Decimal(row["cost_usd"]) for row in done.report["cells"] if row["status"] == "succeeded")


def check_sums(done, events):
    """What the log says of images and money is what the report says."""
    rows = done.report["cells"]
    stored = {event["key"]: event for event in events if event["event"] == "stored"}
    drawn = {row["key"]: (row["sha256"], row["job_id"]) for row in rows if row["status"] == "succeeded"}
    assert {key: (event["sha256"], event["job_id"]) for key, event in stored.items()} == drawn
    assert all((event["seconds"] is None) == row_of(rows, key)["adopted"] for key, event in stored.items())
    settled = {event["key"]: event for event in events if event["event"] == "settled"}
    for row in rows:
        end = settled[row["key"]]
        assert (end["status"], end["code"]) == (row["status"], row["error"] and row["error"]["code"])
        assert Decimal(end["usd"]) == Decimal(row["cost_usd"])
    last = events[-1]
    assert last["cells"] == done.json["cells"]
    assert {name: last[name] for name in done.json["cost"]} == done.json["cost"]
    assert (last["exit_code"], last["lost"]) == (done.code, 0)


def row_of(rows, key):
    return next(row for row in rows if row["key"] == key)


def test_no_line_holds_a_secret_an_address_or_a_prompt(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": f"no: {KEY} http://signed"}, text="bad")
    project.write("p.yaml", 'version: 1\nprompt: "a secret {{ w }}"\nmatrix: {w: [good, bad]}\nbudget: {usd: 1}\n')
    assert run(project).code == 1
    text = (project.path / LOG).read_text(encoding="utf-8")
    assert len(text.splitlines()) > 8
    assert [word for word in (KEY, "http", "a secret") if word in text] == []


def test_a_request_whose_answer_stays_lost_ends_uncertain(project, krea):
    foreign = intrude(krea, text="b")
    project.pipeline(["a", "b"])
    assert run(project).code == 1
    events = events_of(project)
    assert ways(events)["b"] == ["submitting", "unanswered", "settled"]
    end = next(event for event in events if event["event"] == "settled" and event["cell"].endswith("/b"))
    assert (end["status"], end["code"], Decimal(end["usd"])) == ("uncertain", "answer_lost", Decimal("0.03"))
    assert (STRANGER in krea.billed_prompts(), len(foreign)) == (True, 1)


def test_a_killed_run_leaves_whole_lines_and_the_next_goes_on_below_them(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml", "--events", LOG)
    log = project.path / LOG
    until(lambda: log.exists() and log.read_text(encoding="utf-8").count('"submitted"') == 2)
    process.kill()
    process.communicate(timeout=60)
    assert ways(events_of(project)) == {"a": ["submitting", "submitted"], "b": ["submitting", "submitted"]}
    whole = log.read_bytes()
    log.write_bytes(whole[:-20])  # as a crash of the whole machine may leave it
    krea.finish_jobs()
    assert run(project).code == 0
    text = log.read_bytes()
    assert text.startswith(whole[:-20] + b"\n")
    events = [parsed(line) for line in text[len(whole) - 19 :].splitlines()]
    assert ways(events) == {word: ["attached", "stored", "settled"] for word in "ab"}
    assert (events[0]["plan"]["attach"], events[-1]["exit_code"]) == (2, 0)


def test_a_run_with_nothing_to_do_is_told_as_well(project):
    project.pipeline(["a"])
    run(project, "--local")
    before = len(events_of(project))
    run(project, "--local")
    start, end = events_of(project)[before:]
    assert (start["event"], start["plan"]["reuse"], start["usd"]) == ("run_started", 1, "0.00")
    assert (end["event"], end["exit_code"], end["cells"]["reused"]) == ("run_ended", 0, 1)


@pytest.mark.parametrize(
    ("more", "env", "words", "code"),
    [
        ("budget: {usd: 0.01}", {}, (), "over_budget"),
        ("budget: {usd: 1}", {"KREA_API_KEY": None}, (), "no_key"),
        ("budget: {usd: 1}\nnonsense: 1", {}, (), "unknown_key"),
        ("budget: {usd: 1}", {}, ("-k", "zzz"), "nothing_selected"),
    ],
)
def test_a_run_that_is_refused_is_told_with_its_reason(project, krea, more, env, words, code):
    project.pipeline(["a"], more=more)
    done = run(project, *words, env=env)
    (event,) = events_of(project)
    assert (event["event"], event["code"], event["exit_code"]) == ("run_refused", code, done.code)
    assert krea.posts == []


def test_a_run_that_krea_refuses_or_a_limit_stops_says_so_at_its_end(project, krea):
    krea.answer("POST", GENERATE, 402, {"message": "empty"}, text="b")
    project.pipeline(["a", "b"])
    run(project, "--max-new", "1")
    run(project)
    ends = [event for event in events_of(project) if event["event"] == "run_ended"]
    assert [(end["exit_code"], end["code"]) for end in ends] == [(5, "limit_reached"), (4, "no_credit")]


def test_a_run_that_is_left_at_once_says_so(project, krea):
    krea.hang("POST", GENERATE)
    project.pipeline(["a"])
    process = project.start("run", "p.yaml", "--events", LOG)
    until(lambda: krea.posts)
    process.send_signal(signal.SIGINT)
    assert b"Press Ctrl-C again" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert project.finish(process).code == 130
    last = events_of(project)[-1]
    assert (last["event"], last["exit_code"], last["code"]) == ("run_ended", 130, "interrupted")
    assert "cells" not in last


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full disk here")
def test_a_full_disk_of_the_log_ends_no_run(project, krea):
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--quiet", "--json", "--events", "/dev/full")
    assert (done.code, done.counts) == (0, (2, 0, 0))
    assert done.err == "warning: 10 events are missing in /dev/full: No space left on device\n"
    assert krea.billed_prompts() == ["a", "b"]


def test_what_can_not_be_a_log_is_refused_before_anything_is_sent(project, krea):
    file = project.pipeline(["a"])
    project.write("folder/x", "")
    assert project.run("run", "p.yaml", "--local").code == 0
    journal = project.home / "local/journal.jsonl"
    before = {path: path.read_bytes() for path in (file, journal)}
    for name in ("folder", "p.yaml/x", file, journal):
        done = project.run("run", "p.yaml", "--json", "--events", name)
        assert (done.code, done.json["error"]["code"]) == (1, "events_unusable")
    assert {path: path.read_bytes() for path in before} == before
    assert krea.seen == []


def test_a_log_may_be_a_pipe_that_nobody_reads(project):
    os.mkfifo(project.path / "pipe")
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", "--events", "pipe")
    assert done.json["error"]["code"] == "events_unusable"


def test_the_schema_of_events_is_printed(project):
    done = project.run("schema", "--which", "event")
    assert done.json["$id"] == "urn:krea-pipe:event:1"
    listed = set(done.json["properties"]["event"]["enum"])
    assert listed >= set(FOLLOWS) - {""} | {"run_started", "run_ended", "run_refused", "uploaded", "upload_failed"}


def test_a_claim_that_another_run_has_won_is_no_event(tmp_path):
    space, told = open_space(tmp_path, "live"), []
    make_folder(space.folder)

    def claim(run):
        ledger = Ledger(space.journal, space.presence, run, "origin", space.journal.replay(), told.extend)
        line = JournalLine(Submitting(origin="origin", usd="0.03", cell="p/a"), "k", run=run)
        found = ledger.commit([JournalEntry(line, (Free,))])
        ledger.close()
        return found

    with space.presence.shown("one"), space.presence.shown("two"):
        assert (claim("one"), claim("two")) == ([Free()], [Busy("one")])
    assert [line.run for line in told] == ["one"]
