"""A home folder that came with a clone or an archive: nothing in it leads out of it, and nothing in it is obeyed."""

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing

import pytest

COMMANDS = (
    ("plan", "p.yaml"),
    ("run", "p.yaml"),
    ("status",),
    ("report",),
    ("view", "--seconds", "1"),
    ("cache", "ls"),
    ("cache", "stats"),
    ("cache", "verify"),
    ("gc", "--keep", "0d", "--delete"),
    ("doctor", "--offline"),
)
RUN = "20260101-000000-000-p-0a1b"


def git(folder, *words):
    names = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def stored(project):
    """A project that has drawn two images."""
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    return project


@pytest.fixture
def outside(project):
    """A folder that is nobody's business, with files that must stay as they are."""
    folder = project.path / "outside"
    for name in ("precious", RUN, "report.json", "journal.jsonl", "aa/" + "a" * 64):
        project.write(f"outside/{name}", f"precious {name}\n")
    return folder


def contents(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def refused(done, *codes):
    assert done.code == 1, done.text
    assert done.json["error"]["code"] in codes
    assert done.json["error"]["hint"]


def tried(project, words):
    return project.run(*words, "--json")


# --- tracked by git


def test_a_home_that_git_tracks_is_refused_by_every_command(stored):
    fork = stored.path / "fork"
    fork.mkdir()
    shutil.copy(stored.path / "p.yaml", fork)
    shutil.copytree(stored.home, fork / ".krea-pipe", ignore=shutil.ignore_patterns(".gitignore"))
    git(fork, "init", "-q", ".")
    git(fork, "add", "-A")
    git(fork, "commit", "-qm", "x")
    git(stored.path, "clone", "-q", "fork", "clone")
    stored.path = stored.path / "clone"
    before = contents(stored.home)
    for words in COMMANDS[:-1]:
        refused(tried(stored, words), "home_tracked")
    done = stored.spawn("plan", "p.yaml")
    assert "git tracks .krea-pipe/" in done.err
    assert "git rm -r --cached .krea-pipe" in done.err
    found = tried(stored, COMMANDS[-1])
    assert (found.code, [one["name"] for one in found.json["checks"] if one["state"] == "problem"]) == (1, ["home"])
    assert contents(stored.home) == before

    for name in ("LITERAL", "GLOB", "NOGLOB", "ICASE"):  # with which some programs start others
        refused(stored.run("plan", "p.yaml", "--json", env={f"GIT_{name}_PATHSPECS": "1"}), "home_tracked")

    git(stored.path, "rm", "-rq", "--cached", ".krea-pipe")
    assert tried(stored, ("plan", "p.yaml")).code == 0


def test_a_home_that_git_ignores_or_a_cache_has_restored_is_used(stored):
    other = stored.path / "another/place"
    other.mkdir(parents=True)
    shutil.copy(stored.path / "p.yaml", other)
    shutil.copytree(stored.home, other / ".krea-pipe")
    stored.write("another/place/.gitignore", ".krea-pipe/\n")
    git(other, "init", "-q", ".")
    git(other, "add", "-A")
    stored.path = other
    assert set(stored.plan().values()) == {("reuse", "cached")}


def test_without_git_a_home_that_may_be_tracked_is_refused_and_another_is_not(stored):
    git(stored.path, "init", "-q", ".")
    stored.write(".gitignore", ".krea-pipe/\n")
    git(stored.path, "add", "-A")
    without = {"PATH": str(stored.path / "nothing")}
    assert stored.run("plan", "p.yaml", "--json", env=without).code == 0
    git(stored.path, "add", "-f", ".krea-pipe/loopback/journal.jsonl")
    refused(stored.run("plan", "p.yaml", "--json", env=without), "home_tracked")


def test_a_way_to_the_home_that_git_tracks_is_refused(stored):
    git(stored.path, "init", "-q", ".")
    (stored.path / "cache").symlink_to(".krea-pipe", target_is_directory=True)
    git(stored.path, "add", "cache")
    for named in ("cache", "cache/below"):
        refused(stored.run("plan", "p.yaml", "--json", env={"KREA_PIPE_HOME": named}), "home_tracked")
    git(stored.path, "rm", "-q", "--cached", "cache")
    assert stored.run("plan", "p.yaml", "--json", env={"KREA_PIPE_HOME": "cache"}).code == 0


# --- links, and what else is no file


@pytest.mark.parametrize(
    "place",
    [
        "",
        "loopback",
        "loopback/running",
        "loopback/blobs",
        "loopback/blobs/aa",
        "loopback/thumbnails",
        "loopback/thumbnails/bb",
        "loopback/facts",
        "loopback/facts/cache.db",
        "loopback/facts/cache.db-journal",
        "loopback/journal.jsonl",
        "loopback/journal.lock",
        "loopback/facts.lock",
        "loopback/running.lock",
        "runs",
        "diffs",
        "logs",
        "picks.lock",
        "lockfiles.lock",
    ],
)
def test_a_link_in_the_place_of_anything_that_is_ours_is_refused(stored, outside, place):
    path = stored.home / place
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(outside / ("precious" if "." in path.name and place else ""))
    before = contents(outside)
    for words in (("plan", "p.yaml"), ("run", "p.yaml"), ("gc", "--keep", "0d", "--delete"), ("cache", "verify")):
        refused(tried(stored, words), "home_linked")
    assert contents(outside) == before


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
@pytest.mark.parametrize("name", ["journal.jsonl", "journal.lock", "facts/cache.db", "running.lock"])
def test_a_pipe_or_a_folder_in_the_place_of_a_file_is_said_and_not_waited_for(stored, name, make):
    (stored.space / name).unlink(missing_ok=True)
    make(stored.space / name)
    for words in COMMANDS[:2]:
        refused(tried(stored, words), "home_unusable")


@pytest.mark.parametrize("name", ["journal.jsonl", "facts/cache.db"])
def test_a_second_name_of_a_file_that_is_elsewhere_is_not_written(stored, name):
    os.link(stored.space / name, stored.path / "elsewhere")
    before = (stored.path / "elsewhere").read_bytes()
    refused(tried(stored, ("run", "p.yaml")), "home_linked")
    assert (stored.path / "elsewhere").read_bytes() == before


def test_an_image_that_is_a_link_is_none(stored, krea):
    for blob in stored.blobs():
        blob.rename(stored.path / blob.name)
        blob.symlink_to(stored.path / blob.name)
    assert "reuse" not in {action for action, _ in stored.plan().values()}


def test_a_run_folder_whose_parts_are_links_leads_nowhere(stored, outside):
    (run,) = (stored.home / "runs").iterdir()
    shutil.rmtree(run / "thumbnails")
    (run / "thumbnails").symlink_to(outside)
    (run / "selected").symlink_to(outside)
    before = contents(outside)
    refused(stored.run("report", "--json"), "home_linked")
    refused(stored.run("report", "-k", "a", "--json"), "home_linked")
    assert contents(outside) == before
    (run / "report.json").unlink()
    (run / "report.json").symlink_to(outside / "report.json")
    done = stored.run("report", "--json")
    assert done.code != 0
    assert "precious" not in done.text


def test_only_files_that_are_called_like_ours_are_removed(stored, outside):
    notes = stored.write(".krea-pipe/loopback/running/notes.txt", "mine")
    dead = stored.write(f".krea-pipe/loopback/running/{RUN}", "")
    linked = stored.space / "running" / RUN.replace("-p-", "-q-")
    linked.symlink_to(outside / "precious")
    (run,) = (stored.home / "runs").iterdir()
    mine = stored.write(f"{run.relative_to(stored.path)}/mine.txt", "mine")
    (run / "thumbnails" / "linked").symlink_to(outside)
    before = contents(outside)
    assert stored.run("run", "p.yaml", "--json").code == 0
    assert (notes.exists(), dead.exists(), linked.is_symlink()) == (True, False, True)
    assert stored.run("gc", "--keep", "0d", "--delete", "--json").code == 0
    assert (mine.exists(), (run / "thumbnails/linked").is_symlink(), (run / "report.json").exists()) == (
        True,
        True,
        False,
    )
    assert contents(outside) == before


def test_a_link_that_the_user_names_is_followed_and_the_way_to_the_checkout_as_well(stored):
    stored.home.rename(stored.path / "elsewhere")
    (stored.path / "mine").symlink_to("elsewhere")
    assert set(stored.plan(env={"KREA_PIPE_HOME": "mine"}).values()) == {("reuse", "cached")}
    (stored.path / "elsewhere").rename(stored.home)
    (stored.path.parent / f"{stored.path.name}-link").symlink_to(stored.path)
    stored.path = stored.path.parent / f"{stored.path.name}-link"
    assert set(stored.plan().values()) == {("reuse", "cached")}


# --- owners


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can give files away")
def test_a_home_of_someone_else_is_refused_unless_the_checkout_is_theirs(stored):
    for part in ("", "loopback", "loopback/facts", "loopback/journal.jsonl"):
        os.chown(stored.home / part, 4711, -1)
        done = tried(stored, ("plan", "p.yaml"))
        refused(done, "home_of_another")
        assert "4711" in done.json["error"]["message"]
        os.chown(stored.path, 4711, -1)
        assert tried(stored, ("plan", "p.yaml")).code == 0
        for path in (stored.path, stored.home / part):
            os.chown(path, 0, -1)


# --- the database


def changed(project, *statements):
    with closing(sqlite3.connect(project.space / "facts/cache.db")) as database:
        for statement in statements:
            database.execute(statement)
        database.commit()


@pytest.mark.parametrize(
    "statements",
    [
        ("ALTER TABLE Cache RENAME TO Facts", "CREATE VIEW Cache AS SELECT * FROM Facts"),
        ("CREATE VIEW more AS SELECT 1",),
        ("CREATE TRIGGER more AFTER INSERT ON Cache BEGIN DELETE FROM Settings; END",),
        (
            "DROP TRIGGER Settings_count_insert",
            "CREATE TRIGGER Settings_count_insert AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        ),
        ("CREATE INDEX more ON Cache (abs(size))",),
        ("ALTER TABLE Cache ADD COLUMN more GENERATED ALWAYS AS (abs(size))",),
        ("CREATE VIRTUAL TABLE more USING fts5(x)",),
        ("INSERT INTO Settings VALUES ('close', 1)",),
        ("INSERT INTO Settings VALUES ('sqlite_page_count', 1)",),
        ("UPDATE Settings SET value = '0; x' WHERE key = 'sqlite_cache_size'",),
        ("PRAGMA journal_mode=WAL",),
    ],
)
def test_a_database_that_is_not_as_diskcache_makes_it_is_refused(stored, statements):
    changed(stored, *statements)
    for words in (("plan", "p.yaml"), ("run", "p.yaml"), ("cache", "ls")):
        refused(tried(stored, words), "cache_damaged")
    assert tried(stored, ("cache", "verify")).code == 1
    (stored.space / "facts").rename(stored.path / "away")
    assert all(action == "reuse" for action, _ in stored.plan().values())


def test_a_file_that_a_row_names_is_not_removed_when_the_row_is_replaced(stored, outside):
    changed(stored, f"UPDATE Cache SET filename = '{outside / 'precious'}'")
    before = contents(outside)
    stored.pipeline(["b", "c"])
    for image in stored.path.glob("out/p/*"):
        image.unlink()
    assert stored.run("run", "p.yaml", "--json").code == 0
    assert contents(outside) == before


def test_a_journal_that_names_another_file_is_not_rolled_back(stored, outside):
    journal = stored.space / "facts/cache.db-journal"
    journal.write_bytes(b"\0" * 600 + bytes.fromhex("d9d505f920a163d7"))
    refused(tried(stored, ("plan", "p.yaml")), "cache_damaged")


def test_a_lock_with_something_in_it_is_not_opened(stored):
    with closing(sqlite3.connect(stored.space / "running.lock")) as database:
        database.execute("CREATE TABLE t (x)")
    refused(tried(stored, ("run", "p.yaml")), "lock_damaged")


def test_a_journal_and_a_report_drive_no_terminal(stored):
    signs = "\x1b]0;t\x07\x9b31m"
    line = {"event": "submitted", "key": "k", "t": "", "run": signs, "origin": "https://api.krea.ai", "account": "a"}
    line |= {"usd": "0.03", "cell": f"p/{signs}", "job_id": signs, "created_at": signs}
    (stored.home / "live").mkdir()
    (stored.home / "live/journal.jsonl").write_text(json.dumps(line) + "\n")
    assert stored.run("run", "p.yaml", "--local", "--set", "prompt=another").code == 0
    for record in (stored.home / "runs").glob("*/report.json"):
        record.write_text(
            record.read_text()
            .replace('"id": "p/', f'"id": "p/{signs}')
            .replace("\x1b", "\\u001b")
            .replace("\x07", "\\u0007")
        )
    runs = sorted(one.name for one in (stored.home / "runs").iterdir())
    for words in (("status",), ("diff", runs[0], runs[-1])):
        done = stored.run(*words, env={"KREA_API_BASE": None})
        assert done.code == 0, done.text
        assert not {"\x1b", "\x07", "\x9b"} & set(done.out + done.err), words


def test_facts_that_go_too_deep_or_are_too_long_are_none(stored):
    changed(stored, "UPDATE Cache SET value = CAST(printf('%.*c', 200000, '[') AS BLOB) WHERE key LIKE 'result:%'")
    assert all(action == "reuse" for action, _ in stored.plan().values())  # the journal knows them
    changed(stored, "UPDATE Cache SET value = zeroblob(5000000) WHERE key LIKE 'result:%'")
    refused(tried(stored, ("plan", "p.yaml")), "cache_damaged")


# --- what journal, facts and reports name


@pytest.mark.parametrize("sha256", ["../../../../outside/precious", "/etc/hostname", "a" * 63, "A" * 64, 5, None, "\0"])
def test_a_digest_that_is_none_becomes_no_path(stored, outside, sha256):
    journal = stored.space / "journal.jsonl"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    for line in lines:
        if line["event"] == "done":
            line["result"] |= {"sha256": sha256}
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(stored.space / "facts")
    before = contents(outside)
    assert "reuse" not in {action for action, _ in stored.plan().values()}
    (run,) = (stored.home / "runs").iterdir()
    report = json.loads((run / "report.json").read_text())
    for row in report["cells"]:
        row["sha256"] = sha256
    (run / "report.json").write_text(json.dumps(report))
    if sha256 is not None:
        refused(stored.run("report", "--json"), "unreadable_report")
    assert contents(outside) == before


def test_a_report_that_names_another_picture_prints_another_on_no_sheet(stored, krea):
    (run,) = (stored.home / "runs").iterdir()
    other = stored.write("other.png", stored.image("a").read_bytes()[:-1] + b"x")
    report = json.loads((run / "report.json").read_text())
    for row in report["cells"]:
        row["image"] = os.path.relpath(other, run / report["base"])
    (run / "report.json").write_text(json.dumps(report))
    shutil.rmtree(stored.space / "blobs")
    shutil.rmtree(stored.space / "thumbnails")
    shutil.rmtree(run / "thumbnails")
    done = stored.run("sheet", "--out", "sheet.png", "--json")
    assert (done.code, len(done.json["missing"])) == (0, 2)
