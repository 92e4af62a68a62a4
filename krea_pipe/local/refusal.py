"""The error answers of the API as one exception."""

from collections.abc import Mapping


class RefusalError(Exception):
    """A request that is answered with an HTTP error status and a JSON body."""

    def __init__(self, status: int, body: Mapping[str, str]) -> None:
        super().__init__(f"{status} {dict(body)}")
        self.status = status
        self.body = {key: _printable(text) for key, text in body.items()}


def refuse(status: int, reason: str) -> RefusalError:
    """The answer in the declared shape `{"error": reason}`."""
    return RefusalError(status, {"error": reason})


def _printable(text: str) -> str:
    """A lone surrogate is legal in JSON input but cannot be encoded into an answer."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
