"""A result of `krea-pipe doctor`."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

CheckState: TypeAlias = Literal["ok", "warning", "problem"]
MAX_CLOCK_SECONDS = 60.0
"""A clock that is further off gives reports wrong times, and `gc` wrong ages."""


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check, and what to do if it failed."""

    name: str
    state: CheckState
    message: str
    hint: str = ""
