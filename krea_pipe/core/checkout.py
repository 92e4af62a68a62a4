"""The checkout of a CI job: the repository that the job created, never one that its files bring.

git looks for a repository from a folder upwards, and takes the first folder that looks like one, with a configuration
that can name programs. A pull request has the right to any folder below the top, so the repository is searched for from
the job's workspace downwards.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.git import COMMIT, GitFailed, ask, git_location, is_submodule


def find_top(workspace: Path, folder: Path) -> Path | None:
    """The top folder of the outermost repository between the workspace and a folder in it; None if there is no
    repository.

    Raises:
        UsageError: the folder is not in the workspace.
    """
    root, inner = workspace.resolve(), folder.resolve()
    if not inner.is_relative_to(root):
        hint = "set `working-directory` to a folder of the workspace that is not a link out of it"
        raise UsageError(Problem("outside_workspace", f"{folder} leads outside the workspace {workspace}", hint=hint))
    return next((one for one in _down(root, inner) if (one / ".git").exists()), None)


def refuse_other_repositories(top: Path, folders: Iterable[Path]) -> None:
    """Refuse folders that git would treat as, or as part of, a repository other than that of the top folder.

    Submodules are let through: their configuration lies within the top's own `.git`, where no file of a commit gets.

    Raises:
        UsageError: one of the folders is such a repository, or is in one.
    """
    for folder in dict.fromkeys(one.resolve() for one in folders):
        if folder.is_relative_to(top):
            for one in _down(top, folder)[1:]:
                _refuse_repository(one, top)


def has_commit(top: Path, environment: Mapping[str, str], commit: str) -> bool:
    """Whether the repository with this top folder has a commit with its files, not only its name."""
    if not COMMIT.fullmatch(commit):
        return False
    try:
        ask(top, environment, *git_location(top), "cat-file", "-e", f"{commit}^{{tree}}")
    except GitFailed:
        return False
    return True


def _refuse_repository(folder: Path, top: Path) -> None:
    if _is_bare(folder) or ((folder / ".git").exists() and not is_submodule(folder / ".git", top / ".git" / "modules")):
        message = (
            f"the folder {folder.relative_to(top).as_posix()!r} is a git repository inside the repository of the job"
        )
        hint = "its files are not read: remove the folder, or check out the repositories side by side"
        raise UsageError(Problem("nested_repository", message, hint=hint))


def _is_bare(folder: Path) -> bool:
    """Whether git before 2.38 would take a folder, which may be tracked like any other, for a repository."""
    return all((folder / name).exists() for name in ("HEAD", "objects", "refs"))


def _down(root: Path, folder: Path) -> list[Path]:
    """The folders from a root down to another in it, both of them among those."""
    return [one for one in (*reversed(folder.parents), folder) if one.is_relative_to(root)]
