"""A repository on a GitHub on this machine."""

import pytest
from github_job import Actions, GitHub, pipeline


@pytest.fixture
def github():
    served = GitHub()
    yield served
    served.close()


@pytest.fixture
def actions(project, github):
    made = Actions(project, github)
    made.base = made.origin.commit(
        {"pipelines/lamp.yaml": pipeline("glass", "brass"), "pipelines/notes.yaml": "a: 1\n"}
    )
    return made
