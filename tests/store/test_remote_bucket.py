"""The objects of a shared store, on each backend: created once and for all, read, listed to the end, and deleted."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from remote_backend import WRITERS, check_backend
from remote_servers import KEYS, Proxy, free_ports

from krea_pipe.core.errors import UsageError
from krea_pipe.store.remote.bucket import RemoteFailed, open_bucket


@pytest.fixture
def opened(monkeypatch, tmp_path, request):
    """Opens a bucket of a backend, which nothing else uses: a new name below it for each test."""
    prefix = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]

    def open_at(backend, env=None):
        if backend == "file":
            return open_bucket((tmp_path / prefix).as_uri(), {})
        env = request.getfixturevalue(backend) if env is None else env
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return open_bucket(f"s3://bucket/{prefix}", dict(os.environ))

    return open_at


@pytest.mark.parametrize("backend", ["file", "moto", "seaweedfs"])
def test_a_backend_does_what_claims_rely_on(opened, backend):
    check_backend([opened(backend) for _ in range(WRITERS)])


CREATES = """\
import os, sys, time
from krea_pipe.store.remote.bucket import open_bucket
bucket = open_bucket(sys.argv[1], {})
print("ready", flush=True)
sys.stdin.readline()
print(*(n for n in range(200) if bucket.create(f"claims/k/{n:04}", os.urandom(12))))
"""


def test_a_folder_lets_one_of_several_processes_win(tmp_path):
    words = [sys.executable, "-c", CREATES, tmp_path.as_uri()]
    started = [subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.write("\n")
        process.stdin.flush()
    won = [int(number) for process in started for number in process.communicate(timeout=60)[0].split()]
    assert sorted(won) == list(range(200))


@pytest.mark.parametrize("lost", [1, 2])
def test_a_create_whose_answer_is_lost_is_known_by_its_own_bytes(opened, moto, lost):
    proxy = Proxy(moto, loses={"PUT": lost})
    bucket = opened("moto", proxy.env)
    try:
        assert bucket.create("claims/k/0001", b"mine")
        assert [method for method, _ in proxy.seen].count("PUT") == 1 + lost
        assert bucket.read("claims/k/0001") == b"mine"
    finally:
        proxy.close()


def test_a_create_whose_answer_is_lost_after_another_has_won_is_refused(opened, moto):
    proxy = Proxy(moto, loses={"PUT": 1})
    bucket = opened("moto", proxy.env)
    assert opened("moto").create("claims/k/0001", b"theirs")
    try:
        assert not bucket.create("claims/k/0001", b"mine")
        assert bucket.read("claims/k/0001") == b"theirs"
    finally:
        proxy.close()


SAS = {"AZURE_STORAGE_ACCOUNT_NAME": "account", "AZURE_STORAGE_SAS_KEY": "sv=2024-01-01&sig=test-secret-4711"}


@pytest.mark.parametrize("address", ["s3://bucket/x", "az://bucket/x"])
def test_a_store_that_is_down_is_told_in_a_line_without_secrets(monkeypatch, address):
    (port,) = free_ports(1)
    places = dict.fromkeys(("AWS_ENDPOINT_URL", "AZURE_STORAGE_ENDPOINT"), f"http://127.0.0.1:{port}")
    for name, value in {**KEYS, **SAS, **places}.items():
        monkeypatch.setenv(name, value)
    bucket = open_bucket(address, dict(os.environ))
    for call in (
        lambda: bucket.create("claims/k/0001", b"x"),
        lambda: list(bucket.list("results")),
    ):
        with pytest.raises(RemoteFailed) as failed:
            call()
        message = str(failed.value)
        assert message.startswith("cannot ")
        assert bucket.address in message
        assert "\n" not in message
        assert KEYS["AWS_SECRET_ACCESS_KEY"] == "test-secret-4711"
        assert "test-secret-4711" not in message


def test_a_store_that_may_only_be_read_refuses_every_change(opened):
    bucket = opened("file")
    bucket.create("a", b"1")
    reading = replace(bucket, is_read_only=True)
    changes = (lambda: reading.create("b", b"1"), lambda: reading.keep("b", b"1"), lambda: reading.replace("a", b"2"))
    for change in (*changes, lambda: reading.delete("a")):
        with pytest.raises(RemoteFailed, match="is read-only here"):
            change()
    assert [one.name for one in reading.list("")] == ["a"]
    assert reading.read("a") == b"1"


@pytest.mark.parametrize(
    "address", ["bucket", "http://bucket/x", "s3:///x", "s3://bucket/x?secret=hunter22", "s3://me:hunter22@bucket/x"]
)
def test_an_address_that_cannot_be_used_is_refused_without_its_secrets(address):
    with pytest.raises(UsageError) as refused:
        open_bucket(address, {})
    assert refused.value.code == "bad_remote"
    assert "hunter22" not in str(refused.value)
