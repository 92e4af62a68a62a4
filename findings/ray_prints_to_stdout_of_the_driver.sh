#!/usr/bin/env bash
# One would guess: with `ray.init(log_to_driver=False)`, Ray writes nothing to the stdout of the program that calls it.
# What happens: that option is for what workers print. A thread of Ray prints the cluster's own words, such as that a
#   worker was lost, to `sys.stdout` all the same, in colour, where a program may be printing JSON.
# Versions: Ray 2.60.0, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check ray==2.60.0 2> /dev/null

cat > show.py << 'PYTHON'
import os
import time

import ray


@ray.remote(max_retries=0)
def task():
    os.kill(os.getpid(), 9)


ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
try:
    ray.get(task.remote(), timeout=120)
except ray.exceptions.WorkerCrashedError:
    time.sleep(5)  # the words come after the error
PYTHON
plain/bin/python -c 'import ray; print("Ray", ray.__version__)'
RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled plain/bin/python show.py > stdout.txt 2> stderr.txt
echo "bytes on stdout: $(wc -c < stdout.txt), of a program that prints nothing; they begin: $(head -c 70 stdout.txt)"
grep -q raylet stdout.txt || { echo "this has changed"; exit 1; }
