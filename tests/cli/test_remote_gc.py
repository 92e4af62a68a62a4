"""`krea-pipe gc --remote`: what no lock file, run or claim needs goes from the shared store, and nothing else does."""

import hashlib
import json
import os
import re
from decimal import Decimal

from command_line import shared

DAY = 24 * 60 * 60
PRICE = "0.03"


def drawn(project, store, words, name="p.yaml"):
    """Draw cells through the store; the keys by word."""
    project.pipeline(words, name=name)
    done = project.run("run", name, "--json", env=shared(store))
    assert done.code == 0, done.text
    return {word: row["key"] for word, row in done.rows.items()}


def unlocked(project):
    """Leave a lock file that names nothing."""
    for file in project.path.rglob("*.lock.jsonl"):
        file.write_text("")


def gc(project, store, *words, code=0, **more):
    done = project.run("gc", "--remote", "--json", *words, env=shared(store, **more))
    assert done.code == code, done.text
    return done.json


def objects(store, kind=""):
    top = store / "loopback"
    return {one.relative_to(top).as_posix(): one for one in (top / kind).rglob("*") if one.is_file()}


def aged(store, days=40, pattern=""):
    """Let objects have been written some days ago."""
    for name, file in objects(store).items():
        if re.search(pattern, name):
            at = file.stat().st_mtime - days * DAY
            os.utime(file, (at, at))


def names(store):
    return set(objects(store)) - {"format"}


def test_nothing_goes_unless_told_and_then_only_what_nothing_needs(project, elsewhere, store):
    old = drawn(project, store, ["a", "b"])
    aged(store)
    fresh = drawn(project, store, ["c"], name="fresh.yaml")
    unlocked(project)
    before, images = names(store), objects(store, "blobs")
    elsewhere.write("empty.lock.jsonl", "")
    dry = gc(elsewhere, store)
    assert (dry["deleted"], dry["results"], Decimal(dry["redraw_usd"])) == (
        False,
        sorted(old.values()),
        2 * Decimal(PRICE),
    )
    assert dry["kept_results"] == {"lock": 0, "run": 0, "shard": 0, "claim": 0, "recent": 1, "unreadable": 0}
    assert names(store) == before
    people = elsewhere.run("gc", "--remote", env=shared(store))
    assert people.out.endswith("Nothing was deleted. Add --delete to delete.\n")
    assert "Regenerating 2 images would cost $0.06." in people.out

    done = gc(elsewhere, store, "--delete")
    assert {**done, "deleted": False} == dry
    gone = before - names(store)
    assert {name.partition("/")[2] for name in gone if name.startswith("results/")} == set(old.values())
    assert sum(name.startswith("blobs/") for name in gone) == len(images) - 1 == 2
    assert {name.split("/")[1] for name in gone if name.startswith("claims/")} == set(old.values())
    assert not any(name.startswith("jobs/") for name in gone)
    assert {name for name in names(store) if fresh["c"] in name} == {name for name in before if fresh["c"] in name}


def test_what_a_lock_file_names_by_key_or_by_image_stays(project, elsewhere, store):
    keys = drawn(project, store, ["a", "b"])
    aged(store)
    lock = project.path / "p.lock.jsonl"
    line = next(one for one in lock.read_text().splitlines() if keys["a"] in one)
    folder = project.path / "repo"
    for field, other in (("key", keys["a"]), ("sha256", re.search(r'"sha256":\s*"(\w+)"', line)[1])):
        project.write("repo/x.lock.jsonl", line.replace(other, "0" * 64) + "\n")
        found = gc(elsewhere, store, str(folder))
        assert (found["results"], found["kept_results"]["lock"]) == ([keys["b"]], 1), field
        assert found["waste"]["images"]["count"] == 1
    assert gc(elsewhere, store)["results"] == sorted(keys.values())


def test_without_a_lock_file_nothing_is_deleted(project, elsewhere, store):
    drawn(project, store, ["a"])
    aged(store)
    before = names(store)
    done = gc(elsewhere, store, "--delete", code=1)
    assert (done["error"]["code"], names(store)) == ("no_locks", before)
    assert elsewhere.run("gc", "--remote", "nowhere", env=shared(store)).code == 2
    assert elsewhere.run("gc", "nowhere").code == 2


def test_what_a_run_of_this_home_or_a_claim_needs_stays(project, store):
    keys = drawn(project, store, ["a", "b"])
    unlocked(project)
    aged(store)
    assert gc(project, store)["kept_results"]["run"] == 2
    (project.home / "runs").rename(project.path / "moved")
    aged(store, -40, f"claims/{keys['a']}/0001")
    found = gc(project, store)
    assert (found["results"], found["kept_results"]["claim"]) == ([keys["b"]], 1)
    assert found["waste"]["claims"]["count"] == sum(
        keys["b"] in name for name in names(store) if name.startswith("claims")
    )


def test_claims_without_a_result_jobs_and_unknown_objects_are_never_deleted(project, store):
    keys = drawn(project, store, ["a", "b"])
    unlocked(project)
    (project.home / "runs").rename(project.path / "moved")
    objects(store)[f"results/{keys['a']}"].unlink()
    for name in ("notes.txt", "budgets/x/0001", f"claims/{keys['a']}x/0001", "results/none"):
        file = store / "loopback" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("x")
    aged(store, 400)
    before = names(store)
    found = gc(project, store, "--keep", "0d", "--delete")
    assert found["never_deleted"] == {"open_requests": 1, "jobs": 2, "unknown": 4}
    left = names(store)
    assert {name.partition("/")[0] for name in before - left} == {"claims", "results", "blobs"}
    assert not any(keys["b"] in name for name in left)
    assert [name for name in before - left if keys["a"] in name] == []


def test_what_a_shard_left_to_be_merged_keeps_its_images_until_it_is_old(project, elsewhere, store):
    project.pipeline(["a"])
    words = ("run", "p.yaml", "--json", "--shard", "1/1", "--run-name", "release")
    assert project.run(*words, env=shared(store)).code == 0
    unlocked(project)
    elsewhere.write("empty.lock.jsonl", "")
    aged(store)
    aged(store, -40, "shards/")
    found = gc(elsewhere, store, "--delete")
    assert (found["results"], found["kept_results"]["shard"], found["waste"]["shards"]["count"]) == ([], 1, 0)
    merge = ("merge", "--remote", "--run-name", "release", "--json")
    assert elsewhere.run(*merge, env=shared(store)).json["images_absent"] == []
    unlocked(elsewhere)
    aged(store)
    assert gc(elsewhere, store, "--keep", "0d", "--delete")["waste"]["shards"]["count"] == 1
    assert {name.partition("/")[0] for name in names(store)} == {"jobs"}


def test_nothing_is_deleted_while_the_run_of_a_shard_cannot_be_read(project, store):
    drawn(project, store, ["a"])
    file = store / "loopback/shards/release/20261130-220511-003-p-0000"
    file.parent.mkdir(parents=True)
    digest = hashlib.sha256(b"x").hexdigest()
    file.write_text(json.dumps({"data": {"sha256": digest}}) + "\nx")
    before = names(store)
    done = gc(project, store, "--delete", code=1)
    assert (done["error"]["code"], names(store)) == ("unreadable_run", before)


def test_old_claims_of_a_result_that_stays_go_and_the_image_is_not_paid_again(project, elsewhere, store, krea):
    keys = drawn(project, store, ["a"])
    aged(store)
    found = gc(project, store, "--delete")
    assert (found["results"], found["kept_results"]["lock"]) == ([], 1)
    assert {name.partition("/")[0] for name in names(store)} == {"results", "blobs", "jobs"}
    elsewhere.pipeline(["a"])
    assert elsewhere.run("run", "p.yaml", env=shared(store)).code == 0
    assert len(krea.posts) == 1
    assert objects(store)[f"results/{keys['a']}"].is_file()


def test_an_image_stays_while_a_result_that_stays_names_it(project, store):
    keys = drawn(project, store, ["a", "b"])
    unlocked(project)
    (project.home / "runs").rename(project.path / "moved")
    results = {word: objects(store)[f"results/{key}"] for word, key in keys.items()}
    shared = re.search(r'"sha256":"(\w+)"', results["a"].read_text())[1]
    results["b"].write_text(re.sub(r'"sha256":"\w+"', f'"sha256":"{shared}"', results["b"].read_text()))
    aged(store)
    aged(store, -40, f"results/{keys['b']}")
    found = gc(project, store, "--delete")
    assert found["results"] == [keys["a"]]
    assert set(objects(store, "blobs")) == {f"blobs/{shared}"}


def test_a_young_image_without_a_result_stays(project, store):
    drawn(project, store, ["a"])
    unlocked(project)
    (project.home / "runs").rename(project.path / "moved")
    for name in ("0" * 64, "1" * 64):
        (store / "loopback/blobs" / name).write_bytes(b"x")
    aged(store, 1, "blobs/1")
    gc(project, store, "--keep", "0d", "--delete")
    assert set(objects(store, "blobs")) == {f"blobs/{'0' * 64}"}


def test_a_result_that_cannot_be_read_stays_with_its_claims(project, store):
    keys = drawn(project, store, ["a"])
    unlocked(project)
    (project.home / "runs").rename(project.path / "moved")
    objects(store)[f"results/{keys['a']}"].write_text("{}")
    aged(store)
    found = gc(project, store, "--keep", "0d", "--delete")
    assert found["kept_results"]["unreadable"] == 1
    assert any(keys["a"] in name for name in names(store) if name.startswith("claims/"))


def test_nothing_is_deleted_while_a_run_of_another_home_goes_on(project, store):
    drawn(project, store, ["a"])
    unlocked(project)
    (project.home / "runs").rename(project.path / "moved")
    aged(store)
    beat = store / "loopback/runs/other-run"
    beat.parent.mkdir(exist_ok=True)
    beat.write_text("{}")
    before = names(store)
    assert gc(project, store)["alive"] == ["other-run"]
    done = gc(project, store, "--delete", code=1)
    assert (done["error"]["code"], names(store)) == ("runs_alive", before)
    aged(store, 40, "runs/")
    assert gc(project, store, "--delete")["waste"]["heartbeats"]["count"] == 1
    assert {name.partition("/")[0] for name in names(store)} == {"jobs"}


def test_a_store_that_may_only_be_read_is_looked_at(project, store):
    drawn(project, store, ["a"])
    before = names(store)
    assert gc(project, store, KREA_PIPE_REMOTE_MODE="read")["deleted"] is False
    assert gc(project, store, "--delete", KREA_PIPE_REMOTE_MODE="read", code=2)["error"]["code"] == "remote_read_only"
    assert names(store) == before
