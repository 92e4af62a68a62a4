"""One repository with images for all tests of the corpus."""

import pytest
from corpus import build_repository


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """The folder for pipelines of a repository."""
    return build_repository(tmp_path_factory.mktemp("world") / "repo")
