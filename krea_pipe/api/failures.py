"""The ways in which a call to Krea can fail.

CallFailed
├── Unreachable   nothing was sent
├── AnswerLost    Krea may have acted, and its answer did not come
├── Refused       Krea answered with an error
└── BadImage      what came is not the image that was announced
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx

_MAX_SAID = 700
"""Characters of what one call is said to have failed with; much of it may be the words of others."""


class CallFailed(Exception):
    """A call did not bring what it was for; the message is one line for people.

    `may_have_acted` says that Krea may have carried out the call nevertheless, `is_given_up` that someone stopped
    waiting for it, so Krea may still carry it out.
    """

    may_have_acted: bool = False
    is_given_up: bool = False


class Unreachable(CallFailed):
    """No connection was made, so Krea has seen nothing."""


class AnswerLost(CallFailed):
    """The request may have arrived, but its answer did not."""

    may_have_acted = True

    def __init__(self, message: str, *, is_given_up: bool = False) -> None:
        super().__init__(message)
        self.is_given_up = is_given_up


REJECTED = 200
"""The status of an answer of success that holds an error and no job."""
_DOCUMENTED = frozenset({REJECTED, 400, 401, 402, 403, 404, 410, 422, 429})
"""The statuses with which Krea itself is known to refuse a request; sources in `docs/explanation/money.md`."""


_GAVE_UP = frozenset({408, 499, 504, 524})
"""The statuses with which a gateway says that it has waited too long."""


class Refused(CallFailed):
    """The answer was an HTTP status other than 2xx, or a 200 that holds an error in place of what was asked for.

    `retry_after` is the wait in seconds that the answer asked for, if it asked for one. `is_kreas` says that the body
    has the form of Krea's own error answers, and not that of a gateway in front of it.
    """

    def __init__(self, status: int, message: str, retry_after: float | None, *, is_kreas: bool) -> None:
        super().__init__(message)
        self.status, self.retry_after, self.is_kreas = status, retry_after, is_kreas
        # A gateway can redirect, refuse or give up on a call that continues behind it. Only a documented status in
        # Krea's own form says that there is no job.
        self.may_have_acted = not (is_kreas and status in _DOCUMENTED)
        self.is_given_up = status in _GAVE_UP

    @property
    def is_final(self) -> bool:
        """Whether resubmitting it is useless, once it is known that there is no job."""
        return self.status in _DOCUMENTED and self.status != 429


class BadImage(CallFailed):
    """The received data is not the image that was announced."""


class translated:  # noqa: N801 (used like a function)
    """Turns what httpx raises into this module's words; the one place where that is decided."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.UnsupportedProtocol():
                raise Unreachable(f"no connection: {_words(error)}") from error
            case httpx.TimeoutException():
                raise AnswerLost(f"the answer was lost: {_words(error)}", is_given_up=True) from error
            # A redirect to an impossible host is read with `idna`, whose errors httpx lets through.
            case httpx.HTTPError() | httpx.InvalidURL() | httpx.StreamError() | UnicodeError():
                raise AnswerLost(f"the answer was lost: {_words(error)}") from error


@contextmanager
def masking(mask: Callable[[str], str]) -> Iterator[None]:
    """Lets nothing fail with words that hold the token: they may quote what came."""
    try:
        yield
    except CallFailed as error:
        said = mask(str(error))
        error.args = (said if len(said) <= _MAX_SAID else f"{said[:_MAX_SAID]}…",)
        raise


def _words(error: Exception) -> str:
    return " ".join(str(error)[: 20 * _MAX_SAID].split()) or type(error).__name__
