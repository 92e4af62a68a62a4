"""One served Krea for all tests, and a project folder for each."""

import os
import shutil
import ssl
import sys
from functools import cache
from pathlib import Path

import pytest
import remote_servers
from command_line import Project
from hypothesis import settings
from krea_server import served
from plain_pictures import look_once

# The same examples each time, and none kept: a test that fails does so everywhere.
settings.register_profile("krea-pipe", deadline=None, derandomize=True, database=None)
settings.load_profile("krea-pipe")

# Every run makes such contexts, and none of our servers speaks TLS; to read the certificates takes as long as a run.
ssl.create_default_context = cache(ssl.create_default_context)

look_once()

# Where PYTHONDONTWRITEBYTECODE is set, each worker would compile all tests again, for longer than it collects them.
sys.dont_write_bytecode = False

MEMORY = Path("/dev/shm")
ROOM = 2**31


def pytest_configure(config):
    """Keep the folders of tests in memory where there is room: half of what a run does is to wait for the disk."""
    chosen = {"PYTEST_DEBUG_TEMPROOT", "TMPDIR"} & os.environ.keys()
    if not chosen and has_room(MEMORY):
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def has_room(folder):
    """Whether all that the tests write goes into a folder, and the programs among it can run there."""
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        return False
    return shutil.disk_usage(folder).free > ROOM and not os.statvfs(folder).f_flag & os.ST_NOEXEC


def pytest_xdist_auto_num_workers():
    """Tests wait for processes a third of their time, so a core can do with more than one of them."""
    return 2 * (os.cpu_count() or 1)


@pytest.fixture(scope="session")
def served_krea():
    with served() as krea:
        yield krea


@pytest.fixture
def krea(served_krea):
    """A Krea with nothing in it and no faults."""
    served_krea.reset()
    return served_krea


@pytest.fixture
def project(tmp_path, krea):
    project = Project(tmp_path, krea)
    yield project
    project.stop()


@pytest.fixture
def store(tmp_path):
    """The folder of a shared store, which is not there yet."""
    return tmp_path / "store"


@pytest.fixture
def elsewhere(tmp_path, krea):
    """Another folder, with a home of its own that knows nothing."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    project = Project(folder, krea)
    yield project
    project.stop()


@pytest.fixture(scope="session")
def moto():
    """The environment of an S3 by moto, one for each worker that asks."""
    with remote_servers.moto() as env:
        yield env


@pytest.fixture(scope="session")
def seaweedfs():
    """The environment of an S3 by SeaweedFS."""
    with remote_servers.seaweedfs() as env:
        yield env
