"""Where images may be fetched from is judged by the address that is connected to, however it is written."""

import asyncio
import ipaddress
import socket
from contextlib import contextmanager

import httpcore
import pytest
from krea_server import picture

from krea_pipe.api.address import AllowedAddresses, ImageNetwork, is_public
from krea_pipe.api.client import open_client
from krea_pipe.api.failures import BadImage, CallFailed, Unreachable
from krea_pipe.core.contract import SIZES
from krea_pipe.core.settings import Target, Token

ELSEWHERE = Target("live", "https://api.krea.ai", "live", lasting=True)
OUTSIDE = "93.184.215.14"


@contextmanager
def listening(host="127.0.0.1"):
    """A service of this machine that nobody may call; gives its port, and at the end nobody has."""
    with socket.create_server((host, 0)) as server:
        server.setblocking(False)
        yield server.getsockname()[1]
        with pytest.raises(BlockingIOError):
            server.accept()


def fetch(url, target=ELSEWHERE):
    async def main():
        async with open_client(target, Token("secret")) as client:
            await client.download(url)

    asyncio.run(main())


def resolve(monkeypatch, **names):
    """Have names stand for lists of addresses, of which each look-up takes the next; counts the look-ups."""
    real, asked = socket.getaddrinfo, []

    def getaddrinfo(host, port, *args, **kwargs):
        key = str(host).partition(".")[0]
        if key not in names:
            return real(host, port, *args, **kwargs)
        asked.append(host)
        found = names[key][min(len(asked), len(names[key])) - 1]
        kinds = [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in found.split()]
        return [(kind, socket.SOCK_STREAM, 6, "", (one, port)) for kind, one in kinds]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


PUBLIC = ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e", "2002:5db8:d70e::1"]
PRIVATE = [
    *("127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0"),
    *("0.1.2.3", "224.0.0.1", "239.1.1.1", "255.255.255.255", "240.0.0.1", "198.18.0.1", "192.0.2.1", "203.0.113.9"),
    *("::1", "::", "fe80::1", "fe80::1%lo", "fc00::1", "fd12::1", "ff02::1", "fec0::1", "2001:db8::1", "100::1"),
    *("::ffff:127.0.0.1", "::ffff:10.0.0.1", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::a00:1"),
    *("2002:7f00:1::1", "2002:a00:1::1", "2001:0:7f00:1::1", "4000::1"),
]


def test_an_address_is_public_or_not():
    assert [one for one in PUBLIC if not is_public(ipaddress.ip_address(one))] == []
    assert [one for one in PRIVATE if is_public(ipaddress.ip_address(one))] == []


SPELLINGS = [
    *(
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "127.0.0.1.",
        "LOCALHOST",
        "localhost.",
        "a.localhost",
    ),
    *("[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "user:word@127.0.0.1", "017700000001", "0177.0.0.1"),
    *("[0:0:0:0:0:0:0:1]", "127.0.0.1.", "１２７.0.0.1", "[::1%25lo]", "x@127.1", "0", "[::]", "ⓛocalhost"),
]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_spelling_of_this_machine_is_called_for_an_api_elsewhere(scheme):
    with listening() as port:
        for host in SPELLINGS:
            with pytest.raises(BadImage):
                fetch(f"{scheme}://{host}:{port}/x.png")


@pytest.mark.parametrize("addresses", ["127.0.0.1", "::ffff:127.0.0.1", "10.0.0.1 192.168.0.1", "169.254.169.254"])
def test_a_name_is_judged_by_what_it_stands_for(monkeypatch, addresses):
    asked = resolve(monkeypatch, inside=[addresses])
    with listening() as port, pytest.raises(BadImage, match="private network"):
        fetch(f"https://inside.example:{port}/x.png")
    assert asked == ["inside.example"]


class Recording(httpcore.AsyncNetworkBackend):
    """A network in which nothing answers, and that tells which addresses were called."""

    def __init__(self):
        self.called = []

    async def connect_tcp(self, host, port, *_):
        self.called.append((host, port))
        raise httpcore.ConnectError("nothing is there")


def call(allowed, host, port=443):
    network = Recording()

    async def main():
        await ImageNetwork(network, allowed).connect_tcp(host, port, 5.0)

    with pytest.raises((httpcore.ConnectError, BadImage)):
        asyncio.run(main())
    return network.called


def test_a_name_that_changes_between_judging_and_calling_has_no_time_to(monkeypatch):
    asked = resolve(monkeypatch, rebinding=[OUTSIDE, "127.0.0.1"])
    assert call(AllowedAddresses(False, ("api.krea.ai", 443)), "rebinding.example") == [(OUTSIDE, 443)]
    assert len(asked) == 1


def test_of_many_addresses_a_few_that_are_allowed_are_called(monkeypatch):
    many = " ".join(f"93.184.215.{number}" for number in range(20))
    resolve(monkeypatch, mixed=[f"127.0.0.1 {OUTSIDE} 10.0.0.1"], many=[many])
    allowed = AllowedAddresses(False, ("api.krea.ai", 443))
    assert call(allowed, "mixed.example") == [(OUTSIDE, 443)]
    assert len(call(allowed, "many.example")) == 4


def test_the_apis_own_host_is_allowed_in_a_private_network(monkeypatch):
    resolve(monkeypatch, krea=["10.0.0.7"])
    allowed = AllowedAddresses(False, ("krea.internal", 443))
    allowed.check("https://krea.internal/images/x.png")
    assert call(allowed, "krea.internal") == [("10.0.0.7", 443)]
    assert call(allowed, "krea.internal", 8443) == []


@pytest.mark.parametrize(
    "host", ["a..b", "a" * 64 + ".example", "x." * 130 + "example", "xn--a", "%00.example", "-.-!"]
)
@pytest.mark.parametrize("proxy", [None, "http://127.0.0.1:1"])
def test_an_impossible_host_fails_that_image(monkeypatch, host, proxy):
    if proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(CallFailed):
        fetch(f"https://{host}/x.png")


@pytest.mark.parametrize("host", ["8.8.8.8", "127.0.0.1", "[2606:4700::1]", "images.example"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_impossible_port_fails_that_image(scheme, host):
    with pytest.raises(BadImage):
        fetch(f"{scheme}://{host}:99999/x.png")


def test_behind_a_proxy_an_address_is_judged_by_what_it_says(monkeypatch):
    with listening() as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy}")
        for host in ("10.0.0.1", "0x7f.1", "[fd00::1]"):
            with pytest.raises(BadImage):
                fetch(f"https://{host}/x.png")


def test_behind_a_proxy_names_are_left_to_it(monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    asked = resolve(monkeypatch, inside=["10.0.0.1"])
    with pytest.raises(Unreachable):
        fetch("https://inside.example/x.png")
    assert asked == []


REFUSED = ["https://10.0.0.1/x.png", "https://169.254.169.254/x", "http://10.0.0.1/x.png", "https://[fd00::1]/x.png"]
IMPOSSIBLE = [
    *(
        "https://pictures.example:99999/x.png",
        "https://pictures.example:-1/x.png",
        "https://:443/x",
        "https://xn--a/x.png",
    ),
    *("https://a..b/x.png", "https://" + "a" * 64 + ".example/", "https://h:" + "1" * 5000, "https://\ud800.example/"),
    *("https://a b/", "https://[::1%25]:1/", "https://%31%32%37.1/", "https://" + "a" * 70_000),
]


def test_one_image_of_an_impossible_address_fails_alone(project, krea):
    urls = REFUSED + IMPOSSIBLE
    krea.mutate_job(
        lambda job: (
            {**job, "result": {"urls": [urls[int(krea.world.job(job["job_id"]).brief.order.prompt)]]}}
            if krea.world.job(job["job_id"]).brief.order.prompt.isdigit()
            else job
        )
    )
    project.pipeline([*(str(number) for number in range(len(urls))), "good"], more="budget: {usd: 50}")
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (1, (1, len(urls), 0))
    assert {row["error"]["code"] for row in done.rows.values() if row["error"]} == {"image_unfetched"}
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts) == (0, (len(urls), 0, 1))
    assert len(krea.posts) == len(urls) + 1


@pytest.mark.parametrize("target", [*REFUSED, "https://xn--a/", "https://h:99999/", "//[", "https://a..b/"])
def test_a_redirect_is_judged_like_a_first_address(project, krea, target):
    krea.image(b"", status=302, headers={"location": target})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "image_unfetched")
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.1", "2130706433", "x.localhost", "LocalHost"])
def test_an_api_on_this_machine_may_name_it_in_any_way(project, krea, monkeypatch, host):
    resolve(monkeypatch, x=["127.0.0.1"])
    port = krea.base.rpartition(":")[2]
    krea.answer("GET", "/elsewhere/", 200, picture(seed="y", size=SIZES["1:1"]))
    krea.mutate_job(lambda job: {**job, "result": {"urls": [f"http://{host}:{port}/elsewhere/x.png"]}})
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
