"""The faults of the local Krea: rules, checked in order until one matches the call."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from krea_pipe.local.job import FateOf, Job, JobOutcome
from krea_pipe.local.order import ProofSpec

CALLS = ("submit", "job", "jobs", "cancel", "upload", "image")


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer with an HTTP error; with `after`, Krea has acted on the call nevertheless."""

    status: int
    retry_after: int | None = None
    after: bool = False


@dataclass(frozen=True, slots=True)
class Reset:
    """Break the connection before Krea has acted, or `after` it."""

    after: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """Wait before Krea acts, or hold its answer back `after` it has acted."""

    seconds: float
    after: bool = False


@dataclass(frozen=True, slots=True)
class Truncate:
    """Promise the whole body, send half of it, and close the connection."""


@dataclass(frozen=True, slots=True)
class Corrupt:
    """Send a body of the right length with other bytes in its middle."""


@dataclass(frozen=True, slots=True)
class End:
    """How a job ends."""

    fate: JobOutcome


@dataclass(frozen=True, slots=True)
class Deliver:
    """The number of deliveries of a job's webhook."""

    copies: int


Action: TypeAlias = Refuse | Reset | Slow | Truncate | Corrupt | End | Deliver


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of a script: its subject, its effect, and the calls or jobs that it selects.

    `on` is a call, `any` for every call, `end` or `webhook`. `prompt` is text inside the job's prompt; of what is left
    the rule takes each one of `every`, of these the `share`, and in all no more than `times`.
    """

    on: str
    action: Action
    prompt: str = ""
    every: int = 1
    share: float = 1.0
    times: int | None = None

    def is_about(self, on: str, prompt: str | None) -> bool:
        """Whether the rule has a say in a call or job, whose prompt is None when it has none."""
        named = on == self.on or (self.on == "any" and on not in ("end", "webhook"))
        return named and (not self.prompt or (prompt is not None and self.prompt in prompt))


@dataclass(slots=True, eq=False)
class _Tally:
    """The number of times that a rule was asked and has acted, with its own random numbers."""

    rule: Rule
    dice: random.Random
    asked: int = 0
    acted: int = 0

    def takes_the_next(self) -> bool:
        self.asked += 1
        if self.asked % self.rule.every or self.acted == self.rule.times:
            return False
        # Thrown only where a share is wanted, so that a seed means the same whatever else a rule selects by.
        taken = self.rule.share == 1.0 or self.dice.random() < self.rule.share
        self.acted += taken
        return taken


@dataclass(slots=True, eq=False)
class Script:
    """Rules in their order, and how often each has acted; `seed` decides which calls a share takes."""

    rules: Sequence[Rule] = ()
    seed: int = 0
    _tallies: list[_Tally] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._tallies = [_Tally(rule, random.Random(f"{self.seed}:{number}")) for number, rule in enumerate(self.rules)]

    @property
    def acted(self) -> tuple[int, ...]:
        """The number of times that each rule has acted, in the order of the rules."""
        return tuple(tally.acted for tally in self._tallies)

    @property
    def wants_prompts(self) -> bool:
        """Whether any rule selects by the prompt."""
        return any(rule.prompt for rule in self.rules)

    def pick(self, on: str, prompt: str | None) -> Action | None:
        """The effect on this call or job; None lets it pass."""
        for tally in self._tallies:
            if tally.rule.is_about(on, prompt) and tally.takes_the_next():
                return tally.rule.action
        return None

    def decide_fates(self, otherwise: FateOf) -> FateOf:
        """How jobs end: according to the rules on `end`, otherwise as without them."""

        def fate_of(brief: ProofSpec) -> JobOutcome:
            action = self.pick("end", brief.order.prompt)
            return action.fate if isinstance(action, End) else otherwise(brief)

        return fate_of

    def count_webhooks(self, job: Job) -> int:
        """The number of deliveries of a job's webhook."""
        action = self.pick("webhook", job.brief.order.prompt)
        return action.copies if isinstance(action, Deliver) else 1
