"""The inputs of the steps of the action, and their messages and outputs to GitHub."""

import json
import os
import re
import secrets
import sys
import unicodedata
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

from krea_pipe.cli.ci_log import guard_streams, print_command
from krea_pipe.cli.streams import prepare_streams
from krea_pipe.core.errors import KreaPipeError

SUMMARY_LIMIT = 1_000_000
"""Bytes. GitHub silently drops the summary of a step above 1,048,576 bytes."""
BUG = 70


def run_step(main: Callable[[], int]) -> None:
    """Run a step and exit. All output passes through the log guard, and every error is reported."""
    prepare_streams()
    guard_streams()  # regardless of the environment
    try:
        code = main()
    except KreaPipeError as error:
        for one in error.problems:
            say("error", f"{one.message}\nhint: {one.hint}" if one.hint else one.message)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 (the boundary: a traceback does not help a reader of the log)
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" ({Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno})" if place else ""
        say("error", f"this is a bug in the action; please report it: {type(error).__name__}: {error}{where}")
        code = BUG
    sys.exit(code)


def given(name: str) -> str:
    """A value that action.yml passes in the environment; "" if it is not set."""
    return os.environ.get(name, "").strip()


def listed(name: str) -> list[str]:
    """The non-empty lines of a value."""
    return [line.strip() for line in given(name).split("\n") if line.strip()]


def folder() -> Path:
    """The folder in which the steps of a job store data for later steps, outside the repository."""
    found = Path(given("RUNNER_TEMP"), "krea-pipe")
    found.mkdir(parents=True, exist_ok=True)
    return found


def keep_files(files: Sequence[str]) -> None:
    """Store file names for later steps. Names can contain any character except NUL."""
    (folder() / "files").write_bytes(b"".join(os.fsencode(one) + b"\0" for one in files))


def kept_files() -> list[str]:
    """The file names that an earlier step has stored."""
    return [os.fsdecode(one) for one in (folder() / "files").read_bytes().split(b"\0") if one]


def is_plain(name: str) -> bool:
    """Whether a name is valid UTF-8 without control characters and line breaks."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name)


def krea_pipe() -> str:
    """The path of the krea-pipe that the action has installed."""
    return str(Path(given("BIN"), "krea-pipe"))


def read_event() -> dict[str, Any]:
    """The event that started the workflow."""
    path = given("GITHUB_EVENT_PATH")
    data = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return data if isinstance(data, dict) else {}


def is_fork(event: dict[str, Any]) -> bool:
    """Whether this is a pull request from another repository."""
    pull = event.get("pull_request") or {}
    head = ((pull.get("head") or {}).get("repo") or {}).get("full_name")
    return bool(pull) and head != given("GITHUB_REPOSITORY")


def output(name: str, value: object) -> None:
    """Set an output for later steps. A random delimiter keeps the value from ending early."""
    mark = secrets.token_hex(16)
    _append("GITHUB_OUTPUT", f"{name}<<{mark}\n{value}\n{mark}\n")


def summarise(text: str) -> None:
    """Add Markdown to the job summary, as far as it fits."""
    path = given("GITHUB_STEP_SUMMARY")
    if not path:
        return
    file = Path(path)
    room = SUMMARY_LIMIT - (file.stat().st_size if file.exists() else 0)
    _append("GITHUB_STEP_SUMMARY", shortened(text, room) + "\n")


def shortened(text: str, room: int) -> str:
    """A Markdown text cut to `room` bytes: whole lines, and a note if some are omitted."""
    if len(text.encode()) <= room:
        return text
    fence = re.search("^`{3,}$", text, re.MULTILINE)  # closes a block that is cut off
    note = f"\n{fence[0] if fence else ''}\n\n*The rest is omitted because of the size limit.*\n"
    cut = text.encode()[: max(0, room - len(note))].decode(errors="ignore")
    return cut[: cut.rfind("\n") + 1] + note if "\n" in cut else ""


def plain(amount: Decimal) -> str:
    """An amount in dollars that a workflow can compare, without trailing zeros or an exponent."""
    return f"{amount.normalize():f}"


def say(kind: Literal["notice", "warning", "error"], message: str) -> None:
    """Show a notice, a warning or an error on the page of the job and in the log."""
    print_command(kind, message, {"title": "krea-pipe"})


def _append(variable: str, text: str) -> None:
    path = given(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
