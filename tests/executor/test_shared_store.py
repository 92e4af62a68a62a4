"""Homes that share a store pay for each request once, whoever dies, pauses or loses an answer."""

import asyncio
import hashlib
import json
import os
import shutil
import signal

import pytest
from command_line import Project
from krea_server import GENERATE, ask, picture, send_answer, until
from money import STRANGER, check_paid_once, draw, inhabit, job_ids, kill, kill_at_post, lose_after_acting

from krea_pipe.store.remote.bucket import Bucket, open_bucket
from krea_pipe.store.remote.presence import SharedPresence

WORDS = ["a", "b", "c"]


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)
    inhabit(krea)


@pytest.fixture
def homes(tmp_path, krea):
    """Two homes with a folder each, and one store."""
    found = [Home(tmp_path / name, krea) for name in ("one", "two")]
    for home in found:
        home.path.mkdir()
        home.pipeline(WORDS)
    yield found
    for home in found:
        home.stop()


class Home(Project):
    """A project whose runs use the shared store, each in a process: obstore bears no fork after it is used."""

    @property
    def store(self):
        return self.path.parent / "store"

    def begin(self, *words, **env):
        shared = {"KREA_PIPE_REMOTE": self.store.as_uri(), **env}
        return self.start("run", "p.yaml", "--json", *words, env=shared)

    def end(self, *words, **env):
        return self.finish(self.begin(*words, **env))

    def claimed(self, event):
        """Whether the store has a line of an event."""
        lines = (self.store / "loopback/claims").rglob("0*")
        return any(json.loads(line.read_bytes())["data"]["line"]["event"] == event for line in lines)

    def names(self, folder):
        return sorted(path.name for path in (self.store / "loopback" / folder).rglob("*") if path.is_file())


def statuses(done):
    return {word: row["status"] for word, row in done.rows.items()}


def test_two_homes_at_once_pay_once_and_both_have_every_image(homes, krea):
    krea.world.latency = 0.3
    done = [home.finish(process) for home, process in [(home, home.begin()) for home in homes]]
    assert [one.code for one in done] == [0, 0], done
    for home in homes:
        check_paid_once(home, krea, WORDS)
    found = [statuses(one) for one in done]
    assert [sorted(one[word] for one in found) for word in WORDS] == [["reused", "succeeded"]] * 3
    assert sum(float(one.json["cost"]["spent_usd"]) for one in done) == pytest.approx(0.09)


def test_a_run_that_ends_while_another_looks_has_not_left_its_jobs(homes, krea, monkeypatch):
    """The second run has read the claims of the first, and then sees that this is alive no more."""
    krea.world.latency = 1e6
    one, two = homes
    process = one.begin()
    until(lambda: len(two.names("jobs")) == 3, "the jobs of the first home in the store")
    alive = SharedPresence.alive

    def alive_at_the_end(presence, *since):
        krea.finish_jobs()
        assert process.wait() == 0
        return alive(presence, *since)

    monkeypatch.setattr(SharedPresence, "alive", alive_at_the_end)
    seldom = {"KREA_PIPE_POLL_SECONDS": "2"}  # else the claim would read all again, and find the images
    done = two.run("run", "p.yaml", "--json", env={"KREA_PIPE_REMOTE": two.store.as_uri(), **seldom})
    assert (done.code, done.counts) == (0, (0, 0, 3)), done.text
    assert float(done.json["cost"]["spent_usd"]) == 0
    check_paid_once(two, krea, WORDS)


def test_a_job_of_a_killed_home_is_brought_in_by_another(homes, krea):
    krea.world.latency = 1e6
    one, two = homes
    process = one.begin()
    until(lambda: len(two.names("jobs")) == 3, "the jobs of the first home in the store")
    kill(process)
    krea.catch_up()
    krea.finish_jobs()
    done = two.end()
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    check_paid_once(two, krea, WORDS)


@pytest.mark.parametrize("acts", ["before", "never"])
def test_a_request_whose_home_was_killed_at_the_post_is_adopted_or_stays_uncertain(homes, krea, acts):
    one, two = homes
    kill_at_post(krea, one, "b", acts=acts)
    one.begin().wait()
    krea.rules.clear()
    draw(krea)
    krea.catch_up()
    krea.finish_jobs()
    done = two.end()
    assert statuses(done) == {"a": "succeeded", "b": "succeeded" if acts == "before" else "uncertain", "c": "succeeded"}
    assert len(job_ids(krea, "b")) == (acts == "before")
    if acts == "never":
        assert "may be paused" in done.rows["b"]["error"]["message"]
        assert one.end().code == 0  # its own home knows that its run is dead
        assert two.end().code == 0
    for home in homes:
        check_paid_once(home, krea, WORDS) if home is two or acts == "never" else None


@pytest.mark.parametrize("ends", [False, True])
def test_a_killed_home_names_its_job_when_it_runs_again(homes, krea, ends):
    """Without a name, a job is a stranger to other homes, and may be that of any of their lost answers."""
    one, _ = homes
    assert one.end(KREA_PIPE_REMOTE="").code == 0  # what a run leaves that is killed before it tells the store
    if not ends:
        journal = one.space / "journal.jsonl"
        lines = [json.dumps(line) for line in one.journal() if line["event"] in ("submitting", "submitted")]
        shutil.rmtree(one.home)
        one.space.mkdir(parents=True)
        journal.write_text("\n".join(lines) + "\n")
    assert one.names("jobs") == []
    assert one.end().code == 0
    assert one.names("jobs") == sorted(job for word in WORDS for job in job_ids(krea, word))
    check_paid_once(one, krea, WORDS)


def test_a_job_that_is_found_while_its_dead_run_seems_alive_is_adopted_later(homes, krea):
    """The store takes a killed run for alive for a minute: until then nothing is decided, nor forgotten."""
    one, _ = homes

    async def lose_and_hide(scope, seen, send, app):
        krea.hang("GET", "/jobs")
        await lose_after_acting(scope, seen, send, app)

    krea.rule("POST", GENERATE, lose_and_hide, text='"b"', times=1)
    krea.world.latency = 1e6
    process = one.begin()
    until(lambda: one.claimed("unanswered"), "the lost answer in the store")
    kill(process)
    krea.rules.clear()
    draw(krea)
    krea.finish_jobs()
    (beat,) = (one.store / "loopback/runs").iterdir()
    later = beat.stat().st_mtime + 2
    os.utime(beat, (later, later))
    assert statuses(one.end()) == dict.fromkeys(WORDS, "succeeded")
    check_paid_once(one, krea, WORDS)


def test_a_job_of_another_home_is_taken_although_an_earlier_run_may_have_sent_its_request(homes, krea):
    """A run that is killed before its claim leaves a request that only its own journal knows, and another run pays."""
    one, two = homes
    kill_at_post(krea, one, "b", acts="never")
    one.begin(KREA_PIPE_REMOTE="").wait()
    krea.rules.clear()
    draw(krea)
    inhabit(krea, STRANGER)
    inhabit(krea, STRANGER)
    krea.world.latency = 1e6
    two.pipeline(["b"])
    process = two.begin()
    until(lambda: len(two.names("jobs")) == 1, "the job of the other home in the store")
    kill(process)
    krea.catch_up()
    krea.finish_jobs()
    done = one.end()
    assert (done.code, statuses(done)) == (0, dict.fromkeys(WORDS, "succeeded")), done.text
    assert krea.billed_prompts() == sorted([*WORDS, STRANGER, STRANGER])


def test_a_lost_answer_is_settled_although_another_home_submits(homes, krea):
    homes[1].pipeline(["d", "e", "f"])
    krea.lose("POST", GENERATE, text='"b"', times=1)
    done = [home.finish(process) for home, process in [(home, home.begin()) for home in homes]]
    assert [one.code for one in done] == [0, 0], [done[0].text, done[1].text]
    assert krea.billed_prompts() == ["a", "b", "c", "d", "e", "f"]
    assert set(job_ids(krea, "b")) <= set(homes[0].names("jobs"))  # also one that no answer has named


def test_the_jobs_of_a_dead_home_leave_no_lost_answer_of_another_home_uncertain(homes, krea):
    one, two = homes
    krea.world.latency = 1e6
    process = two.begin()
    until(lambda: len(two.names("jobs")) == 3, "the jobs of the other home in the store")
    kill(process)
    krea.catch_up()
    krea.finish_jobs()
    one.pipeline(["d"])
    krea.lose("POST", GENERATE, text='"d"', times=1)
    done = one.end()
    assert (done.code, done.rows["d"]["adopted"]) == (0, True), done.text
    assert krea.billed_prompts() == [*WORDS, "d"]


def test_a_paused_home_that_wakes_up_pays_nothing_twice(homes, krea):
    one, two = homes
    krea.world.latency = 1e6
    process = one.begin()
    until(lambda: len(two.names("jobs")) == 3, "the jobs of the first home in the store")
    process.send_signal(signal.SIGSTOP)
    krea.catch_up()
    krea.finish_jobs()
    assert two.end().code == 0
    process.send_signal(signal.SIGCONT)
    assert one.finish(process).code == 0
    for home in homes:
        check_paid_once(home, krea, WORDS)


def test_a_run_shares_what_its_home_had_before(homes, krea):
    one, two = homes
    assert one.end(KREA_PIPE_REMOTE="").code == 0
    assert one.names("results") == []
    assert one.end().code == 0
    assert len(one.names("results")) == len(one.names("blobs")) == 3
    assert statuses(two.end()) == {"a": "reused", "b": "reused", "c": "reused"}
    check_paid_once(two, krea, WORDS)


def test_nothing_is_paid_while_the_store_is_down_unless_it_is_allowed(homes, krea):
    one, _ = homes
    down = {"KREA_PIPE_REMOTE": "s3://team/x", "AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_REGION": "x"}
    down |= {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "y"}
    done = one.end(**down)
    assert (done.code, krea.billed_prompts()) == (4, [])
    assert "nothing more is sent" in done.text
    assert one.end("--without-claims", **down).code == 0
    check_paid_once(one, krea, WORDS)


def test_a_store_that_may_only_be_read_is_not_written(homes, krea):
    one, two = homes
    assert one.end().code == 0
    before = {path: path.stat().st_mtime_ns for path in one.store.rglob("*")}
    two.pipeline([*WORDS, "d"])
    done = two.end(KREA_PIPE_REMOTE_MODE="read")
    assert statuses(done) == {"a": "reused", "b": "reused", "c": "reused", "d": "pending"}, done.text
    assert {path: path.stat().st_mtime_ns for path in one.store.rglob("*")} == before
    assert two.end("--without-claims", KREA_PIPE_REMOTE_MODE="read").code == 0
    assert krea.billed_prompts() == [*WORDS, "d"]


def test_what_is_not_signed_is_not_believed(homes, krea):
    one, two = homes
    secret = {"KREA_PIPE_REMOTE_SECRET": "a secret of the team"}
    one.pipeline(["a"])
    assert one.end().code == 0
    done = two.end(**secret)
    assert "is not signed" in done.rows["a"]["error"]["message"]
    assert krea.billed_prompts() == WORDS
    result = next((one.store / "loopback/results").iterdir())
    assert result.name in two.names("results")


def test_what_another_home_pushes_while_a_run_goes_on_is_not_paid_again(homes, krea):
    first, second = homes
    first.spawn("run", "p.yaml")
    assert krea.billed_prompts() == WORDS
    second.pipeline(["new", *WORDS])

    async def act(scope, seen, send, app):
        shared = {"KREA_PIPE_REMOTE": first.store.as_uri()}
        done = await asyncio.to_thread(first.spawn, "cache", "push", env=shared)
        assert done.code == 0, done.text
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, act, text='"new"', times=1)
    done = second.end("--submit-parallel", "1", "--concurrency", "1")
    assert (done.code, done.counts) == (0, (1, 0, 3)), done.text
    assert krea.billed_prompts() == [*WORDS, "new"]


def test_what_a_rule_of_the_bucket_has_deleted_is_read_from_krea_again(homes, krea):
    one, two = homes
    assert one.end().code == 0
    for folder in ("results", "blobs"):
        shutil.rmtree(one.store / "loopback" / folder)
    done = two.end()
    assert (done.code, statuses(done)) == (0, dict.fromkeys(WORDS, "succeeded")), done.text
    check_paid_once(two, krea, WORDS)


def test_a_claim_that_names_the_job_of_another_request_is_not_believed(homes, krea):
    one, two = homes
    done = one.end()
    for folder in ("results", "blobs"):
        shutil.rmtree(one.store / "loopback" / folder)
    lines = (one.path / "p.lock.jsonl").read_text().splitlines(keepends=True)
    two.write("p.lock.jsonl", next(line for line in lines if done.rows["a"]["key"] in line))
    (own,), (other,) = job_ids(krea, "b"), job_ids(krea, "a")
    for claim in (one.store / "loopback/claims" / done.rows["b"]["key"]).iterdir():
        claim.write_text(claim.read_text().replace(own, other))
    done = two.end()
    found, message = statuses(done), done.rows["b"]["error"]["message"]
    assert (done.code, found["a"], found["c"]) == (1, "succeeded", "succeeded"), done.text
    # Whether the job of "a" is known by then is a matter of time; neither way is "b" the image of "a", or paid again.
    if found["b"] == "failed":
        assert f"names job {other}, which is known here as the job of another request" in message
    else:
        assert found["b"] == "uncertain", done.text
    assert krea.billed_prompts() == WORDS


def change_results(home, change):
    """Change what every result in the store says."""
    for path in (home.store / "loopback/results").iterdir():
        record = json.loads(path.read_text())
        change(record["data"])
        path.write_text(json.dumps(record))


def plant(home, data):
    """Put an image into the store, and let every result name it."""
    digest = hashlib.sha256(data).hexdigest()
    (home.store / "loopback/blobs" / digest).write_bytes(data)
    change_results(home, lambda result: result.update(sha256=digest))


@pytest.mark.parametrize("data", [b"<html>", b"", picture(size=(256, 256))])
def test_what_is_not_an_image_of_the_request_is_fetched_from_krea(homes, krea, data):
    one, two = homes
    assert one.end().code == 0
    plant(one, data)
    done = two.end()
    assert done.code == 0, done.text
    check_paid_once(two, krea, WORDS)


def test_no_other_image_than_the_one_of_the_lock_file_is_taken(homes, krea):
    one, two = homes
    assert one.end().code == 0
    two.write("p.lock.jsonl", (one.path / "p.lock.jsonl").read_bytes())
    plant(one, one.image("a").read_bytes())
    done = two.end("--frozen")
    assert done.code == 0, done.text
    check_paid_once(two, krea, WORDS)


@pytest.mark.parametrize("price", ["NaN", "-5", "Infinity", "1e999999"])
def test_a_price_that_is_none_is_not_believed(homes, krea, price):
    one, two = homes
    assert one.end().code == 0
    change_results(one, lambda result: result.update(cost_usd=price))
    assert two.end().code == 0
    lines = (two.path / "p.lock.jsonl").read_text().splitlines()
    assert [json.loads(line)["price_usd"] for line in lines] == ["0.03"] * 3
    check_paid_once(two, krea, WORDS)


def test_a_store_that_lets_two_writers_create_the_same_object_is_not_paid_with(homes, krea, monkeypatch):
    bucket = open_bucket(homes[0].store.as_uri(), {})
    monkeypatch.setattr(Bucket, "create", lambda *_: True)
    assert "lets two writers create the same object" in SharedPresence(bucket, "run", 0.01).open()


@pytest.mark.parametrize("address", ["file://srv/krea", "file://srv", "file:///", "file:"])
def test_an_address_of_a_folder_that_names_a_host_or_no_folder_is_refused(homes, krea, address):
    done = homes[0].end(KREA_PIPE_REMOTE=address)
    assert (done.code, krea.posts) == (2, []), done.text


def test_a_named_budget_is_never_passed_by_all_runs_together(homes, krea):
    one, two = homes
    two.pipeline(["d", "e", "f"])
    words = ("--budget-name", "release", "--max-cost", "0.12")
    done = [home.finish(process) for home, process in [(home, home.begin(*words)) for home in homes]]
    codes = sorted(one.code for one in done)
    assert codes in ([0, 5], [5, 5]), [one.text for one in done]  # three images and one, or two and two
    assert len(krea.billed_prompts()) == 4
    entries = [json.loads((one.store / "loopback/budgets/release" / name).read_text()) for name in one.names("budgets")]
    assert sum(float(entry["data"]["taken"]) for entry in entries) == pytest.approx(0.12)
    differs = one.end("--budget-name", "release", "--max-cost", "0.5")
    assert differs.code in (0, 2)


def test_shards_share_a_named_budget_and_do_not_divide_it(homes, krea):
    """The budget of the file is not multiplied by the number of shards either: all cells would cost more."""
    for home in homes:
        home.pipeline([*WORDS, "d", "e", "f"], more="budget: {usd: 0.12}")
    words = ("--budget-name", "release", "--max-cost", "0.12")
    done = [home.end(*words, "--shard", f"{number}/2") for number, home in enumerate(homes, 1)]
    assert 5 in {one.code for one in done} <= {0, 5}, [one.text for one in done]
    assert len(krea.billed_prompts()) == 4
