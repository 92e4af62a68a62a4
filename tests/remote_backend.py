"""What the shared store relies on in a backend: objects are created once, read, listed to the end, and deleted."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

WRITERS = 10
MANY = 1_050
"""More objects than a page of a listing has."""


def race(buckets, name):
    """Let all create an object at once; the bytes of those that were told that it is theirs."""
    start = threading.Barrier(len(buckets))

    def write(bucket):
        data = os.urandom(12)
        start.wait(30)
        return data if bucket.create(name, data) else None

    with ThreadPoolExecutor(len(buckets)) as pool:
        return [data for data in pool.map(write, buckets) if data]


def check_backend(buckets):
    """Try a place with nothing in it, by several connections."""
    bucket = buckets[0]
    assert bucket.read("claims/k/0001") is None
    bucket.delete("claims/k/0001")
    (winner,) = race(buckets, "claims/k/0001")
    assert bucket.read("claims/k/0001") == winner
    assert bucket.create("claims/k/0001", winner)  # written again by its own writer
    assert not bucket.create("claims/k/0001", b"another")
    bucket.replace("runs/r", b"1")
    bucket.replace("runs/r", b"22")
    assert [(one.name, one.size) for one in bucket.list("runs")] == [("runs/r", 2)]
    bucket.delete("runs/r")
    assert (bucket.read("runs/r"), list(bucket.list("runs"))) == (None, [])

    names = {f"blobs/{hashlib.sha256(str(number).encode()).hexdigest()}" for number in range(MANY)}
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: bucket.replace(name, b"x"), names))
    assert sorted(one.name for one in bucket.list("blobs")) == sorted(names)
    assert {one.name for one in bucket.list("blob")} == set()  # a part of a name is no prefix
    assert {one.name.partition("/")[0] for one in bucket.list("")} == {"blobs", "claims"}
