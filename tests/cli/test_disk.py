"""What is said when the disk is against a run: before anything is paid if it can be, and what is paid is kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from krea_server import noisy

from krea_pipe.core.contract import SIZES


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no device that is always full")
@pytest.mark.parametrize("command", [("plan", "p.yaml"), ("run", "p.yaml", "--json")])
def test_output_that_can_not_be_written_is_said(project, krea, command):
    project.pipeline(["a"])
    shell = 'exec "$0" -m krea_pipe "$@" >/dev/full'
    process = subprocess.run(
        ["sh", "-c", shell, sys.executable, *command],
        cwd=project.path,
        env=project.environment({}),
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == "error: cannot write the output: No space left on device"
    if command[0] == "run":
        assert project.run("run", "p.yaml", "--json").counts == (0, 0, 1)


@pytest.mark.parametrize(
    ("home", "out"),
    [
        ("p.yaml", "out"),
        ("p.yaml/below", "out"),
        ("/proc/krea", "out"),
        ("home", "p.yaml"),
        ("home", "p.yaml/below"),
        ("home", "/proc/krea/out"),
        ("x" * 300, "out"),
        ("locked", "out"),
        ("presence", "out"),
        ("journal", "out"),
        ("facts", "out"),
        ("blobs", "out"),
        ("runs", "out"),
    ],
)
def test_a_disk_that_can_not_be_used_is_said_before_anything_is_paid(project, krea, home, out):
    project.pipeline(["a"])
    spaces = {
        "locked": "journal.lock",
        "presence": "running",
        "journal": "journal.jsonl",
        "facts": "facts",
        "blobs": "blobs",
    }
    if home in ("locked", "journal"):
        (project.path / home / "loopback" / spaces[home]).mkdir(parents=True)
    elif home == "runs":
        project.write("runs/runs", b"in the way")
    elif home in spaces:
        project.write(f"{home}/loopback/{spaces[home]}", b"in the way")
    done = project.run("run", "p.yaml", "--json", "--out", out, env={"KREA_PIPE_HOME": home})
    assert done.code in (1, 2)
    assert done.json["error"]["message"]
    assert krea.posts == []
    people = project.run("run", "p.yaml", "--out", out, env={"KREA_PIPE_HOME": home})
    assert len(people.err.splitlines()) <= 3


@pytest.mark.parametrize("blocks", [16, 120])
def test_a_disk_that_fills_up_is_said_and_what_is_paid_is_kept(project, krea, blocks):
    """A limit on the size of files stands for a full disk: too small for the cache, then for an image."""
    krea.image(noisy("JPEG", SIZES["1:1"]), text="b")
    project.pipeline(["a", "b", "c"])
    shell = f'ulimit -f {blocks}; exec "$0" -m krea_pipe "$@"'
    process = subprocess.run(
        ["sh", "-c", shell, sys.executable, "run", "p.yaml", "--json"],
        cwd=project.path,
        env=project.environment({"PYTHONDONTWRITEBYTECODE": "1"}),  # a limit cuts those files off as well
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == 1, process.stderr
    assert json.loads(process.stdout)["error"]["code"] in {"cache_damaged", "not_writable"}
    assert "Traceback" not in process.stderr
    if blocks == 16:
        assert krea.posts == []
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["cells"]["uncertain"]) == (0, 0)
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_a_lock_that_is_garbage_is_said(project, krea):
    project.pipeline(["a"])
    lock = project.write(".krea-pipe/loopback/journal.lock", b"garbage" * 500)
    assert project.run("run", "p.yaml", "--json").json["error"]["code"] == "lock_damaged"
    assert krea.posts == []
    lock.unlink()
    assert project.run("run", "p.yaml").code == 0


def test_what_a_dead_run_left_to_show_that_it_lives_is_in_nobody_s_way(project, krea):
    project.pipeline(["a"])
    for name, data in (("garbage-0a1b", b"garbage" * 500), ("empty-0a1b", b"")):
        project.write(f".krea-pipe/loopback/running/20260101-000000-000-{name}", data)
    assert project.run("run", "p.yaml").code == 0
    assert list((project.space / "running").iterdir()) == []


def test_a_folder_in_the_place_of_an_image_or_a_file_in_the_place_of_a_folder(project, krea):
    project.write("p.yaml", "version: 1\nbudget: {usd: 1}\nprompt: a\nmatrix: {seed: [1]}\nout: deep/{{ seed }}\n")
    project.write("out/p/deep", b"a file")
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "not_a_folder")
    (project.path / "out/p/deep").unlink()
    (project.path / "out/p/deep/1.jpg").mkdir(parents=True)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "file_in_the_way")
    assert krea.seen == []
