"""The events of the journal: each is read as it was written, and none of a later version is passed over in silence."""

import json
from dataclasses import fields

import pytest

from krea_pipe.store.events import EVENTS, JournalLine, decode, encode, name_of
from krea_pipe.store.journal import Journal
from krea_pipe.store.request_state import Idle, InFlight

RESULT = {"sha256": "ab" * 32, "cost_usd": "0.03"}


def made(kind, *, switch):
    """An event of a kind whose every field has a value of its own; those that are true or false are as the `switch`."""
    values = {"status": 429, "origin": "https://api.krea.ai", "result": RESULT, "jobs": ("i", "j")}
    values |= {field.name: switch for field in fields(kind) if isinstance(field.default, bool)}
    return kind(**{field.name: values.get(field.name, f"a {field.name}") for field in fields(kind)})


@pytest.mark.parametrize("switch", [True, False])
@pytest.mark.parametrize("name", EVENTS)
def test_each_event_is_read_as_it_was_written(name, switch):
    line = JournalLine(made(EVENTS[name], switch=switch), "k", "2026-11-29T10:00:00.000Z", "run-1")
    assert decode(encode(line).encode()) == line
    assert json.loads(encode(line))["event"] == name == name_of(line.event)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", '{"event": 3, "key": "k"}', '{"event": "submitted", "key": "k"}'])
def test_a_damaged_line_says_nothing(text):
    assert decode(text.encode()) is None


def test_fields_of_a_later_version_are_passed_over():
    line = decode(b'{"event":"submitted","key":"k","job_id":"j","t":"T","run":"r","later":[1],"usd":0.03}')
    assert (line.event.job_id, line.event.usd) == ("j", "0.03")


def test_an_event_of_a_later_version_is_refused_by_every_command_that_reads_the_journal(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    journal = project.space / "journal.jsonl"
    before = journal.read_bytes()
    journal.write_bytes(before + b'{"event":"prepaid","key":"k","usd":"3"}\n')
    for words in (("plan", "p.yaml"), ("run", "p.yaml"), ("status",)):
        done = project.run(*words, "--json")
        assert (done.code, done.json["error"]["code"]) == (1, "journal_newer"), done.text
        assert '"prepaid"' in done.json["error"]["message"]
    journal.write_bytes(before + b'{"event":"prepaid","key":"k","informational":true}\n')
    assert project.run("plan", "p.yaml", "--check").code == 0


def test_a_replay_says_how_a_request_stands(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for name in ("submitting", "submitted"):
        journal.append(made(EVENTS[name], switch=True), "k", t="T", run="r")
    assert isinstance(journal.replay().state("k"), InFlight)
    assert journal.replay().state("other") == Idle()
