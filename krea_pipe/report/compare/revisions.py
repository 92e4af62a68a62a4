"""Which two states of a repository are meant by `REF`, `A..B` and `A...B`."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.git import GitFailed, Repository, ask
from krea_pipe.pipeline.spec.loading import repository_root
from krea_pipe.report.compare.model import Revision

WORK_TREE = Revision("the work tree", None)
DEEPEN = "fetch more of it: `git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout"


@dataclass(frozen=True, slots=True)
class Range:
    """A base and a head, which is the work tree when its commit is None."""

    base: Revision
    head: Revision


def find_repository(file: Path, environment: Mapping[str, str]) -> Repository:
    """The repository around a pipeline file.

    Raises:
        UsageError: there is none, or git does not open it.
    """
    folder = file.resolve().parent
    try:
        top = os.fsdecode(ask(folder, environment, "rev-parse", "--show-toplevel")).removesuffix("\n")
    except GitFailed as error:
        _refuse_folder(file, folder, str(error), error)
    return Repository(Path(top).resolve(), environment)


def read_range(text: str, repository: Repository) -> Range:
    """The base and the head that `REF`, `A..B` or `A...B` mean; without B the head is the work tree as it is.

    `A...B` has the commit at which B left A as its base. An empty A is HEAD.

    Raises:
        UsageError: git knows no such commit, or no such common one.
    """
    base, dots, head = _split(text)
    first = _commit(base or "HEAD", repository)
    last = _commit(head, repository) if head else WORK_TREE
    if dots != "...":
        return Range(first, last)
    assert first.commit is not None
    other = last if last.commit else _commit("HEAD", repository)
    assert other.commit is not None
    found = repository.merge_base(first.commit, other.commit)
    if found is None:
        hint = DEEPEN if repository.is_shallow else "compare with a commit itself: --against REF"
        message = f"{first.name} and {other.name} have no commit in common here"
        raise UsageError(Problem("no_merge_base", message, hint=hint))
    return Range(Revision(f"{first.name}...{other.name}", found), last)


def _split(text: str) -> tuple[str, str, str]:
    for dots in ("...", ".."):
        base, found, head = text.partition(dots)
        if found:
            return base.strip(), dots, head.strip()
    return text.strip(), "", ""


def _commit(name: str, repository: Repository) -> Revision:
    found = repository.commit_of(name)
    if found is None:
        raise UsageError(Problem("unknown_ref", f"git knows no commit {name}", hint=_hint(name, repository)))
    return Revision(name, found)


def _hint(name: str, repository: Repository) -> str:
    if name.startswith("-"):
        return "write a branch, a tag or a commit: --against main"
    if name == "HEAD":
        return "commit something first"
    if repository.commit_of(f"refs/remotes/origin/{name}"):
        return f"did you mean origin/{name}?"
    if repository.is_shallow:
        return f"this clone is shallow; fetch it: git fetch origin {name}, and compare with FETCH_HEAD"
    return "fetch it first, as nothing is fetched here: git fetch origin"


def _refuse_folder(file: Path, folder: Path, reason: str, error: GitFailed) -> NoReturn:
    if not folder.is_dir():
        problem = Problem("file_unreadable", f"there is no folder {folder}", hint="run this where the pipeline is")
    elif "dubious ownership" in reason:
        hint = f"if you trust it: git config --global --add safe.directory {repository_root(file)}"
        problem = Problem(
            "untrusted_repository", f"git does not open {folder}, because it is someone else's", hint=hint
        )
    elif "not a git repository" in reason:
        hint = "--against compares with a commit, so the pipeline has to be in a git repository"
        problem = Problem("no_repository", f"{file} is in no git repository", hint=hint)
    else:
        hint = "--against reads the files of a commit with git, 2.31 or newer, which has to be on PATH"
        problem = Problem("git_failed", f"git cannot be asked about {folder}: {reason}", hint=hint)
    raise UsageError(problem) from error
