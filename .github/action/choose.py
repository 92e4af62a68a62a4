"""Decides what the action does in this job, and with which pipelines."""

import os
import sys
from pathlib import Path

from workflow import given, is_fork, listed, output, read_event, say

from krea_pipe.errors import UsageError
from krea_pipe.staged import find_pipelines, read_index

COMMANDS = ("auto", "validate", "plan", "run")


def main() -> int:
    """Write the outputs `command`, `files`, `home`, `home-path` and `save`."""
    command, problem = _command()
    if problem:
        say("error", problem)
        return 2
    files = _files(listed("FILES"))
    if not files:
        say("error", f"no pipeline is found in {', '.join(listed('FILES'))}; `files` names files, globs or folders")
        return 2
    print(f"{command}: {', '.join(files)}")
    output("command", command)
    output("files", "\n".join(files))
    home = Path(given("KREA_PIPE_HOME") or ".krea-pipe").resolve()
    output("home-path", home.as_posix())
    output("home", _in_workspace(home))
    output("save", str(command == "run" and not is_fork(read_event())).lower())
    return 0


def _command() -> tuple[str, str]:
    """What is to be done, or why nothing is."""
    asked, name, event = given("COMMAND") or "auto", given("GITHUB_EVENT_NAME"), read_event()
    if asked not in COMMANDS:
        return "", f"`command` is one of {', '.join(COMMANDS)}, not {asked!r}"
    if name in ("pull_request_target", "workflow_run") and is_fork(event):
        return "", f"`{name}` gives files of a fork the secrets of this repository: use `pull_request`"
    if asked == "run" and is_fork(event):
        say("notice", "a pull request from a fork is planned, not run: nobody outside spends your money")
        return "plan", ""
    if asked == "plan" and "pull_request" not in event:
        say("notice", "this is no pull request, so the plan is compared with nothing")
    return _automatic(name, event) if asked == "auto" else asked, ""


def _automatic(name: str, event: dict[str, object]) -> str:
    repository = event.get("repository")
    branch = repository.get("default_branch") if isinstance(repository, dict) else None
    if name == "pull_request":
        return "plan"
    is_merged = name == "push" and branch and given("GITHUB_REF") == f"refs/heads/{branch}"
    return "run" if is_merged else "validate"


def _files(patterns: list[str]) -> list[str]:
    """The files of names, globs and folders, each once; of a folder those that git tracks and that are pipelines."""
    found: dict[str, None] = {}
    for pattern in patterns:
        path = Path(pattern)
        if path.is_dir():
            found.update(dict.fromkeys(_tracked(path)))
        elif path.exists() or not any(sign in pattern for sign in "*?["):
            found[pattern] = None
        else:
            found.update(dict.fromkeys(one.as_posix() for one in sorted(Path().glob(pattern)) if one.is_file()))
    return list(found)


def _tracked(folder: Path) -> list[str]:
    inside = folder.resolve()
    try:
        pipelines = find_pipelines(read_index(Path.cwd(), os.environ))
    except UsageError as error:
        say("error", f"{error}: is actions/checkout missing before this step?")
        return []
    files = [one.file.resolve() for one in pipelines if one.file.resolve().is_relative_to(inside)]
    return [os.path.relpath(file).replace(os.sep, "/") for file in sorted(files)]


def _in_workspace(path: Path) -> str:
    """A path as the cache is to know it: from the workspace, so that it is the same on every runner."""
    workspace = Path(given("GITHUB_WORKSPACE") or ".").resolve()
    return path.relative_to(workspace).as_posix() if path.is_relative_to(workspace) else path.as_posix()


if __name__ == "__main__":
    sys.exit(main())
