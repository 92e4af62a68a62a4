#!/usr/bin/env bash
# One would guess: `sys.exit(0)` ends a Ray task well, as it ends a program.
# What happens: it ends the worker. Ray takes this for a crash, starts the task again as often as `max_retries` says, and
#   raises WorkerCrashedError in the end: by default it has run four times. A task has to return its exit code.
# Versions: Ray 2.60.0, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check ray==2.60.0 2> /dev/null

cat > show.py << 'PYTHON'
import sys
from pathlib import Path

import ray

RUNS = Path("runs.txt").absolute()


@ray.remote
def task():
    with RUNS.open("a") as file:
        file.write("x")
    sys.exit(0)


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
try:
    ray.get(task.remote(), timeout=120)
    found = "nothing"
except ray.exceptions.RayError as error:
    found = type(error).__name__
count = len(RUNS.read_text())
print(f"sys.exit(0): the task ran {count} times, and raised {found}")
sys.exit(0 if (count, found) == (4, "WorkerCrashedError") else 1)
PYTHON
plain/bin/python -c 'import ray; print("Ray", ray.__version__)'
RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled plain/bin/python show.py || { echo "this has changed"; exit 1; }
