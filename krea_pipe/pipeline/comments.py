"""Text that YAML takes for a comment, though it was probably meant as a part of a value, such as `#ff6600`.

A comment has a space after its `#`. A word right after the `#` is a colour, a tag or a number, unless the value before
it is a number, or is true or false, which nothing could follow.
"""

import re
from itertools import pairwise

from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.syntax import Flaw, line_at, quoted

CODE = "unquoted_hash"

_WORD = re.compile(r"[ \t]*(#[\w{.&@'\"(<$%+/])")
_COLOUR = re.compile(
    r"[ \t]*(#(?=[0-9A-Za-z]*\d|[0-9A-Fa-f]{6}\b)(?:[0-9A-Fa-f]{3,4}|[0-9A-Fa-f]{6}|[0-9A-Fa-f]{8})\b)"
)
_NEXT_LINE = re.compile(r"[ \t]*\r?\n(?=[ \t])")
_IN_FLOW = re.compile(r"[\[{,:][ \t]*(#[\w{.])")
_OWN_LINE = re.compile(rf"\n{_COLOUR.pattern}")
_QUOTED = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^']|'')*'", re.DOTALL)


def cut_after(text: str, end: int, value: Json) -> int | None:
    """The place where a comment cuts off a plain value that ends at an index, if there is one."""
    form = _COLOUR if isinstance(value, (bool, int, float)) else _WORD
    found = form.match(text, end)
    if found is None and value is None and (line_end := _NEXT_LINE.match(text, end)):
        found = _COLOUR.match(text, line_end.end())
    return found.start(1) if found and (found.start() < found.start(1) or value is None) else None


def cut_between(text: str, spans: list[tuple[int, int]]) -> int | None:
    """The place where a comment removes an item from a list or mapping in brackets.

    Args:
        text: the file.
        spans: the start and the end of the opening bracket, of each item, and of the closing bracket.
    """
    for (_, before), (after, _) in pairwise(spans):
        gap = text[max(0, before - 1) : after]
        found = ("#" in gap and (_IN_FLOW.search(gap) or _OWN_LINE.search(gap))) or None
        if found:
            return max(0, before - 1) + found.start(1)
    return None


def cut_in_open(text: str, opened: int, at: int) -> int | None:
    """The place where a comment removes the end of a list or mapping whose bracket is never closed."""
    plain = _QUOTED.sub(lambda one: "_" * len(one[0]), text[opened : at + 1])
    found = re.search(r"[\[{,:\s](#[\w{.])", plain)
    return opened + found.start(1) if found else None


def explain_cut(text: str, start: int, at: int, value: Json = "") -> Flaw:
    """What to say of a comment at an index that cuts the value which starts at another."""
    whole, _, _ = text[start:].partition("\n")
    key, said = re.match(r"[\s-]*([\w.-]+):[ \t]", line_at(text, at)), None
    if "\n" not in text[start:at] or value is None:
        whole = text[at if value is None else start :].partition("\n")[0]
        in_flow = re.search(r"[\[{]", text[text.rfind("\n", 0, at) + 1 : start])
        said = re.split(r"[,\]}]" if in_flow and "#{" not in whole else r"[ \t]# ", whole)[0].rstrip(" \t\r,")
        said = f"{key[1]}: {quoted(said)}" if key and not in_flow else quoted(said)
    hint = f"quote the value: {said}" if said else "put the whole value in quotes"
    message = "the value is empty, because `#` starts a comment here" if value is None else "`#` starts a comment here"
    message += "" if value is None else ", so the rest of the value is lost"
    return Flaw(CODE, message, at, f"{hint}; a comment needs a space after the #")
