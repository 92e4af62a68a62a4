"""Texts in files of their own: prompts with `file:`, and templates that other templates include.

They are put in place before anything is checked, so that each error is shown in the file that has it.
"""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from krea_pipe.core.errors import Place, Problem
from krea_pipe.core.json_data import Json
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.secret_kinds import has_password, is_secret
from krea_pipe.pipeline.nodes import Node, spelled_data
from krea_pipe.pipeline.repo_paths import Unusable, files_of, read_text
from krea_pipe.pipeline.source import Document, UsedFile
from krea_pipe.pipeline.template import TemplateFiles, TemplateProblem, compile_template, included_names, with_names

MAX_TEXT_BYTES = 1024 * 1024
MAX_TEXT_FILES = 500
_PROMPTS = "prompts"
_FILE = "file"


def with_text_files(document: Document, root: Path) -> Document:
    """Put the texts of files in place of `{file: …}`, and read the templates that others include.

    Args:
        document: a pipeline file with the definitions of the files that it uses.
        root: the folder that no file may leave, resolved.

    Returns:
        The document with these texts; itself if it names no such file.

    Raises:
        InvalidInput: a file cannot be read, or is not a valid template.
    """
    if not any(f"{_FILE}:" in one.text or "{%" in one.text for one in document.files):
        return document
    reader = _Reader(document, root)
    new = reader.replaced(document.root, "")
    if not reader.used and not reader.problems:
        return document
    templates = TemplateFiles(reader.texts)
    reader.check(templates)
    reader.problems.check()
    return replace(document, root=new, used=(*document.used, *reader.used), templates=templates)


@dataclass(slots=True, eq=False)
class _Reader:
    """Reads text files. `texts` are included templates by their paths from the folder of the pipeline file."""

    document: Document
    root: Path
    problems: ProblemList = field(default_factory=ProblemList)
    used: list[UsedFile] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)

    def replaced(self, node: Node, key: str) -> Node:
        """A node with the texts of files, under a key of the mapping that it is in."""
        if isinstance(node.data, str):
            return self._with_includes(node) if "{%" in node.data else node
        file = node.children.get(_FILE)
        if key == "prompt" and file is not None and isinstance(file.data, str) and len(node.children) == 1:
            return self._prompt(file)
        # Each name under `prompts:`, and each item of a list of prompts, is a prompt.
        are_prompts = key == _PROMPTS or (key == "prompt" and isinstance(node.data, list))
        names = {one: "prompt" if are_prompts else str(one) for one in node.children}
        children = {one: self.replaced(child, names[one]) for one, child in node.children.items()}
        if all(child is node.children[one] for one, child in children.items()):
            return node
        data: Json = [child.data for child in children.values()]
        if isinstance(node.data, dict):
            data = {str(one): child.data for one, child in children.items()}
        return replace(node, data=data, children=children, spelled=spelled_data(data, children))

    def _prompt(self, path: Node) -> Node:
        """The text of a file as the node of a prompt."""
        holder, at = self.document.holder(path.start), self.document.place_at(path.start)
        found = self._read(str(path.data), holder.file, at)
        if found is None:
            return replace(path, data=" ")
        text = found.text.strip()
        if not text:
            self.problems.note(Problem("empty_value", f"{path.data} is empty", at, "write the prompt into it"))
        start = found.first + found.text.find(text)
        node = Node(text, start, start + len(text))
        return self._with_includes(node, found) if "{%" in text else node

    def _with_includes(self, node: Node, holder: UsedFile | None = None) -> Node:
        file = holder or self.document.holder(node.start)
        return replace(node, data=self._included(str(node.data), file, node.start - file.first))

    def _included(self, text: str, holder: Document | UsedFile, start: int) -> str:
        """A template whose names of files count from the pipeline file; what it includes has been read."""
        names = dict[str, str]()
        for name in included_names(text):
            index = max(holder.text.find(name, start), 0)
            found = self._include(name, holder.file, holder.lines.place(index))
            names[name] = name if found is None else found
        return with_names(text, names)

    def _include(self, name: str, holder: Path, at: Place) -> str | None:
        """Read a template, unless it was read; its name as seen from the pipeline file."""
        try:
            (file,) = files_of(name, holder.resolve().parent, self.root)
        except (Unusable, ValueError) as error:
            self._note(error, at)
            return None
        own = Path(os.path.relpath(file, self.document.file.resolve().parent)).as_posix()
        if own not in self.texts:
            found = self._read(name, holder, at, own)
            self.texts[own] = "" if found is None else found.text
            if found is not None:
                self.texts[own] = self._included(found.text, found, 0)
        return own

    def _read(self, name: str, holder: Path, at: Place, own: str = "") -> UsedFile | None:
        try:
            (file,) = files_of(name, holder.resolve().parent, self.root)
            text = read_text(file, name, MAX_TEXT_BYTES)
        except (Unusable, ValueError) as error:
            self._note(error, at)
            return None
        if len(self.used) >= MAX_TEXT_FILES:
            message = f"a pipeline can read at most {MAX_TEXT_FILES} prompts and templates"
            self.problems.note(Problem("too_many", message, at, "combine some of them"))
            self.problems.check()
        shown = Path(os.path.normpath(holder.parent / name))
        if is_secret(text) or has_password(text):
            message = f"{name} contains a value that looks like a secret key"
            self.problems.note(Problem("secret_in_file", message, at, "remove it; prompts are sent to Krea"))
            return None
        last = (self.used or self.document.files)[-1]
        found = UsedFile(shown, text, last.first + len(last.text) + 1, own)
        self.used.append(found)
        return found

    def _note(self, error: ValueError, at: Place) -> None:
        if isinstance(error, Unusable):
            self.problems.note(Problem(error.code, str(error), at, error.hint))
        else:
            message = "this pattern matches several files"
            self.problems.note(Problem("several_files", message, at, "specify one of them"))

    def check(self, templates: TemplateFiles) -> None:
        """Refuse template files that are not valid, each in its own place."""
        for used in (one for one in self.used if one.name):
            try:
                compile_template(templates.texts[used.name], templates)
            except TemplateProblem as error:
                index = max(used.text.find(error.word), 0) if error.word else 0
                self.problems.note(Problem(error.code, str(error), used.lines.place(index), error.hint))
