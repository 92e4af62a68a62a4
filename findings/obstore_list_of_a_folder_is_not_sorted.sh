#!/usr/bin/env bash
# Expected: `obstore.list` gives the objects in the order of their keys, as S3 does, at least when `offset` asks for those
#   after a key; so one can list page by page, each time from the last key.
# What happens: on LocalStore the order is that of the folder, with `offset` too. A caller that continues from the last
#   key of a page loses every object whose key is smaller and was not in that page, without an error.
# Versions: obstore 0.12.1, CPython 3.11, a folder on ext4. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check obstore==0.12.1 2> /dev/null

cat > show.py << 'PYTHON'
import sys

import obstore
from obstore.store import LocalStore

store = LocalStore("objects", mkdir=True)
for number in range(100):
    obstore.put(store, f"log/{number:04}", b"x")
whole = [one["path"] for page in obstore.list(store, "log") for one in page]
after = [one["path"] for page in obstore.list(store, "log", offset="log/0009") for one in page]

paged, last = [], None
while page := next(iter(obstore.list(store, "log", offset=last, chunk_size=10)), None):
    paged += [one["path"] for one in page]
    last = paged[-1]

print(f"objects: {len(whole)}, sorted: {whole == sorted(whole)}; the first: {whole[:4]}")
print(f"with offset: {len(after)}, sorted: {after == sorted(after)}")
print(f"page by page from the last key: {len(set(paged))} of 100")
sys.exit(0 if len(whole) == 100 and after != sorted(after) and len(set(paged)) < 100 else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
