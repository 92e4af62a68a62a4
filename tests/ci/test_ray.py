"""`run --on ray` on a real cluster of two workers: lost workers, interrupts, other versions, and secrets."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from command_line import KEY, SOURCE, Project
from krea_server import until
from money import check_paid_once, draw

from krea_pipe._version import __version__

WORDS = ["a", "b", "c", "d", "e", "f", "g", "h"]
LATENCY = 1000.0
PROCESSING = 300.0
"""Seconds of Krea's clock after which a job cannot be cancelled any more."""
SECRETS = (KEY, "a-secret-of-the-store")
PLAIN = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "LANG": "C.UTF-8"}
HAS_RAY = "import sys; from importlib.util import find_spec as f; sys.exit(not (f('ray') and f('obstore')))"


@cache
def python_with_ray():
    """This Python, or the first of the path that has Ray, as the environment of `.ci/run` does."""
    for found in filter(None, (sys.executable, shutil.which("python"))):
        if subprocess.run([found, "-c", HAS_RAY], check=False).returncode == 0:
            return found
    return None


pytestmark = pytest.mark.skipif(
    python_with_ray() is None, reason="no Python here has ray: pip install 'krea-pipe[ray]'"
)


@dataclass
class Cluster:
    address: str
    logs: Path
    temporary: Path

    def processes(self):
        """The processes of shards, each with that of its worker."""
        return {int(path.name): parent_of(path) for path in Path("/proc").glob("[0-9]*") if self.is_shard(path)}

    def is_shard(self, path):
        try:
            words = (path / "cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return b"krea_pipe.cli.shard_process" in words and any(str(self.temporary).encode() in word for word in words)


def parent_of(path):
    return int((path / "stat").read_text().rpartition(")")[2].split()[1])


@pytest.fixture(scope="module")
def ray():
    """A cluster. Its folder is in `/tmp`, as the paths of sockets have to be short."""
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp", ignore_cleanup_errors=True) as name:
        yield from started_cluster(Path(name))


def started_cluster(temporary):
    head, line = started_head(temporary)
    try:
        address, logs = json.loads(line)
        yield Cluster(address, Path(logs), temporary)
    finally:
        end(head)


def started_head(temporary):
    """A cluster and what it prints. Ray gives a start up after 30 seconds, which a busy machine may need."""
    env = {**PLAIN, "PATH": os.environ["PATH"], "HOME": str(temporary), "PYTHONPATH": str(SOURCE)}
    for _ in range(3):
        head = subprocess.Popen(
            [python_with_ray(), str(Path(__file__).parent / "ray_head.py")],
            env={**env, "TMPDIR": str(temporary)},
            cwd=temporary,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        line = head.stdout.readline()
        if line:
            break
        end(head)
    return head, line


def end(head):
    head.stdin.close()
    head.wait(60)
    head.stdout.close()


class OnRay(Project):
    """A project whose runs are started with the Python that has Ray."""

    @property
    def store(self):
        """What names the shared store in the environment."""
        return {"KREA_PIPE_REMOTE": (self.path / "store").as_uri(), "KREA_PIPE_REMOTE_SECRET": SECRETS[1]}

    def begin(self, address, *words, **env):
        self.pipeline(WORDS, more="budget: {usd: 0.30}")
        own = {**PLAIN, **self.store, "RAY_ADDRESS": address, "PYTHONWARNINGS": None, **env}
        process = subprocess.Popen(
            [
                python_with_ray(),
                "-m",
                "krea_pipe",
                "run",
                "p.yaml",
                "--json",
                "--log-format",
                "json",
                "--on",
                "ray",
                *words,
            ],
            cwd=self.path,
            env=self.environment(own),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.started.append(process)
        return process


@pytest.fixture
def project(tmp_path, krea):
    krea.reset(latency=0.0, concurrency=2)
    draw(krea)
    project = OnRay(tmp_path, krea)
    yield project
    project.stop()


def said(done, event):
    return [line for line in map(json.loads, done.err.splitlines()) if line["event"] == event]


def test_a_killed_worker_costs_nothing_and_no_image_and_ray_learns_no_secret(project, krea, ray):
    krea.world.latency = LATENCY
    process = project.begin(ray.address, "--shards", "3")
    until(lambda: len(ray.processes()) == 2 and len(krea.world.jobs) >= 2, "two shards with jobs")
    os.kill(next(iter(ray.processes().values())), signal.SIGKILL)
    krea.finish_jobs()
    done = project.finish(process)
    assert done.code == 0, done.text
    check_paid_once(project, krea, WORDS, env=project.store)
    assert len(krea.world.bills) == len(WORDS)
    assert sum(bill.amount for bill in krea.world.bills) <= 0.30
    ends = done.json["shards"]
    assert [(end["shard"], end["exit_code"]) for end in ends] == [("1/3", 0), ("2/3", 0), ("3/3", 0)]
    assert sorted(end["starts"] for end in ends) == [1, 1, 2]
    assert done.json["cost"]["spent_usd"] == "0.24"
    assert {row["status"] for row in done.report["cells"]} == {"succeeded"}
    assert len(list((project.home / "runs").iterdir())) == 1
    assert {line["shard"] for line in said(done, "progress")} == {"1/3", "2/3", "3/3"}
    assert project.run("verify", "p.yaml").code == 0
    files = [path for folder in (ray.logs, ray.temporary) for path in folder.rglob("*") if path.is_file()]
    assert files
    assert [path for path in files if any(one.encode() in path.read_bytes() for one in SECRETS)] == []


def test_an_interrupt_stops_the_shards_as_it_stops_a_run_and_the_same_command_goes_on(project, krea, ray):
    krea.world.latency = LATENCY
    process = project.begin(ray.address, "--shards", "4", "--concurrency", "1")
    until(lambda: len(krea.world.jobs) == 2, "a job of each of two shards")
    krea.clock.advance(PROCESSING)
    process.send_signal(signal.SIGINT)
    stopping = 0
    while stopping < 3:  # the run here, and two shards
        stopping += json.loads(process.stderr.readline())["event"] == "stopping"
    krea.finish_jobs()
    done = project.finish(process)
    assert (done.code, done.json["cells"]["succeeded"]) == (130, 2), done.text
    assert len(krea.world.bills) == 2
    again = project.finish(project.begin(ray.address, "--shards", "2"))
    assert (again.code, again.json["cells"]["reused"]) == (0, 2), again.text
    check_paid_once(project, krea, WORDS, env=project.store)


def test_workers_with_another_version_are_named_and_nothing_is_sent(project, krea, ray, tmp_path):
    packages = another_version(tmp_path / "packages")
    done = project.finish(project.begin(ray.address, "--shards", "2", PYTHONPATH=str(packages)))
    error = done.json["error"]
    assert (done.code, error["code"], krea.seen) == (1, "worker_without_krea_pipe", []), done.text
    assert f"has krea-pipe {__version__}, but this machine has 9.9.9" in error["message"]
    assert "krea-pipe[remote]==9.9.9" in error["hint"]


def another_version(folder):
    """A folder with krea-pipe as it is here, which takes itself for another version."""
    (folder / "krea_pipe").mkdir(parents=True)
    for path in (SOURCE / "krea_pipe").iterdir():
        (folder / "krea_pipe" / path.name).symlink_to(path)
    (folder / "krea_pipe/_version.py").unlink()
    (folder / "krea_pipe/_version.py").write_text('__version__ = "9.9.9"\n')
    (folder / "schemas").symlink_to(SOURCE / "schemas")
    return folder


def test_a_cluster_that_is_not_there_is_named_before_anything_is_sent(project, krea):
    done = project.finish(project.begin("127.0.0.1:1", "--shards", "2"))
    assert (done.code, done.json["error"]["code"], krea.seen) == (1, "no_cluster", []), done.text
