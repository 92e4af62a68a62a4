"""Sends a message that a run has ended: to the desktop, a webhook, or a service that apprise supports.

apprise knows chat services, mail and phones. It is an extra (`pip install 'krea-pipe[notify]'`). A webhook's address is
a secret: anyone who has it can post. It is shown as far as its host, in messages too.
"""

import json
import shutil
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import urlsplit

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.loopback import is_loopback
from krea_pipe.report.model import Report
from krea_pipe.report.words import summary_sentence

_SEND_SECONDS = 10.0
"""The maximum duration of all notifications together."""

_ENDINGS: Mapping[int, str] = {
    ExitCode.DONE: "done",
    ExitCode.SOME_FAILED: "ended with failures",
    ExitCode.REFUSED: "refused",
    ExitCode.LIMIT_REACHED: "stopped at a limit",
    ExitCode.WAITING: "waiting for picks",
    ExitCode.NOT_AS_LOCKED: "differs from the lock file",
    ExitCode.CHECK_FAILED: "ended with images that fail a check",
    ExitCode.INTERRUPTED: "interrupted",
}
_DISPLAY = 'display notification (item 1 of argv) with title "krea-pipe"'


@dataclass(frozen=True, slots=True)
class Message:
    """The result of a run: one line for people, and the object that `run --json` prints."""

    text: str
    run: Mapping[str, object]
    is_good: bool


@dataclass(frozen=True, slots=True)
class NotificationTarget:
    """The target of a message: a form that is safe to show, and a function that sends and returns any problem."""

    name: str
    send: Callable[[Message], str | None] = field(repr=False)


def message_of(report: Report, run: Mapping[str, object]) -> Message:
    """The message about a run that has ended.

    Args:
        report: the report of the run.
        run: the object that `run --json` prints.

    Returns:
        The message, in one sentence for people and whole for programs.
    """
    end = _ENDINGS.get(report.exit_code, "failed")
    text = f"krea-pipe {report.pipeline.name}: {end}. {summary_sentence(report)}"
    return Message(text, run, is_good=report.exit_code in (0, 6))


def message_of_refusal(name: str, problem: Problem, exit_code: int, run: Mapping[str, object]) -> Message:
    """The message about a run that was not started, or has no report.

    What the problem says in full may hold someone's text, so only its code is told.

    Args:
        name: the pipeline, as people know it.
        problem: what prevented the run.
        exit_code: what the command exits with.
        run: the object that `run --json` prints.

    Returns:
        The message, which tells no success.
    """
    what = _ENDINGS.get(exit_code, "failed") if exit_code == ExitCode.INTERRUPTED else "not run"
    return Message(f"krea-pipe {name}: {what}, {problem.code} (exit code {exit_code}).", run, is_good=False)


def notification_targets(texts: Sequence[str]) -> tuple[NotificationTarget, ...]:
    """The targets that `--notify` names.

    Args:
        texts: `desktop`, addresses of webhooks, or URLs that apprise knows.

    Returns:
        The targets, in that order; nothing is sent yet.

    Raises:
        UsageError: one of them is no target, or cannot be reached from here.
    """
    return tuple(_target_of(text.strip()) for text in texts)


def _target_of(text: str) -> NotificationTarget:
    if text == "desktop":
        return _desktop()
    scheme, colon, _ = text.partition("://")
    if not colon or not scheme.replace("+", "").isalnum():
        hint = "use `desktop`, an https address, or a URL that apprise knows, as in slack:// or mailto://"
        raise UsageError(Problem("bad_notify", "--notify has no valid target", hint=hint))
    if scheme.lower() in ("http", "https"):
        return _webhook(text)
    open_service(text)
    return NotificationTarget(f"{scheme}://…", partial(_send_by_apprise, text))


def _desktop() -> NotificationTarget:
    """This machine's screen."""
    if sys.platform == "darwin":
        words: tuple[str, ...] = ("osascript", "-e", "on run argv", "-e", _DISPLAY, "-e", "end run")
    else:
        words = ("notify-send", "--app-name=krea-pipe", "--", "krea-pipe")
    program = shutil.which(words[0])
    if program is None:
        hint = "install it (Debian: libnotify-bin), or use an https address"
        message = f"--notify desktop needs `{words[0]}`, which is not installed"
        raise UsageError(Problem("notify_desktop", message, hint=hint))
    return NotificationTarget("desktop", partial(_show, (program, *words[1:])))


def _show(command: tuple[str, ...], message: Message) -> str | None:
    try:
        subprocess.run([*command, message.text], check=True, capture_output=True, timeout=_SEND_SECONDS)
    except subprocess.CalledProcessError as error:
        return f"{command[0]} failed with exit code {error.returncode}"
    except subprocess.TimeoutExpired:
        return f"{command[0]} took too long"
    except OSError as error:
        return f"{command[0]} cannot be started: {error.strerror}"
    return None


def _webhook(text: str) -> NotificationTarget:
    """A target that accepts JSON.

    Slack reads `text`, Discord `content`, your own receiver `run`.
    """
    import httpx  # noqa: PLC0415 (network code, which a run without such a target spares)

    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
        httpx.URL(text)
    except (ValueError, httpx.InvalidURL) as error:
        raise _bad_webhook("is not an address") from error
    if not host or port == 0 or not text.isprintable():
        raise _bad_webhook("is not an address")
    if parts.scheme == "http" and not is_loopback(host):
        raise _bad_webhook("would expose it on the network; use https")
    return NotificationTarget(f"{parts.scheme}://{host}{f':{port}' if port else ''}/…", partial(_post, text))


def _bad_webhook(reason: str) -> UsageError:
    """Does not show the given address, which is secret."""
    hint = "for example --notify https://hooks.example.org/T0/B0/X"
    return UsageError(Problem("bad_notify", f"the --notify address {reason}", hint=hint))


def _post(url: str, message: Message) -> str | None:
    import httpx  # noqa: PLC0415 (as above)

    body = {"text": message.text, "content": message.text, "run": message.run}
    try:
        with httpx.stream("POST", url, json=body, timeout=_SEND_SECONDS) as answer:
            return None if answer.is_success else f"it answered {answer.status_code}"
    except httpx.TimeoutException:
        return "it did not answer in time"
    except (httpx.HTTPError, httpx.InvalidURL):
        return "it cannot be reached"


def _send_by_apprise(url: str, message: Message) -> str | None:
    """Send it in a separate process: apprise's threads outlive any time limit."""
    given = json.dumps({"url": url, "text": message.text, "is_good": message.is_good})
    command = [sys.executable, "-m", "krea_pipe.cli.service"]
    try:
        done = subprocess.run(command, input=given.encode(), capture_output=True, timeout=_SEND_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return "it did not answer in time"
    return None if done.returncode == 0 else "apprise could not deliver it"


def open_service(url: str) -> Callable[[Message], bool]:
    """A function that sends a message through apprise to the service of a URL, and returns whether it was delivered.

    Args:
        url: a URL that apprise knows.

    Returns:
        A function that sends a message and returns whether it was delivered.

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
    import logging  # noqa: PLC0415 (as above)

    log = logging.getLogger("apprise")  # its words hold the URL, which is a secret
    log.addHandler(logging.NullHandler())
    log.propagate = False
    service = apprise.Apprise()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        is_known = service.add(url)
    if not is_known:
        message = f"apprise cannot use the {url.partition('://')[0]}:// address of --notify"
        hint = "see https://github.com/caronc/apprise/wiki for its syntax and requirements"
        raise UsageError(Problem("bad_notify", message, hint=hint))

    def send(message: Message) -> bool:
        kind = apprise.NotifyType.SUCCESS if message.is_good else apprise.NotifyType.FAILURE
        return bool(service.notify(body=message.text, title="krea-pipe", notify_type=kind))

    return send


def tell_all(targets: Sequence[NotificationTarget], message: Message) -> list[Problem]:
    """Send a message to every target at once, within ten seconds.

    Args:
        targets: where the message goes.
        message: how the run ended.

    Returns:
        A problem for each target that could not be notified in time.
    """
    answers: dict[int, str | None] = {}

    def tell(number: int, target: NotificationTarget) -> None:
        try:
            answers[number] = target.send(message)
        except (OSError, ImportError, ValueError, RuntimeError, LookupError) as error:
            answers[number] = f"it cannot be notified ({type(error).__name__})"

    # Threads that the end of the program does not wait for: no time limit of a library holds for all that it does.
    threads = [threading.Thread(target=tell, args=one, daemon=True) for one in enumerate(targets)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + _SEND_SECONDS
    for thread in threads:
        thread.join(max(0.0, end - time.monotonic()))
    found = [(target, answers.get(number, "it did not answer in time")) for number, target in enumerate(targets)]
    return [
        Problem("notify_failed", f"{target.name} was not notified: {why}") for target, why in found if why is not None
    ]
