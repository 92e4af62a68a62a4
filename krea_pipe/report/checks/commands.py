"""A command of the user measures an image: it gets the path of a copy, and prints a number or JSON.

No shell is involved, the key is not in its environment, and its time and its output are limited. At its end, everything
that it has started in its process group is ended too.
"""

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.image_file import raster_type
from krea_pipe.core.json_data import writable
from krea_pipe.core.measures import COMMAND
from krea_pipe.core.settings import KEY_NAMES
from krea_pipe.pipeline.model import ImageCheck, Pipeline
from krea_pipe.pipeline.spec.image_checks import command_files

MAX_OUTPUT = 65_536
"""Bytes that a command may print; one that prints more is stopped."""
_MAX_MESSAGE = 300
_OWN = "KREA_"
"""What the names of our own variables begin with; a command gets none of them."""
_JOIN_SECONDS = 2.0
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/avif": ".avif"}


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measure says of an image: a value, or None with the reason in `message`.

    `is_open` says that the image is not to blame: there is nothing to compare it with, or the run was interrupted.
    """

    value: float | None
    message: str = ""
    is_open: bool = False


INTERRUPTED = Measured(None, "not measured, because the run was interrupted", is_open=True)


def check_commands(pipeline: Pipeline, *, allowed: bool) -> None:
    """Refuse to start a run whose commands are not allowed, or cannot be found.

    Args:
        pipeline: the pipeline.
        allowed: whether `--allow-commands` is given.

    Raises:
        UsageError: they are not allowed. InvalidInput: some cannot be found.
    """
    document = pipeline.document
    checks = {check.trail: check for stage in pipeline.stages for check in stage.checks if check.measure == COMMAND}
    if checks and not allowed:
        named = ", ".join(f"`{name}`" for name in dict.fromkeys(check.name for check in checks.values()))
        message = f"the checks of this pipeline run commands on this machine: {named}"
        hint = "read them, then add --allow-commands"
        raise UsageError(Problem("commands_not_allowed", message, document.place(next(iter(checks))), hint))
    problems = []
    for check in checks.values():
        if shutil.which(_program(check.command[0], check.folder)) is None:
            at = document.place((*check.trail, "run"))
            hint = "`chmod +x` makes a script a program" if "/" in check.command[0] else "install it, or write its path"
            message = f"{check.command[0]} is not a program that can be run"
            problems.append(Problem("command_missing", message, at, hint))
    if problems:
        raise InvalidInput(*problems)


def command_digest(check: ImageCheck) -> str:
    """Identify a command: its words, and the bytes of the files that they name.

    Args:
        check: the check that runs it.
    """
    parts: list[object] = [*check.command]
    for word, file in command_files(check):
        with suppress(OSError):
            parts.append([word, hashlib.sha256(file.read_bytes()).hexdigest()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


@dataclass(slots=True)
class CommandRunner:
    """Runs commands, several at a time; `stop` ends those that run, and no other is started.

    Args:
        environment: the environment of the run; they get the part that `own_environment` returns.
    """

    environment: Mapping[str, str]
    _running: set["subprocess.Popen[bytes]"] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stopped: bool = False

    def measure(self, check: ImageCheck, data: bytes, prompt: str) -> Measured:
        """Run the command of a check for one image.

        Args:
            check: the check.
            data: the bytes of the image, of which the command gets a copy.
            prompt: its prompt.
        """
        suffix = _SUFFIXES.get(raster_type(data) or "", "")
        with tempfile.TemporaryDirectory(prefix="krea-pipe-check-", ignore_cleanup_errors=True) as folder:
            image = Path(folder) / f"image{suffix}"
            image.write_bytes(data)
            words = [_filled(word, str(image), prompt) for word in check.command]
            return self._run([_program(words[0], check.folder), *words[1:]], check)

    def stop(self) -> None:
        """End all commands that run."""
        with self._lock:
            self._stopped = True
            running = [*self._running]
        for process in running:
            _end(process)

    def _run(self, words: list[str], check: ImageCheck) -> Measured:
        try:
            process = self._started(words, check.folder)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            return Measured(None, f"the command cannot be started: {reason}")
        if process is None:
            return INTERRUPTED
        output, errors = _Reader(process, process.stdout), _Reader(process, process.stderr)
        is_late = False
        try:
            process.wait(check.timeout)
        except subprocess.TimeoutExpired:
            is_late = True
        finally:
            _end(process)
            with self._lock:
                self._running.discard(process)
        text, said = output.finished(), errors.finished()
        if self._stopped:
            return INTERRUPTED
        if is_late:
            return Measured(None, f"the command took more than {check.timeout:g} s")
        if output.is_over or errors.is_over:
            return Measured(None, f"the command printed more than {MAX_OUTPUT:,} bytes")
        if process.returncode:
            last = said.strip().splitlines()[-1:] or ["it printed no reason"]
            return Measured(None, _cut(f"the command ended with exit code {process.returncode}: {last[0]}"))
        return read_output(text)

    def _started(self, words: list[str], folder: Path) -> "subprocess.Popen[bytes] | None":
        with self._lock:
            if self._stopped:
                return None
            process = subprocess.Popen(
                words,
                cwd=folder,
                env=own_environment(self.environment),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
            self._running.add(process)
            return process


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment for a command: without our settings, and without any variable that holds the key."""
    secrets = [value for name in KEY_NAMES if (value := environment.get(name, "").strip())]
    return {
        name: value
        for name, value in environment.items()
        if not name.upper().startswith(_OWN) and not any(secret in value for secret in secrets)
    }


def read_output(text: str) -> Measured:
    """What a command has printed: a number, or JSON such as {"value": 0.7, "message": "…"}."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        data = None
    message = ""
    if isinstance(data, dict):
        message = _cut(str(data.get("message") or ""))
        data = data.get("value")
    if isinstance(data, bool) or not isinstance(data, (int, float)) or not _is_finite(data):
        shown = _cut(" ".join(text.split()))
        return Measured(None, f"the command printed no number: {shown}" if shown else "the command printed nothing")
    return Measured(float(data), message)


def _is_finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


class _Reader:
    """Reads what a command prints in a thread of its own, up to the limit."""

    def __init__(self, process: "subprocess.Popen[bytes]", stream: IO[bytes] | None) -> None:
        self.process, self.stream, self.is_over = process, stream, False
        self.data = bytearray()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        with suppress(OSError, ValueError):
            while self.stream and (data := os.read(self.stream.fileno(), MAX_OUTPUT)):
                self.data += data
                if len(self.data) > MAX_OUTPUT:
                    self.is_over = True
                    _end(self.process)
                    return

    def finished(self) -> str:
        """The text, once the command has ended; a process that left the group may still hold the pipe."""
        self.thread.join(_JOIN_SECONDS)
        if not self.thread.is_alive() and self.stream:
            self.stream.close()
        return self.data[:MAX_OUTPUT].decode("utf-8", "replace")


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a command with all that it has started in its group, and wait for it."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def _program(word: str, folder: Path) -> str:
    """A program of the repository by its full path; any other is searched for as usual."""
    return str((folder / word).resolve()) if "/" in word else word


def _filled(word: str, image: str, prompt: str) -> str:
    """A word with its placeholders replaced, in one step: what a prompt contains is no placeholder."""
    parts = word.split("{image}")
    return image.join(part.replace("{prompt}", prompt) for part in parts)


def _cut(text: str) -> str:
    text = writable(text)
    return text if len(text) <= _MAX_MESSAGE else f"{text[:_MAX_MESSAGE]}…"


def uses_prompt(check: ImageCheck) -> bool:
    """Whether what a command prints may depend on the prompt."""
    return any("{prompt}" in word for word in check.command)
