"""Compares this working tree with another commit: `python benchmarks/measure.py --against REF [--only NAME …]`.

Both are built as wheels and installed with the locked versions of their own commits, each into an environment of its
own, and are measured alternately, with the benchmarks of this working tree. A ratio says how the cost of this tree
(seconds, MB, calls) compares with that of the other; above 1 it is the more expensive one.
"""

import json
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from statistics import median
from typing import Any

from rig import HERE, INSTALLED, LIFE

ROOT = HERE.parent
WORSE = 1.15
"""Ratios above this are marked: smaller ones also come from the machine."""
NEEDS_DEV = {"page", "watch"}
"""Parts that need packages which are only installed for tests."""


@dataclass(frozen=True)
class Build:
    """An installed krea-pipe: the name of its commit, and the Python that has it."""

    name: str
    python: Path

    def rows(self, part: str, scale: float) -> list[dict[str, Any]]:
        """Measure a part once."""
        command = [str(self.python), str(HERE / "measure.py"), "--only", part, "--scale", str(scale), "--json"]
        env = {**os.environ, INSTALLED: "1"}
        process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=LIFE)
        except BaseException:
            process.terminate()  # and not killed, so that it ends what it has started
            raise
        if process.returncode != 0:
            raise SystemExit(f"measure.py: {part} cannot be measured with {self.name}:\n{err[-2000:]}")
        return [json.loads(line) for line in out.splitlines()]


def compare(folder: Path, ref: str, parts: Sequence[str], scale: float, rounds: int) -> Iterator[str]:
    """The lines of a table with medians of both builds and their ratios, each as soon as it is measured."""
    commit = commit_of(ref)
    lock = "dev" if NEEDS_DEV & set(parts) else "run"
    with ThreadPoolExecutor() as pool:
        builds = list(pool.map(lambda one: _build(folder, one, lock), (commit, None)))
    yield f"| Part | What | {builds[0].name} | {builds[1].name} | Ratio | |\n|---|---|---|---|---|---|"
    for part in parts:
        runs: tuple[list[list[Any]], list[list[Any]]] = ([], [])
        for number in range(rounds):
            for at in (0, 1) if number % 2 == 0 else (1, 0):
                runs[at].append(builds[at].rows(part, scale))
        for row in zip(*(zip(*side, strict=True) for side in runs), strict=True):
            yield _line(part, row[0][0]["what"], *(median(one["cost"] for one in side) for side in row))


def commit_of(ref: str) -> str:
    """The short name of a commit of this clone."""
    asked = ["git", "rev-parse", "--verify", "--quiet", "--short", f"{ref}^{{commit}}"]
    found = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        hint = "; it is shallow, `git fetch --unshallow` gets all commits" if _is_shallow() else ""
        raise SystemExit(f"measure.py: this clone has no commit {ref}{hint}")
    return found.stdout.strip()


def _is_shallow() -> bool:
    asked = ["git", "rev-parse", "--is-shallow-repository"]
    return subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False).stdout.strip() == "true"


def _build(folder: Path, commit: str | None, lock: str) -> Build:
    """Install a commit, or without one the working tree."""
    place = folder / (commit or "tree")
    source, python, name = ROOT, place / "venv/bin/python", commit or "this tree"
    if commit is not None:
        source = place / "source"
        packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(source, filter="data")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    locks = [word for one in (lock, "build") for word in ("-r", str(source / f"requirements/{one}.txt"))]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(place / "venv")],
        [*pip, "--require-hashes", "--only-binary", ":all:", *locks],
        [*pip, "--no-deps", "--no-build-isolation", str(source)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"measure.py: {name} cannot be built:\n{done.stderr[-2000:]}")
    return Build(name, python)


def _line(part: str, what: str, before: float, now: float) -> str:
    ratio = now / before if before else 1.0
    return f"| {part} | {what} | {before:.3g} | {now:.3g} | {ratio:.2f} | {'worse' if ratio > WORSE else ''} |"
