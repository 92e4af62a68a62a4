"""One entry of a YAML file, written anew or changed by a round trip that keeps its comments, order and style.

ruamel.yaml is used here and nowhere else, and on one entry at a time. A round trip of a whole file may lay it out
anew (indented lists, spaces before comments, line ends) and takes about ten seconds for each megabyte.
"""

import io
import re
from collections.abc import Mapping

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from krea_pipe.core.json_data import Json

_COMMENT = re.compile(r"(?:^|\s)(#.*)")
_ENDLESS = 1 << 30  # columns: a long text is never broken over lines


def flow_text(value: Json) -> str:
    """A value or a mapping of values on one line, quoted where it must be."""
    # As a value in braces, because a list writes a mapping of one key without braces of its own.
    return _dumped({"k": _quotable(value)}, flow=True).strip().removeprefix("{k: ").removesuffix("}")


def changed_entry(text: str, values: Mapping[str, str | int], *, last: str) -> str:
    """The text of a mapping, in braces or on lines that begin at column 0, with some values set.

    A new key comes second, and the one that is named `last` comes last.

    Raises:
        ValueError: a comment would be lost, which happens in braces over several lines, or ruamel.yaml cannot read
            the text.
    """
    try:
        entry = _round_trip().load(text + "\n")
    except YAMLError as error:
        raise ValueError("not a mapping that can be changed") from error
    for key, value in values.items():
        if key in entry:
            entry[key] = _quotable(value)
        else:
            entry.insert(len(entry) if key == last else 1, key, _quotable(value))
    changed = _dumped(entry).removesuffix("...\n").removesuffix("\n")
    if "\n" in text and text.startswith("{") and any(one not in changed for one in _COMMENT.findall(text)):
        raise ValueError("a comment would be lost")
    return changed


def _quotable(value: Json) -> object:
    """Data whose texts stay on one line: in double quotes where a character would need an escape."""
    if isinstance(value, dict):
        return {key: _quotable(one) for key, one in value.items()}
    return DoubleQuotedScalarString(value) if isinstance(value, str) and not value.isprintable() else value


def _round_trip() -> YAML:
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = _ENDLESS
    return yaml


def _dumped(data: object, *, flow: bool = False) -> str:
    yaml, stream = _round_trip(), io.StringIO()
    yaml.default_flow_style = flow
    yaml.dump(data, stream)
    return stream.getvalue()
