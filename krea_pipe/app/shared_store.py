"""The shared store, for the commands that look after it: it has to be named, to answer, and to have a known format."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.settings import Target
from krea_pipe.store.remote.bucket import RemoteFailed
from krea_pipe.store.remote.remote import ADDRESS_NAME, MODE_NAME, Remote, open_remote

_T = TypeVar("_T")
_U = TypeVar("_U")
_WIDTH = 16
"""Calls to the store at once."""


@contextmanager
def shared_store(
    environment: Mapping[str, str], target: Target, warn: Callable[[Problem], None], *, writes: bool = False
) -> Iterator[Remote]:
    """Open the shared store; what fails there while it is open is an error of the command.

    Args:
        environment: names the store.
        target: the API.
        warn: receives warnings about ignored records, and of a format that will be needed soon.
        writes: whether the command changes the store.

    Yields:
        The store.

    Raises:
        UsageError: none is named, it may only be read, or it cannot be used.
        StateError: it does not answer, or refuses.
    """
    remote = open_remote(environment, target, warn)
    if remote is None:
        hint = f"set {ADDRESS_NAME}; see docs/how-to/team.md"
        raise UsageError(Problem("no_remote", "no shared store is set", hint=hint))
    if writes and remote.bucket.is_read_only:
        message = f"{remote.bucket.address} is read-only here, set by {MODE_NAME}"
        raise UsageError(Problem("remote_read_only", message, hint=f"set {MODE_NAME}=write if you may write to it"))
    try:
        if (announced := remote.check_format()) is not None:
            warn(announced)
        yield remote
    except RemoteFailed as error:
        hint = "`krea-pipe doctor` checks the shared store and the rights that these credentials have there"
        raise StateError(Problem("remote_failed", str(error), hint=hint)) from error


def in_parallel(call: Callable[[_T], _U], things: Iterable[_T]) -> Iterator[_U]:
    """Call the store for each of many things, several at a time; after an error no more calls begin.

    Args:
        call: what is done with each.
        things: the things.

    Yields:
        What each call has given, in the order of the things.
    """
    pool = ThreadPoolExecutor(_WIDTH, "shared store")
    try:
        yield from pool.map(call, things)
    finally:
        pool.shutdown(cancel_futures=True)
