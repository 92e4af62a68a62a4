"""A real browser, whose pages may neither complain nor ask any other host."""

import asyncio
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import sync_playwright

# The shell has no window around its pages, and opens one at half the cost. Debian's launcher of the whole browser turns
# drawing by the GPU on, which here is a slow imitation of one.
PROGRAMS = (Path("/usr/lib/chromium/chromium-headless-shell"), Path("/usr/lib/chromium/chromium"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-gpu-rasterization",
    "--disable-gpu-compositing",
    "--in-process-gpu",
]
WINDOW = {"width": 1280, "height": 800}


class Loop:
    """Playwright's event loop, which counts as running in this thread only while it is used: other tests run theirs."""

    def __init__(self):
        self.loop = asyncio._get_running_loop()
        self.rest()

    def work(self):
        asyncio._set_running_loop(self.loop)

    def rest(self):
        asyncio._set_running_loop(None)


@pytest.fixture(scope="session")
def session():
    """One browser for all tests of a process, and the loop that it needs."""
    program = next(filter(Path.is_file, PROGRAMS), shutil.which("chromium"))
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=FLAGS)
        loop = Loop()
        yield browser, loop
        loop.work()
        browser.close()


class Watched:
    """What a page has said and asked for."""

    def __init__(self):
        self.complaints, self.forgiven, self.hosts = [], [], set()

    def follow(self, page):
        page.on("console", lambda message: self.hear(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))

    def hear(self, kind, text):
        if kind in ("error", "warning") and not any(part in text for part in self.forgiven):
            self.complaints.append(text)


@pytest.fixture
def open_page(session, tmp_path):
    """Opens an address, a file or a part of it; at the end of the test no page may have complained or asked elsewhere.

    `open_page.forgive(text)` is for what the browser itself says of a file or an answer that a test has spoiled. The
    folder of the test is there until its pages are closed, which may still read pictures.
    """
    watched, contexts = Watched(), []
    browser, loop = session
    loop.work()

    def open_page(address, **options):
        context = browser.new_context(**{"viewport": WINDOW, "reduced_motion": "reduce", **options})
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(10_000)
        watched.follow(page)
        page.goto(str(address))
        return page

    open_page.forgive = watched.forgiven.append
    yield open_page
    for context in contexts:
        context.close()
    loop.rest()
    assert watched.complaints == []
    assert {host for host in watched.hosts if not host.startswith("127.0.0.1:")} <= {""}
