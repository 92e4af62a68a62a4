"""What is stored is checked before it is served, and what is lost is found in the journal, not bought again."""

import json
import os
import shutil
import sqlite3
from contextlib import closing

import diskcache
import pytest
from krea_server import picture
from money import change_list, job_ids

from krea_pipe.core.contract import SIZES

AGAIN = "stored image missing or damaged; fetched again if Krea still has it"


@pytest.fixture
def drawn(project):
    """A project whose two images are drawn and paid."""
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    return project


def blob_of(project, word):
    digest = project.run("run", "p.yaml", "--json").rows[word]["sha256"]
    return project.space / "blobs" / digest[:2] / digest


def truncated(path):
    path.write_bytes(path.read_bytes()[:40])


def deleted(path):
    path.unlink()


def zeroed(path):
    path.write_bytes(b"")


def corrupted(path):
    """The same size, another byte, another time of change."""
    data = bytearray(path.read_bytes())
    data[30] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("damage", [truncated, corrupted, deleted, zeroed])
def test_a_damaged_image_is_noticed_and_read_again(drawn, krea, damage):
    blob = blob_of(drawn, "a")
    damage(blob)
    assert drawn.plan()["a"] == ("fetch", "stored image missing or damaged; copied from out/p/a.png")
    drawn.image("a").unlink()
    assert drawn.plan() == {"a": ("fetch", AGAIN), "b": ("reuse", "cached")}
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (1, 0, 1))
    assert krea.billed_prompts() == ["a", "b"]
    assert drawn.plan()["a"] == ("reuse", "cached")
    assert drawn.run("run", "p.yaml", "--json").counts == (0, 0, 2)


def test_an_image_drawn_again_by_a_killed_run_is_not_drawn_a_third_time(drawn, krea):
    """The cache still names the old, damaged image; the journal names the new one."""
    facts = drawn.space / "facts" / "cache.db"
    before = facts.read_bytes()
    blob_of(drawn, "a").unlink()
    drawn.image("a").unlink()
    krea.answer("GET", f"/jobs/{job_ids(krea, 'a')[0]}", 404, {"error": "Job not found"})
    gone = job_ids(krea, "a")
    change_list(krea, lambda jobs: [job for job in jobs if job["job_id"] not in gone])
    assert drawn.run("run", "p.yaml").code == 0
    krea.rules.clear()
    facts.write_bytes(before)
    assert drawn.plan()["a"] == ("reuse", "cached")
    assert drawn.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 3


@pytest.mark.parametrize("lost", ["a.png", "a.png b.png", ""])
def test_a_lost_output_file_is_written_again_for_nothing(drawn, krea, lost):
    images = {name: (drawn.path / "out/p" / name).read_bytes() for name in ("a.png", "b.png")}
    for name in lost.split():
        (drawn.path / "out/p" / name).unlink()
    if not lost:
        (drawn.path / "out/p/a.png").write_bytes(b"")
    done = drawn.run("run", "p.yaml", "--json", env={"KREA_API_KEY": None})
    assert (done.code, done.counts, len(krea.posts)) == (0, (0, 0, 2), 2)
    assert {name: (drawn.path / "out/p" / name).read_bytes() for name in images} == images
    assert "output rewritten" in done.rows["a"]["reason"]


def emptied(facts):
    connection = sqlite3.connect(facts)
    connection.execute("DELETE FROM Cache")
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [emptied, zeroed, deleted],
    ids=["rows", "zero", "gone"],
)
def test_a_lost_database_buys_nothing(drawn, krea, damage):
    damage(drawn.space / "facts" / "cache.db")
    assert drawn.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, len(krea.posts)) == (0, (0, 0, 2), 2)
    drawn.write("p.yaml", (drawn.path / "p.yaml").read_text().replace("{{ w }}", "{{ w }} again"))
    assert set(drawn.plan().values()) == {("new", "prompt changed")}, "the results were not kept as facts again"


@pytest.mark.parametrize("data", [b"garbage" * 4000, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_garbled_database_stops_everything_before_it_costs(drawn, krea, data):
    facts = drawn.space / "facts"
    (facts / "cache.db").write_bytes(data)
    drawn.pipeline(["a", "b", "c"])
    for command in ("plan", "run"):
        done = drawn.run(command, "p.yaml", "--json")
        assert (done.code, done.json["error"]["code"]) == (1, "cache_damaged"), done.text
    assert "journal" in done.json["error"]["hint"]
    assert len(krea.posts) == 2
    facts.rename(drawn.path / "away")
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 2)


def rewritten(facts, change):
    """Write the fact of each result in another form."""
    with closing(sqlite3.connect(facts)) as database, database:
        for name, text in database.execute("SELECT key, value FROM Cache WHERE key LIKE 'result:%'").fetchall():
            fact = change(json.loads(text))
            data = fact if isinstance(fact, bytes) else json.dumps(fact).encode()
            database.execute("UPDATE Cache SET value = ? WHERE key = ?", (data, name))


@pytest.mark.parametrize(
    "change",
    [
        lambda fact: json.dumps(fact, separators=(",", ":")).encode(),
        lambda fact: fact,
        lambda fact: dict(reversed(fact.items())),
        lambda fact: {name: value for name, value in fact.items() if name not in ("likeness", "stamp", "request")},
        lambda fact: {**fact, "added": [{"stamp": [1, 2]}]},
    ],
    ids=["as-written", "spaces", "order", "earlier", "later"],
)
def test_a_result_is_read_in_whichever_form_a_version_wrote_it(drawn, krea, change):
    before = blob_of(drawn, "a")
    rewritten(drawn.space / "facts" / "cache.db", change)
    (drawn.space / "journal.jsonl").unlink()
    assert drawn.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, len(krea.posts)) == (0, (0, 0, 2), 2)
    assert blob_of(drawn, "a") == before


@pytest.mark.parametrize(
    "change",
    [
        lambda fact: {**fact, "sha256": fact["sha256"].upper()},
        lambda fact: {**fact, "mime": "text/html"},
        lambda fact: {**fact, "cost_usd": "-1"},
        lambda fact: {**fact, "width": "wide"},
        lambda fact: json.dumps(fact, separators=(",", ":")).encode().replace(b'"width":', b'"width":0'),
        lambda fact: json.dumps(fact, separators=(",", ":")).encode()[:-1],
    ],
    ids=["digest", "type", "price", "size", "number", "cut"],
)
def test_what_is_no_result_is_not_taken_for_one(drawn, change):
    rewritten(drawn.space / "facts" / "cache.db", change)
    assert drawn.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}  # the journal has them
    (drawn.space / "journal.jsonl").unlink()
    shutil.rmtree(drawn.path / "out")
    assert not {action for action, _ in drawn.plan().values()} & {"reuse"}


def test_few_results_of_many_are_found(project, krea):
    """A plan reads the facts in their order, and looks for those that are few by their names."""
    project.pipeline("abcdefghijkl")
    assert project.run("run", "p.yaml").code == 0
    assert project.plan() == dict.fromkeys("abcdefghijkl", ("reuse", "cached"))
    project.pipeline("dz")
    (project.space / "journal.jsonl").unlink()
    assert project.plan() == {"d": ("reuse", "cached"), "z": ("new", "new")}
    assert project.run("run", "p.yaml", "--json").counts == (1, 0, 1)
    assert len(krea.posts) == 13


def test_a_lost_journal_buys_nothing(drawn, krea):
    (drawn.space / "journal.jsonl").unlink()
    assert drawn.run("run", "p.yaml", "--json").counts == (0, 0, 2)
    assert len(krea.posts) == 2


def test_a_file_of_someone_else_is_not_replaced(project, krea):
    project.pipeline(["a"])
    mine = project.write("out/p/a.png", picture(seed="mine"))
    before = mine.read_bytes()
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "file_in_the_way")
    assert mine.read_bytes() == before
    assert krea.seen == []
    assert project.run("run", "p.yaml", "--out", "elsewhere").code == 0
    assert (project.path / "elsewhere" / "a.png").is_file()


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
def test_images_without_marks_are_known_after_a_crash(project, krea, form):
    """A killed run could not keep what it had written; only PNGs can carry a mark."""
    krea.image(picture(form, size=SIZES["1:1"]))
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    (project.space / "facts" / "cache.db").unlink()
    assert project.run("run", "p.yaml", "--json").counts == (0, 0, 1)


def test_proofs_and_images_never_mix(project, krea):
    krea.real_images = True
    project.pipeline(["a"])
    live = project.run("run", "p.yaml", "--out", "same", "--json")
    assert live.code == 0
    real = project.image("a", "same").read_bytes()
    proof = project.run("run", "p.yaml", "--local", "--out", "same", "--json")
    assert (proof.code, proof.json["error"]["code"]) == (2, "file_in_the_way")
    assert project.image("a", "same").read_bytes() == real
    assert project.plan("--local")["a"] == ("new", "new")
    assert project.run("run", "p.yaml", "--local", "--json").counts == (1, 0, 0)
    assert project.image("a", "proofs/p").is_file()
    project.image("a", "same").write_bytes(project.image("a", "proofs/p").read_bytes())
    again = project.run("run", "p.yaml", "--out", "same", "--json")
    assert (again.code, again.json["error"]["code"]) == (1, "file_in_the_way")
    (project.path / "same" / "a.png").unlink()
    project.pipeline(["b"])
    assert project.run("run", "p.yaml", "--local").code == 0
    assert project.plan()["b"] == ("new", "new"), "a proof was taken for a real image"
    assert len(krea.posts) == 1


def test_stores_of_other_addresses_do_not_mix(project):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    for base in (None, "https://api.krea.example"):
        assert project.plan(env={"KREA_API_BASE": base})["a"] == ("new", "new")


def test_two_files_of_one_name_do_not_replace_each_other_s_images(project, krea):
    project.pipeline(["a"], more="name: same")
    project.pipeline(["a"], name="q.yaml", more="name: same\nbudget: {usd: 5}\ndefaults: {seed: 2}")
    assert project.run("run", "p.yaml", "--max-cost", "5").code == 0
    done = project.run("run", "q.yaml", "--json")
    assert (done.code, done.json["error"]["code"], len(krea.posts)) == (2, "file_in_the_way", 1)
    (project.path / "p.yaml").unlink()  # moved or removed: then the folder is the other's
    assert project.run("run", "q.yaml").code == 0


# --- the database of facts


def test_diskcache_and_krea_pipe_read_and_replace_what_the_other_has_written(drawn, krea):
    with diskcache.Cache(str(drawn.space / "facts")) as cache:
        facts = {name: json.loads(cache[name]) for name in cache}
        results = [name for name in facts if name.startswith("result:")]
        assert (len(results), len(cache), cache.check()) == (2, len(facts), [])
        for name, fact in facts.items():
            cache[name] = json.dumps(fact, indent=1).encode()
    drawn.pipeline(["b", "c"])
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)
    with diskcache.Cache(str(drawn.space / "facts")) as cache:
        assert (len(cache), cache.check()) == (len(list(cache)), [])
        assert len(cache) > len(facts)
        assert json.loads(cache[results[0]]) == facts[results[0]]
    assert len(krea.world.bills) == 3


def test_a_database_that_diskcache_has_not_finished_is_completed(drawn, krea):
    with closing(sqlite3.connect(drawn.space / "facts/cache.db")) as database:
        for statement in ("DROP TRIGGER Settings_size_delete", "DROP INDEX Cache_key_raw", "DROP TABLE Cache"):
            database.execute(statement)
        database.commit()
    drawn.pipeline(["b", "c"])
    assert drawn.run("run", "p.yaml", "--json").counts == (1, 0, 1)
    assert set(drawn.plan().values()) == {("reuse", "cached")}
    assert len(krea.world.bills) == 3
