"""Translates libyaml's errors into messages that tell people what to change."""

import json
import re
from typing import Any, NamedTuple

import yaml

_OPENERS = {"while parsing a flow sequence": ("list", "[", "]"), "while parsing a flow mapping": ("mapping", "{", "}")}
_MAX_LINE = 500
_MARKS = {"*": "an alias", "&": "an anchor", "!": "a tag"}


class Flaw(NamedTuple):
    """Why text is not YAML: a code, a sentence, the index of the character to point at, what to do."""

    code: str
    message: str
    at: int
    hint: str | None = None


def explain_yaml_error(text: str, error: yaml.MarkedYAMLError) -> Flaw:
    """Explain one error of libyaml."""
    problem, context = error.problem or "", error.context or ""
    at, opened = mark_index(error.problem_mark), mark_index(error.context_mark)
    if re.search(r":[ ]+\{\{", line_at(text, at)):
        spot = text.rindex("{{", 0, max(at, text.find("{{", at)) + 2) if "{{" in text else at
        return unquoted_template(text, spot)
    if "quoted scalar" in context and "end of stream" in problem:
        hint = "put the closing quote at the end of the value"
        return Flaw("unclosed_quote", "the quote that opens here is never closed", opened, hint)
    if context in _OPENERS:
        return _unclosed(text, *_OPENERS[context], opened, at)
    if "mapping values are not allowed" in problem:
        return Flaw(
            "unquoted_colon", "a value that contains a colon and a space must be quoted", at, quoting_hint(text, at)
        )
    if "cannot start any token" in problem:
        return _bad_start(text, at)
    if "scanning an alias" in context or "scanning an anchor" in context or "tag" in context:
        return text_mark(text, opened)
    if "Unicode" in problem:
        return Flaw("bad_escape", "this escape does not stand for a character", at, "write the character itself")
    if "could not find expected ':'" in problem:
        return _no_pair(text, opened)
    if "quoted scalar" in context:
        hint = "write \\\\ for a backslash, or use single quotes, where a backslash is literal"
        return Flaw("bad_escape", "this escape is not valid in double-quoted text", at, hint)
    return _misfit(text, at)


def error_index(error: yaml.MarkedYAMLError) -> int:
    """The index of the token that an error is about: everything before it was read."""
    return min(mark_index(mark) for mark in (error.problem_mark, error.context_mark) if mark)


def is_depth_limit(error: yaml.MarkedYAMLError) -> bool:
    """Whether a scanner reached its own depth limit, although the text may be valid YAML."""
    return "maximum nesting depth" in (error.problem or "")


def unquoted_template(text: str, at: int) -> Flaw:
    """A value that starts with {{, which YAML takes for a mapping."""
    return Flaw("unquoted_template", "a value that starts with {{ must be quoted", at, quoting_hint(text, at))


def text_mark(text: str, at: int) -> Flaw:
    """A value that starts with a character that has a meaning in YAML."""
    mark = text[at : at + 1]
    message = f"a value that starts with {mark} must be quoted: YAML reads {_MARKS.get(mark, 'something else')} here"
    return Flaw("unquoted_mark", message, at, quoting_hint(text, at))


def quoting_hint(text: str, at: int) -> str:
    """The hint that shows the value at an index, or the value that contains it, in quotes."""
    line, column = line_at(text, at), at - text.rfind("\n", 0, at) - 1
    if column > _MAX_LINE or len(line) > _MAX_LINE:
        return "put the value in quotes"
    found = re.match(r"[\s-]*([\w.-]+):[ ]+(?!\[|\{[^{])(.*?)\s*$", line)
    if found and found.start(2) <= column:
        return f"quote the value: {found[1]}: {quoted(found[2])}"
    inner = re.match(r"\{\{.*?\}\}", line[column:])
    item = re.match(r"\s*-[ ]+([^\[{].*?|\{\{.*?)\s*$", line)
    value = item[1] if item else inner[0] if inner else None
    return f"quote the value: {quoted(value)}" if value else "put the value in quotes"


def line_at(text: str, at: int) -> str:
    """The line that contains an index; for a long line, only the part near it, because searching it takes long."""
    low, high = max(0, at - _MAX_LINE), min(len(text), at + _MAX_LINE)
    end = text.find("\n", at, high)
    return text[max(low, text.rfind("\n", low, at) + 1) : end if end >= 0 else high].rstrip("\r")


def mark_index(mark: Any) -> int:  # noqa: ANN401 (libyaml's mark and PyYAML's share no type)
    """The character index of a mark, 0 without one."""
    return int(mark.index) if mark else 0


def quoted(value: str) -> str:
    """A value as YAML has it in quotes."""
    return json.dumps(value, ensure_ascii=False) if "'" in value else f"'{value}'"


def _unclosed(text: str, what: str, opener: str, closer: str, opened: int, at: int) -> Flaw:
    if text[at : at + 1] in ("[", "{", "'", '"') and text[opened:at].count("\n") == 0:
        return Flaw("yaml_syntax", f"a comma is missing in this {what}", at, f"write {opener}a, b{closer}")
    message = f"the {opener} that opens here is not closed, or a comma is missing"
    return Flaw("unclosed_bracket", message, opened, f"close the {what} with {closer}")


def _bad_start(text: str, at: int) -> Flaw:
    line = line_at(text, at)
    if "\t" in line[: len(line) - len(line.lstrip())] or text[at : at + 1] == "\t":
        return Flaw("tab", "YAML cannot be indented with tabs", at, "use spaces")
    return Flaw("unquoted_mark", f"a value that starts with {text[at]} must be quoted", at, quoting_hint(text, at))


def _no_pair(text: str, at: int) -> Flaw:
    hint = "write `key: value`; put text of several lines after `key: >-`, indented"
    if re.match(r"\s*[\w.-]+:\S", line_at(text, at)):
        hint = "put a space after the colon"
    return Flaw("yaml_syntax", "this line is not `key: value`", at, hint)


def _misfit(text: str, at: int) -> Flaw:
    line = line_at(text, at)
    hint = "the keys of a mapping must start in the same column and be followed by a colon and a space"
    if line.lstrip().startswith(":"):
        hint = "write a key before the colon"
    elif re.search(r":\s+'.*\w'\w", line):
        hint = "inside single quotes, write '' for an apostrophe, or use double quotes"
    elif re.search(r":\s+([\"']).*\1\s*\S", line):
        hint = "quote the whole value, or none of it"
    return Flaw("yaml_syntax", "this does not fit the text before it", at, hint)
