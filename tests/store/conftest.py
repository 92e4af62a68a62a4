"""Servers of objects, one of each for a worker, and only where a test asks for one."""

import pytest
import remote_servers


@pytest.fixture(scope="session")
def moto():
    with remote_servers.moto() as env:
        yield env


@pytest.fixture(scope="session")
def seaweedfs():
    with remote_servers.seaweedfs() as env:
        yield env
