"""The command line in a folder of its own, with an environment that has nothing of the developer's."""

import json
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, lru_cache
from io import BytesIO, TextIOWrapper
from pathlib import Path

from forked import Forked
from jsonschema import Draft202012Validator
from krea_server import Krea

import krea_pipe
from krea_pipe.cli.main import main

KEY = "krea-test-secret-4711"
SOURCE = Path(krea_pipe.__file__).parent.parent
INTERPRETERS = ("PYTHON", "LANG", "LC_", "TZ")
"""How names begin that Python reads in its environment when it starts."""
_LONGEST_DOCUMENT = 200_000
"""Characters of a document that is checked against its schema; longer ones would only take longer."""


@cache
def schema_of(name) -> Draft202012Validator:
    """The published schema of a document, in which no property may be missing that the document has."""
    return Draft202012Validator(_closed(json.loads((SOURCE / f"schemas/{name}.schema.json").read_text())))


def _closed(part):
    if isinstance(part, list):
        return [_closed(one) for one in part]
    if not isinstance(part, dict):
        return part
    closed = {name: _closed(one) for name, one in part.items()}
    is_object = isinstance(part.get("properties"), dict) and "type" in part
    return {"additionalProperties": False, **closed} if is_object and "unevaluatedProperties" not in part else closed


def check_document(data):
    """A document follows the schema that it names."""
    kind, _, name = data["schema"].partition("/")
    name, _, version = name.partition("@")
    assert (kind, version) == ("krea-pipe", "1")
    schema_of(name).validate(data)
    for one in data.get("files", ()) if name == "files" else ():
        if one["result"] is not None:
            check_document(one["result"])


@lru_cache(maxsize=16)
def check_output(text):
    """What --json prints follows the schema that it names; checked once, however often a test reads it."""
    data = json.loads(text)
    if "schema" in data and len(text) <= _LONGEST_DOCUMENT:
        check_document(data)


@lru_cache(maxsize=16)
def check_report(text):
    """The record of a run follows its schema."""
    schema_of("run-report").validate(json.loads(text))


def shared(store, **more):
    """What names the folder of a shared store in the environment, and more."""
    return {"KREA_PIPE_REMOTE": store.as_uri(), **more}


@dataclass
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str
    cwd: Path

    @property
    def json(self):
        """The object that --json prints, which always follows its schema."""
        check_output(self.out)
        return json.loads(self.out)

    @property
    def report(self):
        """The record of the run, which always follows its schema."""
        text = Path(self.cwd, self.json["report"]).read_text(encoding="utf-8")
        check_report(text)
        return json.loads(text)

    @property
    def rows(self):
        """The cells of the report by the last part of their ids."""
        return {row["id"].rpartition("/")[2]: row for row in self.report["cells"]}

    @property
    def counts(self):
        """The cells that succeeded, failed and were reused."""
        return tuple(self.json["cells"][name] for name in ("succeeded", "failed", "reused"))

    @property
    def text(self) -> str:
        return self.out + self.err


@dataclass
class Project:
    """A folder with pipelines, and the command line in it."""

    path: Path
    krea: Krea
    started: list[Forked | subprocess.Popen] = field(default_factory=list)

    @property
    def home(self) -> Path:
        return self.path / ".krea-pipe"

    @property
    def space(self) -> Path:
        return self.home / "loopback"

    def write(self, name, text) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    def pipeline(self, prompts, *, name="p.yaml", more="budget: {usd: 5}"):
        """A pipeline with one cell for each word, in the axis `w`."""
        words = json.dumps(list(prompts))
        return self.write(name, f'version: 1\nprompt: "{{{{ w }}}}"\nmatrix: {{w: {words}}}\n{more}\n')

    def environment(self, env) -> dict[str, str]:
        plain = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.path),
            "LANG": "C.UTF-8",
            "PYTHONPATH": str(SOURCE),
            "PYTHONWARNINGS": "error",
            "GIT_CEILING_DIRECTORIES": str(self.path.parent),
            "KREA_API_KEY": KEY,
            "KREA_API_BASE": self.krea.base,
            "KREA_PIPE_POLL_SECONDS": "0.02",
            "KREA_PIPE_SETTLE_SECONDS": "0.2",
        }
        return {name: value for name, value in {**plain, **env}.items() if value is not None}

    def start(self, *words, env=(), stderr=subprocess.PIPE, anew=False) -> Forked | subprocess.Popen:
        """Start a command in a process of its own; `anew` with an interpreter that has just started.

        So is it where the environment has something for the interpreter.
        """
        environment = self.environment(dict(env))
        if anew or any(name.startswith(INTERPRETERS) for name in dict(env)):
            process = subprocess.Popen(
                [sys.executable, "-m", "krea_pipe", *map(str, words)],
                cwd=self.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )
        else:
            process = Forked(words, self.path, environment, stderr)
        self.started.append(process)
        return process

    def stop(self):
        """End what is still running, as it is when a test has failed."""
        for process in self.started:
            process.kill()
            for stream in (process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
            process.wait()

    def finish(self, process) -> Done:
        out, err = process.communicate(timeout=60)
        done = Done(process.returncode, out.decode(), err.decode(), self.path)
        check_sane(done)
        return done

    def spawn(self, *words, env=(), anew=False) -> Done:
        """Run a command to its end in a process of its own."""
        return self.finish(self.start(*words, env=env, anew=anew))

    def run(self, *words, env=(), sane=True) -> Done:
        """Run a command to its end in this process, which is three times as fast as in its own."""
        out, err = TextIOWrapper(BytesIO(), "utf-8"), TextIOWrapper(BytesIO(), "utf-8")
        with _in_place_of_this_process(self, dict(env), words, out, err):
            try:
                main()
            except SystemExit as ending:
                code = ending.code
        texts = [stream.buffer.getvalue().decode() for stream in (out, err) if stream.flush() is None]
        done = Done(code, *texts, self.path)
        if sane:
            check_sane(done)
        return done

    def journal(self, space="loopback") -> list[dict]:
        file = self.home / space / "journal.jsonl"
        found = []
        for line in file.read_bytes().splitlines() if file.exists() else []:
            try:
                found.append(json.loads(line))
            except ValueError:
                continue
        return [line for line in found if isinstance(line, dict)]

    def events(self, name) -> list[dict]:
        return [line for line in self.journal() if line["event"] == name]

    def plan(self, *words, file="p.yaml", env=()) -> dict[str, tuple[str, str]]:
        """Action and reason of each cell by the last part of its id."""
        done = self.run("plan", file, "--json", *words, env=env)
        assert done.code == 0, done.text
        return {cell["id"].rpartition("/")[2]: (cell["action"], cell["reason"]) for cell in done.json["cells"]}

    def blobs(self) -> list[Path]:
        return [path for path in (self.space / "blobs").rglob("*") if path.is_file()]

    def image(self, word, folder="out/p", suffix="png") -> Path:
        return self.path / folder / f"{word}.{suffix}"


@contextmanager
def _in_place_of_this_process(project, env, words, out, err):
    """The arguments, environment, folder and streams that a process of its own would have."""
    environment, folder, streams = dict(os.environ), Path.cwd(), (sys.argv, sys.stdout, sys.stderr)
    new = project.environment(env)  # before the environment is cleared, as it takes PATH from it
    os.environ.clear()
    os.environ.update(new)
    os.chdir(project.path)
    sys.argv, sys.stdout, sys.stderr = ["krea-pipe", *map(str, words)], out, err
    try:
        yield
    finally:
        sys.argv, sys.stdout, sys.stderr = streams
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(environment)


def check_sane(done):
    assert "Traceback" not in done.err, done.err
    assert "Warning" not in done.err, done.err
    assert done.code != 70, done.text
    assert KEY not in done.text
