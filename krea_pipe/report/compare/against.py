"""A pipeline file is compared with itself at another commit: both are expanded, from git and the disk alone.

`REF`, `A..B` and `A...B` say which two states of the repository are meant.
"""

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NoReturn, TypeAlias

from krea_pipe.core.errors import InvalidInput, KreaPipeError, Problem, UsageError
from krea_pipe.core.git import GitFailed, Repository, ask
from krea_pipe.core.request import Key
from krea_pipe.matrix.selecting import drawable
from krea_pipe.pipeline.references import CheckedDigests
from krea_pipe.pipeline.repo_paths import supplying_files
from krea_pipe.pipeline.spec import Loaded, Overrides, read_pipeline
from krea_pipe.pipeline.spec.loading import repository_root
from krea_pipe.report.compare.comparison import (
    NOTHING_FETCHED,
    Comparison,
    FetchKind,
    KeyedCell,
    PipelineState,
    Revision,
    compare,
)
from krea_pipe.report.compare.tree import Tree, open_tree
from krea_pipe.store.checked_images import CheckedImages
from krea_pipe.store.home_place import find_home
from krea_pipe.store.known import Known, look_up
from krea_pipe.store.space import Space

FindFetched: TypeAlias = Callable[[Loaded, Sequence[KeyedCell], Known], Mapping[Key, FetchKind]]
WORK_TREE = Revision("the work tree", None)
DEEPEN = "fetch more of it: `git fetch --unshallow`, or `fetch-depth: 0` for actions/checkout"


@dataclass(frozen=True, slots=True)
class _RevisionRange:
    """A base and a head, which is the work tree when its commit is None."""

    base: Revision
    head: Revision


def _find_repository(file: Path, environment: Mapping[str, str]) -> Repository:
    """The repository around a pipeline file.

    Raises:
        UsageError: there is no repository, or git does not open it.
    """
    folder = file.resolve().parent
    try:
        top = os.fsdecode(ask(folder, environment, "rev-parse", "--show-toplevel")).removesuffix("\n")
    except GitFailed as error:
        _refuse_folder(file, folder, str(error), error)
    return Repository(Path(top).resolve(), environment)


def _read_range(text: str, repository: Repository) -> _RevisionRange:
    """The base and the head of `REF`, `A..B` or `A...B`; without B the head is the work tree.

    `A...B` has the commit at which B left A as its base. An empty A is HEAD.

    Raises:
        UsageError: git knows no such commit, or no such common one.
    """
    dots = next((one for one in ("...", "..") if one in text), "")
    base, head = (one.strip() for one in (text.split(dots, 1) if dots else (text, "")))
    first = _commit(base or "HEAD", repository)
    last = _commit(head, repository) if head else WORK_TREE
    if dots != "...":
        return _RevisionRange(first, last)
    assert first.commit is not None
    other = last if last.commit else _commit("HEAD", repository)
    assert other.commit is not None
    found = repository.merge_base(first.commit, other.commit)
    if found is None:
        hint = DEEPEN if repository.is_shallow else "compare with a commit itself: --against REF"
        message = f"{first.name} and {other.name} have no commit in common in this clone"
        raise UsageError(Problem("no_merge_base", message, hint=hint))
    return _RevisionRange(Revision(f"{first.name}...{other.name}", found), last)


def _commit(name: str, repository: Repository) -> Revision:
    found = repository.commit_of(name)
    if found is None:
        raise UsageError(Problem("unknown_ref", f"git does not know the commit {name}", hint=_hint(name, repository)))
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
    return "krea-pipe does not fetch, so run this first: git fetch origin"


def _refuse_folder(file: Path, folder: Path, reason: str, error: GitFailed) -> NoReturn:
    if not folder.is_dir():
        problem = Problem(
            "file_unreadable", f"there is no folder {folder}", hint="run this in the folder of the pipeline"
        )
    elif "dubious ownership" in reason:
        hint = f"if you trust it: git config --global --add safe.directory {repository_root(file)}"
        problem = Problem(
            "untrusted_repository", f"git does not open {folder}, because someone else owns it", hint=hint
        )
    elif "not a git repository" in reason:
        hint = "--against compares with a commit, so the pipeline must be in a git repository"
        problem = Problem("no_repository", f"{file} is not in a git repository", hint=hint)
    else:
        hint = "--against needs git 2.31 or newer on PATH"
        problem = Problem("git_failed", f"cannot run git in {folder}: {reason}", hint=hint)
    raise UsageError(problem) from error


@dataclass(frozen=True, slots=True)
class ComparisonInput:
    """The subject of a comparison: a pipeline file, the overrides of both states, and the maximum number of cells."""

    file: Path
    overrides: Overrides
    max_cells: int


@dataclass(frozen=True, slots=True)
class _Base:
    side: PipelineState = field(default_factory=PipelineState)
    problem: Problem | None = None
    missing: int = 0
    absent: tuple[str, ...] = ()
    old_name: str | None = None


def compare_with(
    subject: ComparisonInput, against: str, space: Space, environment: Mapping[str, str], find_fetched: FindFetched
) -> Comparison:
    """Compare a pipeline with its state at another commit.

    Args:
        subject: the pipeline file and its overrides.
        against: `REF`, `A..B` or `A...B`.
        space: the name space of the store, which says what is already generated.
        environment: what git is run with.
        find_fetched: tells of the cells of the work tree which images can be fetched for nothing.

    Raises:
        UsageError: git knows no such commit. InvalidInput: with every problem of the head.
        StateError: the store, or the repository, cannot be read.
    """
    repository = _find_repository(subject.file, environment)
    meant = _read_range(against, repository)
    name = _name(subject.file, repository)
    with tempfile.TemporaryDirectory(prefix="krea-pipe-") as folder:
        reading = _Reading(subject, repository, name, Path(folder))
        loaded, head = reading.head(meant.head)
        base = reading.base(meant)
    names = [f"{loaded.pipeline.name}/{cell.id}" for cell, _ in head.found]
    known = look_up(space, [key for _, key in head.found], names)
    fetched = find_fetched(loaded, head.found, known) if meant.head.commit is None else NOTHING_FETCHED
    return Comparison(
        pipeline=loaded.pipeline.name,
        file=name,
        base=meant.base,
        head=meant.head,
        rows=compare(base.side, head, loaded.fingerprints, stored=known.results.keys(), fetched=fetched),
        stages=tuple(dict.fromkeys((*head.stages, *base.side.stages))),
        waiting=head.waiting,
        problem=base.problem,
        old_file=base.old_name,
        warnings=(*head.warnings, *_missing(base, meant.base)),
    )


class _Unchecked:
    """Replaces the images of the base, which are not sent, so that replacing a damaged image shows up."""

    def __contains__(self, digest: object) -> bool:
        return True

    def add(self, digest: str) -> None: ...


@dataclass(frozen=True, slots=True)
class _Reading:
    subject: ComparisonInput
    repository: Repository
    name: str
    folder: Path

    def head(self, revision: Revision) -> tuple[Loaded, PipelineState]:
        """The pipeline in the head, and its cells."""
        if revision.commit is None:
            loaded = read_pipeline(self.subject.file, self.subject.overrides, self._checked())
            return loaded, _side(loaded, self.subject.max_cells)
        tree = self._tree(revision)
        try:
            loaded, state = self._read(tree, self.name, self._checked())
            warnings = tuple(_placed(one, tree, revision) for one in state.warnings)
            return loaded, replace(state, warnings=warnings)
        except KreaPipeError as error:
            raise type(error)(*(_placed(one, tree, revision) for one in error.problems)) from error

    def base(self, meant: _RevisionRange) -> _Base:
        """The cells of the base; a base that is missing or does not load has none, and a problem."""
        revision, tree = meant.base, self._tree(meant.base)
        old_name = None if self.name in tree.entries else self._old_name(meant)
        if old_name is None and self.name not in tree.entries:
            return _Base(problem=Problem("new_file", f"{self.name} is not in {revision.words}"))
        try:
            side = self._read(tree, old_name or self.name, _Unchecked())[1]
        except (InvalidInput, UsageError) as error:
            problem, absent = _placed(error.problems[0], tree, revision), tuple(sorted(tree.absent))
            return _Base(problem=problem, missing=len(tree.missing), absent=absent)
        return _Base(side, missing=len(tree.missing), absent=tuple(sorted(tree.absent)), old_name=old_name)

    def _read(self, tree: Tree, name: str, checked: CheckedDigests) -> tuple[Loaded, PipelineState]:
        tree.put([tree.entries[name]] if name in tree.entries else [])
        with supplying_files(tree.supply):
            loaded = read_pipeline(tree.top / name, self.subject.overrides, checked)
            return loaded, _side(loaded, self.subject.max_cells)

    def _checked(self) -> CheckedImages:
        return CheckedImages(find_home(self.subject.overrides.environment, self.subject.file))

    def _old_name(self, meant: _RevisionRange) -> str | None:
        assert meant.base.commit is not None
        with suppress(GitFailed):
            return self.repository.old_name(meant.base.commit, self.name, meant.head.commit)
        return None

    def _tree(self, revision: Revision) -> Tree:
        assert revision.commit is not None
        folder = Path(tempfile.mkdtemp(dir=self.folder))
        return open_tree(self.repository, revision.commit, folder, root=repository_root(self.subject.file))


def _name(file: Path, repository: Repository) -> str:
    """The path of a pipeline below the top of its repository."""
    real = file.resolve()
    if not real.is_relative_to(repository.top):
        raise UsageError(Problem("no_repository", f"{file} is outside the work tree {repository.top}"))
    return real.relative_to(repository.top).as_posix()


def _side(loaded: Loaded, max_cells: int) -> PipelineState:
    cells = drawable(loaded.pipeline, loaded.fingerprints, max_cells)
    stages = tuple(stage.name for stage in loaded.pipeline.stages)
    warnings = (*loaded.warnings, *cells.warnings)
    return PipelineState(cells.found, stages, cells.waiting, cells.idle, loaded.pipeline.prices, warnings)


def _placed(problem: Problem, tree: Tree, revision: Revision) -> Problem:
    """A problem of a file that was laid out, as one of a file in git: `main:pipelines/p.yaml`."""
    at = problem.at
    hint = problem.hint and problem.hint.replace(f"{tree.top}{os.sep}", "")
    if at is None or not at.path.is_relative_to(tree.top):
        return replace(problem, hint=hint)
    path = Path(f"{revision.name}:{at.path.relative_to(tree.top).as_posix()}")
    return replace(problem, hint=hint, at=replace(at, path=path))


def _missing(base: _Base, revision: Revision) -> Iterator[Problem]:
    if base.missing:
        files = "file" if base.missing == 1 else "files"
        message = (
            f"this clone lacks the content of {base.missing:,} {files} of {revision.words}, which count as missing"
        )
        hint = "it is a partial clone, and krea-pipe does not fetch: clone without --filter"
        yield Problem("partial_clone", message, hint=hint)
    for path in base.absent:
        message = f"the submodule {path} is not checked out as in {revision.words}, so its files count as missing"
        hint = f"fetch it: git submodule update --init {shlex.quote(path)}, and in it git fetch --unshallow"
        yield Problem("submodule_missing", message, hint=hint)
