"""A starter pipeline to edit, with its schema for editors and lines for .gitignore and .gitattributes."""

from dataclasses import dataclass
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.pipeline.spec.schema import schema_text
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.git_attributes import ATTRIBUTES, LOCK_RULE, PICKS_RULE, add_rules

FILE_NAME = "pipeline.yaml"
SCHEMA_NAME = "pipeline.schema.json"
IGNORED = (".krea-pipe/", "out/", "proofs/")
STARTER = f"""\
# yaml-language-server: $schema={SCHEMA_NAME}
# Check:  krea-pipe validate {FILE_NAME}
# Price:  krea-pipe plan {FILE_NAME}
# Proofs: krea-pipe run {FILE_NAME} --local
# Images: krea-pipe run {FILE_NAME}             (needs KREA_API_KEY)
version: 1
name: lamp
description: A glass lamp on two surfaces, from literal to expressive.

# The most that one live run may cost. Without a cap, nothing is sent.
budget: {{usd: 1.00}}

vars:
  mood: quiet morning light

# Request fields for every image; the matrix can override them.
defaults: {{variant: medium, aspect_ratio: "4:5"}}

prompt: A cinematic product photo of a glass lamp on {{{{ surface.text }}}}, {{{{ mood }}}}

# Every combination is one image: 2 surfaces x 4 levels of creativity = 8.
matrix:
  surface:
    - {{id: marble, text: a marble table}}
    - {{id: slate, text: "wet slate, rain outside"}}
  creativity: [raw, low, medium, high]

# The path of each image below the output folder.
out: "{{{{ surface.id }}}}/{{{{ creativity }}}}"
"""


@dataclass(frozen=True, slots=True)
class Started:
    """The new pipeline, whether its schema was written or an old one kept, and the lines added to .gitignore."""

    file: Path
    schema: Path
    has_new_schema: bool
    keeps_schema: bool
    ignored: list[str]
    attributes: list[str]


def write_starter(folder: Path) -> Started:
    """Write a starter pipeline into a folder, without overwriting any file.

    Args:
        folder: the target folder.

    Returns:
        The files, and which of them are new.

    Raises:
        UsageError: the folder has a pipeline, or is not a folder. StateError: a file cannot be read or written.
    """
    file, schema = folder / FILE_NAME, folder / SCHEMA_NAME
    _check_free(file)
    found, wanted = _content(schema), schema_text(SCHEMA_NAME).encode()
    if found is None:
        write_atomically(schema, wanted)
    write_atomically(file, STARTER.encode())
    ignored = _ignore(folder / ".gitignore")
    attributes = add_rules(folder / ATTRIBUTES, [PICKS_RULE, LOCK_RULE])
    return Started(file, schema, found is None, found not in (None, wanted), ignored, attributes)


def _check_free(file: Path) -> None:
    try:
        taken, blocked = file.exists(), file.parent.exists() and not file.parent.is_dir()
    except OSError as error:
        raise UsageError(Problem("not_a_folder", f"cannot use {file.parent}: {error.strerror}")) from error
    if taken:
        hint = "choose another folder: krea-pipe init DIR"
        raise UsageError(Problem("file_exists", f"{file} already exists and was left unchanged", hint=hint))
    if blocked:
        raise UsageError(Problem("not_a_folder", f"{file.parent} is not a folder"))


def _content(path: Path) -> bytes | None:
    """The bytes of a file, or None if it does not exist."""
    try:
        return path.read_bytes() if path.exists() else None
    except OSError as error:
        raise StateError(Problem("not_readable", f"cannot read {path}: {error.strerror}")) from error


def _ignore(path: Path) -> list[str]:
    """Add missing lines to a .gitignore."""
    old = _content(path) or b""
    missing = [line for line in IGNORED if line.encode() not in old.splitlines()]
    if missing:
        start = old if not old or old.endswith(b"\n") else old + b"\n"
        write_atomically(path, start + "\n".join(missing).encode() + b"\n")
    return missing
