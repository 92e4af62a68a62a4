"""Breaks each law of the architecture once, in a copy, and sees whether `test_architecture.py` fails: run it by itself.

It ends with `11 of 11 noticed`; with exit code 1 when a break passes the tests.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TESTS = "tests/test_architecture.py"


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
    """Whether the tests fail on a copy with the mutant in it."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        ignored = shutil.ignore_patterns("__pycache__", "fonts", "templates")
        shutil.copytree(ROOT / "krea_pipe", copy / "krea_pipe", ignore=ignored)
        (copy / "tests").mkdir()
        shutil.copy(ROOT / TESTS, copy / TESTS)
        module = copy / "krea_pipe" / mutant.module
        module.write_text(f"{module.read_text(encoding='utf-8')}\n\n{mutant.lines}", encoding="utf-8")
        words = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", copy, TESTS]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(words, cwd=copy, env=environment, capture_output=True, text=True)
    is_noticed = done.returncode == 1
    print(f"{'noticed' if is_noticed else 'PASSED'}: {mutant.law}", flush=True)
    if not is_noticed:
        print(done.stdout[-2000:], done.stderr[-2000:])
    return is_noticed


def main() -> int:
    """Try all of them."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(noticed, MUTANTS))
    print(f"{sum(found)} of {len(MUTANTS)} noticed")
    return 0 if all(found) else 1


if __name__ == "__main__":
    raise SystemExit(main())
