"""`krea-pipe serve` as a process: what it says, whom it lets in, and how it ends."""

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
from datetime import datetime

import httpx
import pytest
from flood import few_files, flooded
from krea_server import DEADLINE, picture, until
from served_krea import read_first_line, served_krea, start_serve, stop

ORDER = {"prompt": "a lamp", "aspect_ratio": "1:1", "resolution": "1K"}
HOURS = 9999


@pytest.fixture(autouse=True)
def _bounded():
    """A server in this process that does not end by itself fails its test, and does not hold up the others."""

    def give_up(*_):
        raise TimeoutError("the server did not end")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(int(2 * DEADLINE))
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def submit(krea, token="local") -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    url = f"{krea.base}/generate/image/krea/krea-2/medium"
    return httpx.post(url, json=ORDER, headers=headers, timeout=DEADLINE, trust_env=False)


# --- the first line


def test_the_first_line_says_how_to_use_it(project):
    done = project.run("serve", "--port", 0, "--seconds", 0)
    assert (done.code, done.err) == (0, "")
    assert re.fullmatch(
        r"Local Krea at (http://127\.0\.0\.1:\d+); "
        r"use it with KREA_API_BASE=\1 KREA_API_KEY=local krea-pipe run FILE\n",
        done.out,
    )


def test_a_token_is_not_printed(project):
    done = project.run("serve", "--port", 0, "--seconds", 0, "--token", "s3cret")
    assert "KREA_API_KEY=TOKEN " in done.out
    assert "s3cret" not in done.text


def test_json_says_where_it_is_and_who(project):
    with start_serve(port=0, seconds=60) as process:
        said = read_first_line(process)
        assert stop(process) == 0
        assert process.stdout.read() == process.stderr.read() == b""
    port = said["port"]
    assert said == {
        "schema": "krea-pipe/serve@1", "base": f"http://127.0.0.1:{port}", "port": port, "pid": process.pid,
    }  # fmt: skip


def test_what_the_first_line_says_works(project):
    project.pipeline(["a", "b"])
    with served_krea(latency=0) as krea:
        done = project.run("run", "p.yaml", "--json", env={"KREA_API_BASE": krea.base, "KREA_API_KEY": "local"})
        assert (done.code, *done.counts) == (0, 2, 0, 0)
        assert sorted(bill["prompt"] for bill in krea.book()["bills"]) == ["a", "b"]


def test_output_that_goes_nowhere_ends_it(project):
    shell = 'exec "$0" -m krea_pipe serve --port 0 >/dev/full'
    done = subprocess.run(
        ["sh", "-c", shell, sys.executable],
        cwd=project.path, env=project.environment({}), check=False, capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, "error: cannot write the output: No space left on device\n")


# --- the end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_quietly_in_the_middle_of_an_answer(tmp_path, number):
    script = tmp_path / "faults.yaml"
    script.write_text(f"rules: [{{on: submit, do: slow, seconds: {HOURS}}}]")
    with start_serve(port=0, seconds=60, faults=script) as process:
        base = read_first_line(process)["base"]
        client = threading.Thread(target=_call_until_it_breaks, args=(base,))
        client.start()
        until(lambda: httpx.get(f"{base}/_local/faults", trust_env=False).json() == {"acted": [1]})
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0
        client.join(DEADLINE)
        assert not client.is_alive()
        assert process.stdout.read() == process.stderr.read() == b""


def _call_until_it_breaks(base):
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{base}/generate/image/krea/krea-2/medium", timeout=DEADLINE, trust_env=False).raise_for_status()


# --- what it is told


def test_options_make_the_krea(tmp_path):
    image = tmp_path / "image.png"
    image.write_bytes(picture("PNG"))
    options = {"latency": HOURS, "spread": 0.5, "concurrency": 1, "backlog": 1, "token": "right", "image": image}
    with served_krea(**options, faults="rules:\n  - {on: submit, do: 503, times: 1}\n") as krea:
        assert submit(krea, "wrong").status_code == 503
        assert submit(krea, "wrong").status_code == 401
        assert [submit(krea, "right").status_code for _ in range(3)] == [200, 200, 429]
        assert [job["status"] for job in krea.book()["jobs"]] == ["queued", "backlogged"]
        assert krea.acted() == [1]
    with served_krea(latency=0.05, spread=1, image=image) as krea:
        jobs = [submit(krea).json()["job_id"] for _ in range(4)]
        results = [until(lambda job=job: krea.get(f"/jobs/{job}")["result"]) for job in jobs]
        assert httpx.get(results[0]["urls"][0], trust_env=False).content == image.read_bytes()
        assert len({seconds_of(job) for job in krea.book()["jobs"]}) > 1


def seconds_of(job) -> float:
    """How long a job ran, as the book has it."""
    return (datetime.fromisoformat(job["finished_at"]) - datetime.fromisoformat(job["started_at"])).total_seconds()


def test_a_port_in_use_is_said(project):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        done = project.run("serve", "--port", port)
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"error: cannot listen on 127.0.0.1:{port}: the port is in use\n"
        "  hint: choose another --port; 0 picks a free one\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.1", "8.8.8.8", "example.com", "", "localhost.example"])
def test_an_address_that_others_can_reach_is_refused(project, host):
    done = project.run("serve", "--json", "--port", 0, "--seconds", 0, "--host", host)
    assert (done.code, done.json["error"]["code"]) == (2, "not_loopback")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.2", "::1"])
def test_every_address_of_this_machine_alone_will_do(project, host):
    if host == "::1" and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    done = project.run("serve", "--json", "--port", 0, "--seconds", 0, "--host", host)
    assert done.code == 0, done.text
    assert done.json["base"] == f"http://{'[::1]' if host == '::1' else host}:{done.json['port']}"


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


def test_mistakes_in_a_faults_file_are_said_with_their_places(project):
    project.write("faults.yaml", "rules:\n  - {on: submit, do: 200}\n  - {on: submit, do: 429, tiems: 3}\n")
    done = project.run("serve", "--port", 0, "--faults", "faults.yaml")
    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines() == [
        "faults.yaml:2:22: error: `do` must be one of reset, slow, truncated, corrupt, or a status from 400 to 599, "
        "not '200'",
        "  2 |   - {on: submit, do: 200}",
        "    |                      ^",
        "faults.yaml:3:27: error: `tiems` is not a key of a rule",
        "  3 |   - {on: submit, do: 429, tiems: 3}",
        "    |                           ^",
        "  hint: did you mean `times`?",
    ]
    problems = project.run("serve", "--json", "--faults", "faults.yaml").json["problems"]
    assert [problem["at"] for problem in problems] == [
        {"file": "faults.yaml", "line": 2, "column": 22}, {"file": "faults.yaml", "line": 3, "column": 27},
    ]  # fmt: skip


@pytest.mark.parametrize("option", ["--faults", "--image"])
@pytest.mark.parametrize(
    ("file", "code"), [("none", "file_unreadable"), (".", "file_unreadable"), ("/dev/zero", "file_too_large")]
)
def test_a_file_that_can_not_be_read_is_said(project, option, file, code):
    done = project.run("serve", "--json", "--port", 0, option, file)
    assert done.code == 2
    assert done.json["error"]["code"] == code
    assert done.json["error"]["at"] == {"file": file, "line": 1, "column": 1}


@pytest.mark.parametrize(
    "words",
    [
        ("--latency", "nan"),
        ("--latency", "-1"),
        ("--latency", "inf"),
        ("--spread", "1.1"),
        ("--seconds", "nan"),
        ("--port", "65536"),
        ("--concurrency", "0"),
        ("--backlog", "3"),
    ],
)
def test_options_that_mean_nothing_are_refused(project, words):
    done = project.run("serve", "--json", *words)
    assert (done.code, done.json["error"]["code"]) == (2, "usage")
    assert words[0].strip("-") in done.json["error"]["message"]


# --- pages of other sites

FOREIGN = ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "localhost.evil.example:{port}", "10.0.0.1"]
FOREIGN += ["192.168.1.5:{port}", "[2001:db8::1]:{port}", "0.0.0.0:{port}", "localhost@evil.example", "", "2130706433"]
OURS = ["localhost", "LOCALHOST:{port}", "127.0.0.1:1", "127.8.8.8", "[::1]:{port}", "krea.localhost:{port}"]


@pytest.fixture(scope="module")
def open_krea():
    with served_krea(latency=0) as krea:
        yield krea


def ask(krea, host, method="GET", path="/jobs", **headers):
    url = krea.base + path
    fields = {"Host": host.format(port=krea.base.rpartition(":")[2]), "Authorization": "Bearer local", **headers}
    body = ORDER if method == "POST" else None
    return httpx.request(method, url, json=body, headers=fields, timeout=DEADLINE, trust_env=False)


@pytest.mark.parametrize("host", FOREIGN)
def test_a_name_that_leads_here_is_not_this_machine(open_krea, host):
    """As after DNS rebinding: what is refused is neither read nor spent."""
    before = open_krea.book()["bills"]
    for method, path in (("GET", "/jobs"), ("GET", "/_local/book"), ("POST", "/generate/image/krea/krea-2/medium")):
        answer = ask(open_krea, host, method, path)
        assert (answer.status_code, list(answer.json())) == (403, ["error"])
        assert "call localhost" in answer.json()["error"]
    assert open_krea.book()["bills"] == before


@pytest.mark.parametrize("host", OURS)
def test_this_machine_has_several_names(open_krea, host):
    assert ask(open_krea, host).status_code == 200


def test_a_page_of_another_site_is_refused_and_spends_nothing(open_krea):
    port = open_krea.base.rpartition(":")[2]
    before = open_krea.book()["bills"]
    path = "/generate/image/krea/krea-2/medium"
    for origin in (
        "https://evil.example",
        "null",
        "http://localhost",
        f"https://127.0.0.1:{port}",
        "http://127.0.0.1:1",
    ):
        assert ask(open_krea, f"127.0.0.1:{port}", "POST", path, Origin=origin).status_code == 403
        assert ask(open_krea, f"127.0.0.1:{port}", "OPTIONS", path, Origin=origin).status_code == 403
    assert open_krea.book()["bills"] == before
    assert ask(open_krea, f"127.0.0.1:{port}", Origin=f"http://127.0.0.1:{port}").status_code == 200


def test_without_a_host_nobody_is_let_in(open_krea):
    with socket.create_connection(("127.0.0.1", int(open_krea.base.rpartition(":")[2])), DEADLINE) as caller:
        caller.sendall(b"GET /jobs HTTP/1.0\r\nAuthorization: Bearer a\r\n\r\n")
        assert caller.recv(1000).startswith(b"HTTP/1.1 403")


def test_silent_connections_leave_it_room_to_answer():
    """That it prints nothing is looked at when it has ended."""
    with few_files(128):
        stack = contextlib.ExitStack()
        krea = stack.enter_context(served_krea(latency=0))
    with stack:
        with flooded(krea.process, int(krea.base.rpartition(":")[2])):
            assert krea.process.poll() is None
        until(lambda: answers(krea), "an answer after the flood")


def answers(krea):
    with contextlib.suppress(httpx.TransportError):
        return ask(krea, "localhost").status_code == 200
    return False


# --- an engine


def test_a_file_without_an_engine_of_this_process_is_not_served(project):
    project.pipeline(["a"])
    done = project.run("serve", "--port", 0, "--engine", "p.yaml")
    assert (done.code, done.out) == (2, "")
    assert "p.yaml: error: the file has no `engine:`" in done.err
    assert "name a file with an engine of `kind: diffusers`, which draws in this process" in done.err


def test_the_engine_of_a_server_is_not_served(project):
    engine = "{kind: openai-images, dialect: vllm-omni, url: http://127.0.0.1:9/v1, model: krea/Krea-2-Turbo}"
    (project.path / "p.yaml").write_text(f"version: 1\nengine: {engine}\nprompt: a lamp\ndefaults: {{seed: 7}}\n")
    done = project.run("serve", "--port", 0, "--engine", "p.yaml")
    assert done.code == 2
    assert "the engine of the file is of `kind: openai-images`" in done.err


def test_an_image_and_an_engine_exclude_each_other(project):
    project.pipeline(["a"])
    done = project.run("serve", "--port", 0, "--engine", "p.yaml", "--image", "p.yaml")
    assert done.code == 2
    assert "--image and --engine exclude each other" in done.err
