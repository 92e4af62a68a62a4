"""`krea-pipe gc`: what nothing needs goes, and nothing else does, whatever happens in between."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from krea_pipe.app.maintenance.garbage import reach_of, waste_of
from krea_pipe.app.maintenance.locks import Locks
from krea_pipe.app.maintenance.stored import Drawn, Holding, Leftover, Listing, RunFolder, Stored
from krea_pipe.store.presence import Presence

PRICE = "0.03"
PATH = {"PATH": os.environ.get("PATH", "")}
"""Where git is, which a command that runs in the process of the tests does not know."""
GONE = ("fetch", "stored image missing or damaged; fetched again if Krea still has it")


def gc(project, *words):
    done = project.run("gc", "--json", *words)
    assert done.code == 0, done.text
    return done.json


def results(project):
    """Key and digest of each image that the project has drawn, by its prompt."""
    words = {one["key"]: one["cell"].rpartition("/")[2] for one in project.events("submitted")}
    return {words[one["key"]]: (one["key"], one["result"]["sha256"]) for one in project.events("done")}


def lock_line(key="0" * 64, sha256="0" * 64, **more):
    rest = {"seed": None, "variant": "medium", "price_usd": "0.03", "job_id": ""}
    return json.dumps({"id": "main/x", "key": key, "sha256": sha256, **rest, **more}) + "\n"


def unlocked(project):
    """Take back the lock files that live runs have written."""
    for file in project.path.rglob("*.lock.jsonl"):
        file.unlink()


def aged(project, run_id, **age):
    """Let a run have ended some time ago."""
    moment = (datetime.now(UTC) - timedelta(**age)).isoformat()
    for file in (project.home / "runs" / run_id).glob("*.json"):
        report = json.loads(file.read_text())
        file.write_text(json.dumps({**report, "started_at": moment, "finished_at": moment}))
    journal = project.space / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line.get("run") == run_id and "result" in line:
            line["result"]["finished_at"] = moment
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))


def forget(project, name="facts"):
    for file in (project.space / name).iterdir():
        file.unlink()


def used(folder):
    """The bytes of all files, those with several names once."""
    return sum({one.stat().st_ino: one.stat().st_size for one in folder.rglob("*") if one.is_file()}.values())


def git(project, *words):
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    subprocess.run(["git", *identity, *words], cwd=project.path, check=True, capture_output=True)


def test_nothing_is_removed_unless_told_and_the_next_plan_knows_what_is_gone(project):
    project.pipeline(["a", "b"])
    run_id = project.run("run", "p.yaml", "--json").json["run_id"]
    assert project.run("gc").text.startswith("Nothing to delete in .krea-pipe.")
    unlocked(project)
    journal, before = (project.space / "journal.jsonl").read_bytes(), used(project.home)
    dry = gc(project, "--keep", "0d")
    assert (dry["deleted"], dry["runs"], Decimal(dry["redraw_usd"])) == (False, [run_id], 2 * Decimal(PRICE))
    assert used(project.home) == before
    people = project.run("gc", "--keep", "0d")
    assert run_id in people.out
    assert "Regenerating 2 images would cost $0.06." in people.out
    assert people.out.endswith("Nothing was deleted. Add --delete to delete.\n")
    assert project.plan()["a"] == ("reuse", "cached")

    done = gc(project, "--keep", "0d", "--delete")
    assert {**done, "deleted": False} == dry
    assert before - used(project.home) == dry["bytes"] > 0
    assert (project.space / "journal.jsonl").read_bytes() == journal
    assert (project.blobs(), list((project.home / "runs").iterdir())) == ([], [])
    assert project.image("a").is_file()
    assert project.plan() == {"a": GONE, "b": GONE}
    assert project.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert project.plan()["b"] == ("reuse", "cached")


def test_what_any_lock_file_names_stays_on_every_branch_tag_and_work_tree(project):
    words = ["beside", "untracked", "branch", "remote", "tag", "worktree", "detached", "key", "ignored", "none"]
    env = {"KREA_PIPE_HOME": str(project.path / "store"), **PATH}
    project.pipeline(words, name="elsewhere/p.yaml")
    project.run("run", "elsewhere/p.yaml", "--out", "out", env=env)
    (project.path / "store").rename(project.home)
    known = results(project)
    unlocked(project)
    project.home.rename(project.path / "store")
    top = project.path / "repo"
    top.mkdir()

    def lock(word, file):
        key, digest = known[word]
        return project.write(file, lock_line(key=key) if word == "key" else lock_line(sha256=digest))

    def committed(word, *after):
        lock(word, f"repo/deep/{word}.lock.jsonl")
        for step in (("checkout", "-qb", word), ("add", "."), ("commit", "-qm", word), *after):
            git(project, "-C", "repo", *step)
        git(project, "-C", "repo", "checkout", "-q", "main")

    git(project, "init", "-q", "repo")
    project.write("repo/.gitignore", "ignored*\n")
    git(project, "-C", "repo", "add", ".")
    git(project, "-C", "repo", "commit", "-qm", "first")
    committed("branch")
    committed("remote", ("update-ref", "refs/remotes/origin/x", "HEAD"), ("checkout", "-q", "main"))
    git(project, "-C", "repo", "branch", "-D", "remote")
    committed("tag", ("tag", "-am", "t", "v1"), ("checkout", "-q", "main"))
    git(project, "-C", "repo", "branch", "-D", "tag")
    committed("detached", ("worktree", "add", "-q", "--detach", "../other"))
    git(project, "-C", "repo", "branch", "-D", "detached")
    (project.path / "other/deep/detached.lock.jsonl").unlink()
    lock("beside", "elsewhere/p.lock.jsonl")
    lock("worktree", "other/new.lock.jsonl")
    for word in ("untracked", "key", "ignored"):
        lock(word, f"repo/{word}.lock.jsonl")
    inner = type(project)(top, project.krea)

    done = inner.run("gc", "--keep", "0d", "--delete", "--json", env=env)
    assert done.code == 0, done.text
    plan = project.plan(file="elsewhere/p.yaml", env=env)
    assert {word for word in words if plan[word] == ("reuse", "cached")} == {*words} - {"none"}
    assert plan["none"] == GONE
    assert len(done.json["lock_files"]) == len(words) - 1
    assert any(place.endswith(":deep/branch.lock.jsonl") for place in done.json["lock_files"])


def test_what_the_lock_of_a_live_run_names_stays(project):
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    project.run("run", "p.yaml", "--local")
    found = gc(project, "--keep", "0d", "--delete")
    assert (found["kept_images"]["lock"], found["waste"]["run_folders"]["count"]) == (4, 2)
    assert project.plan() == {"a": ("reuse", "cached"), "b": ("reuse", "cached")}


def test_runs_within_the_time_keep_what_they_name_and_older_ones_go(project):
    project.pipeline(["old", "both"])
    old = project.run("run", "p.yaml", "--json").json["run_id"]
    project.pipeline(["both", "new"])
    new = project.run("run", "p.yaml", "--json").json["run_id"]
    aged(project, old, days=9)
    unlocked(project)
    forget(project)
    assert gc(project, "--keep", "2w")["runs"] == []
    assert gc(project, "--keep", "200h", "--delete")["runs"] == [old]
    assert [one.name for one in (project.home / "runs").iterdir()] == [new]
    project.pipeline(["old", "both", "new"])
    assert project.plan() == {"old": GONE, "both": ("reuse", "cached"), "new": ("reuse", "cached")}
    assert project.run("report", new, "--json").code == 0


@pytest.mark.parametrize("text", ["<<<<<<< HEAD\n", '{"id": "a"}\n', lock_line(key="short"), "[1]\n", b"\xff\n"])
def test_a_lock_file_that_can_not_be_read_stops_it_with_its_place(project, text):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    unlocked(project)
    data = lock_line().encode() + (text if isinstance(text, bytes) else text.encode())
    project.write("deep/x.lock.jsonl", data)
    done = project.run("gc", "--keep", "0d", "--delete", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "lock_unreadable")
    assert done.json["error"]["at"]["file"].endswith("deep/x.lock.jsonl")
    assert (done.json["error"]["at"]["line"], len(project.blobs())) == (2, 1)
    git(project, "init", "-q")
    git(project, "add", "deep")
    git(project, "commit", "-qm", "broken")
    git(project, "branch", "topic")
    project.write("deep/x.lock.jsonl", "")
    done = project.run("gc", "--keep", "0d", "--delete", "--json", env=PATH)
    assert (done.code, done.json["error"]["at"]["file"]) == (2, "main:deep/x.lock.jsonl")
    assert len(project.blobs()) == 1


def test_a_repository_that_git_can_not_read_stops_it(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    unlocked(project)
    (project.path / ".git").mkdir()
    done = project.run("gc", "--keep", "0d", "--delete", "--json", env=PATH)
    assert (done.code, done.json["error"]["code"], len(project.blobs())) == (1, "git_failed", 1)


def test_nothing_is_deleted_while_a_run_goes_on(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    unlocked(project)
    with Presence(project.space / "running").shown("20260101-000000-p-aaaa"):
        assert "--delete would be refused" in project.run("gc", "--keep", "0d").out
        done = project.run("gc", "--keep", "0d", "--delete", "--json")
    assert (done.code, done.json["error"]["code"], len(project.blobs())) == (1, "runs_alive", 1)


def test_what_is_in_flight_or_not_reported_stays_and_leftovers_of_crashes_go(project):
    project.pipeline(["unreported", "flying", "plain"])
    run_id = project.run("run", "p.yaml", "--json").json["run_id"]
    known = results(project)
    unlocked(project)
    journal = project.space / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines = [line for line in lines if line["event"] != "reported"]
    lines += [{"event": "counted", "key": known[word][0], "t": "", "run": ""} for word in ("flying", "plain")]
    flying = {"event": "submitted", "key": known["flying"][0], "job_id": "job-x", "origin": project.krea.base}
    journal.write_text("".join(json.dumps(line) + "\n" for line in [*lines, flying]))
    folder = project.home / "runs" / run_id
    (folder / "report.json").rename(folder / "started.json")
    aged(project, run_id, days=40)
    forget(project)
    old = project.write(".krea-pipe/loopback/blobs/ab/.krea-pipe-0123456789ab.tmp", "half")
    os.utime(old, (0, 0))
    young = project.write(".krea-pipe/loopback/blobs/ab/.krea-pipe-ba9876543210.tmp", "half")
    half = project.write(".krea-pipe/runs/.krea-pipe-00.tmp/thumbnails/x.webp", "x").parents[1]

    done = gc(project, "--delete")
    assert (done["runs"], done["waste"]["leftovers"]["count"]) == ([run_id], 2)
    assert {blob.name for blob in project.blobs()} == {known["unreported"][1], known["flying"][1], young.name}
    assert not old.exists()
    assert not half.exists()
    assert project.plan()["unreported"] == ("reuse", "cached; generated and billed by a run that wrote no report")


def test_a_record_that_can_not_be_read_stops_it_because_it_may_name_images(project):
    project.pipeline(["a"])
    run_id = project.run("run", "p.yaml", "--json").json["run_id"]
    unlocked(project)
    project.write(f".krea-pipe/runs/{run_id}/report.json", "{")
    done = project.run("gc", "--keep", "0d", "--delete")
    assert (done.code, len(project.blobs())) == (1, 1)
    assert f"delete .krea-pipe/runs/{run_id}" in done.err


DIES = """
import os, signal, sys, pathlib
left, unlink = [int(sys.argv.pop(1))], pathlib.Path.unlink
def counted(*given, **options):
    left[0] -= 1
    if left[0] < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    unlink(*given, **options)
pathlib.Path.unlink = counted
from krea_pipe.cli.main import main
main()
"""


@pytest.mark.parametrize("steps", [0, 1, 7])
def test_a_kill_in_the_middle_leaves_a_store_that_plans_right(project, steps):
    project.pipeline(["a", "b", "c"])
    project.run("run", "p.yaml")
    unlocked(project)
    words = [sys.executable, "-c", DIES, str(steps), "gc", "--keep", "0d", "--delete"]
    killed = subprocess.run(words, cwd=project.path, env=project.environment({}), check=False, capture_output=True)
    assert killed.returncode == -9
    there = {blob.name for blob in project.blobs()}
    expected = {word: ("reuse", "cached") if one[1] in there else GONE for word, one in results(project).items()}
    assert project.plan() == expected
    assert (len(there) in (1, 2)) == (steps == 7)
    if steps:
        assert project.run("report", "--json").json["error"]["code"] == "no_such_run"
    assert gc(project, "--keep", "0d", "--delete")["failures"] == []
    assert (project.blobs(), list((project.home / "runs").iterdir())) == ([], [])


# --- the decision alone

NOW = datetime(2026, 1, 31, tzinfo=UTC)
names = st.integers(0, 11).map(lambda number: f"{number:064x}")
moments = st.integers(0, 60).map(lambda days: NOW - timedelta(days=days))
some = st.frozensets(names, max_size=4)


def stored(digest):
    return Stored(f"/home/{digest}", 10, (1, int(digest, 16)))


@st.composite
def listings(draw):
    drawn = st.builds(Drawn, names, names, st.just(Decimal(1)), moments.map(str), st.booleans())
    pictures = some.map(lambda digests: {digest: stored(digest) for digest in digests})
    holding = st.builds(
        Holding,
        st.sampled_from(["live", "local"]),
        pictures,
        pictures,
        st.lists(drawn, max_size=6).map(tuple),
        st.frozensets(st.sampled_from(["r0", "r1"])),
    )
    runs = [
        RunFolder(f"/runs/r{number}", f"r{number}", "live", draw(moments), draw(st.booleans()), *draw(pair), ())
        for number in range(draw(st.integers(0, 3)))
    ]
    left = (Leftover("/runs/r0/.krea-pipe-1.tmp", ()), Leftover("/x.tmp", ()))
    return Listing(tuple(draw(st.lists(holding, max_size=2))), tuple(runs), (), left)


pair = st.tuples(some, some)


@given(listings(), pair, st.one_of(st.none(), moments))
def test_nothing_that_a_lock_or_a_kept_run_names_or_that_is_open_ever_goes(listing, locked, since):
    locks = Locks(*locked)
    waste = waste_of(listing, reach_of(listing, locks, since))
    gone = {piece.digest for piece in waste.pieces if piece.digest}
    runs = {piece.path for piece in waste.of("run folders")}
    assert not gone & locks.digests
    for run in listing.runs:
        is_kept = run.id in listing.alive or (since is not None and run.at >= since)
        assert (run.path in runs) == (not is_kept)
        assert not (is_kept and gone & run.digests)
    keys = locks.keys.union(*(run.keys for run in listing.runs if run.path not in runs))
    for one in (one for holding in listing.holdings for one in holding.drawn):
        if one.is_open or one.key in keys:
            assert one.sha256 not in gone
    paths = [piece.path for piece in waste.pieces]
    assert ("/runs/r0/.krea-pipe-1.tmp" in paths) != ("/runs/r0" in paths)
    everything = {file.path for holding in listing.holdings for file in holding.blobs.values()}
    if since is None and not locks.keys and not any(run.keys for run in listing.runs):
        open_ = {one.sha256 for holding in listing.holdings for one in holding.drawn if one.is_open}
        held = locks.digests.union(open_, *(run.digests for run in listing.runs if run.path not in runs))
        assert {piece.path for piece in waste.of("images")} == {
            stored(one).path for one in set(map(name, everything)) - held
        }


def name(path):
    return Path(path).name


def test_a_lock_of_another_name_and_place_protects_its_images(project, tmp_path_factory):
    project.pipeline(["a"])
    lock = tmp_path_factory.mktemp("elsewhere") / "mine.lock.jsonl"
    assert project.run("run", "p.yaml", "--lock", "mine.jsonl").code == 2
    assert project.run("run", "p.yaml", "--lock", lock).code == 0
    assert gc(project, "--keep", "0d", "--delete")["redraw_usd"] == "0.00"
    assert project.plan()["a"] == ("reuse", "cached")


def test_a_pipeline_whose_folder_is_away_keeps_its_images_until_it_is_forgotten(project):
    project.pipeline(["a"], name="disk/p.yaml")
    home = {"KREA_PIPE_HOME": ".krea-pipe"}
    assert project.run("run", "disk/p.yaml", env=home).code == 0
    (project.path / "disk").rename(project.path.parent / "away")
    done = project.run("gc", "--keep", "0d", "--delete")
    assert (done.code, str(project.path / "disk") in done.out) == (0, True)
    (project.path.parent / "away").rename(project.path / "disk")
    assert project.plan(file="disk/p.yaml", env=home)["a"] == ("reuse", "cached")
    (project.path / "disk").rename(project.path.parent / "away")
    assert project.run("gc", "--keep", "0d", "--delete", "--forget-missing").code == 0
    assert project.blobs() == []


def test_names_of_branches_and_files_of_others_do_not_stop_it(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    project.write("pack.lock.jsonl", '{"lol": 1}\n')
    project.write(".gitignore", ".krea-pipe/\n")
    git(project, "init", "-q")
    git(project, "add", "-A")
    git(project, "commit", "-qm", "one")
    git(project, "update-ref", "refs/heads/a\u3000b", "HEAD")
    git(project, "update-ref", "refs/heads/a\u2028b", "HEAD")
    assert gc(project, "--keep", "0d")["redraw_usd"] == "0.00"
