"""Decides what the action does in this job, and with which pipelines."""

import os
from pathlib import Path

from workflow import given, is_fork, is_plain, keep_files, listed, output, read_event, run_step, say

from krea_pipe.core.checkout import find_top, refuse_other_repositories
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.staged import find_pipelines, read_index

COMMANDS = ("auto", "validate", "plan", "run")


def main() -> int:
    """Write the outputs `command`, `home`, `home-path` and `save`, and keep the names of the pipelines."""
    command, problem = _command()
    if problem:
        say("error", problem)
        return 2
    here = Path.cwd()
    workspace = Path(given("GITHUB_WORKSPACE") or here)
    top = find_top(workspace, here)
    if top:
        refuse_other_repositories(top, [here])
    files = _files(listed("FILES"))
    if not files:
        say("error", f"no pipeline is found in {', '.join(listed('FILES'))}; `files` names files, globs or folders")
        return 2
    _refuse_names(files)
    if top:
        refuse_other_repositories(top, [Path(one).parent for one in files])
    print(f"{command}: {', '.join(files)}")
    keep_files(files)
    home = _home(workspace.resolve())
    output("command", command)
    output("home-path", home.as_posix())
    output(
        "home", (home.relative_to(workspace.resolve()) if home.is_relative_to(workspace.resolve()) else home).as_posix()
    )
    output("save", str(command == "run" and not is_fork(read_event())).lower())
    return 0


def _refuse_names(files: list[str]) -> None:
    """Refuse names that a log, a comment or a list would show as something else."""
    odd = [one for one in files if not is_plain(one)]
    if odd:
        message = f"{odd[0]!r} has control characters or ends of lines in its name, or is not UTF-8"
        hint = f"rename it{f', and {len(odd) - 1} more' if odd[1:] else ''}"
        raise UsageError(Problem("odd_name", message, hint=hint))


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
        try:
            found.update(dict.fromkeys(_matching(pattern)))
        except (OSError, ValueError, NotImplementedError) as error:  # a name that is too long, `**x`, `/**`
            message = f"{pattern[:200]!r} in `files` cannot be looked for: {error}"
            hint = "name a file, a folder, or a glob below `working-directory`"
            raise UsageError(Problem("bad_pattern", message, hint=hint)) from error
    return list(found)


def _matching(pattern: str) -> list[str]:
    path = Path(pattern)
    if path.is_dir():
        return _tracked(path)
    if path.exists() or not any(sign in pattern for sign in "*?["):
        return [pattern]
    return [one.as_posix() for one in sorted(Path().glob(pattern)) if one.is_file()]


def _tracked(folder: Path) -> list[str]:
    inside = folder.resolve()
    try:
        pipelines = find_pipelines(read_index(Path.cwd(), os.environ))
    except UsageError as error:
        say("error", f"{error}: is actions/checkout missing before this step?")
        return []
    files = [one.file.resolve() for one in pipelines if one.file.resolve().is_relative_to(inside)]
    return [os.path.relpath(file).replace(os.sep, "/") for file in sorted(files)]


def _home(workspace: Path) -> Path:
    """The folder of what is paid; a commit cannot lead it, or the cache of it, to another place by a link.

    Raises:
        UsageError: it would.
    """
    home = Path(os.path.abspath(given("KREA_PIPE_HOME") or ".krea-pipe"))  # noqa: PTH100 (resolve would follow links)
    below = [one for one in (home, *home.parents) if one != workspace and one.is_relative_to(workspace)]
    if not is_plain(str(home)) or any(one.is_symlink() for one in below):
        message = f"{str(home)!r}, where krea-pipe keeps what is paid, is or has a link, or no plain name"
        raise UsageError(Problem("bad_home", message, hint="take the link away, or set KREA_PIPE_HOME"))
    return home


if __name__ == "__main__":
    run_step(main)
