#!/usr/bin/env bash
# Expected: `obstore.put(store, key, data, mode="create")` creates the object, or raises AlreadyExistsError because another
#   writer was faster. If the answer gets lost, it raises another error.
# What happens: when the server has created the object and the connection breaks before the answer, obstore repeats the
#   PUT by itself. The server answers the repeat with 412, because the object exists, and the only writer that there ever
#   was gets AlreadyExistsError. A lock that is made of such objects belongs to nobody, and stays.
# Versions: obstore 0.12.1, CPython 3.11. Seen on 2026-11-30.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

python3 -m venv plain
plain/bin/pip install --quiet --disable-pip-version-check obstore==0.12.1 2> /dev/null

cat > show.py << 'PYTHON'
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import obstore
from obstore.store import S3Store

objects, puts = {}, []


class Server(BaseHTTPRequestHandler):
    """An S3 that loses the first answer to a PUT."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        exists = self.path in objects and self.headers.get("if-none-match") == "*"
        puts.append(412 if exists else 200)
        if not exists:
            objects[self.path] = body
        if len(puts) == 1:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response_only(puts[-1])
        self.send_header("etag", '"1"')
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
store = S3Store(
    "bucket",
    endpoint=f"http://127.0.0.1:{server.server_port}",
    access_key_id="key",
    secret_access_key="secret",
    region="us-east-1",
    client_options={"allow_http": True},
)
try:
    obstore.put(store, "lock", b"mine", mode="create")
    told = "created"
except Exception as error:
    told = type(error).__name__
print(f"calls of put: 1; PUTs at the server: {len(puts)}, answered {puts}, of which the first answer was lost")
print(f"the object has the bytes of this writer: {list(objects.values()) == [b'mine']}; the writer is told: {told}")
sys.exit(0 if (puts, told) == ([200, 412], "AlreadyExistsError") else 1)
PYTHON
plain/bin/python show.py || { echo "this has changed"; exit 1; }
