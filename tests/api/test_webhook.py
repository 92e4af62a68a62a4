"""A delivery becomes a hint, and whatever else comes to the receiver's port does nothing at all."""

import asyncio
import json
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import httpx
import pytest

from krea_pipe.api import webhook
from krea_pipe.api.webhook import ListenAddress, check_public_url, open_receiver, parse_address
from krea_pipe.core.errors import UsageError

HERE = ListenAddress("127.0.0.1", 0)
DEADLINE = 30.0
DELIVERY = {"job_id": "job-1", "status": "completed", "result": {"urls": ["https://gen.krea.ai/a.png"]}}
BAD_BODIES = [
    b"",
    b"job-1",
    b"\xff\xfe\x00",
    b'"job-1"',
    b'["job-1"]',
    b"17",
    b"null",
    b"1" * 60_000,
    b"[" * 60_000,
    b'{"job_id":' * 6_000,
    b'{"job_id": "job-1"',
    {},
    {"status": "completed"},
    {"job_id": ""},
    {"id": ""},
    {"job_id": 5, "id": "job-1"},
    {"job_id": ["job-1"]},
    {"job_id": {"id": "job-1"}},
    {"job_id": "x" * 201},
    {"job_id": "job\n1"},
    {"job_id": "job\u202e1"},
    {"job_id": "\ud800"},
]
NO_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"\x00" * 20_000,
    b"hello\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"POST / HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 100_000,
]


def run(main):
    """Run a test's coroutine; nothing may be logged or go wrong behind its back."""

    async def watched():
        wrong = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
        async with asyncio.timeout(DEADLINE):
            await main()
        assert wrong == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(watched())


@pytest.fixture(autouse=True)
def silence(caplog, capfd):
    with caplog.at_level(0):
        yield
    records = caplog.get_records("call")
    assert [one for one in records if one.name.startswith("uvicorn") or one.levelname in ("ERROR", "CRITICAL")] == []
    assert capfd.readouterr() == ("", "")


@asynccontextmanager
async def receiving(**options):
    """An open receiver and the hints that it gave."""
    hints = []
    async with open_receiver(HERE, hints.append, **options) as receiver:
        yield receiver, hints


@asynccontextmanager
async def connected(receiver):
    reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        # The transport lets go of its socket one turn later.
        await asyncio.sleep(0)


def message(path, body=b"", *, method="POST", headers=""):
    head = f"{method} {path} HTTP/1.1\r\nHost: here\r\n{headers}"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def all_of(reader):
    """What comes until the server closes, which it may do hard."""
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


async def raw(receiver, data):
    """Send bytes at once, and return all that comes until the server closes."""
    async with connected(receiver) as (reader, writer):
        writer.write(data)
        return await all_of(reader)


def status_of(answer):
    """The status of an answer that ends its connection and says nothing more."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *fields = head.lower().split(b"\r\n")
    assert b"connection: close" in fields
    assert {field.partition(b":")[0] for field in fields} <= {b"connection", b"content-length"}
    assert body == b""
    return int(first.split()[1])


async def deliver(receiver, body, **change):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return status_of(await raw(receiver, message(change.pop("path", receiver.path), data, **change)))


# --- deliveries


def test_a_delivery_is_a_hint():
    async def main():
        async with receiving() as (receiver, hints), httpx.AsyncClient(trust_env=False) as client:
            answer = await client.post(receiver.url(None), json=DELIVERY)
            assert (answer.status_code, answer.content) == (204, b"")
            assert hints == ["job-1"]

    run(main)


def test_a_duplicate_is_a_second_hint():
    async def main():
        async with receiving() as (receiver, hints):
            assert [await deliver(receiver, DELIVERY) for _ in range(2)] == [204, 204]
            assert hints == ["job-1", "job-1"]

    run(main)


def test_a_hint_is_given_on_the_callers_loop():
    async def main():
        loops = []
        async with open_receiver(HERE, lambda _: loops.append(asyncio.get_running_loop())) as receiver:
            assert await deliver(receiver, DELIVERY) == 204
        assert loops == [asyncio.get_running_loop()]

    run(main)


def test_an_error_of_the_hint_is_the_callers_to_see():
    async def main():
        seen = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: seen.append(context["exception"]))
        async with open_receiver(HERE, lambda job_id: {}[job_id]) as receiver:
            assert await deliver(receiver, DELIVERY) == 204
            assert await deliver(receiver, DELIVERY) == 204
        assert [repr(error) for error in seen] == ["KeyError('job-1')"] * 2

    run(main)


def test_the_id_is_found_in_what_krea_may_send():
    found = {
        "a": {"id": "a"},
        "b": {"job_id": None, "id": "b"},
        "c": {"job_id": "c", "id": "other"},
        "d" * 200: {"job_id": "d" * 200},
        "e": {"job_id": "e", "more": "x" * (64 * 1024 - 27)},
    }
    assert len(json.dumps(found["e"])) == 64 * 1024

    async def main():
        async with receiving() as (receiver, hints):
            assert [await deliver(receiver, body) for body in found.values()] == [204] * len(found)
            assert hints == list(found)

    run(main)


def test_a_body_in_pieces_is_put_together():
    async def main():
        async with receiving() as (receiver, hints), connected(receiver) as (reader, writer):
            writer.write(message(receiver.path, headers="Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n"))
            await reader.readuntil(b"100 Continue\r\n\r\n")
            writer.write(b'9\r\n{"job_id"\r\n')
            await writer.drain()
            writer.write(b'9\r\n: "job-1"\r\n1\r\n}\r\n0\r\n\r\n')
            assert status_of(await reader.read()) == 204
            assert hints == ["job-1"]

    run(main)


# --- what is no delivery


def test_other_methods_find_nothing():
    async def main():
        async with receiving() as (receiver, hints):
            for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "post"):
                assert (method, await deliver(receiver, DELIVERY, method=method)) == (method, 404)
            assert hints == []

    run(main)


def test_other_paths_find_nothing():
    async def main():
        async with receiving() as (receiver, hints):
            path = receiver.path
            near = [path[:-1], path + "/", "/" + path, path.swapcase(), f"/%{ord(path[1]):02x}{path[2:]}"]
            for other in ("/", "*", "/%ff%C3%A9", *near):
                assert (other, await deliver(receiver, DELIVERY, path=other)) == (other, 404)
            assert hints == []

    run(main)


def test_a_body_without_a_plain_id_is_refused():
    async def main():
        async with receiving() as (receiver, hints):
            for body in BAD_BODIES:
                assert (body, await deliver(receiver, body)) == (body, 400)
            assert hints == []

    run(main)


def test_a_body_that_is_announced_as_too_large_is_not_waited_for():
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, _):
            head = message(receiver.path).replace(b"Content-Length: 0", b"Content-Length: 65537")
            assert status_of(await raw(receiver, head)) == 413

    run(main)


def test_a_body_that_becomes_too_large_is_not_read_on():
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, hints):
            head = message(receiver.path).replace(b"Content-Length: 0", b"Transfer-Encoding: chunked")
            assert status_of(await raw(receiver, head + b"10001\r\n" + b" " * 65537)) == 413
            assert hints == []

    run(main)


def test_a_body_that_trickles_is_given_up():
    async def main():
        loop = asyncio.get_running_loop()
        async with receiving(patience=0.05) as (receiver, hints):
            with socket.create_connection((receiver.host, receiver.port)) as sender:
                sender.setblocking(False)
                head = message(receiver.path).replace(b"Content-Length: 0", b"Content-Length: 65536")
                await loop.sock_sendall(sender, head)
                answer = asyncio.create_task(loop.sock_recv(sender, 1000))
                while not answer.done():
                    with suppress(ConnectionError):
                        await loop.sock_sendall(sender, b" ")
                    await asyncio.sleep(0)
                assert status_of(await answer) == 408
            assert hints == []

    run(main)


@pytest.mark.parametrize("start", [b"", b"POST / HTTP/1.1\r\nHost"], ids=["nothing", "half a head"])
def test_a_connection_that_asks_nothing_is_closed(start):
    async def main():
        async with receiving(patience=0.02) as (receiver, _):
            assert await raw(receiver, start) == b""

    run(main)


def test_what_is_no_http_harms_nothing():
    async def main():
        async with receiving() as (receiver, hints):
            for data in NO_HTTP:
                assert (await raw(receiver, data))[:12] in (b"", b"HTTP/1.1 400", b"HTTP/1.1 404")
            assert await deliver(receiver, DELIVERY) == 204
            assert hints == ["job-1"]

    run(main)


def test_an_upgrade_is_no_way_around():
    async def main():
        async with receiving() as (receiver, _):
            upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            assert (await raw(receiver, message(receiver.path, method="GET", headers=upgrade))).startswith(
                b"HTTP/1.1 404"
            )

    run(main)


def test_what_a_sender_leaves_unfinished_is_no_delivery():
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, hints):
            async with connected(receiver) as (reader, writer):
                data = message(receiver.path, b'{"job_id": "job-0"} ', headers="Expect: 100-continue\r\n")
                writer.write(data[:-1])
                await reader.readuntil(b"100 Continue\r\n\r\n")
            assert await deliver(receiver, DELIVERY) == 204
            assert hints == ["job-1"]

    run(main)


# --- floods


def test_only_so_many_bodies_are_read_at_once():
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, hints), AsyncExitStack() as stack:
            body = json.dumps(DELIVERY).encode()
            head = message(receiver.path, body, headers="Expect: 100-continue\r\n")[: -len(body)]
            waiting = [await stack.enter_async_context(connected(receiver)) for _ in range(32)]
            for reader, writer in waiting:
                writer.write(head)
                await reader.readuntil(b"100 Continue\r\n\r\n")
            assert await deliver(receiver, DELIVERY) == 503
            assert hints == []
            reader, writer = waiting[0]
            writer.write(body)
            assert status_of(await reader.read()) == 204
            assert await deliver(receiver, DELIVERY) == 204
            assert hints == ["job-1", "job-1"]

    run(main)


def test_idle_connections_are_bounded():
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, _), AsyncExitStack() as stack:
            for _ in range(63):
                await stack.enter_async_context(connected(receiver))
            assert (await raw(receiver, message(receiver.path))).startswith(b"HTTP/1.1 503")
            for _ in range(65):
                await stack.enter_async_context(connected(receiver))
            assert await raw(receiver, b"") == b""

    run(main)


# --- opening and closing


def test_the_path_can_not_be_guessed():
    async def main():
        async with receiving() as (one, _), receiving() as (other, _):
            assert one.path != other.path
            assert min(len(one.path), len(other.path)) > 40
            assert one.path not in repr(one)
            assert await deliver(one, DELIVERY, path=other.path) == 404

    run(main)


def test_the_signals_stay_those_of_the_run():
    async def main():
        handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        async with receiving() as (receiver, _):
            assert await deliver(receiver, DELIVERY) == 204
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers

    run(main)


def test_an_address_in_use_is_named():
    async def main():
        async with receiving() as (receiver, _):
            with pytest.raises(UsageError) as caught:
                async with open_receiver(ListenAddress(receiver.host, receiver.port), print):
                    pass
        assert caught.value.code == "webhook_address_in_use"
        assert f"127.0.0.1:{receiver.port}" in str(caught.value)
        assert caught.value.problems[0].hint

    run(main)


def test_an_address_of_another_machine_is_refused():
    async def main():
        with pytest.raises(UsageError) as caught:
            async with open_receiver(ListenAddress("192.0.2.1", 0), print):
                pass
        assert caught.value.code == "webhook_address_unusable"

    run(main)


async def with_guests(inside):
    """Open a receiver with one idle sender and one in the middle of a body, and return its port when it has closed."""
    async with AsyncExitStack() as stack:
        async with receiving(patience=DEADLINE) as (receiver, _):
            idle = await stack.enter_async_context(connected(receiver))
            slow = await stack.enter_async_context(connected(receiver))
            slow[1].write(message(receiver.path, b"{}", headers="Expect: 100-continue\r\n")[:-1])
            await slow[0].readuntil(b"100 Continue\r\n\r\n")
            await inside(receiver.port)
        assert [await all_of(reader) for reader, _ in (idle, slow)] == [b"", b""]


def assert_tidy(port):
    assert asyncio.all_tasks() == {asyncio.current_task()}
    socket.create_server(("127.0.0.1", port)).close()


def test_closing_leaves_neither_task_nor_socket():
    async def main():
        ports = []

        async def inside(port):
            ports.append(port)

        await with_guests(inside)
        assert_tidy(ports[0])

    run(main)


def test_an_error_in_the_block_closes_too():
    async def main():
        ports = []

        async def inside(port):
            ports.append(port)
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await with_guests(inside)
        assert_tidy(ports[0])

    run(main)


@pytest.mark.parametrize("turns", range(5))
def test_a_sender_that_comes_while_it_closes_is_sent_away(turns):
    async def main():
        async with receiving(patience=DEADLINE) as (receiver, _):
            sender = socket.create_connection((receiver.host, receiver.port))
            for _ in range(turns):
                await asyncio.sleep(0)
        with sender:
            sender.setblocking(False)
            with suppress(ConnectionResetError):
                assert sender.recv(1) == b""
        assert_tidy(receiver.port)

    run(main)


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancelled_block_closes_too(times):
    async def main():
        opened = asyncio.get_running_loop().create_future()

        async def inside(port):
            opened.set_result(port)
            await asyncio.Event().wait()

        task = asyncio.create_task(with_guests(inside))
        port = await opened
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert_tidy(port)

    run(main)


# --- addresses

BAD_ADDRESSES = """
    8080 :8080 127.0.0.1 127.0.0.1: 127.0.0.1:x 127.0.0.1:65536 127.0.0.1:-1 127.0.0.1:٣ 127.1:80 256.0.0.1:80
    ::1:80 [::1] [127.0.0.1]:80 [::1%lo]:80 example.org:80 http://127.0.0.1:80
"""
BAD_URLS = """
    hooks.example.org //hooks.example.org ftp://hooks.example.org https:// https:///a https://:80 https://höoks.org
    https://me:hunter2@example.org https://hunter2@example.org https://@example.org https://a.org/#hunter2
    https://a.org/# https://a.org/?key=hunter2 https://a.org? https://a.org:0 https://a.org:99999 https://a.org:x
    https://[::1 https://a.org\\b https://a.org/ö https://a.org/<b> https://a.org/'b"
"""
BLANK_URLS = ["https://a b.org", "https://a.org/ b", "https://a.org/\r\nX: y", "\thttps://a.org"]


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:8080", "127.0.0.1", 8080),
        ("0.0.0.0:0", "0.0.0.0", 0),
        ("[::1]:80", "::1", 80),
        ("[0:0::0]:65535", "::", 65535),
        ("localhost:8080", "127.0.0.1", 8080),
    ],
)
def test_an_address_is_read(text, host, port):
    assert parse_address(text) == ListenAddress(host, port)


@pytest.mark.parametrize(
    "text", [*BAD_ADDRESSES.split(), "", "a b:80", "127.0.0.1:80\n", " 127.0.0.1:80", "x" * 100_000]
)
def test_a_bad_address_is_refused(text):
    with pytest.raises(UsageError) as caught:
        parse_address(text)
    assert caught.value.code == "bad_webhook_address"
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ("host", "base"),
    [("127.0.0.1", "http://127.0.0.1:80"), ("::1", "http://[::1]:80"), ("0.0.0.0", None), ("::", None)],
)
def test_the_url_is_below_the_public_one_or_the_receivers_own(host, base):
    receiver = webhook.Receiver(host, 80, "/secret")
    assert receiver.url("https://hooks.example.org/krea/") == "https://hooks.example.org/krea/secret"
    if base is not None:
        assert receiver.url(None) == f"{base}/secret"
        return
    with pytest.raises(UsageError) as caught:
        receiver.url(None)
    assert caught.value.code == "webhook_url_needed"
    assert "--webhook-url" in caught.value.problems[0].hint


@pytest.mark.parametrize(
    "url",
    ["https://hooks.example.org", "http://192.0.2.1:8080/a/b", "https://[2001:db8::1]:8443/x", "HTTPS://a.example/%20"],
)
def test_a_public_url_is_taken_as_it_is(url):
    assert check_public_url(url, is_base=True) == url
    assert check_public_url(url + "/?a=b&c", is_base=False) == url + "/?a=b&c"


@pytest.mark.parametrize("url", [*BAD_URLS.split(), "", *BLANK_URLS, "https://a.org/" + "x" * 1011])
def test_a_bad_public_url_is_refused_and_not_shown(url):
    with pytest.raises(UsageError) as caught:
        check_public_url(url, is_base=True)
    assert caught.value.code == "bad_webhook_url"
    assert "hunter2" not in str(caught.value)
