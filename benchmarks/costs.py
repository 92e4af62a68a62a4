"""The cost of files that repeat one construct: `python benchmarks/costs.py [NAME ...]`, about ten minutes for all.

Every construct of `tests/pipeline/costs.py` grows up to the limit of a file. A separate process reads each file; see
the cost mode of `tests/pipeline/fuzzing.py`, which defines the failures.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

FUZZING = Path(__file__).parents[1] / "tests/pipeline/fuzzing.py"


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        return subprocess.run([sys.executable, FUZZING, "cost", folder, *sys.argv[1:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
