"""How runs end that something goes wrong in: nothing that Krea took is forgotten, and the next run's sums are right."""

import asyncio
import contextlib
import json
import os
import pty
import threading
from dataclasses import replace
from decimal import Decimal

import pytest
from krea_server import GENERATE, ask, send_answer, until
from money import inhabit

from krea_pipe.api.client import open_client
from krea_pipe.api.failures import BadImage
from krea_pipe.cli.progress import LineProgress
from krea_pipe.core.settings import LOCAL_PACE, Target, Token
from krea_pipe.executor.budget_ledger import BudgetLedger
from krea_pipe.executor.capacity import Capacity
from krea_pipe.executor.journal_writer import JournalWriter
from krea_pipe.executor.session import Session
from krea_pipe.executor.stop import Stop
from krea_pipe.store import cache, database
from krea_pipe.store.events import Declined
from krea_pipe.store.ledger import Ledger
from krea_pipe.store.lock import exclusive
from krea_pipe.store.space import open_space


def test_a_bug_in_one_request_lets_the_others_be_written_down(project, krea, monkeypatch):
    raised = threading.Event()

    def changed(self, settled, *, failed):
        if failed:
            raised.set()
            raise RuntimeError("a bug")

    monkeypatch.setattr(LineProgress, "changed", changed)
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"a"')
    project.pipeline(["a", "b"])

    async def slow(scope, seen, send, app):
        while not raised.is_set():
            await asyncio.sleep(0.01)
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, slow, text='"b"')
    done = project.run("run", "p.yaml", sane=False)
    assert done.code == 70
    assert len(project.events("submitted")) == 1
    assert list((project.home / "runs").glob("*/report.json"))


def test_a_terminal_that_closes_forgets_no_job(project, krea):
    krea.reset(latency=1e6)
    krea.mutate_job(lambda job: {**job, "status": "failed"} if job["completed_at"] else job, text="fail")
    project.pipeline(["fail", "b"])
    reader, writer = pty.openpty()
    process = project.start("run", "p.yaml", stderr=writer, env={"TERM": "xterm"})
    os.close(writer)
    until(lambda: len(project.events("submitted")) == 2)
    os.close(reader)
    krea.finish_jobs()
    assert process.wait(timeout=60) == 1
    process.stdout.close()
    assert (len(project.events("failed")), len(project.events("done"))) == (1, 1)
    assert list((project.home / "runs").glob("*/report.json"))


@pytest.mark.parametrize(
    "job", [b'{"job_id": "\\ud800", "status": "queued"}', b'{"job_id": "a\\u0000", "status": "x"}']
)
def test_a_job_without_a_name_is_looked_for_before_it_is_sent_again(project, krea, job):
    inhabit(krea)
    krea.answer("POST", GENERATE, 200, job, times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0
    tried = [attempt["event"] for attempt in done.rows["a"]["attempts"]]
    assert tried == ["unanswered", "not_taken", "submitted", "done"]
    assert krea.billed_prompts() == ["a"]


def test_a_wait_that_is_no_time_is_no_wait(project, krea):
    wait = {"retry-after": "1 Jan 1 1:1:99999999999999999999 GMT"}
    krea.answer("POST", GENERATE, 429, {"error": "full"}, headers=wait, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0


def test_an_address_that_can_not_be_printed_is_no_address(project, krea):
    krea.mutate_job(lambda job: {**job, "result": {"urls": ["https://x/\ud800"]}})
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--json").rows["a"]["error"]["code"] == "image_unfetched"


def session_of(space, journal_writer=None):
    shared = {"pace": LOCAL_PACE, "stop": Stop(), "capacity": Capacity(1), "budget": BudgetLedger()}
    return Session(None, space, journal_writer, "run", "p", "origin", "account", **shared)


def test_what_waits_for_the_disk_is_written_when_a_run_is_left(tmp_path):
    written, submit_gate = [], threading.Event()

    def write(number):
        submit_gate.wait(30)
        written.append(number)

    async def leave():
        session = session_of(open_space(tmp_path, "live"))
        for number in range(64):
            asyncio.get_running_loop().create_task(session.shielded(lambda number=number: write(number)))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(submit_gate.set)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(leave())
    assert sorted(written) == list(range(64))


def test_lines_that_wait_for_the_disk_are_written_when_a_run_is_left(tmp_path):
    space, keys = open_space(tmp_path, "live"), [f"k{number}" for number in range(64)]

    async def leave():
        journal_writer = JournalWriter(Ledger(space.journal, space.presence, "run", "origin", space.journal.replay()))
        session = session_of(space, journal_writer)
        with contextlib.closing(journal_writer), exclusive(space.journal.path.with_name("journal.lock")):
            journal_writer.start()
            tasks = [asyncio.create_task(session.record(Declined(code="x"), key)) for key in keys]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not space.journal.path.exists()

    asyncio.run(leave())
    lines = [json.loads(line) for line in space.journal.path.read_text().splitlines()]
    assert [(line["event"], line["key"], line["run"]) for line in lines] == [("declined", key, "run") for key in keys]


def test_damage_that_the_stamp_hides_is_found_and_the_image_read_again(project, krea):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    (blob,) = (path for path in (project.space / "blobs").glob("*/*"))
    stat = blob.stat()
    blob.write_bytes(b"X" + blob.read_bytes()[1:])
    os.utime(blob, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (project.path / "out/p/a.png").unlink()
    assert project.run("run", "p.yaml", "--json").rows["a"]["error"]["code"] == "image_damaged"
    assert project.run("run", "p.yaml").code == 0
    assert (project.image("a").exists(), len(krea.posts)) == (True, 1)


def test_what_a_killed_run_paid_stands_in_the_next_report(project, krea):
    krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None}, text="b")
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml")
    until(lambda: project.events("done") and len(project.events("submitted")) == 2)
    process.kill()
    process.communicate(timeout=60)
    krea.rules.clear()
    done = project.run("run", "p.yaml", "--json")
    assert (Decimal(done.json["cost"]["spent_usd"]), Decimal(done.json["cost"]["saved_usd"])) == (Decimal("0.06"), 0)
    assert "wrote no report" in done.rows["a"]["reason"]
    again = project.run("run", "p.yaml", "--json")
    assert (Decimal(again.json["cost"]["spent_usd"]), Decimal(again.json["cost"]["saved_usd"])) == (0, Decimal("0.06"))


def test_an_image_that_can_not_be_put_in_place_is_still_reported(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    process = project.start("run", "p.yaml", "--json")
    until(lambda: project.events("submitted"))
    (project.path / "out/p/a.png").mkdir()
    krea.finish_jobs()
    done = project.finish(process)
    assert (done.code, done.rows["a"]["error"]["code"], done.rows["a"]["image"]) == (1, "file_in_the_way", None)
    assert Decimal(done.json["cost"]["spent_usd"]) == Decimal("0.03")
    (project.path / "out/p/a.png").rmdir()
    assert project.run("run", "p.yaml", "--json").json["cells"]["reused"] == 1
    assert len(krea.posts) == 1


def test_an_image_that_never_comes_can_be_given_up(project, krea):
    krea.image(b"", status=404)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 1
    assert "--uncertain resubmit" in project.run("run", "p.yaml").text
    krea.rules.clear()
    krea.image(b"", status=404, times=0)
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (done.code, len(krea.posts)) == (0, 2)
    assert "could not be fetched" in done.rows["a"]["reason"]


def test_a_lost_answer_is_not_forgotten_when_the_next_try_is_declined(project, krea):
    krea.single_reads()
    krea.lose("POST", GENERATE, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--json").rows["a"]["status"] == "uncertain"
    krea.answer("POST", GENERATE, 422, {"error": "no"})
    done = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (done.rows["a"]["error"]["code"], len(krea.posts)) == ("rejected", 2)
    assert project.plan()["a"][0] == "hold"


def test_a_cache_in_use_is_not_called_damaged(project, monkeypatch):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    for module in (cache, database):
        monkeypatch.setattr(module, "BUSY_SECONDS", 0.1)
    with contextlib.closing(cache.sqlite3.connect(project.space / "facts/cache.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        error = project.run("plan", "p.yaml", "--json").json["error"]
    assert error["code"] == "cache_busy"
    assert "move" not in error["hint"]


def test_a_proxy_does_not_get_what_stays_on_this_machine(project, krea):
    project.pipeline(["a"])
    proxies = dict.fromkeys(("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"), "http://127.0.0.1:1")
    assert project.spawn("run", "p.yaml", env=proxies).code == 0


@pytest.mark.parametrize("url", ["http://localhost:1/x.png", "https://127.0.0.1:1/x.png", "http://krea.example/x.png"])
def test_an_api_elsewhere_can_not_have_this_machine_called(url):
    target = Target("live", "https://api.krea.ai", "live", lasting=True)

    async def fetch():
        async with open_client(target, Token("secret")) as client:
            assert not replace(client).allowed.here
            await client.download(url)

    with pytest.raises(BadImage, match="neither https nor on this machine"):
        asyncio.run(fetch())
