"""The contents of lock files: those near the working folder, and those at the tips of all branches and tags.

A lock on another branch protects its images too. What cannot be read is never guessed: an image may have been paid.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Place, Problem, StateError
from krea_pipe.core.git import GitFailed, Repository, ask
from krea_pipe.core.worktree import repository
from krea_pipe.planning.lockfile import SUFFIX, lock_bytes, lock_path
from krea_pipe.store.home_place import HOME_NAME

_DIGEST = re.compile(r"[0-9a-f]{64}")
SKIPPED = frozenset({".git", HOME_NAME})


@dataclass(frozen=True, slots=True)
class Locks:
    """The contents of lock files: digests of images, keys of requests, and the paths of the files.

    `away` are pipelines and lock files whose folders are missing; what was generated for them counts as locked.
    """

    digests: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()
    places: tuple[str, ...] = ()
    away: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Around:
    """Where to look for lock files.

    `environment` is for git.
    """

    folders: tuple[Path, ...]
    pipelines: tuple[Path, ...]
    locks: tuple[Path, ...]
    environment: Mapping[str, str]


def read_locks(around: Around) -> Locks:
    """Read every lock file.

    Raises:
        InvalidInput: one cannot be read. StateError: git cannot be asked for those that it has.
    """
    texts = _Texts(around)
    digests, keys, places = set[str](), set[str](), list[str]()
    for place, data in texts.all():
        places.append(place)
        for digest, key in _named(place, data):
            digests.add(digest)
            keys.add(key)
    return Locks(frozenset(digests), frozenset(keys), tuple(places))


@dataclass(slots=True)
class _Texts:
    """The bytes of every lock file, each with its place."""

    around: Around
    _read: set[Path] = field(default_factory=set)

    def all(self) -> Iterator[tuple[str, bytes]]:
        starts = [*self.around.folders, *(file.parent for file in (*self.around.pipelines, *self.around.locks))]
        for top in dict.fromkeys(top for start in starts if (top := repository(start)) is not None):
            try:
                yield from self._of_repository(Repository(top, self.around.environment))
            except GitFailed as error:
                message = f"cannot ask git which lock files {top} has: {error}"
                hint = "images that a branch needs must be kept; fix git, and try again"
                raise StateError(Problem("git_failed", message, hint=hint)) from error
        for folder in self.around.folders:
            if repository(folder) is None:
                yield from self._files(_walk(folder))
        beside = (*map(lock_path, self.around.pipelines), *self.around.locks)
        yield from self._files(lock for lock in beside if os.path.lexists(lock))

    def _of_repository(self, git: Repository) -> Iterator[tuple[str, bytes]]:
        heads = list(_heads(git.text("worktree", "list", "--porcelain")))  # names may hold any white space but \n
        for tree in dict.fromkeys([git.top, *(path for path, _ in heads)]):
            yield from self._files(_walk(tree))
        named = [name for name in git.text("for-each-ref", "--format=%(refname)").split("\n") if name]
        yield from _committed(git, [*named, *(head for _, head in heads if head)])

    def _files(self, files: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
        for file in files:
            real = file.resolve()
            if real in self._read:
                continue
            self._read.add(real)
            try:
                data = lock_bytes(file)
            except InvalidInput as error:
                raise InvalidInput(*(replace(one, hint=one.hint or _HINT) for one in error.problems)) from error
            if data is None:  # a link to nothing: what it named is not known
                raise InvalidInput(
                    Problem("lock_unreadable", f"cannot read {file}: No such file or directory", hint=_HINT)
                )
            yield str(file), data


_HINT = "fix or delete the file; until then, it is unknown which images it needs"


def _committed(git: Repository, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """The lock files at the tips of everything that has a name, and of all work trees."""
    places: dict[str, str] = {}
    for commit, name in _commits(git, names).items():
        short = re.sub(r"^refs/(heads|remotes|tags)/", "", name)
        for entry in git.entries(commit):
            if entry.path.endswith(SUFFIX) and entry.mode.startswith("100"):
                places.setdefault(entry.blob, f"{short}:{entry.path}")
    for blob, data in git.blobs(places):
        yield places[blob], data


def _commits(git: Repository, names: list[str]) -> dict[str, str]:
    """The commits of some names, each with one name; a name may also be a file, which is not a lock file."""
    asked = "".join(f"{name}^{{}}\n" for name in names)
    answers = ask(git.top, git.environment, "cat-file", "--batch-check", given=os.fsencode(asked))
    found: dict[str, str] = {}
    for name, answer in zip(names, os.fsdecode(answers).removesuffix("\n").split("\n") if names else (), strict=True):
        what, kind, *_ = (*answer.split(" "), "")
        if answer.endswith(" missing"):
            raise GitFailed(f"{name} points to nothing")
        if kind == "commit":
            found.setdefault(what, name)
    return found


def _heads(listing: str) -> Iterator[tuple[Path, str]]:
    """The work trees of a repository, each with the commit that it is at, "" when it has none yet."""
    for block in listing.split("\n\n"):
        words = dict(line.partition(" ")[::2] for line in block.split("\n"))
        if "worktree" in words:
            head = words.get("HEAD", "")
            yield Path(words["worktree"]), head if head.strip("0") else ""


def _walk(folder: Path) -> Iterator[Path]:
    """Every lock file below a folder; what cannot be entered holds none that this user has written."""
    for above, folders, names in os.walk(folder):
        folders[:] = sorted(one for one in folders if one not in SKIPPED)
        yield from (Path(above, name) for name in sorted(names) if name.endswith(SUFFIX))


def _named(place: str, data: bytes) -> Iterator[tuple[str, str]]:
    """The digest and the key of each line; a file of another program with this suffix has neither."""
    for number, line in enumerate(() if _is_foreign(data) else data.split(b"\n"), 1):
        if line.strip():
            found = _digests(line)
            if found is None:
                shown = line.decode("utf-8", "replace").rstrip() if line.startswith((b"{", b"<", b"=", b">")) else ""
                at = Place(Path(place), number, 1, shown)
                raise InvalidInput(Problem("lock_unreadable", "this is not a line of a lock file", at, _HINT))
            yield found


def _is_foreign(data: bytes) -> bool:
    """Whether the first line is an object that none of our lock files contains."""
    try:
        first = json.loads(data.lstrip().partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(first, dict) and not first.keys() & {"key", "sha256"}


def _digests(line: bytes) -> tuple[str, str] | None:
    try:
        data = json.loads(line)
        found = str(data["sha256"]), str(data["key"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return found if all(map(_DIGEST.fullmatch, found)) else None
