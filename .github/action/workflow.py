"""What the steps of the action know of their job, and what they say to GitHub."""

import json
import os
import secrets
from decimal import Decimal
from pathlib import Path
from typing import Any

SUMMARY_LIMIT = 1_000_000
"""Bytes. GitHub drops a step's summary above 1,048,576 without a word."""


def given(name: str) -> str:
    """A value that action.yml hands over in the environment; "" when it is not set."""
    return os.environ.get(name, "").strip()


def listed(name: str) -> list[str]:
    """The lines of a value, without those that are empty."""
    return [line.strip() for line in given(name).splitlines() if line.strip()]


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
    """Give later steps a value; the mark between its lines can not stand in it."""
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
    note = "\n\n*The rest has no room here.*\n"
    cut = text.encode()[: max(0, room - len(note))].decode(errors="ignore")
    return cut[: cut.rfind("\n") + 1] + note if "\n" in cut else ""


def plain(amount: Decimal) -> str:
    """Dollars as a number that a workflow can compare: no zeros at the end, no exponent."""
    return f"{amount.normalize():f}"


def say(kind: str, message: str) -> None:
    """Show a `notice`, a `warning` or an `error` at the top of the job's page, and in the log."""
    text = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    print(f"::{kind} title=krea-pipe::{text}", flush=True)


def _append(variable: str, text: str) -> None:
    path = given(variable)
    if path:
        with Path(path).open("a", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
