"""`krea-pipe cache push`, `pull` and `ls --remote`: what one home has paid, another gets for nothing."""

import json
from decimal import Decimal

import pytest
from command_line import shared
from remote_servers import KEYS, free_ports

PRICE = "0.03"


def drawn(project, words=("a", "b")):
    """Draw cells without a store."""
    project.pipeline(words)
    assert project.run("run", "p.yaml", "--json").code == 0


def cache(project, store, *words, code=0, **more):
    done = project.run("cache", *words, "--json", env=shared(store, **more))
    assert done.code == code, done.text
    return done.json


def counts(done):
    return {state: count for state, count in done["counts"].items() if count}


def objects(store, kind):
    return sorted(one for one in (store / "loopback" / kind).rglob("*") if one.is_file())


def test_what_is_pushed_is_fetched_by_another_home_and_not_drawn_again(project, elsewhere, store, krea):
    drawn(project)
    sent = cache(project, store, "push")
    size = sum(one.stat().st_size for one in objects(store, "blobs"))
    assert (counts(sent), Decimal(sent["cost_usd"]), sent["bytes"]) == ({"sent": 2}, 2 * Decimal(PRICE), size)
    assert counts(cache(project, store, "push")) == {"present": 2}

    elsewhere.pipeline(["a", "b", "c"])
    got = cache(elsewhere, store, "pull", "p.yaml", KREA_API_KEY=None)
    assert (counts(got), got["bytes"]) == ({"fetched": 2, "absent": 1}, size)
    assert counts(cache(elsewhere, store, "pull", "p.yaml")) == {"present": 2, "absent": 1}
    assert elsewhere.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached"), "c": ("new", "new")}
    seen = len(krea.seen)
    done = elsewhere.run("run", "p.yaml", "-k", "not c", "--json", env={"KREA_API_KEY": None})
    assert (done.code, done.counts) == (0, (0, 0, 2))
    assert len(krea.seen) == seen
    assert elsewhere.image("a").read_bytes() == project.image("a").read_bytes()


def test_only_the_cells_of_the_file_are_pushed_or_pulled(project, elsewhere, store):
    drawn(project, ["a", "b", "c"])
    project.pipeline(["b", "new"], name="part.yaml")
    assert counts(cache(project, store, "push", "part.yaml")) == {"sent": 1}
    assert counts(cache(project, store, "push", "p.yaml", "-k", "a")) == {"sent": 1}
    assert len(objects(store, "results")) == 2
    elsewhere.pipeline(["a", "b"])
    assert counts(cache(elsewhere, store, "pull", "p.yaml", "-k", "b")) == {"fetched": 1}
    assert len(elsewhere.blobs()) == 1


def test_an_image_that_the_store_has_lost_is_pushed_again(project, store):
    drawn(project)
    cache(project, store, "push")
    lost = objects(store, "blobs")[0]
    lost.unlink()
    assert counts(cache(project, store, "push")) == {"sent": 1, "present": 1}
    assert lost.is_file()


def test_what_the_store_has_is_never_replaced(project, store):
    drawn(project, ["a"])
    (mine,) = project.events("done")
    cache(project, store, "push")
    (record,), (blob,) = objects(store, "results"), objects(store, "blobs")
    foreign = record.read_text().replace(mine["result"]["sha256"], "0" * 64)
    record.write_text(foreign)
    blob.unlink()
    assert counts(cache(project, store, "push")) == {"other": 1}
    assert (record.read_text(), objects(store, "blobs")) == (foreign, [])


def test_an_image_that_does_not_have_its_digest_is_not_taken(project, elsewhere, store):
    drawn(project, ["a"])
    cache(project, store, "push")
    (blob,) = objects(store, "blobs")
    blob.write_bytes(blob.read_bytes()[:-1])
    elsewhere.pipeline(["a"])
    done = elsewhere.run("cache", "pull", "p.yaml", env=shared(store))
    assert done.code == 1
    assert f"blobs/{blob.name} has different bytes in the shared store" in done.err
    assert elsewhere.blobs() == []
    assert elsewhere.plan()["a"] == ("new", "new")


def test_a_result_without_a_signature_is_not_taken_where_there_is_a_secret(project, elsewhere, store):
    drawn(project, ["a"])
    cache(project, store, "push")
    elsewhere.pipeline(["a"])
    done = elsewhere.run("cache", "pull", "p.yaml", env=shared(store, KREA_PIPE_REMOTE_SECRET="0123456789abcdef"))
    assert (done.code, elsewhere.blobs()) == (1, [])
    assert "is not signed" in done.err


def test_a_request_that_is_in_flight_here_is_left_to_a_run(project, elsewhere, store, krea):
    drawn(project, ["a"])
    cache(project, store, "push")
    elsewhere.pipeline(["a"])
    key = project.events("done")[0]["key"]
    line = {"event": "submitted", "key": key, "job_id": "j1", "origin": krea.base, "account": "x", "usd": PRICE}
    elsewhere.write(
        ".krea-pipe/loopback/journal.jsonl", json.dumps({"t": "2026-01-01T00:00:00Z", "run": "r", **line}) + "\n"
    )
    elsewhere.home.chmod(0o700)
    assert counts(cache(elsewhere, store, "pull", "p.yaml")) == {"in_flight": 1}


def test_the_list_has_the_newest_first_with_cells_and_totals(project, store):
    drawn(project, ["a"])
    cache(project, store, "push")
    drawn(project, ["a", "b"])
    cache(project, store, "push")
    old, *_ = sorted(objects(store, "results"), key=lambda one: one.stat().st_mtime)
    found = cache(project, store, "ls", "--remote", "--all")
    images = {one.name: one.stat().st_size for one in objects(store, "blobs")}
    assert found["total"] == {"results": 2, "images": 2, "bytes": sum(images.values())}
    assert [one["cells"] for one in found["images"]] == [["p/p/b"], ["p/p/a"]]
    assert found["images"][1]["key"] == old.name
    assert all(images[one["sha256"]] == one["bytes"] for one in found["images"])
    people = project.run("cache", "ls", "--remote", env=shared(store))
    assert people.out.splitlines()[1].split()[0] == "p/p/b"
    assert people.out.endswith(f"in {store.as_uri()}/loopback.\n")


def test_a_store_that_may_only_be_read_takes_nothing_and_gives(project, elsewhere, store):
    drawn(project, ["a"])
    done = project.run("cache", "push", env=shared(store, KREA_PIPE_REMOTE_MODE="read"))
    assert (done.code, objects(store, "")) == (2, [])
    assert "is read-only here, set by KREA_PIPE_REMOTE_MODE" in done.err
    cache(project, store, "push")
    before = objects(store, "")
    elsewhere.pipeline(["a"])
    assert counts(cache(elsewhere, store, "pull", "p.yaml", KREA_PIPE_REMOTE_MODE="read")) == {"fetched": 1}
    assert objects(store, "") == before


@pytest.mark.parametrize("words", [("push",), ("pull", "p.yaml"), ("ls", "--remote")])
def test_without_a_store_the_command_says_how_to_name_one(project, words):
    project.pipeline(["a"])
    done = project.run("cache", *words)
    assert (done.code, "no shared store is set" in done.err, "KREA_PIPE_REMOTE" in done.err) == (2, True, True)


COMMANDS = [("cache", "push"), ("cache", "pull", "p.yaml"), ("cache", "ls", "--remote"), ("gc", "--remote")]


@pytest.mark.parametrize("words", COMMANDS)
def test_a_store_that_is_down_is_told_in_words(project, words):
    project.pipeline(["a"])
    (port,) = free_ports(1)
    env = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "KREA_PIPE_REMOTE": "s3://bucket/x"}
    done = project.run(*words, env=env)
    first, hint = done.err.splitlines()
    assert (done.code, first.startswith("error: cannot "), "s3://bucket/x/loopback" in first) == (1, True, True)
    assert "krea-pipe doctor" in hint
