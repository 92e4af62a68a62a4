"""A log as GitHub's runner reads it: which lines are commands, in both forms.

After `ActionCommand.TryParseV2` and `TryParse` of actions/runner, but with every name for one that it knows.
"""

import re
from dataclasses import dataclass, field

# What `StreamReader.ReadLine` ends a line at, and what `String.TrimStart` takes away.
_LINE_END = re.compile("\r\n|\r|\n")
_SPACE = "".join(sign for sign in map(chr, range(0x3001)) if sign.isspace() and sign not in "\x1c\x1d\x1e\x1f")
_NEW = {"%0D": "\r", "%0A": "\n"}
_NEW_PROPERTY = {**_NEW, "%3A": ":", "%2C": ","}
_OLD = {**_NEW, "%3B": ";", "%5D": "]"}


@dataclass
class Command:
    """One command: its name in lower case, as the runner compares it, its properties and its data."""

    name: str
    data: str
    properties: dict = field(default_factory=dict)


def commands_in(log):
    """Every command that a log gives the runner; one that has no name at all is none."""
    found = [_new_form(line) or _old_form(line) for line in _LINE_END.split(log)]
    return [one for one in found if one is not None and one.name]


def _new_form(line):
    line = line.lstrip(_SPACE)
    end = line.find("::", 2)
    if not line.startswith("::") or end < 0:
        return None
    name, _, listed = line[2:end].partition(" ")
    pairs = (one.partition("=") for one in listed.strip().split(",") if "=" in one)
    properties = {key: _unescaped(value, _NEW_PROPERTY) for key, _, value in pairs}
    return Command(name.lower(), _unescaped(line[end + 2 :], _NEW), properties)


def _old_form(line):
    begin = line.find("##[")
    end = line.find("]", begin)
    if begin < 0 or end < 0:
        return None
    name, _, listed = line[begin + 3 : end].partition(" ")
    pairs = (one.partition("=") for one in listed.strip().split(";") if "=" in one)
    return Command(
        name.lower(), _unescaped(line[end + 1 :], _OLD), {key: _unescaped(value, _OLD) for key, _, value in pairs}
    )


def _unescaped(text, signs):
    for code, sign in signs.items():
        text = text.replace(code, sign)
    return text.replace("%25", "%")
