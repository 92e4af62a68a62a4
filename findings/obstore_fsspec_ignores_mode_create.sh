#!/usr/bin/env bash
# Expected: `pipe_file(path, data, mode="create")` of obstore's fsspec file system fails if the file exists, as the
#   documentation of fsspec says of this mode, and as `obstore.put(..., mode="create")` does.
# What happens: the method has the parameter and ignores it: the file is overwritten without an error.
# Versions: obstore 0.12.1, fsspec 2026.9.0, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check obstore==0.12.1 fsspec==2026.9.0 2> /dev/null

cat > show.py << 'PYTHON'
import sys

import fsspec
import obstore
from obstore.fsspec import FsspecStore
from obstore.store import MemoryStore


def told(create):
    try:
        create()
    except Exception as error:
        return type(error).__name__
    return "no error"


ours, memory = FsspecStore("memory"), fsspec.filesystem("memory")
store = MemoryStore()
found = {
    "obstore.put": told(lambda: [obstore.put(store, "a", text, mode="create") for text in (b"first", b"second")]),
    "fsspec's memory": told(lambda: [memory.pipe_file("/a", text, mode="create") for text in (b"first", b"second")]),
    "obstore.fsspec": told(lambda: [ours.pipe_file("a", text, mode="create") for text in (b"first", b"second")]),
}
for name, what in found.items():
    print(f"{name}: a second write with mode='create' gives {what}")
print(f"obstore.fsspec has {ours.cat_file('a')!r}")
expected = {"obstore.put": "AlreadyExistsError", "fsspec's memory": "FileExistsError", "obstore.fsspec": "no error"}
sys.exit(0 if (found, ours.cat_file("a")) == (expected, b"second") else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
