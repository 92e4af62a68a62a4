"""Images that only the lock file or the cache knows are read from Krea before anything is bought for them."""

import json
import shutil
from collections import Counter
from decimal import Decimal

import pytest
from krea_server import until
from lost_images import (
    AGAIN,
    delete,
    delete_folder,
    delete_folder_and_facts,
    edit_journal,
    is_gone,
    kill_while_read,
    lose_files,
    money,
)
from money import drop, inhabit, kill

LOCKED = ("fetch", "accepted in the lock file and missing locally; fetched again if Krea still has it")


@pytest.fixture
def drawn(project, krea):
    """A project whose two images are drawn, paid and reported."""
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    return project


def lose_home(project):
    lose_files(project)
    shutil.rmtree(project.home)


def edit_lock(project, **changes):
    """Change every line of the lock file."""
    file = project.path / "p.lock.jsonl"
    lines = [{**json.loads(line), **changes} for line in file.read_text().splitlines()]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("words", [(), ("--frozen",), ("--max-cost", "0")])
def test_what_the_lock_file_names_is_read_and_not_bought(drawn, krea, words):
    locked = (drawn.path / "p.lock.jsonl").read_bytes()
    lose_home(drawn)
    assert set(drawn.plan().values()) == {LOCKED}
    assert "2 fetched from Krea for $0.00 to $0.06" in drawn.run("plan", "p.yaml").out
    done = drawn.run("run", "p.yaml", "--json", *words)
    assert (done.code, done.counts, money(done)) == (0, (2, 0, 0), (0, 0)), done.text
    assert (done.json["lock"]["drifted"], krea.billed_prompts()) == ([], ["a", "b"])
    assert (drawn.path / "p.lock.jsonl").read_bytes() == locked
    assert set(drawn.plan().values()) == {("reuse", "cached")}
    delete_folder(drawn)
    assert set(drawn.plan().values()) == {AGAIN}
    assert drawn.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert krea.billed_prompts() == ["a", "b"]


def test_a_job_of_the_lock_file_that_is_gone_is_bought_by_the_same_run(drawn, krea):
    lose_home(drawn)
    is_gone(krea)
    plan = drawn.run("plan", "p.yaml", "--json").json
    assert (plan["price_usd"], plan["at_most_usd"], plan["totals"]["fetch"]["at_most_usd"]) == ("0.00", "0.06", "0.06")
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, money(done)) == (0, (2, 0, 0), (Decimal("0.03"), 0)), done.text
    assert (done.json["lock"]["drifted"], krea.billed_prompts()) == (["p/a"], ["a", "a", "b"])
    assert len(krea.calls("GET", f"/jobs/{drawn.events('failed')[0]['job_id']}")) == 2
    (post,) = drawn.events("submitting")
    assert post["known_since"], "the list was not read before the POST, so that a lost answer could not be settled"
    krea.rules.clear()
    assert drawn.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}


@pytest.mark.parametrize(("words", "code"), [(("--max-cost", "0.01"), 5), (("--max-new", "0"), 5)])
def test_what_krea_has_no_longer_is_not_bought_beyond_a_limit(drawn, krea, words, code):
    lose_home(drawn)
    is_gone(krea)
    done = drawn.run("run", "p.yaml", "--json", *words)
    assert (done.code, done.counts, done.json["error"]["code"]) == (code, (1, 0, 0), "limit_reached"), done.text
    assert krea.billed_prompts() == ["a", "b"]


def test_what_krea_has_no_longer_is_not_bought_without_a_cap(drawn, krea):
    lose_home(drawn)
    is_gone(krea)
    drawn.pipeline(["a", "b"], more="")
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, done.rows["a"]["error"]["code"]) == (1, (1, 1, 0), "no_cap"), done.text
    assert krea.billed_prompts() == ["a", "b"]
    drawn.pipeline(["a", "b"])
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)


def test_a_frozen_run_pays_for_nothing_unless_that_is_allowed(drawn, krea):
    lose_home(drawn)
    is_gone(krea)
    done = drawn.run("run", "p.yaml", "--json", "--frozen")
    error = done.rows["a"]["error"]
    assert (done.code, done.counts, error["code"], money(done)) == (8, (1, 1, 0), "render_not_allowed", (0, 0))
    assert "Krea no longer has job" in error["message"]
    assert "--allow-render" in error["message"]
    assert drawn.plan()["a"] == ("new", "failed before: job_gone")
    calls = len(krea.seen)
    done = drawn.run("run", "p.yaml", "--json", "--frozen", env={"KREA_API_KEY": None})
    assert (done.code, done.rows["a"]["error"]["code"], len(krea.seen)) == (8, "render_not_allowed", calls)
    done = drawn.run("run", "p.yaml", "--json", "--frozen", "--allow-render")
    assert (done.code, done.counts, done.json["lock"]["drifted"]) == (8, (1, 0, 1), ["p/a"])
    assert krea.billed_prompts() == ["a", "a", "b"]


def test_a_frozen_run_does_not_send_a_request_again_whose_answer_was_lost(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    lock = (project.path / "p.lock.jsonl").read_bytes()
    lose_home(project)
    (project.path / "p.lock.jsonl").unlink()
    krea.reset()
    inhabit(krea)
    drop(krea)
    process = project.start("run", "p.yaml")
    until(lambda: project.events("unanswered"))
    kill(process)
    (project.path / "p.lock.jsonl").write_bytes(lock)
    before = krea.billed_prompts()
    done = project.run("run", "p.yaml", "--json", "--frozen")
    assert (done.rows["a"]["error"]["code"], krea.billed_prompts()) == ("render_not_allowed", before), done.text
    assert project.run("run", "p.yaml", "--json", "--frozen", "--allow-render").counts == (1, 0, 0)


def test_allow_render_belongs_to_frozen(drawn):
    done = drawn.run("run", "p.yaml", "--allow-render")
    assert (done.code, "--allow-render needs --frozen" in done.err) == (2, True)


def test_jobs_that_krea_does_not_have_are_asked_for_twice_each(project, krea):
    """The list is read a few times for all of them."""
    words = [f"w{number}" for number in range(60)]
    project.pipeline(words)
    assert project.run("run", "p.yaml").code == 0
    lose_home(project)
    krea.reset()
    done = project.run("run", "p.yaml", "--json", "--frozen")
    assert (done.code, done.counts) == (8, (0, 60, 0))
    reads = Counter(call.path for call in krea.calls("GET", "/jobs/"))
    assert (len(reads), set(reads.values())) == (60, {2})
    assert len(krea.calls("GET", "/jobs")) - len(krea.calls("GET", "/jobs/")) < 10


def test_an_image_with_another_digest_than_the_lock_file_names_is_discarded(drawn, krea):
    lose_home(drawn)
    edit_lock(drawn, sha256="0" * 64)
    for _ in range(2):
        done = drawn.run("run", "p.yaml", "--json")
        error = done.rows["a"]["error"]
        assert (done.code, error["code"], drawn.blobs(), money(done)) == (1, "image_gone", [], (0, 0))
        assert "different digest from the accepted one" in error["message"]
    assert krea.billed_prompts() == ["a", "b"]
    assert drawn.run("run", "p.yaml", "--json", "--uncertain", "resubmit").counts == (2, 0, 0)


def test_a_run_that_was_killed_while_it_read_what_is_locked_costs_nothing(drawn, krea):
    lose_home(drawn)
    kill_while_read(drawn, krea)
    (drawn.path / "p.lock.jsonl").unlink()
    states = [work["state"] for work in drawn.run("status", "--json").json["in_flight"]]
    assert (len(states), set(states)) == (len(drawn.events("attached")), {"in flight"})
    done = drawn.run("run", "p.yaml", "--json", "-k", "a")
    assert (done.code, money(done), krea.billed_prompts()) == (0, (0, 0), ["a", "b"])


def test_a_line_of_another_api_or_request_is_not_asked_for(drawn, krea):
    lose_home(drawn)
    before = (drawn.path / "p.lock.jsonl").read_text()
    spaces = [{"space": name} for name in ("", "live", "host-krea.example")]
    for changes in (*spaces, {"key": "0" * 64}, {"job_id": ""}, {"job_id": ".."}):
        (drawn.path / "p.lock.jsonl").write_text(before)
        edit_lock(drawn, **changes)
        assert set(drawn.plan().values()) == {("new", "new")}, changes
    assert set(drawn.plan("--local").values()) == {("new", "new")}


def test_a_job_that_the_journal_knows_of_another_api_is_not_asked_for_by_the_lock_file(drawn):
    delete(drawn)
    edit_journal(drawn, lambda line: {**line, "origin": "http://localhost:9"} if "origin" in line else line)
    assert (drawn.path / "p.lock.jsonl").exists()
    assert drawn.plan()["a"][0] == "new"


def test_a_job_of_another_request_is_not_asked_for(drawn):
    """A line that somebody has changed: no job counts for two requests."""
    drawn.pipeline(["a", "b", "c"])
    cells = {cell["id"]: cell["key"] for cell in drawn.run("plan", "p.yaml", "--json").json["cells"]}
    lock = drawn.path / "p.lock.jsonl"
    line = json.loads(lock.read_text().splitlines()[0])
    lock.write_text(lock.read_text() + json.dumps({**line, "id": "p/c", "key": cells["p/c"]}) + "\n")
    assert drawn.plan()["c"] == ("new", "new")


def test_a_lost_proof_is_drawn_again(project):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--local").code == 0
    shutil.rmtree(project.home / "local/blobs")
    (project.home / "local/journal.jsonl").unlink()
    assert project.plan("--local")["a"] == ("new", "stored image missing or damaged")
    assert project.run("run", "p.yaml", "--local").code == 0


def test_what_the_cache_alone_knows_is_read_again(drawn, krea):
    delete_folder(drawn)
    (drawn.path / "p.lock.jsonl").unlink()
    (drawn.space / "journal.jsonl").unlink()
    assert drawn.plan()["a"] == AGAIN
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, money(done)) == (0, (2, 0, 0), (0, 0))
    assert krea.billed_prompts() == ["a", "b"]


def test_a_job_whose_first_line_is_damaged_is_read_again(drawn, krea):
    delete_folder_and_facts(drawn)
    (drawn.path / "p.lock.jsonl").unlink()
    edit_journal(drawn, lambda line: {**line, "job_id": None} if line["event"] == "submitted" else line)
    assert drawn.plan()["a"] == AGAIN
    assert drawn.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert krea.billed_prompts() == ["a", "b"]


def test_explain_says_what_is_read_again(drawn):
    lose_home(drawn)
    done = drawn.run("explain", "p.yaml", "a", "--json").json
    assert (done["action"], done["reason"]) == LOCKED
