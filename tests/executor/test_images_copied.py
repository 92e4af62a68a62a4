"""Images that are accepted and lie elsewhere are copied for nothing, without Krea, before anything is bought."""

import json
import os
import shutil
import subprocess

import pytest
from chain_files import chain
from krea_server import picture, until
from lost_images import money
from money import kill

OFFLINE = {"KREA_API_KEY": None, "KREA_API_BASE": "http://127.0.0.1:9"}
WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]


def git(folder, *words):
    names = ("-c", "user.name=t", "-c", "user.email=t@localhost")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def drawn(project, krea):
    """A project whose eight images are drawn, accepted and paid."""
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    krea.seen.clear()
    return project


@pytest.fixture
def clone(drawn):
    """The same without the home folder, as a teammate has it who was given the images."""
    shutil.rmtree(drawn.home)
    return drawn


def planned(project, *words, env=OFFLINE):
    done = project.run("plan", "p.yaml", "--json", *words, env=env)
    assert done.code == 0, done.text
    return done.json


def actions(project, env=OFFLINE):
    return {cell["id"].rpartition("/")[2]: cell["action"] for cell in planned(project, env=env)["cells"]}


def all_fetched(project, *words, env=OFFLINE):
    """A run without a network and a key that has everything."""
    done = project.run("run", "p.yaml", "--json", *words, env=env)
    assert (done.code, done.counts, money(done)) == (0, (0, 0, len(WORDS)), (0, 0)), done.text
    return done


def lock_lines(project, name):
    return [json.loads(line) for line in (project.path / name).read_text().splitlines()]


# --- below the output folder


def test_a_clone_with_the_images_needs_no_network_no_key_and_no_money(clone, krea):
    locked = (clone.path / "p.lock.jsonl").read_bytes()
    assert clone.run("verify", "p.yaml", env=OFFLINE).out == "p.lock.jsonl: 8 as locked.\n"
    plan = planned(clone)
    assert plan["totals"]["fetch"] == {"requests": 8, "usd": "0.00", "at_most_usd": "0.00"}
    assert (plan["price_usd"], plan["at_most_usd"], plan["totals"]["new"]["requests"]) == ("0.00", "0.00", 0)
    cell = plan["cells"][0]
    assert (cell["action"], cell["source"], cell["place"], cell["price_usd"]) == (
        "fetch",
        "file",
        "out/p/a.png",
        "0.00",
    )
    said = clone.run("plan", "p.yaml", env=OFFLINE).out
    assert "Nothing new; 8 fetched for $0.00." in said
    assert "accepted in the lock file and missing locally; copied from out/p/a.png" in said
    assert not clone.home.exists()
    done = all_fetched(clone, "--frozen")
    assert done.rows["a"]["reason"] == "accepted in the lock file and missing locally; copied from out/p/a.png"
    assert (done.json["lock"]["drifted"], krea.seen) == ([], [])
    assert (clone.path / "p.lock.jsonl").read_bytes() == locked
    assert set(actions(clone).values()) == {"reuse"}
    assert clone.journal() == []


def test_what_was_copied_is_what_krea_sent_and_is_said(drawn):
    before = {path.name: path.read_bytes() for path in drawn.blobs()}
    shutil.rmtree(drawn.home)
    done = drawn.run("run", "p.yaml", env=OFFLINE)
    assert "8 images: 8 reused. $0.00 spent of $5.00" in done.out
    assert "fetched 8 from out/p\n" in done.out
    assert {path.name: path.read_bytes() for path in drawn.blobs()} == before
    assert drawn.run("cache", "verify").code == 0


def test_an_image_may_have_any_name_and_place_below_the_output_folder(clone, krea):
    folder = clone.path / "out/p"
    for number, word in enumerate(WORDS):
        target = folder / f"of/old/{number}"
        target.mkdir(parents=True)
        (folder / f"{word}.png").rename(target / "picture.PNG")
    all_fetched(clone)
    assert {path.name for path in folder.glob("*.png")} == {f"{word}.png" for word in WORDS}
    assert krea.seen == []


def test_images_whose_axis_values_are_renamed_are_copied(clone, krea):
    clone.write("p.yaml", _rows("new-"))
    done = clone.run("run", "p.yaml", "--json", env=OFFLINE)
    assert (done.code, done.counts, krea.seen) == (0, (0, 0, 8), [])
    assert clone.image("new-a").is_file()


def _rows(prefix):
    rows = "".join(f"    - {{id: {prefix}{word}, text: {word}}}\n" for word in WORDS)
    return f'version: 1\nbudget: {{usd: 5}}\nprompt: "{{{{ w.text }}}}"\nmatrix:\n  w:\n{rows}'


def test_another_folder_is_looked_through_when_it_is_named(clone, krea):
    (clone.path / "out/p").rename(clone.path / "given")
    assert set(actions(clone, env={}).values()) == {"fetch"}
    assert {cell["source"] for cell in planned(clone, env={})["cells"]} == {"krea"}
    all_fetched(clone, "--out", "given")
    assert krea.seen == []


def test_a_file_with_another_image_is_no_source(clone, krea):
    clone.image("a").write_bytes(clone.image("b").read_bytes())
    clone.image("b").unlink()
    found = {cell["id"]: (cell["source"], cell["place"]) for cell in planned(clone)["cells"]}
    assert found["p/a"][0] == "krea"
    assert found["p/b"] == ("file", "out/p/a.png")


def test_what_no_lock_file_names_is_not_taken_from_a_file(clone):
    (clone.path / "p.lock.jsonl").unlink()
    assert set(actions(clone).values()) == {"new"}


def test_what_else_lies_in_the_output_folder_is_passed_over(clone, krea):
    folder = clone.path / "out/p"
    clone.image("a").rename(folder / "zz.png")
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "a-pipe.png")
    (folder / "folder.png").mkdir()
    (folder / "nothing.png").symlink_to(folder / "missing")
    (folder / "loop").symlink_to(folder)
    (folder / "empty.png").touch()
    all_fetched(clone)
    assert krea.seen == []


def test_cells_with_one_image_and_requests_of_several_cells_are_copied(project, krea):
    krea.image(picture(seed="same", size=(1024, 1024)))
    words = ["a", "b"]
    project.write(
        "p.yaml",
        "version: 1\nbudget: {usd: 5}\nstages:\n"
        '  one: {prompt: "{{ w }}", matrix: {w: [a, b]}}\n'
        '  two: {prompt: "{{ w }}", matrix: {w: [a, b]}}\n',
    )
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == words
    shutil.rmtree(project.home)
    for stage, word in (("one", "a"), ("one", "b"), ("two", "a")):
        (project.path / f"out/p/{stage}/{word}.png").unlink()
    krea.seen.clear()
    done = project.run("run", "p.yaml", "--json", "--frozen", env=OFFLINE)
    assert (done.code, done.counts, krea.seen) == (0, (0, 0, 4), [])


def test_a_later_stage_is_rendered_from_a_copied_image(project, krea):
    chain(project, ["a"])
    assert project.run("run", "p.yaml", "-k", "stage:one").code == 0
    shutil.rmtree(project.home)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, krea.billed_prompts()) == (0, (1, 0, 1), ["a", "a two"])


def test_what_no_report_has_counted_is_counted_once_when_it_is_copied(drawn, krea):
    journal = drawn.space / "journal.jsonl"
    lines = [line for line in drawn.journal() if line["event"] != "reported"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(drawn.home / "runs")
    for spent in ("0.24", "0.00"):
        shutil.rmtree(drawn.space / "blobs")
        done = drawn.run("run", "p.yaml", "--json", env=OFFLINE)
        assert (done.code, done.counts, done.json["cost"]["spent_usd"]) == (0, (0, 0, 8), spent), done.text
    assert krea.posts == []


def test_a_job_in_flight_is_waited_for_though_a_file_has_an_accepted_image(drawn, krea):
    """It will be billed, and a report has to count it."""
    shutil.rmtree(drawn.home)
    (drawn.path / "p.lock.jsonl").rename(drawn.path / "kept")
    (drawn.path / "out").rename(drawn.path / "elsewhere")
    krea.mutate_job(lambda job: {**job, "status": "sampling", "completed_at": None, "result": None})
    process = drawn.start("run", "p.yaml")
    until(lambda: len(drawn.events("submitted")) == len(WORDS))
    kill(process)
    krea.rules.clear()
    (drawn.path / "kept").rename(drawn.path / "p.lock.jsonl")
    shutil.rmtree(drawn.path / "out")
    (drawn.path / "elsewhere").rename(drawn.path / "out")
    assert set(actions(drawn, env={}).values()) == {"attach"}


# --- other home folders


@pytest.fixture
def moved(project, krea):
    """A pipeline in a repository of its own, drawn by an earlier version that kept its home in the working folder."""
    project.pipeline(WORDS, name="repo/p.yaml")
    git(project.path / "repo", "init", "-q", ".")
    env = {"KREA_PIPE_HOME": ".krea-pipe"}
    assert project.run("run", "repo/p.yaml", env=env).code == 0
    (project.path / "repo/p.lock.jsonl").unlink()
    shutil.rmtree(project.path / "out")
    krea.seen.clear()
    return project


def test_the_home_of_an_earlier_version_is_a_source_and_is_named(moved, krea):
    plan = moved.run("plan", "repo/p.yaml", "--json", env=OFFLINE).json
    assert {(cell["action"], cell["source"], cell["place"]) for cell in plan["cells"]} == {
        ("fetch", "home", moved.home.as_posix())
    }
    assert "missing locally; copied from the home folder" in plan["cells"][0]["reason"]
    before = {path: path.stat() for path in moved.home.rglob("*")}
    done = moved.run("run", "repo/p.yaml", env=OFFLINE)
    after = {path: path.stat() for path in moved.home.rglob("*")}
    assert [(path, one.st_mtime_ns, one.st_size) for path, one in after.items()] == [
        (path, one.st_mtime_ns, one.st_size) for path, one in before.items()
    ]
    assert (done.code, krea.seen) == (0, [])
    assert f"fetched 8 from {moved.home.as_posix()}" in done.out
    assert len([one for one in (moved.path / "repo/.krea-pipe/loopback/blobs").rglob("*") if one.is_file()]) == 8
    shutil.rmtree(moved.home)
    assert "8 reused" in moved.run("run", "repo/p.yaml", env=OFFLINE).out


def test_the_home_of_a_linked_work_tree_is_a_source(project, krea):
    project.pipeline(WORDS, name="repo/p.yaml")
    git(project.path / "repo", "init", "-q", ".")
    git(project.path / "repo", "add", "-A")
    git(project.path / "repo", "commit", "-qm", "x")
    git(project.path / "repo", "worktree", "add", "-q", "-b", "linked", "../linked")
    project.path = project.path / "linked"
    assert project.run("run", "p.yaml", env={"KREA_PIPE_HOME": ".krea-pipe"}).code == 0
    (project.path / "p.lock.jsonl").unlink()
    krea.seen.clear()
    all_fetched(project)
    assert krea.seen == []
    assert (project.path.parent / "repo/.krea-pipe/loopback/blobs").is_dir()


def test_a_damaged_image_of_another_home_is_no_source(moved, krea):
    for blob in moved.blobs():
        blob.write_bytes(blob.read_bytes()[:-9] + b"damaged!!")
    assert {cell["action"] for cell in moved.run("plan", "repo/p.yaml", "--json").json["cells"]} == {"new"}


def test_a_copy_that_is_another_image_is_discarded_and_said_and_the_next_source_is_taken(project, krea):
    """Its size and time are those of the image, so that only the copy tells."""
    project.pipeline(WORDS, name="repo/p.yaml")
    git(project.path / "repo", "init", "-q", ".")
    assert project.run("run", "repo/p.yaml", env={"KREA_PIPE_HOME": ".krea-pipe"}).code == 0
    shutil.rmtree(project.path / "out")
    krea.seen.clear()
    digest = {line["id"]: line["sha256"] for line in lock_lines(project, "repo/p.lock.jsonl")}["p/a"]
    blob = project.space / "blobs" / digest[:2] / digest
    times = blob.stat()
    blob.write_bytes(blob.read_bytes()[:-9] + b"damaged!!")
    os.utime(blob, ns=(times.st_atime_ns, times.st_mtime_ns))
    plan = project.run("plan", "repo/p.yaml", "--json").json
    assert {cell["source"] for cell in plan["cells"]} == {"home"}
    done = project.run("run", "repo/p.yaml", "--json")
    assert (done.code, done.counts, money(done), krea.posts) == (0, (1, 0, 7), (0, 0), []), done.text
    words = "can no longer be read: the image of p/a is fetched from another source"
    assert [words in one for one in done.report["warnings"]] == [True]


@pytest.mark.parametrize("harm", ["tracked", "linked", "blobs linked"])
def test_another_home_that_is_not_trusted_is_not_read_and_that_is_said(moved, harm):
    elsewhere = moved.path / "elsewhere"
    if harm == "tracked":
        (moved.home / ".gitignore").unlink(missing_ok=True)
        git(moved.path, "init", "-q", ".")
        git(moved.path, "add", "-f", ".krea-pipe/loopback/journal.jsonl")
    elif harm == "linked":
        moved.home.rename(elsewhere)
        moved.home.symlink_to(elsewhere)
    else:
        (moved.space / "blobs").rename(elsewhere)
        (moved.space / "blobs").symlink_to(elsewhere)
    done = moved.run("plan", "repo/p.yaml", "--json")
    assert {cell["action"] for cell in done.json["cells"]} == {"new"}
    assert {one["code"] for one in done.json["warnings"]} <= {"home_tracked", "home_linked"}
    assert len(done.json["warnings"]) == 1
    assert done.json["warnings"][0]["message"] in moved.run("run", "repo/p.yaml").err


def test_an_image_of_another_home_that_is_not_the_accepted_one_is_taken_only_before_something_is_bought(moved, krea):
    done = moved.run("run", "repo/p.yaml", env=OFFLINE)
    assert done.code == 0
    lock = moved.path / "repo/p.lock.jsonl"
    lines = [{**json.loads(line), "sha256": "0" * 64} for line in lock.read_text().splitlines()]
    lock.write_text("".join(json.dumps(line) + "\n" for line in lines))
    shutil.rmtree(moved.path / "repo/.krea-pipe")
    shutil.rmtree(moved.path / "out")
    plan = moved.run("plan", "repo/p.yaml", "--json").json
    assert {cell["source"] for cell in plan["cells"]} == {"krea"}
    lock.write_text("".join(json.dumps({**line, "job_id": ""}) + "\n" for line in lines))
    plan = moved.run("plan", "repo/p.yaml", "--json").json
    assert {cell["source"] for cell in plan["cells"]} == {"home"}


def test_a_home_that_the_environment_names_has_no_others_beside_it(moved):
    plan = moved.run("plan", "repo/p.yaml", "--json", env={"KREA_PIPE_HOME": "mine"}).json
    assert {cell["action"] for cell in plan["cells"]} == {"new"}


# --- in a comparison


def test_a_comparison_says_what_is_fetched_and_what_only_krea_can_tell(clone, krea):
    git(clone.path, "init", "-q", "-b", "main", ".")
    clone.write(".gitignore", "out/\n.krea-pipe/\n")
    pipeline = (clone.path / "p.yaml").read_bytes()
    clone.pipeline(WORDS[:1])
    git(clone.path, "add", "-A")
    git(clone.path, "commit", "-qm", "one")
    clone.write("p.yaml", pipeline)
    for word in ("b", "c"):
        clone.image(word).unlink()
    env = {"KREA_API_KEY": None}
    compared = clone.run("plan", "p.yaml", "--against", "main", "--json", env=env).json
    totals = {name: compared["totals"][name] for name in ("stored", "fetched", "in_doubt", "unpaid")}
    assert totals == {
        "stored": {"requests": 0, "usd": "0.00"},
        "fetched": {"requests": 5, "usd": "0.15"},
        "in_doubt": {"requests": 2, "usd": "0.06"},
        "unpaid": {"requests": 0, "usd": "0.00"},
    }
    assert {row["id"]: row["fetched"] for row in compared["cells"]} == {
        f"p/{word}": None if word == "a" else "krea" if word in "bc" else "machine" for word in WORDS
    }
    words = (
        "A run fetches 5 at no cost, a run fetches 2 from Krea if it still has them, so a run would cost $0.00 to $0."
    )
    assert words in clone.run("plan", "p.yaml", "--against", "main", env=env).out
    assert words in clone.run("plan", "p.yaml", "--against", "main", "--format", "markdown", env=env).out
    (clone.path / "p.lock.jsonl").unlink()
    assert "a run would pay" not in clone.run("plan", "p.yaml", "--against", "main", env=env).out
    assert krea.seen == []
