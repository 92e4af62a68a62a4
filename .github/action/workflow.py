"""What the steps of the action know of their job, and what they say to GitHub."""

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
"""Bytes. GitHub drops a step's summary above 1,048,576 without a word."""
BUG = 70


def run_step(main: Callable[[], int]) -> None:
    """Run a step and exit: all that it prints passes the guard of the log, and every error is said in a line."""
    prepare_streams()
    guard_streams()  # whatever the environment says
    try:
        code = main()
    except KreaPipeError as error:
        for one in error.problems:
            say("error", f"{one.message}\nhint: {one.hint}" if one.hint else one.message)
        code = error.exit_code
    except Exception as error:  # noqa: BLE001 (the boundary: a traceback tells a reader of the log nothing)
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f" ({Path(place.tb_frame.f_code.co_filename).name}:{place.tb_lineno})" if place else ""
        say("error", f"the action has a bug, please report it: {type(error).__name__}: {error}{where}")
        code = BUG
    sys.exit(code)


def given(name: str) -> str:
    """A value that action.yml hands over in the environment; "" when it is not set."""
    return os.environ.get(name, "").strip()


def listed(name: str) -> list[str]:
    """The lines of a value, without those that are empty."""
    return [line.strip() for line in given(name).split("\n") if line.strip()]


def folder() -> Path:
    """Where the steps of one job keep what they tell each other: no file of the repository is there."""
    found = Path(given("RUNNER_TEMP"), "krea-pipe")
    found.mkdir(parents=True, exist_ok=True)
    return found


def keep_files(files: Sequence[str]) -> None:
    """Give later steps the names of files, which may hold anything but NUL."""
    (folder() / "files").write_bytes(b"".join(os.fsencode(one) + b"\0" for one in files))


def kept_files() -> list[str]:
    """The names that an earlier step has given."""
    return [os.fsdecode(one) for one in (folder() / "files").read_bytes().split(b"\0") if one]


def is_plain(name: str) -> bool:
    """Whether a name is text on one line: no control characters, no ends of lines, no bytes that are not UTF-8."""
    return not any(unicodedata.category(sign) in ("Cc", "Cs", "Zl", "Zp") for sign in name)


def krea_pipe() -> str:
    """The program of this action's own version."""
    return str(Path(given("BIN"), "krea-pipe"))


def read_event() -> dict[str, Any]:
    """What started the workflow, as GitHub describes it."""
    path = given("GITHUB_EVENT_PATH")
    data = json.loads(Path(path).read_text(encoding="utf-8")) if path else {}
    return data if isinstance(data, dict) else {}


def is_fork(event: dict[str, Any]) -> bool:
    """Whether this is a pull request from another repository, whose author may be anybody."""
    pull = event.get("pull_request") or {}
    head = ((pull.get("head") or {}).get("repo") or {}).get("full_name")
    return bool(pull) and head != given("GITHUB_REPOSITORY")


def output(name: str, value: object) -> None:
    """Give later steps a value; the mark between its lines cannot stand in it."""
    mark = secrets.token_hex(16)
    _append("GITHUB_OUTPUT", f"{name}<<{mark}\n{value}\n{mark}\n")


def summarise(text: str) -> None:
    """Add Markdown to the summary of the job, as much as this step has room for."""
    path = given("GITHUB_STEP_SUMMARY")
    if not path:
        return
    file = Path(path)
    room = SUMMARY_LIMIT - (file.stat().st_size if file.exists() else 0)
    _append("GITHUB_STEP_SUMMARY", shortened(text, room) + "\n")


def shortened(text: str, room: int) -> str:
    """A Markdown text in at most so many bytes: whole lines, and a note when some are left out."""
    if len(text.encode()) <= room:
        return text
    fence = re.search("^`{3,}$", text, re.MULTILINE)  # a block that is cut off would swallow what follows
    note = f"\n{fence[0] if fence else ''}\n\n*The rest has no room here.*\n"
    cut = text.encode()[: max(0, room - len(note))].decode(errors="ignore")
    return cut[: cut.rfind("\n") + 1] + note if "\n" in cut else ""


def plain(amount: Decimal) -> str:
    """Dollars as a number that a workflow can compare: no zeros at the end, no exponent."""
    return f"{amount.normalize():f}"


def say(kind: Literal["notice", "warning", "error"], message: str) -> None:
    """Show a notice, a warning or an error at the top of the job's page, and in the log."""
    print_command(kind, message, {"title": "krea-pipe"})


def _append(variable: str, text: str) -> None:
    path = given(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
