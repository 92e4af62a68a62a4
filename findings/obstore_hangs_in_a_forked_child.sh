#!/usr/bin/env bash
# Expected: a process that is forked, as `multiprocessing` does on Linux up to Python 3.13, can use obstore, even if its
#   parent has used it before; or it gets an error.
# What happens: in most children the first call hangs forever, for example a `put` into a folder: the threads that
#   carry out obstore's calls exist only in the parent. A child of a parent that has not used obstore works.
# Versions: obstore 0.12.1, CPython 3.11, on Linux. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check obstore==0.12.1 2> /dev/null

cat > show.py << 'PYTHON'
import os
import signal
import sys

import obstore
from obstore.store import LocalStore

CHILDREN, SECONDS = 5, 3


def hanging(store):
    """How many of several children have not written an object after some seconds, and were ended by an alarm."""
    children = []
    for number in range(CHILDREN):
        child = os.fork()
        if child == 0:
            signal.alarm(SECONDS)
            obstore.put(store, str(number), b"x")
            os._exit(0)
        children.append(child)
    return sum(os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGALRM for child in children)


store = LocalStore("objects", mkdir=True)
before = hanging(store)
obstore.put(store, "parent", b"x")
after = hanging(store)
print(f"children that hang: {before} of {CHILDREN} before their parent has used obstore, {after} of {CHILDREN} afterwards")
sys.exit(0 if before == 0 and after > 0 else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
