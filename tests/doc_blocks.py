"""Fenced blocks of a page, and whether a program printed what stands there."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the attributes of its first line, its text, and where it stands."""

    language: str
    attributes: dict[str, str]
    text: str
    at: str
    section: str

    @property
    def is_pipeline(self):
        return self.language == "yaml" and re.search(r"^version:", self.text, re.MULTILINE) is not None


def blocks(page):
    """Every fenced block of a page, with the heading that it stands under."""
    section, opened, lines = "", None, []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        at = f"{page.relative_to(ROOT)}:{number}"
        if opened is not None and line == "```":
            info, place = opened
            yield Block(*read_info(info, place), "".join(f"{one}\n" for one in lines), place, section)
            opened, lines = None, []
        elif opened is not None:
            lines.append(line)
        elif line.startswith("```"):
            opened = line[3:], at
        else:
            assert "```" not in line, f"{at}: a fence that does not begin its line"
            section = f"{section}+" if line.startswith("#") else section
    assert opened is None, f"{opened} is not closed"


def read_info(info, at):
    language, *rest = shlex.split(info)
    attributes = dict(part.split("=", 1) for part in rest)
    known = {"title", "exit"} if language == "text" else {"title"}
    assert set(attributes) <= known, f"{at}: {info} is not understood"
    return language, attributes


def plain(text):
    """Lines to compare: in a table columns may be aligned, or just two spaces apart."""
    lines = [line.rstrip() for line in text.strip("\n").splitlines()]
    return [re.sub(r"  +", "  ", line) for line in lines] if is_table(text) else lines


def is_table(text):
    return re.match(r"cell(  |$)", text.partition("\n")[0]) is not None


def as_expected(expected, found):
    """Whether lines are the expected ones, of which `…` stands for any, and `… 3 more` for so many."""
    if not expected:
        return not found
    head, rest = expected[0], expected[1:]
    more = re.fullmatch(r"… (\d+) more", head)
    if more and head != next(iter(found), ""):
        count = int(more[1])
        return len(found) >= count and as_expected(rest, found[count:])
    if head == "…":
        return any(as_expected(rest, found[start:]) for start in range(len(found) + 1))
    return bool(found) and head == found[0] and as_expected(rest, found[1:])
