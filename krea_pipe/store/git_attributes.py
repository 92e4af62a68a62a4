"""`.gitattributes`: git keeps the lines of both sides of a merge in files that have a line for each entry."""

import re
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError
from krea_pipe.core.git import GitFailed, ask
from krea_pipe.core.worktree import repository
from krea_pipe.store.atomic import write_atomically

ATTRIBUTES = ".gitattributes"
PICKS_RULE = "picks/*.yaml merge=union"
LOCK_RULE = "*.lock.jsonl merge=union"
_SECONDS = 10.0
_MOST_BYTES = 1024 * 1024
_SPECIAL = re.compile(r"[\\*?\[\]!#]")


def keep_both_sides(file: Path, environment: Mapping[str, str]) -> Path | None:
    """Have git keep the lines of both sides where it merges a file, unless something is said of that already.

    Args:
        file: A file that is there.
        environment: What git is run with.

    Returns:
        The `.gitattributes` that has a new line; None outside of a repository, and where nothing had to be, or can be,
        written.
    """
    file = file.resolve()
    top = repository(file.parent)
    if top is None:
        return None
    try:
        said = ask(file.parent, environment, "check-attr", "-z", "merge", "--", file.name, seconds=_SECONDS)
    except GitFailed:
        return None
    attributes = top / ATTRIBUTES
    if said.split(b"\0")[2:3] != [b"unspecified"] or attributes.is_symlink():  # git follows no link there
        return None
    with suppress(StateError):  # without the line, git asks more often, and nothing is lost
        return attributes if add_rules(attributes, [_rule(file.relative_to(top.resolve()))]) else None
    return None


def add_rules(attributes: Path, rules: list[str]) -> list[str]:
    """Add the lines that are missing from a `.gitattributes`.

    Args:
        attributes: Its path; it need not be there.
        rules: The lines.

    Returns:
        Those that were added.

    Raises:
        StateError: It cannot be read or written.
    """
    try:
        old = attributes.read_bytes()[: _MOST_BYTES + 1] if attributes.exists() else b""
    except OSError as error:
        raise StateError(Problem("not_readable", f"cannot read {attributes}: {error.strerror}")) from error
    missing = [rule for rule in rules if rule.encode() not in old.splitlines()]
    if len(old) > _MOST_BYTES or not missing:
        return []
    start = old if not old or old.endswith(b"\n") else old + b"\n"
    write_atomically(attributes, start + "\n".join(missing).encode() + b"\n")
    return missing


def _rule(name: Path) -> str:
    """The line for a file by its path below the top: for all of a folder `picks`, else for this one."""
    parts = [_SPECIAL.sub(r"\\\g<0>", part) for part in name.parts]
    folder = "".join(f"{part}/" for part in parts[:-1])
    inner = "*.yaml" if name.parent.name == "picks" and name.suffix == ".yaml" else parts[-1]
    pattern = folder + inner if folder else f"/{inner}"
    if re.search(r'[\s"]', pattern):
        pattern = '"' + pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\t", "\\t") + '"'
    return f"{pattern} merge=union"
