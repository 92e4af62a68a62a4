#!/usr/bin/env bash
# One would guess: a Ray task that has finished is not run again.
# What happens: a result above 100 KiB stays on the machine of the task. When that machine is lost before the result was
#   fetched, `ray.get` runs the finished task once more, with all that it does besides. A smaller result goes to the
#   process that called the task, and the task is not run again.
# Versions: Ray 2.60.0, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check ray==2.60.0 psutil 2> /dev/null

cat > show.py << 'PYTHON'
import sys
from pathlib import Path

import ray
from ray.cluster_utils import Cluster

RUNS = Path("runs.txt").absolute()


@ray.remote(num_cpus=1, max_retries=3)
def task(size):
    with RUNS.open("a") as file:
        file.write(f"{size}\n")
    return b"x" * size


cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
for size in (50 * 1024, 200 * 1024):
    node = cluster.add_node(num_cpus=1)
    reference = task.remote(size)
    done, _ = ray.wait([reference], fetch_local=False, timeout=60)
    assert done, "the task has not finished"
    cluster.remove_node(node, allow_graceful=False)
    spare = cluster.add_node(num_cpus=1)
    assert len(ray.get(reference, timeout=60)) == size
    cluster.remove_node(spare)
times = [RUNS.read_text().split().count(str(size)) for size in (50 * 1024, 200 * 1024)]
print(f"finished, its machine lost, then fetched: result of 50 KiB ran {times[0]} x, of 200 KiB {times[1]} x")
ray.shutdown()
cluster.shutdown()
sys.exit(0 if times == [1, 2] else 1)
PYTHON
plain/bin/python -c 'import ray; print("Ray", ray.__version__)'
code=0
RAY_USAGE_STATS_ENABLED=0 RAY_AUTH_MODE=disabled plain/bin/python show.py > log.txt 2>&1 || code=$?
grep '^finished' log.txt || tail -n 20 log.txt # Ray writes pages about the lost machines
[ "$code" -eq 0 ] || { echo "this has changed"; exit 1; }
