"""Telling people that a run has ended: the desktop, a webhook, or what apprise knows to reach.

apprise knows chat services, mail and phones. It is an extra (`pip install 'krea-pipe[notify]'`). A webhook's address is
a secret: whoever has it may post. It is shown as far as its host, in messages too.
"""

import json
import logging
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.settings import is_loopback
from krea_pipe.report.model import Report
from krea_pipe.report.words import sentence

SECONDS = 10.0
"""How long all of it may take."""

ENDS: Mapping[int, str] = {
    ExitCode.DONE: "done",
    ExitCode.SOME_FAILED: "ended with failures",
    ExitCode.REFUSED: "refused by Krea",
    ExitCode.LIMIT_REACHED: "stopped at a limit",
    ExitCode.WAITING: "waits for picks",
    ExitCode.NOT_AS_LOCKED: "not as it is locked",
    ExitCode.INTERRUPTED: "interrupted",
}
_DISPLAY = 'display notification (item 1 of argv) with title "krea-pipe"'


@dataclass(frozen=True, slots=True)
class Message:
    """How a run ended: one line for people, and the object that `run --json` prints."""

    text: str
    run: Mapping[str, object]
    is_good: bool


class Place(Protocol):
    """Where a message goes."""

    @property
    def name(self) -> str:
        """What may be shown of it."""

    def send(self, message: Message) -> str | None:
        """Send a message; why that failed, if it did."""


def message_of(report: Report, run: Mapping[str, object]) -> Message:
    """How a run ended, from its report."""
    end = ENDS.get(report.exit_code, "failed")
    text = f"krea-pipe {report.pipeline.name}: {end}. {sentence(report)}"
    return Message(text, run, is_good=report.exit_code in (0, 6))


def message_of_refusal(name: str, problem: Problem, exit_code: int, run: Mapping[str, object]) -> Message:
    """That a run was not begun, or left without a report. What the problem says in full may hold someone's text."""
    what = ENDS.get(exit_code, "failed") if exit_code == ExitCode.INTERRUPTED else "not run"
    return Message(f"krea-pipe {name}: {what}, {problem.code} (exit code {exit_code}).", run, is_good=False)


def places_of(texts: Sequence[str]) -> tuple[Place, ...]:
    """The places that `--notify` names.

    Raises:
        UsageError: one of them is no place, or cannot be reached from here.
    """
    return tuple(_place_of(text.strip()) for text in texts)


def _place_of(text: str) -> Place:
    if text == "desktop":
        return _desktop()
    scheme, colon, _ = text.partition("://")
    if not colon or not scheme.replace("+", "").isalnum():
        hint = "give `desktop`, an https address, or a URL that apprise knows, as in slack:// or mailto://"
        raise UsageError(Problem("bad_notify", "--notify has no place that can be told", hint=hint))
    if scheme.lower() in ("http", "https"):
        return _webhook(text)
    open_service(text)
    return Service(f"{scheme}://…", text)


@dataclass(frozen=True, slots=True)
class Desktop:
    """This machine's screen."""

    command: tuple[str, ...]
    name: str = "desktop"

    def send(self, message: Message) -> str | None:
        """Show a message."""
        try:
            subprocess.run([*self.command, message.text], check=True, capture_output=True, timeout=SECONDS)
        except subprocess.CalledProcessError as error:
            return f"{self.command[0]} failed with exit code {error.returncode}"
        except subprocess.TimeoutExpired:
            return f"{self.command[0]} took too long"
        except OSError as error:
            return f"{self.command[0]} cannot be started: {error.strerror}"
        return None


def _desktop() -> Desktop:
    if sys.platform == "darwin":
        words: tuple[str, ...] = ("osascript", "-e", "on run argv", "-e", _DISPLAY, "-e", "end run")
    else:
        words = ("notify-send", "--app-name=krea-pipe", "--", "krea-pipe")
    program = shutil.which(words[0])
    if program is None:
        hint = "install it (Debian: libnotify-bin), or give an https address"
        raise UsageError(
            Problem("notify_desktop", f"--notify desktop needs `{words[0]}`, which is not here", hint=hint)
        )
    return Desktop((program, *words[1:]))


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that takes JSON. Slack reads `text`, Discord `content`, a receiver of one's own `run`."""

    url: str = field(repr=False)
    name: str

    def send(self, message: Message) -> str | None:
        """Post a message."""
        import httpx  # noqa: PLC0415 (network code, which a run without such a place spares)

        body = {"text": message.text, "content": message.text, "run": message.run}
        try:
            with httpx.stream("POST", self.url, json=body, timeout=SECONDS) as answer:
                return None if answer.is_success else f"it answered {answer.status_code}"
        except httpx.TimeoutException:
            return "it did not answer in time"
        except (httpx.HTTPError, httpx.InvalidURL):
            return "it cannot be reached"


def _webhook(text: str) -> Webhook:
    import httpx  # noqa: PLC0415 (as above)

    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise _bad_webhook("is not an address") from error
    if not host or port == 0 or not text.isprintable():
        raise _bad_webhook("is not an address")
    if parts.scheme == "http" and not is_loopback(host):
        raise _bad_webhook("would show it to the network; only https leaves this machine")
    return Webhook(text, f"{parts.scheme}://{host}{f':{port}' if port else ''}/…")


def _bad_webhook(reason: str) -> UsageError:
    """What was given is not shown: it is a secret."""
    hint = "for example --notify https://hooks.example.org/T0/B0/X"
    return UsageError(Problem("bad_notify", f"the address that --notify names {reason}", hint=hint))


@dataclass(frozen=True, slots=True)
class Service:
    """Something that apprise reaches, in a process of its own: its threads outlive any time limit."""

    name: str
    url: str = field(repr=False)

    def send(self, message: Message) -> str | None:
        """Send a message."""
        given = json.dumps({"url": self.url, "text": message.text, "is_good": message.is_good})
        command = [sys.executable, "-m", "krea_pipe.cli.service"]
        try:
            done = subprocess.run(command, input=given.encode(), capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return "it did not answer in time"
        return None if done.returncode == 0 else "apprise could not deliver it"


def open_service(url: str) -> Callable[[Message], bool]:
    """What sends a message through apprise to the service of a URL, and says whether it was delivered.

    Raises:
        UsageError: apprise does not know it, something in it is missing, or apprise is not installed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it looks for modules that later Pythons do without
        try:
            import apprise  # noqa: PLC0415 (an extra, and slow)
        except ImportError as error:
            message = f"{url.partition('://')[0]}:// addresses need apprise, which is not installed"
            raise UsageError(Problem("notify_extra", message, hint="pip install 'krea-pipe[notify]'")) from error
    log = logging.getLogger("apprise")  # its words hold the URL, which is a secret
    log.addHandler(logging.NullHandler())
    log.propagate = False
    service = apprise.Apprise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        is_known = service.add(url)
    if not is_known:
        message = f"apprise cannot use the {url.partition('://')[0]}:// address that --notify names"
        hint = "see https://github.com/caronc/apprise/wiki for how it is written and what it needs"
        raise UsageError(Problem("bad_notify", message, hint=hint))

    def send(message: Message) -> bool:
        kind = apprise.NotifyType.SUCCESS if message.is_good else apprise.NotifyType.FAILURE
        return bool(service.notify(body=message.text, title="krea-pipe", notify_type=kind))

    return send


def tell_all(places: Sequence[Place], message: Message) -> list[Problem]:
    """Tell every place at once; a problem for each that could not be told in time."""
    answers: dict[int, str | None] = {}

    def tell(number: int, place: Place) -> None:
        try:
            answers[number] = place.send(message)
        except (OSError, ImportError, ValueError, RuntimeError, LookupError) as error:
            answers[number] = f"it cannot be told ({type(error).__name__})"

    # Threads that the end of the program does not wait for: no time limit of a library holds for all that it does.
    threads = [threading.Thread(target=tell, args=one, daemon=True) for one in enumerate(places)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found = [(place, answers.get(number, "it did not answer in time")) for number, place in enumerate(places)]
    return [Problem("notify_failed", f"{place.name} was not told: {why}") for place, why in found if why is not None]
