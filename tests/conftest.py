"""One served Krea for all tests, and a project folder for each."""

import os

import pytest
from command_line import Project
from hypothesis import settings
from krea_server import served

# The same examples each time, and none kept: a test that fails does so everywhere.
settings.register_profile("krea-pipe", deadline=None, derandomize=True, database=None)
settings.load_profile("krea-pipe")


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
