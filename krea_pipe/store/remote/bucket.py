"""Objects by name in a bucket or a folder. An object is created once and never changed, except for heartbeats.

obstore is imported here and nowhere else. Its layers above `put` drop the create-only mode, and it repeats a PUT whose
answer was lost, which then meets its own object: a refused PUT is read back and compared.
"""

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.loopback import is_loopback

_T = TypeVar("_T")
SCHEMES = ("s3", "gs", "az", "file")
TRIES = 2
"""The number of attempts to write an object before the store counts as down."""
PAGE = 1000
_TIMEOUT = "20s"
_CONNECT_TIMEOUT = "5s"
_RETRY: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=10)}
"""A call to a store that hangs ends after 20 seconds, and a claim after 80: it is tried and read twice."""
_HINT = "KREA_PIPE_REMOTE must be s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER"
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT", "AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT")


class RemoteFailed(Exception):
    """The shared store did not answer, or refused."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object in a listing: its name, when it was last written by the store's own clock (UTC), and its bytes."""

    name: str
    modified: datetime
    size: int


@dataclass(frozen=True, slots=True)
class Bucket:
    """The objects below one address.

    Args:
        address: the address as a person may read it, without credentials.
        store: the store of obstore.
        is_read_only: refuse every change before the store is asked.
    """

    address: str
    store: Any
    is_read_only: bool = False

    def create(self, name: str, data: bytes) -> bool:
        """Write an object that must not exist yet; the bytes have to differ from those of any other writer.

        Args:
            name: the name, with slashes.
            data: the bytes, with a nonce in them.

        Returns:
            Whether the object has these bytes now; False when another writer was faster.

        Raises:
            RemoteFailed: it is unknown; a later answer may still create it.
        """
        self._check_writable()
        failure: Exception | None = None
        for _ in range(TRIES):
            try:
                _obstore().put(self.store, name, data, mode="create")
            except _failures() as error:  # what is there now decides
                failure = error
            else:
                return True
            with contextlib.suppress(RemoteFailed):
                if (found := self.read(name)) is not None:
                    return found == data
        raise self._failed("write", name, failure)

    def keep(self, name: str, data: bytes) -> None:
        """Write an object whose name determines its content, unless it exists.

        Args:
            name: the name, with slashes.
            data: the bytes.

        Raises:
            RemoteFailed: it could not be written.
        """
        self.create(name, data)

    def replace(self, name: str, data: bytes) -> None:
        """Write an object, whether or not there is one.

        Args:
            name: the name, with slashes.
            data: the bytes.

        Raises:
            RemoteFailed: it could not be written.
        """
        self._check_writable()
        self._call("write", name, lambda: _obstore().put(self.store, name, data))

    def read(self, name: str) -> bytes | None:
        """Read an object.

        Args:
            name: the name, with slashes.

        Returns:
            The bytes; None when there is no such object.

        Raises:
            RemoteFailed: it could not be read.
        """
        try:
            return self._call("read", name, lambda: bytes(_obstore().get(self.store, name).bytes()))
        except FileNotFoundError:
            return None

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """List the objects below a prefix, in no order: some backends have none.

        Args:
            prefix: whole parts of names; without a slash at the end.

        Yields:
            Each object.

        Raises:
            RemoteFailed: the list could not be read to its end.
        """
        pages = iter(_obstore().list(self.store, prefix, chunk_size=PAGE))
        while True:
            page = self._call("list", prefix, lambda: next(pages, None))
            if page is None:
                return
            yield from (StoredObject(one["path"], one["last_modified"], one["size"]) for one in page)

    def delete(self, name: str) -> None:
        """Delete an object.

        Args:
            name: the name, with slashes; it need not exist.

        Raises:
            RemoteFailed: it could not be deleted.
        """
        self._check_writable()
        with contextlib.suppress(FileNotFoundError):  # Azure and a folder say so, S3 and Google do not
            self._call("delete", name, lambda: _obstore().delete(self.store, name))

    def _check_writable(self) -> None:
        if self.is_read_only:
            raise RemoteFailed(f"{self.address} is read-only here (KREA_PIPE_REMOTE_MODE)")

    def _call(self, verb: str, name: str, call: Callable[[], _T]) -> _T:
        try:
            return call()
        except FileNotFoundError:
            raise
        except _failures() as error:
            raise self._failed(verb, name, error) from error

    def _failed(self, verb: str, name: str, error: Exception | None) -> RemoteFailed:
        return RemoteFailed(f"cannot {verb} {name} in {self.address}: {_words(error)}")


def open_bucket(address: str, environment: Mapping[str, str]) -> Bucket:
    """Open a bucket or a folder; a folder is created, and nothing is asked of a server yet.

    Args:
        address: `s3://BUCKET/PREFIX` and the like, or `file:///FOLDER`.
        environment: where obstore finds credentials and endpoints.

    Returns:
        The bucket.

    Raises:
        UsageError: the address cannot be used, or `krea-pipe[remote]` is not installed.
    """
    parts = urlsplit(address)
    is_place = bool(parts.netloc)
    if parts.scheme == "file":  # with two slashes, the first folder would be a host
        is_place = parts.netloc in ("", "localhost") and bool(parts.path.strip("/").partition("/")[2])
    if parts.scheme not in SCHEMES or not is_place or parts.query or parts.fragment:
        raise UsageError(Problem("bad_remote", f"the shared store {plain(address)} cannot be used", hint=_HINT))
    if parts.username or parts.password:
        message = f"the shared store {plain(address)} has credentials in its address"
        raise UsageError(Problem("bad_remote", message, hint="set them as environment variables of the backend"))
    _obstore()
    # obstore's stores, for those who share one.
    from obstore.store import LocalStore, from_url  # noqa: PLC0415

    try:
        if parts.scheme == "file":
            from urllib.request import url2pathname  # noqa: PLC0415 (an HTTP client, which other stores do without)

            folder = Path(url2pathname(parts.path)).expanduser()
            return Bucket(plain(address), LocalStore(folder, mkdir=True))
        options: Any = {
            "timeout": _TIMEOUT,
            "connect_timeout": _CONNECT_TIMEOUT,
            "allow_http": _allows_http(environment),
        }
        return Bucket(plain(address), from_url(address, client_options=options, retry_config=_RETRY))
    except _failures() as error:
        message = f"the shared store {plain(address)} cannot be opened: {_words(error)}"
        raise UsageError(Problem("bad_remote", message, hint=_HINT)) from error


def plain(address: str) -> str:
    """An address without a user, a password and a query, which may hold a secret."""
    parts = urlsplit(address)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _allows_http(environment: Mapping[str, str]) -> bool:
    """Plain http is for this machine alone, unless the environment says otherwise."""
    if any(environment.get(name, "").lower() in ("1", "true") for name in ("AWS_ALLOW_HTTP", "AZURE_ALLOW_HTTP")):
        return True
    endpoint = next((environment[name] for name in _ENDPOINTS if environment.get(name)), "")
    return is_loopback(urlsplit(endpoint).hostname or "")


def _words(error: Exception | None) -> str:
    """The first line of an error, without the XML of the server: obstore adds pages of details."""
    text = str(error).strip().splitlines()
    return re.sub(r"\s+", " ", re.sub(r":?\s*<\?xml.*", "", text[0]))[:300] if text else type(error).__name__


def _failures() -> tuple[type[Exception], ...]:
    """The errors that a call can raise: a missing object is a `FileNotFoundError`, other errors of a folder are
    `OSError`.
    """
    return (_obstore().exceptions.BaseError, OSError, ValueError)


def _obstore() -> Any:  # noqa: ANN401 (an optional library)
    # An extra of krea-pipe, and a few milliseconds.
    try:
        import obstore  # noqa: PLC0415
    except ImportError as error:
        message = "a shared store needs obstore, which is not installed"
        raise UsageError(Problem("no_obstore", message, hint="pip install 'krea-pipe[remote]'")) from error
    return obstore
