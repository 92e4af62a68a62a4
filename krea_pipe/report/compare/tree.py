"""The files of a commit in a separate folder, each put there when a pipeline asks for it. No filter is run.

Those of submodules are among them, as far as a submodule is checked out and its clone has the commit.
"""

import os
import shutil
import stat
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.git import Entry, GitFailed, Repository
from krea_pipe.core.lfs import pointer_in, stored_object
from krea_pipe.pipeline.references import MAX_REFERENCE_BYTES
from krea_pipe.pipeline.repo_paths import WILDCARD

FILES = ("100644", "100755")
LINK = "120000"
SUBMODULE = "160000"
CLASHES = (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError)
"""A hostile tree may name one path twice, as a file and as a folder, or by a name that no disk takes."""


def open_tree(repository: Repository, commit: str, folder: Path, *, root: Path) -> "Tree":
    """The tree of a commit below an empty folder; `root` is the folder of the work tree that pipelines must not leave.

    Raises:
        StateError: git, or the disk, does not do it.
    """
    top = folder.resolve() / (repository.top.name or "repository")
    try:
        tree = Tree(repository, commit, top)
        tree.add(repository, commit, "")
        below = root.relative_to(repository.top) if root.is_relative_to(repository.top) else Path()
        (top / below / ".git").mkdir(parents=True, exist_ok=True)
    except GitFailed as error:
        raise _unreadable(commit, error) from error
    return tree


@dataclass(frozen=True, slots=True)
class Tree:
    """The files of a commit by their paths below `top`, which contains every link and the files requested so far.

    A file that the work tree has as well is taken from there, so that both have what a filter makes of it: `changed`
    are the others. `missing` are files that were asked for and whose content this clone does not have, and `absent` are
    submodules of which it does not have the commit. `submodules` have not been asked for yet; `owners` has the
    repositories of files that are in submodules.
    """

    repository: Repository
    commit: str
    top: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    paths: list[str] = field(default_factory=list)
    placed: set[str] = field(default_factory=set)
    missing: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    submodules: dict[str, Entry] = field(default_factory=dict)
    owners: dict[str, Repository] = field(default_factory=dict)

    def add(self, repository: Repository, commit: str, prefix: str) -> None:
        """Make the files of a commit known, and put its links in place.

        Args:
            repository: the repository of the tree, or that of a submodule.
            commit: the commit.
            prefix: the path of the submodule with a slash at its end, or nothing.

        Raises:
            GitFailed: the commit cannot be read.
        """
        found = [replace(one, path=prefix + one.path) for one in repository.entries(commit) if _is_usable(one)]
        files = {one.path: one for one in found if one.mode != SUBMODULE}
        self.changed.update(prefix + path for path in repository.changed(commit))
        self.entries.update(files)
        self.submodules.update((one.path, one) for one in found if one.mode == SUBMODULE)
        self.owners.update(dict.fromkeys(files if prefix else (), repository))
        self.paths[:] = sorted(self.entries)
        self.put([one for one in files.values() if one.mode == LINK])

    def _open_submodules(self, path: str, *, below: bool) -> None:
        """Make the files of submodules known that a path leads into, or that are below it."""
        while wanted := [
            one for one in self.submodules if f"{path}/".startswith(f"{one}/") or (below and _is_in(one, path))
        ]:
            for one in wanted:
                self._open_submodule(self.submodules.pop(one))

    def _open_submodule(self, entry: Entry) -> None:
        repository = self.repository.submodule(entry.path)
        if repository is None:
            self.absent.add(entry.path)
            return
        try:
            self.add(repository, entry.blob, f"{entry.path}/")
        except GitFailed:
            self.absent.add(entry.path)

    def supply(self, folder: Path, pattern: str) -> None:
        """Put in place what a path or a glob may mean, seen from a folder.

        Raises:
            StateError: git, or the disk, does not do it.
        """
        parts = pattern.split("/")
        first = next((index for index, part in enumerate(parts) if WILDCARD.search(part)), len(parts))
        with suppress(RuntimeError, *CLASHES):  # no path, or a circle of links: the reader reports it
            place = folder.joinpath(*parts[:first]).resolve()
            if place.is_relative_to(self.top):
                self._open_submodules(self._path(place), below=first < len(parts))
                self.put(list(self._meant(self._path(place), parts[first:], set())))

    def _meant(self, path: str, pattern: Sequence[str], seen: set[str]) -> Iterator[Entry]:
        """The files at a path, or that a pattern may mean below it; all that links lead to there as well."""
        if path in seen:
            return
        seen.add(path)
        if path in self.entries:
            yield self.entries[path]
        below = self._below(path)
        self._make_folder(self._nearest_folder(path))  # a message may say whether there is such a folder
        for name in below if pattern else ():
            entry, parts = self.entries[name], name.removeprefix(f"{path}/").split("/")
            if entry.mode == LINK:
                target = (self.top / name).resolve()
                if target.is_relative_to(self.top):
                    self._open_submodules(self._path(target), below=True)
                    yield from self._meant(self._path(target), ["**"], seen)
            elif _may_match(parts, pattern):
                yield entry

    def _nearest_folder(self, path: str) -> Path:
        """The folder at a path, or the nearest one above it."""
        above = (path, *(one.as_posix() for one in PurePosixPath(path).parents))
        return self.top / next((one for one in above if one not in self.entries and self._below(one)), ".")

    def _below(self, path: str) -> list[str]:
        start = "" if path == "." else f"{path}/"
        end = f"{path}0" if start else "\U0010ffff"  # 0 follows the slash
        return self.paths[bisect_left(self.paths, start) : bisect_left(self.paths, end)]

    def _path(self, place: Path) -> str:
        return place.relative_to(self.top).as_posix()

    def put(self, entries: Sequence[Entry]) -> None:
        """Put files in place.

        Raises:
            StateError: git, or the disk, does not do it.
        """
        new = [one for one in entries if one.path not in self.placed]
        self.placed.update(one.path for one in new)
        try:
            self._write([one for one in new if one.path in self.changed or one.mode == LINK or not self._copied(one)])
        except GitFailed as error:
            raise _unreadable(self.commit, error) from error
        except OSError as error:
            message = f"the files of {self.commit[:10]} cannot be written to {self.top.parent}: {error.strerror}"
            raise StateError(Problem("folder_unwritable", message)) from error

    def _copied(self, entry: Entry) -> bool:
        """Take a file from the work tree, where git says that it is the same; whether it is there."""
        with suppress(*CLASHES):
            return _copy(self.repository.top / entry.path, self._place(entry))
        return False

    def _write(self, entries: Sequence[Entry]) -> None:
        """Write what the work tree does not have, from git's own store."""
        if not entries:
            return
        by_repository: dict[Path, list[Entry]] = {}
        for one in entries:
            by_repository.setdefault(self._owner(one).top, []).append(one)
        for some in by_repository.values():
            self._write_from(self._owner(some[0]), some)

    def _owner(self, entry: Entry) -> Repository:
        return self.owners.get(entry.path, self.repository)

    def _write_from(self, repository: Repository, entries: Sequence[Entry]) -> None:
        sizes = repository.sizes(one.blob for one in entries)
        self.missing.update(one.path for one in entries if one.blob not in sizes)
        wanted: dict[str, list[Entry]] = {}
        for one in entries:
            if sizes.get(one.blob, MAX_REFERENCE_BYTES + 1) <= MAX_REFERENCE_BYTES:
                wanted.setdefault(one.blob, []).append(one)
        for blob, data in repository.blobs(wanted):
            for one in wanted[blob]:
                with suppress(*CLASHES):
                    self._write_one(one, data)

    def _write_one(self, entry: Entry, data: bytes) -> None:
        place = self._place(entry)
        if entry.mode == LINK:
            place.symlink_to(os.fsdecode(data))
            return
        pointer = pointer_in(data)
        stored = stored_object(self._owner(entry).common_folder, pointer) if pointer else None
        if stored is None or not _copy(stored, place):
            place.write_bytes(data)

    def _place(self, entry: Entry) -> Path:
        """The path for a file, in an existing folder that is reached without following a link."""
        place = self.top / entry.path
        self._make_folder(place.parent)
        return place

    def _make_folder(self, folder: Path) -> None:
        if folder.resolve() != folder:
            raise FileExistsError(folder)
        folder.mkdir(parents=True, exist_ok=True)


def _copy(source: Path, target: Path) -> bool:
    """Copy a plain file; whether there is one, no larger than anything that is read."""
    try:
        status = source.lstat()
        if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_REFERENCE_BYTES:
            return False
        shutil.copyfile(source, target)
    except FileNotFoundError:
        return False
    return True


def _is_in(path: str, folder: str) -> bool:
    return folder == "." or path.startswith(f"{folder}/")


def _may_match(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path may fit a glob: exactly without `**`, and in any depth with it."""
    if any("**" in part for part in pattern):
        return True
    return len(parts) == len(pattern) and all(fnmatch(*pair) for pair in zip(parts, pattern, strict=True))


def _is_usable(entry: Entry) -> bool:
    """Whether an entry is a file, a link or a submodule below the top, and not what git keeps for itself."""
    parts = entry.path.split("/")
    is_plain = not any(part in ("", ".", "..") or part.lower() == ".git" for part in parts)
    return is_plain and (entry.mode in FILES or entry.mode in (LINK, SUBMODULE))


def _unreadable(commit: str, error: GitFailed) -> StateError:
    return StateError(Problem("git_failed", f"git cannot read the files of {commit[:10]}: {error}"))
