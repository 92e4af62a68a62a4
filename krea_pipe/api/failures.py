"""How a call to Krea can fail.

CallFailed
├── Unreachable   nothing was sent
├── AnswerLost    Krea may have acted, and its answer did not come
├── Refused       Krea answered with an HTTP error
└── BadImage      what came is not the image that was announced
"""

import httpx


class CallFailed(Exception):
    """A call did not bring what it was for; the message is one line for people."""


class Unreachable(CallFailed):
    """No connection was made, so Krea has seen nothing."""


class AnswerLost(CallFailed):
    """The request may have arrived, but its answer did not."""


class Refused(CallFailed):
    """Krea answered with an HTTP error. `retry_after` is in seconds, when the answer named a wait."""

    def __init__(self, status: int, complaint: str, retry_after: float | None) -> None:
        super().__init__(complaint)
        self.status, self.retry_after = status, retry_after

    @property
    def may_have_acted(self) -> bool:
        """Whether a job may exist all the same: a gateway can give up on a call that goes on behind it."""
        return self.status >= 500 or self.status == 408


class BadImage(CallFailed):
    """What came is not the image that was announced."""


class translated:  # noqa: N801 (used like a function)
    """Turns what httpx raises into this module's words; the one place where that is decided."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        match error:
            case httpx.ConnectError() | httpx.ConnectTimeout() | httpx.PoolTimeout() | httpx.UnsupportedProtocol():
                raise Unreachable(f"no connection: {_words(error)}") from error
            case httpx.HTTPError() | httpx.InvalidURL() | httpx.StreamError():
                raise AnswerLost(f"the answer was lost: {_words(error)}") from error


def _words(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
