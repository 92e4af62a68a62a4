"""Queries to git: they write nothing, and run no program that a pull request can name.

It fetches nothing, but for `fetch`, which is told its repository and does not look for one. Filters of the repository's
own `.git/config`, such as those of LFS, are run by `git status` and `git diff`.

The environment is handed in, because only the edge of the program reads it.
"""

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from krea_pipe.core.json_data import writable

_GIT_TIMEOUT = 120
"""After this time an answer is no longer waited for: a repository may be on a disk that hangs."""
FETCH_SECONDS = 600
_NAME_SECONDS = 10
_LONGEST_NAME = 100

# Programs that a repository's configuration may name, and settings that change what is printed.
_CAREFUL = (
    "--no-pager",
    *("-c", "core.fsmonitor=false"),
    *("-c", f"core.hooksPath={os.devnull}"),
    *("-c", f"diff.orderFile={os.devnull}"),
    *("-c", "submodule.recurse=false"),
    *("-c", "safe.bareRepository=explicit"),  # a pull request may hold a folder that looks like a repository
)
# Takes no lock, asks for no password, and does not fetch missing objects; git before 2.45 does not know
# the variable for that, so that no protocol is allowed either.
_SET = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "none",
    "GIT_PAGER": "cat",
    "LC_ALL": "C",
}
# Where a hook runs, these name the repository of the hook, in place of the one around a folder.
_UNSET = frozenset(
    (
        *("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_PREFIX", "GIT_NAMESPACE"),
        *("GIT_EXTERNAL_DIFF", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS"),
        *("GIT_ICASE_PATHSPECS", "GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES"),
    )
)
# What the network may be reached by; `ext::` would run a program that an address names.
_PROTOCOLS = {"GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh"}
COMMIT = re.compile(r"[0-9a-f]{40,64}")
_POINTER = re.compile(rb"gitdir: ([^\r\n\0]+)[\r\n]*")


class GitFailed(Exception):
    """git gave no answer: its own words, or why it could not be asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A file of a commit: its mode (`100644`, `100755`, `120000` a link, `160000` a submodule), blob and path."""

    mode: str
    blob: str
    path: str


def ask(
    folder: Path,
    environment: Mapping[str, str],
    *words: str,
    given: bytes = b"",
    index: Path | None = None,
    seconds: float = _GIT_TIMEOUT,
) -> bytes:
    """Run a git command that writes nothing.

    Args:
        folder: the folder to run in.
        environment: the environment, of which what would lead git elsewhere is left out.
        words: the arguments of git.
        given: its standard input.
        index: an index file in place of the repository's own.
        seconds: how long to wait for an answer.

    Returns:
        What it prints.

    Raises:
        GitFailed: it cannot tell, or not in that time.
    """
    more = {"GIT_INDEX_FILE": str(index)} if index else {}
    return _answer(folder, _environment(environment) | more, words, given, seconds)


def fetch(top: Path, environment: Mapping[str, str], commit: str) -> None:
    """Fetch one commit of `origin` into a repository by the top folder of its work tree, without the history before it.

    How `origin` is reached, its credentials among that, is what the repository's own configuration says.

    Raises:
        GitFailed: it is not available, or this is not the name of a commit.
    """
    if not COMMIT.fullmatch(commit):
        raise GitFailed(f"{commit!r} is not a commit")
    alone = ("--quiet", "--no-tags", "--no-recurse-submodules", "--depth=1")
    words = (*git_location(top), "-c", "gc.auto=0", "-c", "maintenance.auto=false", "fetch", *alone, "origin", commit)
    _answer(top, _environment(environment) | _PROTOCOLS, words, b"", FETCH_SECONDS)


def user_name(folder: Path, environment: Mapping[str, str]) -> str:
    """The `user.name` that git is configured with in a folder, "" without one."""
    words = ("config", "--get", "user.name")
    try:
        return ask(folder, environment, *words, seconds=_NAME_SECONDS).decode("utf-8", "replace").strip()
    except GitFailed:
        return ""


def person_of(folder: Path, environment: Mapping[str, str]) -> str:
    """The name of the person in a folder, as git would name the author of a commit.

    Args:
        folder: the folder, whose repository may have a name of its own.
        environment: GIT_AUTHOR_NAME counts before what git is configured with.

    Returns:
        The name in one line, at most 100 characters; "" if git is missing, does not answer or has no name.
    """
    name = environment.get("GIT_AUTHOR_NAME", "").strip() or user_name(folder, environment)
    return " ".join(writable(name).split())[:_LONGEST_NAME]


def git_location(top: Path) -> tuple[str, ...]:
    """The arguments that give git the repository of a top folder, so that it does not search for one."""
    return f"--git-dir={top / '.git'}", f"--work-tree={top}"


def is_submodule(pointer: Path, folder: Path) -> bool:
    """Whether the `.git` of a folder leads to what git keeps of a submodule.

    Args:
        pointer: the path of that `.git`.
        folder: the folder, within the `.git` of the repository around it, that no file of a commit gets into.
    """
    if pointer.is_symlink() or not pointer.is_file():
        return False
    with pointer.open("rb") as stream:
        found = _POINTER.fullmatch(stream.read(5000))
    return found is not None and (pointer.parent / os.fsdecode(found[1])).resolve().is_relative_to(folder.resolve())


def _answer(folder: Path, environment: Mapping[str, str], words: Iterable[str], given: bytes, seconds: float) -> bytes:
    try:
        done = subprocess.run(
            _command(words),
            cwd=folder,
            env=environment,
            input=given,
            capture_output=True,
            timeout=seconds,
            check=True,
        )
    except subprocess.CalledProcessError as error:
        raise GitFailed(_reason(error.stderr)) from error
    except subprocess.TimeoutExpired as error:
        raise GitFailed(f"git did not answer within {seconds:g} seconds") from error
    except FileNotFoundError as error:
        raise GitFailed("git is not installed") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL among the words
        raise GitFailed(f"cannot run git: {error}") from error
    return done.stdout


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository by the top folder of its work tree."""

    top: Path
    environment: Mapping[str, str]

    def text(self, *words: str) -> str:
        """The output of git, without the final line break.

        Raises:
            GitFailed: it cannot tell.
        """
        return os.fsdecode(self._ask(*words)).rstrip("\n")

    def commit_of(self, name: str) -> str | None:
        """The commit that a branch, a tag or any other name means; None for a name that git does not know."""
        if not name or name.startswith("-"):
            return None
        try:
            found = self.text("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        except GitFailed:
            return None
        return found if COMMIT.fullmatch(found) else None

    def merge_base(self, one: str, other: str) -> str | None:
        """The newest commit that two commits have in common; None when this clone knows of none."""
        try:
            return self.text("merge-base", one, other)
        except GitFailed:
            return None

    @property
    def is_shallow(self) -> bool:
        """Whether the clone's history is cut off."""
        return self.text("rev-parse", "--is-shallow-repository") == "true"

    @property
    def common_folder(self) -> Path:
        """The folder in which git keeps what all work trees share."""
        return self.top / self.text("rev-parse", "--git-common-dir")

    def submodule(self, path: str) -> "Repository | None":
        """The repository of a submodule that is checked out; None when it is not, or is a repository by itself."""
        top = self.top / path
        is_here = top.resolve() == top and is_submodule(top / ".git", self.common_folder)
        return Repository(top, self.environment) if is_here else None

    def entries(self, commit: str) -> list[Entry]:
        """Every file of a commit, and every submodule.

        Raises:
            GitFailed: its trees cannot be read.
        """
        printed = self._ask("ls-tree", "-r", "-z", "--full-tree", commit)
        return [_entry(line) for line in printed.split(b"\0") if line]

    def changed(self, commit: str) -> set[str]:
        """The paths of a commit whose files in the work tree differ or are missing.

        Raises:
            GitFailed: git cannot tell.
        """
        printed = self._diff("--name-only", "--no-renames", commit)
        return {os.fsdecode(path) for path in printed.split(b"\0") if path} | self._unwatched()

    def _unwatched(self) -> set[str]:
        """The files that git was told to ignore changes of, so that it would not report differences."""
        listed = os.fsdecode(self._ask("ls-files", "-v", "-z")).split("\0")
        return {one[2:] for one in listed if one[:1].islower() or one[:1] == "S"}

    def old_name(self, commit: str, path: str, head: str | None) -> str | None:
        """The path of a file in a commit before it was renamed; without a head, the work tree has the new path.

        Raises:
            GitFailed: git cannot tell.
        """
        states = (commit,) if head is None else (commit, head)
        printed = self._diff("--name-status", "--find-renames", "--diff-filter=R", *states)
        words = [os.fsdecode(word) for word in printed.split(b"\0")]
        pairs = zip(words[1::3], words[2::3], strict=False)  # R087, the old path, the new one
        return next((old for old, new in pairs if new == path), None)

    def _diff(self, *words: str) -> bytes:
        """The output of `git diff`, run with a copy of the index, because git records in it which files it has read.

        It notes in the index which files it looked into, so it gets a copy of that.
        """
        quiet = ("-z", "--no-ext-diff", "--no-textconv", "--no-color", "--ignore-submodules=all")
        with tempfile.TemporaryDirectory(prefix="krea-pipe-") as folder:
            index = Path(folder) / "index"
            try:
                shutil.copy2(self.top / self.text("rev-parse", "--git-path", "index"), index)
            except FileNotFoundError:
                pass  # nothing is checked out
            except OSError as error:
                raise GitFailed(f"the index cannot be read: {error.strerror}") from error
            return ask(self.top, self.environment, "diff", *quiet, *words, "--", index=index)

    def sizes(self, blobs: Iterable[str]) -> dict[str, int]:
        """The sizes of blobs in bytes; blobs missing from this clone are left out.

        Raises:
            GitFailed: git cannot tell.
        """
        wanted = set(blobs)
        try:
            lines = self._ask("cat-file", "--batch-check", given=_lines(wanted))
        except GitFailed:  # git before 2.45 gives up at the first blob that a partial clone has left out
            lines = self._ask("cat-file", "--batch-all-objects", "--batch-check", "--unordered")
        found = (line.split() for line in lines.decode().splitlines())
        return {one[0]: int(one[2]) for one in found if len(one) == 3 and one[1] == "blob" and one[0] in wanted}

    def blobs(self, blobs: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Each blob with its bytes, unfiltered; all of them must exist.

        Raises:
            GitFailed: one of them cannot be read.
        """
        with tempfile.TemporaryFile() as given:
            given.write(_lines(blobs))
            given.seek(0)
            yield from self._streamed(given)

    def _streamed(self, given: IO[bytes]) -> Iterator[tuple[str, bytes]]:
        process = subprocess.Popen(
            _command(("cat-file", "--batch")),
            cwd=self.top,
            env=_environment(self.environment),
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        limit = threading.Timer(_GIT_TIMEOUT, process.kill)
        limit.start()
        try:
            assert process.stdout is not None
            yield from _parsed(process.stdout)
        finally:
            limit.cancel()
            process.kill()
            process.communicate()

    def _ask(self, *words: str, given: bytes = b"") -> bytes:
        return ask(self.top, self.environment, *words, given=given)


def _parsed(stream: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    """The answers of `git cat-file --batch`: a line `BLOB blob SIZE`, that number of bytes, and a line break."""
    while head := stream.readline().split():
        if len(head) != 3 or not head[2].isdigit():
            raise GitFailed("a file's content is missing in this clone")
        size = int(head[2])
        data = stream.read(size)
        if len(data) < size or not stream.read(1):
            raise GitFailed("git stopped while sending files")
        yield head[0].decode(), data


def _lines(blobs: Iterable[str]) -> bytes:
    return "".join(f"{one}\n" for one in blobs).encode()


def _command(words: Iterable[str]) -> list[str]:
    return ["git", *_CAREFUL, *words]


def _environment(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in _UNSET} | _SET


def _entry(line: bytes) -> Entry:
    head, _, path = line.partition(b"\t")
    mode, _, blob = head.decode().split(" ")
    return Entry(mode, blob, os.fsdecode(path))


def _reason(stderr: bytes) -> str:
    lines = [line for line in stderr.decode("utf-8", "replace").splitlines() if line.strip()]
    return lines[0].strip() if lines else "git gave no reason"
