"""The journal as several runs share it: who may send what, and what a claim is worth that comes too late."""

import threading
from contextlib import ExitStack
from dataclasses import replace
from decimal import Decimal

import pytest
from journal_lines import line_of

from krea_pipe.core.outcome import Result
from krea_pipe.store.events import name_of
from krea_pipe.store.journal import Journal
from krea_pipe.store.ledger import Busy, DrawnElsewhere, Free, JournalEntry, Ledger
from krea_pipe.store.lock import exclusive
from krea_pipe.store.presence import Presence
from krea_pipe.store.request_state import InFlight, Post

ORIGIN = "https://krea.example"
FACTS = {"origin": ORIGIN, "account": "acc", "usd": "0.03", "cell": "p/a", "began": "", "after": "", "before": ""}
RESULT = Result("0" * 64, "image/png", 64, 48, "job-1", Decimal("0.03"), "2026-01-01T00:00:00.000Z")


class Home:
    """A folder that runs share. Each is another object with what it has read, as it is in another process."""

    def __init__(self, folder):
        self.journal, self.presence = Journal(folder / "journal.jsonl"), Presence(folder / "running")
        self.lives, self.ledgers = {}, []

    def run(self, name, *, lives=True):
        """A run that has read the journal as it is now."""
        if lives:
            self.lives[name] = ExitStack()
            self.lives[name].enter_context(self.presence.shown(name))
        self.ledgers.append(Ledger(self.journal, self.presence, name, ORIGIN, self.journal.replay()))
        return self.ledgers[-1]

    def die(self, name):
        self.lives.pop(name).close()

    def lines(self, event):
        lines = self.journal.follow(replace(self.journal.replay(), size=0))
        return [line for line in lines if name_of(line.event) == event]

    def close(self):
        for name in list(self.lives):
            self.die(name)
        for ledger in self.ledgers:
            ledger.close()


@pytest.fixture
def home(tmp_path):
    home = Home(tmp_path)
    yield home
    home.close()


def write(ledger, event, key="k", **data):
    """Write a line that claims nothing."""
    ledger.commit([JournalEntry(line_of(event, key, run=ledger.run, **{**FACTS, **data}))])


def claim(ledger, event, *expected, key="k", only=None, **data):
    """Claim a request, and how it stood."""
    line = line_of(event, key, run=ledger.run, **{**FACTS, **data})
    job_id = data.get("job_id") if event == "adopted" else None
    return ledger.commit([JournalEntry(line, expected or (Free,), only, job_id)])[0]


def status_of(ledger, key="k"):
    ledger.refresh()
    return ledger.status(key)


def lose(home):
    """A run that has died after its answer was lost; how the request stands."""
    dead = home.run("dead", lives=False)
    claim(dead, "submitting")
    write(dead, "unanswered")
    return status_of(dead)


# --- claims


def test_of_two_runs_that_want_to_send_the_same_request_the_first_one_may(home):
    one, two = home.run("one"), home.run("two")
    assert claim(one, "submitting") == Free()
    assert claim(two, "submitting") == Busy("one")
    assert [line.run for line in home.lines("submitting")] == ["one"]


def test_of_many_runs_that_want_the_same_requests_at_once_one_gets_each(home):
    runs = [home.run(f"run-{number}") for number in range(4)]
    keys, got, start = [f"k{number}" for number in range(12)], [], threading.Barrier(len(runs))

    def work(ledger):
        start.wait(10)
        got.extend((key, ledger.run) for key in keys if claim(ledger, "submitting", key=key) == Free())
        ledger.close()

    threads = [threading.Thread(target=work, args=[ledger]) for ledger in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    home.ledgers.clear()
    assert sorted(key for key, _ in got) == sorted(keys)
    assert sorted(got) == sorted((line.key, line.run) for line in home.lines("submitting"))


def test_the_requests_of_a_run_that_lives_are_busy_and_those_of_a_dead_one_are_taken_over(home):
    first, second = home.run("first"), home.run("second")
    for key in ("open", "job"):
        claim(first, "submitting", key=key)
    write(first, "submitted", key="job", job_id="job-1")
    assert [status_of(second, key) for key in ("open", "job")] == [Busy("first")] * 2
    assert claim(second, "attached", InFlight, key="job", job_id="job-1") == Busy("first")
    home.die("first")
    assert isinstance(status_of(second, "open"), Post)
    assert isinstance(claim(second, "attached", InFlight, key="job", job_id="job-1"), InFlight)
    third = home.run("third")
    assert claim(third, "attached", InFlight, key="job", job_id="job-1") == Busy("second")
    assert len(home.lines("attached")) == 1


def test_what_another_run_has_drawn_since_is_used_and_what_this_one_has_is_free(home):
    one, two = home.run("one"), home.run("two")
    claim(one, "submitting")
    write(one, "submitted", job_id="job-1")
    write(one, "done", job_id="job-1", result=RESULT.to_json())
    assert claim(two, "submitting") == DrawnElsewhere(RESULT, "one")
    assert status_of(one) == Free()


def test_a_request_that_was_sent_to_another_api_is_free(home):
    one = home.run("one", lives=False)
    claim(one, "submitting", origin="https://elsewhere.example")
    two = home.run("two")
    assert claim(two, "submitting") == Free()


# --- verdicts on a lost answer


def resent_and_alive(home):
    other = home.run("other")
    claim(other, "cleared", Post)
    claim(other, "submitting")


def resent_and_dead(home):
    resent_and_alive(home)
    home.die("other")


def adopted_and_dead(home):
    claim(home.run("other", lives=False), "adopted", Post, job_id="job-1")


def drawn(home):
    other = home.run("other")
    claim(other, "adopted", Post, job_id="job-1")
    write(other, "done", job_id="job-1", result=RESULT.to_json())


@pytest.mark.parametrize(
    ("meanwhile", "found"),
    [(resent_and_alive, Busy), (resent_and_dead, Busy), (adopted_and_dead, InFlight), (drawn, DrawnElsewhere)],
)
@pytest.mark.parametrize("verdict", ["cleared", "adopted"])
def test_a_verdict_is_not_written_once_the_request_stands_differently(home, verdict, meanwhile, found):
    post = lose(home)
    slow = home.run("slow")
    assert status_of(slow) == post
    meanwhile(home)
    before, data = home.journal.replay(), {"job_id": "job-2"} if verdict == "adopted" else {}
    assert isinstance(claim(slow, verdict, Post, only=post, **data), found)
    assert home.journal.replay() == before
    assert (home.lines("submitting")[-1].run == "other") == (meanwhile in (resent_and_alive, resent_and_dead))


@pytest.mark.parametrize("verdict", ["cleared", "adopted"])
def test_of_two_runs_that_come_to_the_same_verdict_one_acts_on_it(home, verdict):
    post = lose(home)
    one, two = home.run("one"), home.run("two")
    data = {"job_id": "job-1"} if verdict == "adopted" else {}
    assert claim(one, verdict, Post, only=post, **data) == post
    assert claim(two, verdict, Post, only=post, **data) == (Free() if verdict == "cleared" else Busy("one"))
    assert len(home.lines(verdict)) == 1


def test_a_job_that_is_known_to_be_ours_is_not_adopted_for_another_request(home):
    post = lose(home)
    other, run = home.run("other"), home.run("run")
    claim(other, "submitting", key="another")
    write(other, "submitted", key="another", job_id="job-1")
    assert claim(run, "adopted", Post, only=post, job_id="job-1") == Busy("")
    assert (home.lines("adopted"), status_of(run)) == ([], post)
    assert claim(run, "adopted", Post, only=post, job_id="job-2") == post
    found = status_of(run)
    assert (found.job_id, found.adopted, found.run) == ("job-2", True, "run")


# --- what was sent again in place of a job


def send_again(home):
    """A job of a dead run whose image could not be fetched, and a run that has sent the request once more."""
    dead = home.run("dead", lives=False)
    claim(dead, "submitting")
    write(dead, "submitted", job_id="job-1")
    write(dead, "unfetched", job_id="job-1")
    run = home.run("run")
    assert claim(run, "submitting", Free, Post, InFlight).job_id == "job-1"
    return run


@pytest.mark.parametrize("event", [None, "unanswered"])
def test_a_request_that_is_sent_again_in_place_of_a_job_stands_as_its_post(home, event):
    run, other = send_again(home), home.run("other")
    if event is not None:
        write(run, event)
    assert (status_of(run).run, type(status_of(run))) == ("run", Post)
    assert status_of(other) == Busy("run")
    assert claim(other, "attached", InFlight, job_id="job-1") == Busy("run")
    home.die("run")
    assert status_of(other) == status_of(run)


@pytest.mark.parametrize("event", ["declined", "cleared"])
def test_the_job_stands_again_when_its_replacement_was_not_taken(home, event):
    run = send_again(home)
    write(run, event)
    assert status_of(run).job_id == "job-1"


def test_the_failure_of_a_job_that_was_replaced_does_not_end_the_new_one(home):
    run = send_again(home)
    write(run, "submitted", job_id="job-2")
    canceller = home.run("canceller", lives=False)
    write(canceller, "failed", job_id="job-1", code="cancelled")
    assert (status_of(run).job_id, home.journal.replay().failed) == ("job-2", {})
    write(canceller, "failed", job_id="job-2", code="nsfw")
    assert (status_of(run), home.journal.replay().failed) == (Free(), {"k": "nsfw"})


def test_a_failure_that_names_no_job_ends_the_one_in_flight(home):
    run = send_again(home)
    write(run, "submitted", job_id="job-2")
    write(run, "failed", code="nsfw")
    assert status_of(run) == Free()


# --- who is alive


def test_a_run_is_alive_until_it_ends_and_leaves_nothing_behind(home):
    home.run("one")
    home.run("two")
    assert home.presence.alive() == {"one", "two"}
    home.die("one")
    assert (home.presence.alive(), home.presence.is_alive("one")) == ({"two"}, False)
    assert [path.name for path in home.presence.folder.iterdir() if not path.name.endswith("-journal")] == ["two"]


@pytest.mark.parametrize("name", ["", ".", "..", "../running.lock", "never"])
def test_what_is_no_name_of_a_run_is_not_alive(home, name):
    home.run("one")
    with exclusive(home.presence.folder.with_name("running.lock")):
        assert not home.presence.is_alive(name)


def test_the_next_run_removes_what_dead_ones_have_left_and_no_more(home):
    home.run("alive")
    for name in ("dead", "empty"):
        file = home.presence.folder / f"20260101-000000-000-{name}-0a1b"
        file.write_bytes(b"" if name == "empty" else b"no lock at all")
    (home.presence.folder / "notes").write_bytes(b"of a person")
    home.run("next")
    assert {path.name.removesuffix("-journal") for path in home.presence.folder.iterdir()} == {"alive", "next", "notes"}
    assert home.presence.alive() == {"alive", "next"}


def test_a_run_that_is_just_being_born_is_not_taken_for_a_dead_one(home):
    """Many at once: each begins by removing what is dead."""
    start, alive = threading.Barrier(5), []

    def live(number):
        start.wait(10)
        for birth in range(60):
            name = f"run-{number}-{birth}"
            with home.presence.shown(name):
                alive.append(home.presence.is_alive(name))

    threads = [threading.Thread(target=live, args=[number]) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert alive == [True] * 300
