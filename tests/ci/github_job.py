"""A job of GitHub Actions: the steps of action.yml are run as a runner would, with a GitHub API on this machine."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import yaml
from github_log import commands_in

ROOT = Path(__file__).parents[2]
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
STEPS = ACTION["runs"]["steps"]
BOT = {"type": "Bot", "login": "github-actions[bot]"}
LOOKUP = re.compile(r"\b(?:github|inputs|runner|steps)(?:\.[\w-]+)+")

PIPELINE = "version: 1\nname: lamp\nbudget: {{usd: 5}}\nprompt: a lamp of {{{{ w }}}}\nmatrix:\n  w: [{words}]\n"

# Stands for the Python that setup-python installs: it makes an environment without asking PyPI.
PYTHON = f"""#!/bin/sh
set -e
test "$1 $2 $3" = "-I -m venv"
case "$(pwd -P)" in "$GITHUB_WORKSPACE"*) echo "modules of the checkout would be imported"; exit 1 ;; esac
mkdir -p "$4/bin"
printf '#!/bin/sh\\nexec "{sys.executable}" "$@"\\n' >"$4/bin/python"
printf '#!/bin/sh\\nexec "{sys.executable}" -m krea_pipe "$@"\\n' >"$4/bin/krea-pipe"
printf '#!/bin/sh\\necho "$@" >"%s/installed"\\n' "$4" >"$4/bin/pip"
chmod +x "$4/bin/python" "$4/bin/krea-pipe" "$4/bin/pip"
"""


def pipeline(*words):
    return PIPELINE.format(words=", ".join(words))


class GitHub:
    """Issue comments of one repository, in pages; `forbids` is the token of a fork, `login` whose token it is."""

    def __init__(self):
        self.comments, self.calls, self.forbids, self.login = [], [], False, None
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def add(self, body, user=BOT):
        self.comments.append({"id": 1000 + len(self.comments), "body": body, "user": user})
        return self.comments[-1]

    def answer(self, method, path, body):
        """The status, the data and the headers of an answer."""
        parts = urlsplit(path)
        listed = "/repos/o/r/issues/7/comments"
        if method == "GET" and parts.path == "/user":
            return (200, {"login": self.login}, {}) if self.login else (403, {}, {})
        if method == "GET" and parts.path == listed:
            query = {name: int(value[0]) for name, value in parse_qs(parts.query).items()}
            size, page = query.get("per_page", 30), query.get("page", 1)
            more = {"Link": f'<{self.url}{listed}?page={page + 1}>; rel="next"'}
            return 200, self.comments[size * (page - 1) : size * page], more if len(self.comments) > size * page else {}
        if self.forbids:
            return 403, {"message": "Resource not accessible by integration"}, {}
        if method == "POST" and parts.path == listed:
            user = {"type": "User", "login": self.login} if self.login else BOT
            return 201, self.add(body["body"], user), {}
        found = next(one for one in self.comments if parts.path == f"/repos/o/r/issues/comments/{one['id']}")
        found["body"] = body["body"]
        return 200, found, {}

    def _handler(self):
        github = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self):
                raw = self.rfile.read(int(self.headers.get("content-length") or 0))
                github.calls.append((self.command, self.path, self.headers["authorization"]))
                status, data, headers = github.answer(self.command, self.path, json.loads(raw or b"{}"))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(json.dumps(data).encode())

            do_GET = do_POST = do_PATCH = _do  # noqa: N815 (the names that http.server calls)

            def log_message(self, *_):
                pass

        return Handler


@dataclass
class Done:
    """A job that has ended: what each step did, and what GitHub was told."""

    outcomes: dict = field(default_factory=dict)
    outputs: dict = field(default_factory=dict)
    used: dict = field(default_factory=dict)
    environments: dict = field(default_factory=dict)
    log: str = ""
    summary: str = ""

    @property
    def failed(self):
        return [name for name, outcome in self.outcomes.items() if outcome == "failure"]

    @property
    def commands(self):
        """What the log has the runner do."""
        return commands_in(self.log)

    @property
    def given(self):
        """The outputs of the action."""
        return {name: self.text(one["value"], {"steps": self.outputs}) for name, one in ACTION["outputs"].items()}

    @staticmethod
    def text(value, contexts):
        """A text with its expressions filled in."""
        return re.sub(r"\$\{\{ *(.+?) *\}\}", lambda found: _said(_evaluated(found[1], contexts)), str(value))


@dataclass
class Job:
    """One job in a checked out repository."""

    workspace: Path
    temp: Path
    github: GitHub
    environment: dict
    event: dict
    name: str = "pull_request"
    ref: str = "refs/pull/7/merge"

    def run(self, **inputs) -> Done:
        """Run every step whose condition holds, those of `uses` by their inputs alone."""
        done, is_ok = Done(), True
        contexts = self._contexts(inputs)
        for step in STEPS:
            contexts["steps"] = {
                name: {"outputs": done.outputs[name], "outcome": outcome} for name, outcome in done.outcomes.items()
            }
            name, condition = step["id"], str(step.get("if", "success()"))
            if not (is_ok or "always()" in condition) or not _holds(condition, contexts):
                done.outcomes[name], done.outputs[name] = "skipped", {}
                continue
            if "uses" in step:
                done.used[name] = {key: Done.text(value, contexts) for key, value in step.get("with", {}).items()}
                done.outputs[name] = self._fake(name, done.used[name])
                done.outcomes[name] = "success"
                continue
            code = self._step(step, contexts, done)
            done.outcomes[name] = "failure" if code else "success"
            is_ok = is_ok and not code
        done.outputs = {name: {"outputs": outputs} for name, outputs in done.outputs.items()}
        return done

    def _contexts(self, inputs):
        defaults = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        github = {
            "token": "ghs_token",
            "repository_id": "42",
            "run_id": "99",
            "run_attempt": "1",
            "event": self.event,
        }
        asked = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert not asked.keys() - defaults.keys()
        filled = {name: Done.text(value, {"github": github}) for name, value in (defaults | asked).items()}
        return {"github": github, "inputs": filled, "runner": {"temp": str(self.temp)}, "steps": {}}

    def _fake(self, name, given):
        if name == "python":
            python = self.temp / "python"
            python.write_text(PYTHON, encoding="utf-8")
            python.chmod(0o755)
            return {"python-path": str(python)}
        return {"cache-primary-key": given["key"]} if name == "restore" else {}

    def _step(self, step, contexts, done):
        files = {name: self.temp / f"{name}-{step['id']}" for name in ("OUTPUT", "STEP_SUMMARY", "PATH")}
        for file in files.values():
            file.write_text("", encoding="utf-8")
        own = {name: Done.text(value, contexts) for name, value in step.get("env", {}).items()}
        environment = self._environment() | {f"GITHUB_{name}": str(file) for name, file in files.items()} | own
        done.environments[step["id"]] = environment
        folder = self.workspace / Done.text(step.get("working-directory", "."), contexts)
        script = self.temp / f"{step['id']}.sh"
        script.write_text(step["run"], encoding="utf-8")
        words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
        ended = subprocess.run(words, cwd=folder, env=environment, capture_output=True, timeout=120)
        # The runner reads both as UTF-8, and its lines end as it says: nothing is translated here.
        done.log += "\n".join(one.decode("utf-8", "replace") for one in (ended.stdout, ended.stderr, b""))
        done.summary += files["STEP_SUMMARY"].read_text(encoding="utf-8")
        done.outputs[step["id"]] = read_outputs(files["OUTPUT"].read_text(encoding="utf-8"))
        return ended.returncode

    def _environment(self):
        event = self.temp / "event.json"
        event.write_text(json.dumps(self.event), encoding="utf-8")
        return self.environment | {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_ACTION_PATH": str(ROOT),
            "GITHUB_API_URL": self.github.url,
            "GITHUB_EVENT_NAME": self.name,
            "GITHUB_EVENT_PATH": str(event),
            "GITHUB_REF": self.ref,
            "GITHUB_REPOSITORY": "o/r",
            "GITHUB_WORKSPACE": str(self.workspace),
            "RUNNER_TEMP": str(self.temp),
        }


def read_outputs(text):
    """The outputs of a step, of one line (`name=value`) or of several (`name<<MARK`)."""
    found, lines = {}, iter(re.split("\r?\n", text.removesuffix("\n")) if text else ())
    for line in lines:
        name, sign, value = re.fullmatch(r"([\w-]+)(=|<<)(.*)", line).groups()
        if sign == "<<":
            found[name] = "\n".join(iter(lines.__next__, value))
        else:
            found[name] = value
    return found


def _evaluated(expression, contexts):
    """An expression of a workflow, as far as action.yml uses them."""

    def look_up(path):
        value = contexts
        for word in path.split("."):
            value = value.get(word, "") if isinstance(value, dict) else ""
        return value

    functions = {
        "always": lambda: True,
        "success": lambda: True,
        "contains": lambda where, what: what in where,
        "fromJSON": json.loads,
        "look_up": look_up,
    }
    python = LOOKUP.sub(lambda found: f"look_up('{found[0]}')", expression)
    python = python.replace("&&", " and ").replace("||", " or ")
    return eval(" ".join(python.split()), {"__builtins__": {}}, functions)


def _holds(condition, contexts):
    return bool(_evaluated(condition, contexts))


def _said(value):
    return "" if value is None else str(value)


class Actions:
    """A repository on GitHub, whose jobs reach the served Krea."""

    def __init__(self, project, github):
        self.project, self.github = project, github
        self.origin = Origin(project.path / "origin")
        self.base = ""

    def job(self, event, name, ref):
        workspace = self.origin.checkout(self.project.path / "workspace")
        temp = self.project.path / "temp"
        temp.mkdir(exist_ok=True)
        environment = self.project.environment({"KREA_API_KEY": None, "GIT_CEILING_DIRECTORIES": None})
        return Job(workspace, temp, self.github, environment, event, name, ref)

    def pull_request(self, *, fork=False, name="pull_request"):
        head = {"repo": {"full_name": "stranger/r" if fork else "o/r"}}
        event = {"pull_request": {"number": 7, "head": head, "base": {"sha": self.base}}}
        return self.job(event, name, "refs/pull/7/merge")

    def push(self, ref="refs/heads/main"):
        return self.job({"repository": {"default_branch": "main"}}, "push", ref)


class Origin:
    """A repository with a base and a head, of which a job has a checkout of one commit."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *words, cwd=None):
        plain = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        who = {f"GIT_{role}_{part}": "t@localhost" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
        environment = {**plain, **who, "GIT_CONFIG_GLOBAL": os.devnull}
        done = subprocess.run(
            ["git", *words], cwd=cwd or self.folder, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    def commit(self, files):
        """A commit with these files added or changed, and its id."""
        for name, text in files.items():
            file = self.folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", errors="surrogateescape")
        self.git("add", "-A")
        self.git("commit", "-q", "-m", "x")
        return self.git("rev-parse", "HEAD")

    def checkout(self, folder):
        """What actions/checkout gives: the last commit, without those before it."""
        shutil.rmtree(folder, ignore_errors=True)
        self.git("clone", "-q", "--depth=1", self.folder.as_uri(), str(folder))
        return folder
