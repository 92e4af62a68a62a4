"""Servers of objects on this machine: S3 by moto and SeaweedFS, and a proxy that loses answers or lets all writers win.

Each ends by itself after some minutes, should the tests be killed.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

LIFETIME = 1200
KEYS = {"AWS_ACCESS_KEY_ID": "test-key", "AWS_SECRET_ACCESS_KEY": "test-secret-4711", "AWS_REGION": "us-east-1"}
BOUNDED = """\
import subprocess, sys
process = subprocess.Popen(sys.argv[2:])
try:
    process.wait(float(sys.argv[1]))
finally:
    process.kill()
"""
MOTO = "import sys; from moto.server import main; main(['-H', '127.0.0.1', '-p', sys.argv[1]])"


def free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


@contextlib.contextmanager
def running(command, folder):
    """A program that is ended with the tests, and otherwise after its lifetime."""
    words = [sys.executable, "-c", BOUNDED, str(LIFETIME), *map(str, command)]
    with (Path(folder) / "log").open("wb") as log:
        process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder, start_new_session=True)
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def answering(ask, process, folder):
    """Wait until a server answers as it should."""
    end = time.monotonic() + 60
    while process.poll() is None and time.monotonic() < end:
        try:
            return ask()
        except OSError:
            time.sleep(0.05)
    raise AssertionError((Path(folder) / "log").read_text(errors="replace")[-2000:])


def put_bucket(port, name="bucket"):
    """Make a bucket; moto takes any signature."""
    credential = "Credential=test-key/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    headers = {"Authorization": f"AWS4-HMAC-SHA256 {credential}"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT", headers=headers)
    with urllib.request.urlopen(request, timeout=5):
        pass


def is_up(port):
    """Whether a server gives any answer in HTTP."""
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
        pass


def environment(port):
    return {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"}


@contextlib.contextmanager
def moto():
    """S3 by moto; gives the environment that leads to its bucket."""
    (port,) = free_ports(1)
    with tempfile.TemporaryDirectory() as folder, running([sys.executable, "-c", MOTO, port], folder) as process:
        answering(lambda: put_bucket(port), process, folder)
        yield environment(port)


@contextlib.contextmanager
def seaweedfs():
    """S3 by SeaweedFS, which creates its bucket with the first object; gives the environment that leads there."""
    names = ("master", "volume", "filer", "s3")
    ports = free_ports(2 * len(names))
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "data").mkdir()
        key = {"accessKey": KEYS["AWS_ACCESS_KEY_ID"], "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"]}
        identity = {"name": "test", "credentials": [key], "actions": ["Admin"]}
        Path(folder, "s3.json").write_text(json.dumps({"identities": [identity]}))
        words = [
            *(shutil.which("weed", path=Path(sys.executable).parent), "-logtostderr=true", "server"),
            *("-ip=127.0.0.1", "-ip.bind=127.0.0.1", f"-dir={folder}/data", "-master.telemetry=false", "-iam=false"),
            *("-s3", f"-s3.config={folder}/s3.json", "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.iam=false"),
            *("-filer", "-filer.disableHttp", "-master.volumeSizeLimitMB=64", "-volume.max=8"),
            *(f"-{name}.port={port}" for name, port in zip(names, ports, strict=False)),
            *(f"-{name}.port.grpc={port}" for name, port in zip(names, ports[len(names) :], strict=True)),
            *(f"-{name}.localSocket={folder}/{name}.sock" for name in ("s3", "filer")),
        ]
        try:
            with running(words, folder) as process:
                answering(lambda: is_up(ports[3]), process, folder)
                yield environment(ports[3])
        finally:
            for port in ports:
                for left in Path("/tmp").glob(f"seaweedfs-*-grpc-{port}.sock"):
                    left.unlink(missing_ok=True)


class Proxy:
    """Stands before a server. `loses` says of a method how many of its answers get lost after the server has acted.

    With `lets_all_win` a PUT has no condition, so that each writer is told that it has created the object. `refuses`
    are methods that are forbidden, and `rewrite` changes the bodies of answers. While it `is_down`, every answer is a
    503, and the server is not asked; while it `is_cut`, connections end without one.
    """

    def __init__(self, env, *, loses=(), lets_all_win=False, refuses=(), rewrite=bytes):
        self.target = env["AWS_ENDPOINT_URL"].removeprefix("http://")
        self.loses, self.lets_all_win, self.seen = dict(loses), lets_all_win, []
        self.refuses, self.rewrite = refuses, rewrite
        self.is_down = self.is_cut = False
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a killed client leaves a broken connection
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        self.env = {**env, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.server.server_port}"}

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def _handler(proxy):  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_any(self):
                body = self.rfile.read(int(self.headers.get("content-length") or 0))
                proxy.seen.append((self.command, self.path))
                if proxy.is_cut:
                    self.close_connection = True
                    return
                if proxy.is_down or self.command in proxy.refuses:
                    self.send_response_only(503 if proxy.is_down else 403)
                    self.send_header("content-length", "0")
                    self.end_headers()
                    return
                headers = dict(self.headers)
                if proxy.lets_all_win:
                    headers = {name: value for name, value in headers.items() if name.lower() != "if-none-match"}
                connection = HTTPConnection(proxy.target, timeout=20)
                connection.request(self.command, self.path, body, headers)
                answer = connection.getresponse()
                data = proxy.rewrite(answer.read())
                connection.close()
                if proxy.loses.get(self.command, 0) > 0:
                    proxy.loses[self.command] -= 1
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                self.send_response_only(answer.status)
                for name, value in answer.getheaders():
                    if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                        self.send_header(name, value)
                self.send_header(
                    "content-length", answer.getheader("content-length") if self.command == "HEAD" else str(len(data))
                )
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

            def log_message(self, *_):
                pass

        return Handler
