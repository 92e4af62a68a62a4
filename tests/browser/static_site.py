"""A folder over HTTP, with a header of a server that does not trust what it serves."""

from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

JENKINS = "sandbox; default-src 'none'; img-src 'self'; style-src 'self'"
"""What Jenkins sends with archived pages."""
NO_SCRIPTS = "default-src 'none'; img-src 'self'; style-src 'self'"
"""Scripts are not disabled, but each is refused."""
REFUSALS = ("Blocked script execution", "Executing inline script violates", "Applying inline style violates")
"""What Chromium says of the page's own script and style under these policies."""


@contextmanager
def served(folder, policy):
    """Serve a folder on this machine; the address of its root."""

    class Handler(SimpleHTTPRequestHandler):
        def end_headers(self):
            self.send_header("Content-Security-Policy", policy)
            super().end_headers()

        def log_message(self, *_):
            pass

        def do_GET(self):
            if self.path == "/favicon.ico":
                self.send_response(204)
                self.end_headers()
            else:
                super().do_GET()

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=folder))
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
