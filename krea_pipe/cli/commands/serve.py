"""`krea-pipe serve`: the local Krea over HTTP, for programs that call Krea."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict, Unpack

import click

from krea_pipe.app.served_engine import ServedEngine, engine_in, open_served_engine
from krea_pipe.cli.messages import print_json_line, print_problems
from krea_pipe.cli.options import DAY, FILE, Number, json_option, seconds_option
from krea_pipe.core.errors import InvalidInput, Place, Problem, UsageError, whole_file
from krea_pipe.core.loopback import is_loopback
from krea_pipe.core.merge_conflicts import conflict_in
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.local import server
from krea_pipe.local.script import Script
from krea_pipe.local.script_file import Flaw, ScriptError, read_script
from krea_pipe.pipeline.spec import Overrides

_DRAWN_AT_ONCE = 2
"""Jobs: while one image is drawn, the one before it is compressed."""
_MAX_BYTES = 64 * 1024 * 1024


class Size(TypedDict):
    """Speed, capacity and access of the local Krea."""

    latency: float
    spread: float
    concurrency: int | None
    backlog: int | None
    token: str | None


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8377,
    show_default=True,
    help="The port to listen on; 0 picks a free port.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="A loopback address of this machine.")
@click.option(
    "--latency",
    type=Number(0, DAY),
    default=0.15,
    show_default=True,
    metavar="SECONDS",
    help="How long a job takes.",
)
@click.option(
    "--spread",
    type=Number(0, 1),
    default=0,
    show_default=True,
    metavar="SHARE",
    help="Make jobs take longer or shorter by up to this share.",
)
@click.option(
    "--concurrency", type=click.IntRange(min=1), help="How many jobs run at once.  [default: all; 2 with --engine]"
)
@click.option(
    "--backlog", type=click.IntRange(min=0), help="How many more jobs may wait before requests get 429.  [default: all]"
)
@click.option("--token", help="The only accepted token.  [default: any]")
@click.option("--image", type=FILE, help="Send this file as every image instead of drawing proofs.")
@click.option(
    "--engine", type=FILE, help="Draw with the engine of this pipeline file instead of drawing proofs; see above."
)
@click.option("--faults", type=FILE, help="A YAML file of faults; see above.")
@seconds_option
@json_option
def serve(
    port: int,
    host: str,
    image: Path | None,
    engine: Path | None,
    faults: Path | None,
    seconds: float | None,
    *,
    as_json: bool,
    **size: Unpack[Size],
) -> int:
    """Serve the local Krea over HTTP, to test programs that call Krea.

    It implements the documented API, draws proofs, forgets everything when it stops, and costs nothing. Only programs
    on this machine can reach it, and web pages cannot. GET /_local/book lists what happened. Stop it with Ctrl-C.

    With --engine, images are drawn by Krea 2's open weights on this machine. FILE needs an `engine:` of `kind:
    diffusers`; its steps, guidance and styles apply to all jobs, whatever their variant, and a request names a style
    by its name in FILE. What the weights cannot do, such as sliders, is a failed job.

    The --faults file is YAML. The first rule that matches a call applies:

    \b
      seed: 7
      rules:
        - {on: submit, do: 429, retry_after: 2, share: 0.05}
        - {on: submit, do: reset, after: true, times: 3}
        - {on: end, do: failed, code: nsfw, prompt: teapot}

    \b
    on: submit, job, jobs, cancel, upload, image or any
        do: 400 to 599   (retry_after: SECONDS, after: true)
            reset        (after: true = once Krea has acted)
            slow         (seconds: N, after: true)
            truncated, corrupt
    on: end        do: stuck, empty, failed
                   (failed: code, message, where: top, result or nowhere)
    on: webhook    do: twice, missing
    Each rule may select by prompt: TEXT, every: N, share: 0 to 1, times: N.
    """
    if size["backlog"] is not None and size["concurrency"] is None:
        raise click.UsageError("--backlog needs --concurrency: no job waits while all run at once")
    if size["concurrency"] is None and engine is not None:
        size["concurrency"] = _DRAWN_AT_ONCE
    _check_host(host)
    if image is not None and engine is not None:
        raise click.UsageError("--image and --engine exclude each other")
    picture, script = None if image is None else _read(image), _read_script(faults)
    with _drawer(engine) as drawer, _listen(host, port) as listener:
        app = server.build_app(image=picture, drawer=drawer, script=script, **size)
        base = f"http://{f'[{host}]' if ':' in host else host}:{listener.getsockname()[1]}"
        server.serve(app, listener, lambda: _announce(base, size["token"], as_json=as_json), seconds=seconds)
    return 0


@contextmanager
def _drawer(file: Path | None) -> Iterator[ServedEngine | None]:
    """What draws in place of proofs, until the end of the block."""
    if file is None:
        yield None
        return
    spec = engine_in(file, Overrides(environment=os.environ))
    with open_served_engine(spec, lambda problem: print_problems([problem], kind="warning")) as engine:
        yield engine


def _check_host(host: str) -> None:
    if not is_loopback(host):
        message = f"{host} is not a loopback address, and `serve` accepts only connections from this machine"
        raise UsageError(Problem("not_loopback", message, hint="use 127.0.0.1, ::1 or localhost"))


def _read_script(file: Path | None) -> Script:
    """The script in a file, or one without rules."""
    data = b"rules: []" if file is None else _read(file)
    if file is not None and (conflict := conflict_in(file, data.decode("utf-8-sig", "replace"))):
        raise InvalidInput(conflict)
    try:
        return read_script(data)
    except ScriptError as error:
        lines = data.decode("utf-8-sig", "replace").splitlines()
        raise InvalidInput(*(_problem(flaw, file or Path(), lines) for flaw in error.flaws)) from error


def _problem(flaw: Flaw, file: Path, lines: list[str]) -> Problem:
    text = lines[flaw.line - 1] if flaw.line <= len(lines) else ""
    return Problem("bad_faults", flaw.message, Place(file, flaw.line, flaw.column, text), flaw.hint)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)  # no more, because a device has no end
    except OSError as error:
        raise InvalidInput(unreadable_file(file, error)) from error
    if len(data) > _MAX_BYTES:
        raise InvalidInput(Problem("file_too_large", f"a file can have at most {_MAX_BYTES:,} bytes", whole_file(file)))
    return data


def _listen(host: str, port: int) -> socket.socket:
    try:
        return server.listen(host, port)
    except OSError as error:
        taken = error.errno == errno.EADDRINUSE
        reason = "the port is in use" if taken else error.strerror
        hint = "choose another --port; 0 picks a free one" if taken else "choose another --port or --host"
        raise UsageError(Problem("cannot_listen", f"cannot listen on {host}:{port}: {reason}", hint=hint)) from error


def _announce(base: str, token: str | None, *, as_json: bool) -> None:
    """Print where the server is immediately, because the caller may wait for this line."""
    if as_json:
        port = int(base.rpartition(":")[2])
        print_json_line({"schema": "krea-pipe/serve@1", "base": base, "port": port, "pid": os.getpid()})
        return
    key = "local" if token is None else "TOKEN"
    click.echo(f"Local Krea at {base}; use it with KREA_API_BASE={base} KREA_API_KEY={key} krea-pipe run FILE")
