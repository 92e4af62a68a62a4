"""Measure krea-pipe on this machine: `python benchmarks/measure.py [--only NAME …] [--scale SHARE] [--write]`.

Ratios compare a figure with a baseline that ran beside it, or with the same figure of a bare loop; other figures apply
only to this machine. `--write` writes the rows into the table of README.md, with the date and the processor; rows that
were not measured are kept. `--against REF` compares this working tree with another commit instead.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import against
import executor
import reports
import soak
import startup
import watched_saves
from rig import HERE, Row, end_on_signal

README = HERE / "README.md"
PARTS: dict[str, Callable[[Path, float], list[Row]]] = {
    "version": startup.version,
    "validate": startup.validate,
    "proofs": startup.proofs,
    "plan": startup.plan,
    "expand": startup.expand,
    "warm": startup.warm,
    "cold": executor.cold,
    "flight": executor.flight,
    "faults": executor.faults,
    "soak": soak.part,
    "sheet": startup.sheet,
    "page": reports.page,
    "watch": watched_saves.first_proof,
}


def line(part: str, row: Row) -> str:
    """A row of the table."""
    state = "" if not row.limit else "ok" if row.is_good else "MISSED"
    return f"| {part} | {row.what} | {row.measured} | {row.limit} | {row.floor} | {state} |"


def write(lines: Sequence[str]) -> None:
    """Put rows into the README's table, in place of the rows of the same parts."""
    text = README.read_text()
    head, mark, rest = text.partition("|---|---|---|---|---|---|---|\n")
    old = [one for one in rest.splitlines() if one.startswith("| ")]
    measured = {part_of(one) for one in lines}
    where = f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores"
    rows = [one for one in old if part_of(one) not in measured] + [f"{one} {where} |" for one in lines]
    rows.sort(key=lambda one: list(PARTS).index(part_of(one)))
    below = rest.partition("\n\n")[2]
    README.write_text(head + mark + "\n".join(rows) + "\n\n" + below)


def part_of(row: str) -> str:
    """The first cell of a row."""
    return row.split("|")[1].strip()


def machine() -> str:
    """The machine and its load."""
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return f"Python {platform.python_version()}, {processor()}, {os.cpu_count()} cores, load {load}"


def processor() -> str:
    """The name of the processor."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def measured(parts: Sequence[str], scale: float) -> Iterator[tuple[str, Row]]:
    """Each row with its part, as soon as the part is measured."""
    # One folder until the end: ext4 makes files slowly for seconds after many were deleted.
    with tempfile.TemporaryDirectory() as name:
        for part in parts:
            folder = Path(name, part)
            folder.mkdir()
            for row in PARTS[part](folder, scale):
                yield part, row


def table(rows: Iterator[tuple[str, Row]]) -> tuple[list[str], bool]:
    """Print the table as it is measured; its lines, and whether no limit was missed."""
    print(f"{machine()}\n\n| Part | What | Measured | Limit | Floor | |\n|---|---|---|---|---|---|", flush=True)
    lines, is_good = [], True
    for part, row in rows:
        lines.append(line(part, row))
        is_good &= row.is_good
        print(lines[-1], flush=True)
    print(f"\n{machine()}")
    return lines, is_good


def main() -> int:
    """Print the table; 1 if a limit was missed."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="NAME", help=", ".join(PARTS))
    options.add_argument("--scale", type=float, default=1.0, help="a share of the jobs, to try the scripts out")
    options.add_argument("--write", action="store_true", help="write the rows into README.md")
    options.add_argument("--against", metavar="REF", help="compare this working tree with another commit")
    options.add_argument("--rounds", type=int, default=3, help="with --against: how often each build is measured")
    options.add_argument("--json", action="store_true", help="print the rows that --against compares")
    given = options.parse_args()
    end_on_signal()
    if given.against:
        print(machine(), end="\n\n", flush=True)
        with tempfile.TemporaryDirectory() as name:
            for one in against.compare(Path(name), given.against, given.only, given.scale, given.rounds):
                print(one, flush=True)
        return 0
    rows = measured(given.only, given.scale)
    if given.json:
        for _, row in rows:
            if row.cost is not None:
                print(json.dumps(asdict(row)), flush=True)
        return 0
    lines, is_good = table(rows)
    if given.write:
        write(lines)
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
