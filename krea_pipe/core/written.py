"""Values that remember how they were written, so that a text shows `1.10`, `1e3`, `TRUE` and `Null` unchanged.

Arithmetic and request fields take them for the numbers, the truth or the nothing that they are. Only values whose own
spelling is another one are of these types.
"""

from typing import Any

from krea_pipe.core.json_data import Json


class Written:
    """A value and its spelling."""

    written: str


class WrittenInt(Written, int):
    """A whole number such as `+33`, or true or false as `TRUE`."""

    def __new__(cls, value: int, written: str) -> "WrittenInt":
        """A number, spelled in some way."""
        new = super().__new__(cls, value)
        new.written = written
        return new

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments for a copy."""
        return int(self), self.written


class WrittenTruth(WrittenInt):
    """`True` or `FALSE`, which count as 1 and 0."""


class WrittenFloat(Written, float):
    """A number such as `1.10` or `1e3`."""

    def __new__(cls, value: float, written: str) -> "WrittenFloat":
        """A number, spelled in some way."""
        new = super().__new__(cls, value)
        new.written = written
        return new

    def __getnewargs__(self) -> tuple[Any, ...]:
        """The arguments for a copy."""
        return float(self), self.written


class WrittenNull(Written, str):
    """`Null` or `NULL`: no value, so it is false and equal to null, and yet a word where a text shows it."""

    def __new__(cls, written: str) -> "WrittenNull":
        """A null, spelled in some way."""
        new = super().__new__(cls, "")
        new.written = written
        return new

    def __getnewargs__(self) -> tuple[str]:
        """The arguments for a copy."""
        return (self.written,)

    def __eq__(self, other: object) -> bool:
        return other is None or isinstance(other, WrittenNull)

    def __hash__(self) -> int:
        return hash(None)


def as_written(value: Json, written: str) -> Json:
    """A number, a truth or a null that remembers its spelling, if that is not its own one."""
    match value:
        case bool():
            return value if written == str(value).lower() else WrittenTruth(value, written)
        case int():
            return value if written == str(value) else WrittenInt(value, written)
        case float():
            return value if written == str(value) else WrittenFloat(value, written)
        case None if written.lower() == "null" != written:
            return WrittenNull(written)
    return value


def unspelled(value: Json) -> Json:
    """A value without its spelling, as requests and ids have it."""
    match value:
        case WrittenNull():
            return None
        case WrittenTruth():
            return bool(value)
        case WrittenInt():
            return int(value)
        case WrittenFloat():
            return float(value)
        case list():
            return [unspelled(one) for one in value]
        case dict():
            return {key: unspelled(one) for key, one in value.items()}
    return value
