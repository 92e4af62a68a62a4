"""Connections for images take much at a time, also in TLS, and give exactly what was sent."""

import asyncio
import os
import shutil
import ssl
import subprocess

import httpcore
import pytest

from krea_pipe.api.address import AllowedAddresses, ImageNetwork

BODY = os.urandom(3_000_000)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(BODY)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """The file of a certificate for this machine, and of its key."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed")
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    command = ["openssl", "req", "-x509", *kind, *names, "-keyout", str(file), "-out", str(file)]
    subprocess.run([*command[:-1], f"{file}.crt"], check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + file.with_name("both.pem.crt").read_bytes())
    return file


async def fetched(tls, context, cut=None):
    """The parts of a body as they come through a pool of httpcore."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write((HEAD + BODY)[:cut])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    allowed = AllowedAddresses(True, ("127.0.0.1", port))
    pool = httpcore.AsyncConnectionPool(ssl_context=context)
    pool._network_backend = ImageNetwork(pool._network_backend, allowed)
    url = f"http{'s' if tls else ''}://127.0.0.1:{port}/x.png"
    async with server, pool, pool.stream("GET", url) as response:
        return [part async for part in response.aiter_stream()]


def contexts(file):
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(file)
    client.load_verify_locations(file)
    return server, client


def test_a_body_comes_whole():
    assert b"".join(asyncio.run(fetched(None, None))) == BODY


def test_a_body_in_tls_comes_whole_and_in_parts_of_several_records(certificate):
    parts = asyncio.run(fetched(*contexts(certificate)))
    assert b"".join(parts) == BODY
    assert len(parts) < len(BODY) / 2**14 / 2, "a record of TLS has 16 KiB at most"


@pytest.mark.parametrize("cut", [len(HEAD) + 1, len(HEAD) + 1_000_000, len(HEAD) + len(BODY) - 1])
def test_a_body_in_tls_that_is_cut_off_is_an_error(certificate, cut):
    with pytest.raises(httpcore.RemoteProtocolError):
        asyncio.run(fetched(*contexts(certificate), cut))
