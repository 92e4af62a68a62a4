"""Runs millions of schedules of lost answers: `python benchmarks/lost_answers.py [HOW MANY] [FIRST]`.

Each runs the real protocol against an account whose clocks, lists and answers are wrong; see the model in
`tests/executor/lost_answer_model.py`. A schedule that pays twice or swaps images is printed with its number, which
reproduces it, and the exit code is then 1.
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests/executor"))
from lost_answer_model import search

PART = 500


def main() -> int:
    """Search on all cores, and print the result."""
    words = [int(word) for word in sys.argv[1:]]
    many, first = words[0] if words else 1_000_000, words[1] if len(words) > 1 else 0
    parts = [range(start, min(start + PART, first + many)) for start in range(first, first + many, PART)]
    began, counts, broken = time.monotonic(), Counter(), {}
    with ProcessPoolExecutor(os.cpu_count()) as processes:
        for found, faults in processes.map(search, parts):
            counts += found
            broken |= faults
            for number, words in faults.items():
                print(f"schedule {number}: {', '.join(words)}", flush=True)
    facts = ", ".join(f"{name} {count:,}" for name, count in counts.most_common())
    print(f"{many:,} schedules in {time.monotonic() - began:,.0f} s: {facts}; {len(broken)} broken")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
