"""One served Krea for all tests, and a project folder for each."""

import pytest
from command_line import Project
from krea_server import served


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
