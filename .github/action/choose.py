"""Chooses the command and the pipelines for this job."""

import os
from pathlib import Path

from workflow import given, is_fork, is_plain, keep_files, listed, output, read_event, run_step, say

from krea_pipe.core.checkout import find_top, refuse_other_repositories
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.pipeline.staged import find_pipelines, read_index

COMMANDS = ("auto", "validate", "plan", "run")


def main() -> int:
    """Write the outputs `command`, `home`, `home-path` and `save`, and store the names of the pipelines."""
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
        say("error", f"no pipelines found in {', '.join(listed('FILES'))}; set `files` to files, globs or folders")
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
    """Refuse names that a log, a comment or a list would not show correctly."""
    odd = [one for one in files if not is_plain(one)]
    if odd:
        message = f"{odd[0]!r} has control characters or line breaks in its name, or is not UTF-8"
        hint = f"rename it{f', and {len(odd) - 1} more' if odd[1:] else ''}"
        raise UsageError(Problem("odd_name", message, hint=hint))


def _command() -> tuple[str, str]:
    """The command to run, or the reason why no command can run."""
    asked, name, event = given("COMMAND") or "auto", given("GITHUB_EVENT_NAME"), read_event()
    if asked not in COMMANDS:
        return "", f"`command` must be one of {', '.join(COMMANDS)}, not {asked!r}"
    if name in ("pull_request_target", "workflow_run") and is_fork(event):
        return "", f"`{name}` would give files from a fork access to the secrets of this repository; use `pull_request`"
    if asked == "run" and is_fork(event):
        say("notice", "pull requests from forks are only planned, not run, so that outsiders cannot spend your money")
        return "plan", ""
    if asked == "plan" and "pull_request" not in event:
        say("notice", "this is not a pull request, so the plan has nothing to compare with")
    return _automatic(name, event) if asked == "auto" else asked, ""


def _automatic(name: str, event: dict[str, object]) -> str:
    repository = event.get("repository")
    branch = repository.get("default_branch") if isinstance(repository, dict) else None
    if name == "pull_request":
        return "plan"
    is_merged = name == "push" and branch and given("GITHUB_REF") == f"refs/heads/{branch}"
    return "run" if is_merged else "validate"


def _files(patterns: list[str]) -> list[str]:
    """The files of names, globs and folders, without duplicates; for a folder, the pipelines that git tracks."""
    found: dict[str, None] = {}
    for pattern in patterns:
        try:
            found.update(dict.fromkeys(_matching(pattern)))
        except (OSError, ValueError, NotImplementedError) as error:  # a name that is too long, `**x`, `/**`
            message = f"{pattern[:200]!r} in `files` is not a valid pattern: {error}"
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
    """The home folder. A link in a commit cannot redirect it, or its cache, to another place.

    Raises:
        UsageError: the path contains such a link, or control characters.
    """
    home = Path(os.path.abspath(given("KREA_PIPE_HOME") or ".krea-pipe"))  # noqa: PTH100 (resolve would follow links)
    below = [one for one in (home, *home.parents) if one != workspace and one.is_relative_to(workspace)]
    if not is_plain(str(home)) or any(one.is_symlink() for one in below):
        message = f"the home folder {str(home)!r} is a link, is inside a link, or has control characters in its path"
        raise UsageError(Problem("bad_home", message, hint="remove the link, or set KREA_PIPE_HOME"))
    return home


if __name__ == "__main__":
    run_step(main)
