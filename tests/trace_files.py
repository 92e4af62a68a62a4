"""Which files carry out one behaviour: those whose lines run only when it happens.

    python tests/trace_files.py

runs a small pipeline against `krea-pipe serve --faults`, once for each scenario, and lists the files with lines that no
other run has executed: neither one without a fault, nor one in which something else goes wrong (OTHERS). So what any
failure needs, such as printing it, is not counted. The exit code is 1 when a scenario needs more files than it may:
what changes together stands together.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "krea_pipe"
PIPELINE = 'version: 1\nname: p\nbudget: {usd: 5}\nprompt: "{{ w }}"\nmatrix: {w: [a, b, c]}\n'
TRACED = """
import atexit, json, sys, threading
lines = set()
def local(frame, event, _):
    if event == "line":
        lines.add((frame.f_code.co_filename, frame.f_lineno))
    return local
def trace(frame, event, _):
    return local if frame.f_code.co_name != "<module>" and frame.f_code.co_filename.startswith(ROOT) else None
ROOT, out = sys.argv[1:3]
atexit.register(lambda: open(out, "w").write(json.dumps(sorted(lines))))
threading.settrace(trace)
sys.settrace(trace)
sys.argv[:] = ["krea-pipe", *sys.argv[3:]]
from krea_pipe.cli.main import main
main()
"""


@dataclass(frozen=True)
class Scenario:
    """What goes wrong, the options of the run, and in how many files at most it may be carried out."""

    name: str
    faults: str
    words: tuple[str, ...]
    most: int = 0
    exit_code: int = 0


OTHERS = (
    Scenario("nothing", "", ()),
    Scenario("a refused request", "{on: submit, prompt: c, do: 422}", ("--max-cost", "5"), exit_code=1),
    Scenario("a refused account", "{on: submit, prompt: b, do: 402}", (), exit_code=4),
    Scenario("a failed job", "{on: end, prompt: c, do: failed, code: odd}", (), exit_code=1),
    Scenario("a list that fails", "{on: jobs, every: 2, do: 500, times: 2}", ()),
    Scenario("an image that fails", "{on: image, do: truncated, times: 1}", ()),
    Scenario("a call that breaks off", "{on: image, do: reset, times: 1}", ()),
)
SCENARIOS = (
    Scenario("a lost answer", "{on: submit, prompt: b, do: reset, after: true, times: 1}", (), 8),
    Scenario("a 429", "{on: submit, prompt: b, do: 429, times: 1}", (), 6),
    Scenario("--max-cost", "", ("--max-cost", "0.06"), 8, exit_code=5),
)


@contextmanager
def served(folder: Path, faults: str) -> Iterator[str]:
    """A Krea with faults, in a process of its own; gives its address."""
    script = folder / "faults.yaml"
    script.write_text(f"rules: [{faults}]\n")
    words = [sys.executable, "-m", "krea_pipe", "serve", "--port", "0", "--json", "--seconds", "120"]
    words += ["--latency", "0.05", "--faults", str(script)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=folder) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())["base"]
        finally:
            process.terminate()


def lines_of(folder: Path, scenario: Scenario) -> set[tuple[str, int]]:
    """The lines of functions of the package that a run executes, in a new project."""
    folder.mkdir()
    (folder / "p.yaml").write_text(PIPELINE)
    with served(folder, scenario.faults) as base:
        own = {"KREA_API_BASE": base, "KREA_API_KEY": "test", "KREA_PIPE_SETTLE_SECONDS": "0.5"}
        found = folder / "lines.json"
        words = [sys.executable, "-c", TRACED, str(PACKAGE), str(found), "run", "p.yaml", *scenario.words]
        done = subprocess.run(
            words,
            cwd=folder,
            env={**os.environ, **own, "PYTHONPATH": str(PACKAGE.parent)},
            capture_output=True,
            text=True,
        )
    assert done.returncode == scenario.exit_code, done.stderr
    return {(file, number) for file, number in json.loads(found.read_text())}


def main() -> int:
    """Print the files of each scenario; 1 when one needs too many."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        others = set[tuple[str, int]]().union(*(lines_of(folder / one.name, one) for one in OTHERS))
        found = [lines_of(folder / one.name, one) for one in SCENARIOS]
        too_many = 0
        for scenario, lines in zip(SCENARIOS, found, strict=True):
            only = lines - others - set().union(*(one for one in found if one is not lines))
            files = sorted({Path(file).relative_to(PACKAGE).as_posix() for file, _ in only})
            print(f"{scenario.name}: {len(files)} files, at most {scenario.most}")
            print("".join(f"  {file}\n" for file in files), end="")
            too_many += len(files) > scenario.most
    return 1 if too_many else 0


if __name__ == "__main__":
    sys.exit(main())
