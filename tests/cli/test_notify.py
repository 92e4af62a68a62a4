"""Who is told of the end of a run: a webhook, apprise's services, the desktop. It changes nothing of the run."""

import contextlib
import json
import os
import signal
import socket
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from krea_server import GENERATE, until

from krea_pipe.app import notify

SECRET = "T0-s3cret-B0"


@dataclass
class Receiver:
    """A webhook of someone else's: what it was sent, and how it answers."""

    base: str = ""
    status: int = 204
    seen: list = field(default_factory=list)

    @property
    def url(self):
        return f"{self.base}/{SECRET}"


@contextlib.contextmanager
def receiving():
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            receiver.seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(receiver.status)
            self.send_header("location", "/elsewhere")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    receiver.base = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def receiver():
    with receiving() as found:
        yield found


@pytest.fixture
def trickle():
    """The address of a server that sends some of its answer all the time, and the end of it only after ten seconds."""
    done = threading.Event()

    def serve():
        with listener, contextlib.suppress(OSError), listener.accept()[0] as caller:
            for _ in range(200):
                if done.wait(0.05):
                    return
                caller.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            caller.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/{SECRET}"
    done.set()
    with contextlib.suppress(OSError):
        listener.shutdown(socket.SHUT_RDWR)  # to close it wakes nobody who waits for a caller
    listener.close()
    thread.join()


def test_a_webhook_is_told_how_a_run_ended_in_words_and_as_data(project, receiver):
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json", "--notify", receiver.url)
    assert done.code == 0
    (body,) = receiver.seen
    assert body["text"] == "krea-pipe p: done. 2 images: 2 rendered. $0.06 spent of $5.00."
    assert body["content"] == body["text"]
    assert body["run"] == {name: value for name, value in done.json.items() if name in body["run"]}
    assert body["run"]["cells"] == done.json["cells"]
    assert done.err.count("\n") == 2  # its progress, and no warning


def test_people_are_told_of_which_shard_a_run_is(project, receiver):
    project.pipeline(["a", "b"])
    told = ("--shard", "1/1", "--notify", receiver.url)
    assert project.run("run", "p.yaml", *told).code == 0
    assert project.run("run", "p.yaml", "-k", "c", *told).code == 7
    first, second = (body["text"] for body in receiver.seen)
    assert first.startswith("krea-pipe p: done. Shard 1/1: 2 images: 2 rendered.")
    assert second == "krea-pipe p, shard 1/1: not run, nothing_selected (exit code 7)."


def test_nobody_is_told_of_a_run_that_had_nothing_to_do(project, receiver):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    assert project.run("run", "p.yaml", "--notify", receiver.url).code == 0
    assert receiver.seen == []


def test_runs_that_end_badly_are_told_too(project, krea, receiver):
    project.pipeline(["a", "b"])
    said = ("run", "p.yaml", "--notify", receiver.url)
    project.run(*said, "--set", "budget.usd=0.01")
    project.run(*said, env={"KREA_API_KEY": None})
    project.run(*said, "--set", "nonsense=1")
    krea.answer("POST", GENERATE, 402, {"message": "empty"}, text='"b"')
    project.run(*said)
    krea.answer("POST", GENERATE, 422, {"error": "no <!channel>"}, text='"b"')
    project.run(*said)
    project.run("run", "p.yaml", "--notify", receiver.url, "--only-failed", "--max-new", "0")
    assert [body["text"] for body in receiver.seen[:5]] == [
        "krea-pipe p: not run, over_budget (exit code 5).",
        "krea-pipe p: not run, no_key (exit code 4).",
        "krea-pipe p: not run, unknown_key (exit code 2).",
        "krea-pipe p: refused. 2 images: 1 rendered, 1 pending. $0.03 spent of $5.00.",
        "krea-pipe p: ended with failures. 2 images: 1 reused, 1 failed. $0.00 spent of $5.00, $0.03 saved.",
    ]
    assert [body["run"]["exit_code"] for body in receiver.seen] == [5, 4, 2, 4, 1, 5]
    assert receiver.seen[0]["run"]["error"]["code"] == "over_budget"


def test_an_interrupted_run_is_told_and_says_how_to_go_on_without_the_address(project, krea, receiver):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    twice = ("--notify", receiver.url, f"--notify={receiver.url}")
    process = project.start("run", "p.yaml", "--log-format", "json", *twice)
    until(lambda: project.events("submitted"))
    process.send_signal(signal.SIGINT)
    done = project.finish(process)
    assert done.code == 130
    assert len(receiver.seen) == 2
    assert receiver.seen[0]["text"].startswith("krea-pipe p: interrupted. 1 image: 1 pending.")
    said = {line["event"]: line["message"] for line in map(json.loads, done.err.splitlines())}
    assert "Press Ctrl-C again" in said["stopping"]
    assert said["to_go_on"].endswith("krea-pipe run p.yaml --log-format json --notify '…' '--notify=…'")
    assert SECRET not in done.text


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_webhook_that_refuses_costs_one_warning_and_shows_no_secret(project, receiver, status):
    receiver.status = status
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--quiet", "--notify", receiver.url)
    assert done.code == 0
    assert done.err == f"warning: {receiver.base}/… was not notified: it answered {status}\n"
    assert len(receiver.seen) == 1


def test_places_that_do_not_answer_are_given_up_after_a_time_and_the_others_are_told(
    project, receiver, trickle, monkeypatch
):
    monkeypatch.setattr(notify, "_SEND_SECONDS", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        gone = f"http://127.0.0.1:{closed.getsockname()[1]}"
    project.pipeline(["a"])
    done = project.run(
        "run", "p.yaml", "-q", "--notify", trickle, "--notify", f"{gone}/{SECRET}", "--notify", receiver.url
    )
    assert done.code == 0
    assert done.err.splitlines() == [
        f"warning: {trickle.removesuffix(SECRET)}… was not notified: it did not answer in time",
        f"warning: {gone}/… was not notified: it cannot be reached",
    ]
    assert len(receiver.seen) == 1


def test_a_service_of_apprise_is_told(project, receiver):
    project.pipeline(["a"])
    address = receiver.url.replace("http://", "json://")
    assert project.run("run", "p.yaml", "-q", "--notify", address).err == ""
    (body,) = receiver.seen
    assert (body["title"], body["type"]) == ("krea-pipe", "success")
    assert body["message"].startswith("krea-pipe p: done.")
    receiver.status = 500
    project.pipeline(["b"])
    done = project.run("run", "p.yaml", "-q", "--notify", address)
    assert (done.code, done.err) == (0, "warning: json://… was not notified: apprise could not deliver it\n")


def test_a_service_that_does_not_answer_is_given_up_with_the_process_that_asked_it(project, trickle, monkeypatch):
    monkeypatch.setattr(notify, "_SEND_SECONDS", 2.0)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "-q", "--notify", trickle.replace("http://", "json://"))
    assert (done.code, done.err) == (0, "warning: json://… was not notified: it did not answer in time\n")
    children = Path(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/children")
    if children.exists():
        named = (Path(f"/proc/{one}/cmdline") for one in children.read_text().split())
        assert not [one for one in named if b"krea_pipe.cli.service" in one.read_bytes()]


def test_an_address_that_no_library_can_use_costs_one_warning(project):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "-q", "--notify", f"https://x..invalid/{SECRET}")
    assert (done.code, done.err.count("\n")) == (0, 1)
    assert "was not notified: it cannot be notified" in done.err


@pytest.mark.parametrize(
    ("where", "code"),
    [
        (f"http://hooks.example.org/{SECRET}", "bad_notify"),
        (f"https:///{SECRET}", "bad_notify"),
        (f"https://[{SECRET}", "bad_notify"),
        (f"hooks.example.org/{SECRET}", "bad_notify"),
        (f"nonsense://{SECRET}", "bad_notify"),
        (f"slack://{SECRET}", "bad_notify"),
        ("desktop", "notify_desktop"),
        ("", "bad_notify"),
    ],
)
def test_a_place_that_can_not_be_told_is_refused_before_anything_is_sent(project, krea, where, code):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", "--notify", where, env={"PATH": str(project.path)})
    assert (done.code, done.json["error"]["code"]) == (2, code)
    assert done.json["error"]["hint"]
    assert SECRET not in done.text
    assert krea.seen == []


def test_without_the_extra_the_command_that_installs_it_is_named(project, krea, monkeypatch):
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "krea_pipe.app.services", raising=False)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--notify", f"slack://{SECRET}")
    assert done.code == 2
    assert "pip install 'krea-pipe[notify]'" in done.err
    assert SECRET not in done.text
    assert krea.seen == []


@pytest.mark.skipif(sys.platform != "linux", reason="the program of Linux desktops")
def test_the_desktop_is_told(project):
    program = project.write("bin/notify-send", '#!/bin/sh\nprintf "%s\\n" "$@" >> shown\n')
    program.chmod(0o755)
    project.pipeline(["a"])
    path = {"PATH": f"{program.parent}:/usr/bin:/bin"}
    assert project.run("run", "p.yaml", "-q", "--notify", "desktop", env=path).err == ""
    shown = (project.path / "shown").read_text(encoding="utf-8").splitlines()
    assert shown[-2:] == ["krea-pipe", "krea-pipe p: done. 1 image: 1 rendered. $0.03 spent of $5.00."]
    program.write_text("#!/bin/sh\nexit 3\n", encoding="utf-8")
    project.pipeline(["b"])
    done = project.run("run", "p.yaml", "-q", "--notify", "desktop", env=path)
    assert (done.code, done.err) == (0, f"warning: desktop was not notified: {program} failed with exit code 3\n")
