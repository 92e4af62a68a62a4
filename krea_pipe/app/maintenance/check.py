"""What `krea-pipe doctor` says of one thing that it has looked at."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

CheckState: TypeAlias = Literal["ok", "warning", "problem"]
MAX_CLOCK_SECONDS = 60.0
"""A clock that is further off gives reports wrong times, and `gc` wrong ages."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: how it is, and what to do when it is not well."""

    name: str
    state: CheckState
    message: str
    hint: str = ""
