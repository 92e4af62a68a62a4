"""Breaks each law of the architecture once, and sees whether `test_architecture.py` fails: run it by itself.

It ends with `11 of 11 noticed`; with exit code 1 when a break passes the tests.
"""

import ast
from collections.abc import Callable
from dataclasses import dataclass

import test_architecture
from test_architecture import ROOT

TESTS = [test for name, test in vars(test_architecture).items() if name.startswith("test_")]


@dataclass(frozen=True)
class Mutant:
    """One law, and lines that break it when they are added to a module."""

    law: str
    module: str
    lines: str


MUTANTS = (
    Mutant("a clock in the plan", "planning/plan.py", "from datetime import datetime\n\nSTARTED = datetime.now()\n"),
    Mutant("httpx in the plan", "planning/plan.py", "import httpx\n\nget = httpx.get\n"),
    Mutant("a socket in the loader", "pipeline/spec/loading.py", "import socket\n\nsocket_type = socket.socket\n"),
    Mutant(
        "an upward import for types alone",
        "core/outcome.py",
        "from typing import TYPE_CHECKING\n\nif TYPE_CHECKING:\n    from krea_pipe.planning.plan import Plan\n",
    ),
    Mutant("a private name of another module", "matrix/matrix.py", "from krea_pipe.pipeline.nodes import _Builder\n"),
    Mutant(
        "a command that writes the journal",
        "cli/commands/jobs.py",
        "from krea_pipe.store.ledger import Ledger\n\nWRITER = Ledger\n",
    ),
    Mutant(
        "a second reader of the journal",
        "cli/commands/jobs.py",
        'def is_open(event: str) -> bool:\n    return event in ("submitting", "unanswered")\n',
    ),
    Mutant("a room entered from below", "store/space.py", "from krea_pipe.executor.session import Session\n"),
    Mutant("a module that is replaced", "app/package.py", 'import sys\n\nsys.modules["krea_pipe.flow"] = sys\n'),
    Mutant("a lower room that prints", "executor/executor.py", 'def say() -> None:\n    print("done")\n'),
    Mutant("a circle in a room", "core/errors.py", "from krea_pipe.core.excerpts import cut\n"),
)


def noticed(mutant: Mutant) -> bool:
    """Whether a test fails while the mutant is in its module."""
    module = test_architecture.name_of(ROOT / mutant.module)
    trees = test_architecture.trees()
    whole = trees[module]
    source = (ROOT / mutant.module).read_text(encoding="utf-8")
    trees[module] = ast.parse(f"{source}\n\n{mutant.lines}")
    try:
        is_noticed = any(map(fails, TESTS))
    finally:
        trees[module] = whole
    print(f"{'noticed' if is_noticed else 'PASSED'}: {mutant.law}", flush=True)
    return is_noticed


def fails(test: Callable[[], None]) -> bool:
    """Whether a test fails."""
    try:
        test()
    except AssertionError:
        return True
    return False


def main() -> int:
    """Try all of them, after the tests were seen to pass."""
    failed = [test.__name__ for test in TESTS if fails(test)]
    if failed:
        print(f"without a mutant, these fail: {', '.join(failed)}")
        return 1
    found = list(map(noticed, MUTANTS))
    print(f"{sum(found)} of {len(MUTANTS)} noticed")
    return 0 if all(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
