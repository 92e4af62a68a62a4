"""Who asks nothing takes little from `krea-pipe view`, and makes it say nothing."""

import contextlib
import socket

import httpx
from flood import few_files, flooded
from krea_server import DEADLINE, until
from served_view import viewed


def test_silent_connections_neither_end_a_view_nor_make_it_talk(project):
    """That nothing is printed is looked at when the view has ended."""
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--local").code == 0
    with few_files(128):
        views = contextlib.ExitStack()
        view = views.enter_context(viewed(project))
    with views:
        with flooded(view.process, view.port):
            assert view.process.poll() is None
        until(lambda: _answers(view), "an answer after the flood")


def _answers(view):
    with contextlib.suppress(httpx.TransportError):
        return view.get().status_code == 200
    return False


def test_a_head_without_end_is_not_kept(project):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--local").code == 0
    with viewed(project) as view, socket.create_connection(("127.0.0.1", view.port), DEADLINE) as guest:
        guest.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):  # more than systems keep for a reader that is late
                guest.sendall(b"x" * 2**16)
            raise AssertionError("it was read for ever")
        assert view.get().status_code == 200
