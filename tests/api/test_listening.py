"""A connection has a time for each request that is due, and none for an answer; a listener has a number of them."""

import asyncio
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
import uvicorn

from krea_pipe.core.listening import Connection, Listener

DEADLINE = 30.0
ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class Hasty(Connection):
    patience = 0.05


async def hello(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"hi"})


@asynccontextmanager
async def serving(app, protocol=Hasty, most=64):
    """The port of a server whose connections are kept for long."""
    with Listener(socket.create_server(("127.0.0.1", 0)), most) as listener:
        config = uvicorn.Config(
            app, http=protocol, ws="none", lifespan="off", log_config=None, log_level="critical", timeout_keep_alive=300
        )
        config.load()
        server = uvicorn.Server(config)
        server.lifespan = config.lifespan_class(config)
        async with asyncio.timeout(DEADLINE):
            await server.startup(sockets=[listener])
            try:
                yield listener.getsockname()[1]
            finally:
                server.force_exit = True
                await server.shutdown(sockets=[listener])


@asynccontextmanager
async def calling(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def end_of(reader):
    try:
        return await reader.read()
    except ConnectionResetError:
        return b""


@pytest.mark.parametrize(
    "start", [b"", b"GET / HT", ASK[:-2], b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n1"]
)
def test_a_request_that_does_not_come_is_not_waited_for(start):
    async def wait(scope, receive, send):
        while (await receive())["type"] != "http.disconnect":
            pass

    async def main():
        async with serving(wait) as port, calling(port) as (reader, writer):
            writer.write(start)
            assert await end_of(reader) == b""

    asyncio.run(main())


def test_a_second_request_that_has_begun_is_not_waited_for_either():
    async def main():
        async with serving(hello) as port, calling(port) as (reader, writer):
            writer.write(ASK)
            await reader.readuntil(b"hi")
            writer.write(ASK[:5])
            assert await end_of(reader) == b""

    asyncio.run(main())


def test_an_answer_may_take_longer_than_a_request():
    async def main():
        going = asyncio.Event()

        async def slow(scope, receive, send):
            await going.wait()
            await hello(scope, receive, send)

        async with serving(slow) as port, calling(port) as (reader, writer), calling(port) as (other, _):
            writer.write(ASK)
            assert await end_of(other) == b"", "this one came later and has asked nothing"
            going.set()
            assert (await reader.readuntil(b"hi")).startswith(b"HTTP/1.1 200")

    asyncio.run(main())


def test_so_many_connections_are_open_and_a_place_becomes_free():
    async def main():
        async with serving(hello, Connection, most=3) as port, AsyncExitStack() as stack:
            guests = [await stack.enter_async_context(calling(port)) for _ in range(3)]
            async with calling(port) as (reader, _):
                assert await end_of(reader) == b""
            for reader, writer in guests:
                writer.write(ASK.replace(b"Host", b"Connection: close\r\nHost"))
                assert (await reader.read()).endswith(b"hi")
            async with calling(port) as (reader, writer):
                writer.write(ASK)
                await reader.readuntil(b"hi")

    asyncio.run(main())


def test_who_comes_when_no_file_can_be_opened_is_turned_away_in_silence(capfd):
    import resource

    async def main():
        async with serving(hello, Connection) as port:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            guest = socket.socket()
            guest.setblocking(False)
            resource.setrlimit(resource.RLIMIT_NOFILE, (guest.fileno() + 1, hard))
            try:
                fillers = fill()
                guest.connect_ex(("127.0.0.1", port))
                assert await asyncio.get_running_loop().sock_recv(guest, 1) == b""
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for filler in (*fillers, guest):
                    filler.close()
            async with calling(port) as (reader, writer):
                writer.write(ASK)
                await reader.readuntil(b"hi")

    def fill():
        found = []
        while True:
            try:
                found.append(socket.socket())
            except OSError:
                return found

    asyncio.run(main())
    assert capfd.readouterr() == ("", "")
