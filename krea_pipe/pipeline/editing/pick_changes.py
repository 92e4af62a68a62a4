"""Changes of a picks file, each as small a diff as a person would make; a file of the first form is converted."""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.editing.picks import KEY_DIGITS, MAX_STARS, Pick, Picks, parse_picks
from krea_pipe.pipeline.editing.yaml_text import Layout, YamlValue, flow_text, split_mark, unsafe_edit

_FILE = Path("picks.yaml")
_PLAIN = re.compile(r"[^\W\d_][\w./-]*(?: [\w./-]+)*")
_WORDS = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))
_NO_NUMBER = re.compile(r"[0-9a-f]*[a-df][0-9a-f]*")
_COMMENT = re.compile(r"(?:(?<!\S)|(?<=[,\[\]{}]))#[^\r\n]*")


@dataclass(frozen=True, slots=True)
class PicksEdit:
    """Decisions of one person, to be written into a picks file.

    Args:
        add: the cells that are picked, by id or with stars and a note.
        remove: the ids of cells about which the decision is taken out of the file.
        reject: the cells that are rejected, as in `add`.
        clear: by cell id, which of "stars" and "note" are taken out.
        rename: other ids for cells that are in the file, before anything else is done.
        keys: the keys of requests by cell id: written for what is decided or renamed, and where the file has none.
        by: the name of the person, "" if it is unknown.
        settles: take out what other people have decided about the same cells.
    """

    add: Sequence[Pick | str] = ()
    remove: Sequence[str] = ()
    reject: Sequence[Pick | str] = ()
    clear: Mapping[str, Collection[str]] = field(default_factory=dict)
    rename: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)
    by: str = ""
    settles: bool = False


def change_picks(text: str | None, edit: PicksEdit, file: Path = _FILE) -> str:
    """Write the decisions of one person down in the text of a picks file.

    A decision of that person about the same cell, or else one without a name, keeps its line: stars that are None and
    an empty note leave what is written. Where a pick becomes a rejection, or the other way round, its note stays, and
    its stars go. A new line goes where its id belongs in the order of ids, so that two branches seldom change the same
    place.

    Args:
        text: the file as it is; None, or a text without data, begins a file.
        edit: what is decided.
        file: the file's name, for the places of problems.

    Returns:
        The new text, in which no other line has changed.

    Raises:
        UsageError: the decisions contradict each other, remove a decision that is not in the file, or the file cannot
            be edited safely. InvalidInput: the text is no picks file.
    """
    _check(edit)
    mark, body = split_mark(text or "")
    before = parse_picks(body, file)
    sheet = _sheet_of(body, before)
    for line in (one for one in sheet.lines if one.pick.id in edit.rename):
        name = edit.rename[line.pick.id]
        key = edit.keys.get(name, "")[:KEY_DIGITS] or line.pick.key
        line.become(replace(line.pick, id=name, key=key), line.verdict)
    _Editor(edit, sheet, file).apply()
    new = sheet.text()
    if not _says(new, sheet, file):
        raise unsafe_edit(file, [_text(one.verdict, one.pick) for one in sheet.lines if one.raw is None])
    return mark + new


def _check(edit: PicksEdit) -> None:
    """Refuse decisions that contradict each other."""
    add, reject = _picks(edit.add), _picks(edit.reject)
    said: set[str] = set()
    for name in (
        *dict.fromkeys(one.id for one in add),
        *dict.fromkeys(one.id for one in reject),
        *dict.fromkeys(edit.remove),
    ):
        if name in said:
            message = f"{name} is given twice, but a cell can only be picked, rejected or removed"
            raise UsageError(Problem("contradiction", message, hint="choose one of them"))
        said.add(name)
    for one in (*add, *reject):
        if one.stars is not None and not 1 <= one.stars <= MAX_STARS:
            message = f"stars must be from 1 to {MAX_STARS}, not {one.stars}"
            raise UsageError(Problem("out_of_range", message))


@dataclass(slots=True, eq=False)
class _Line:
    """A decision in a file: the text above it, its own text unless that has to be written, and the text behind it.

    `inside` are comments within its own text, which go above it when that is replaced.
    """

    verdict: str
    pick: Pick
    above: str = ""
    raw: str | None = None
    behind: str = ""
    inside: tuple[str, ...] = ()

    def become(self, pick: Pick, verdict: str) -> None:
        """Change the text."""
        if (verdict, _content(pick)) != (self.verdict, _content(self.pick)):
            self.verdict, self.pick, self.raw = verdict, pick, None


@dataclass(slots=True)
class _Sheet:
    """A picks file that is changed: its lines, what is below them, its line ends and its margin."""

    lines: list[_Line]
    below: str = ""
    newline: str = "\n"
    margin: str = ""

    def insert(self, line: _Line) -> None:
        """Add a line before the first one with a greater id, or name, and below what begins the file."""
        pick, after = line.pick, len(self.lines)
        place = next((i for i, one in enumerate(self.lines) if (one.pick.id, one.pick.by) > (pick.id, pick.by)), after)
        if not self.lines:
            line.above, self.below = self.below, ""
        elif place == 0:
            first = self.lines[0]
            line.above, first.above = _head_and_rest(first.above)
        self.lines.insert(place, line)

    def drop(self, line: _Line) -> None:
        """Take a line out; comments above it stay."""
        place = self.lines.index(line)
        self.lines.remove(line)
        if place < len(self.lines):
            self.lines[place].above = line.above + self.lines[place].above
        else:
            self.below = line.above + self.below

    def text(self) -> str:
        """The text of the file."""
        pieces = [piece for line in self.lines for piece in (line.above, self._rendered(line))]
        whole = [one for one in (*pieces, self.below) if one]
        ended = [one if one.endswith("\n") else one + self.newline for one in whole[:-1]]
        return "".join([*ended, *whole[-1:]])

    def _rendered(self, line: _Line) -> str:
        if line.raw is not None:
            return line.raw
        comments = "".join(f"{self.margin}{one}{self.newline}" for one in line.inside)
        behind = f"  {line.behind.strip()}" if line.behind.strip() else ""
        return f"{comments}{self.margin}- {_text(line.verdict, line.pick)}{behind}{self.newline}"


def _head_and_rest(above: str) -> tuple[str, str]:
    """The head of a file and the comments of its first line: those after the last blank line, if there is one."""
    found = list(re.finditer(r"^[ \t]*\r?\n", above, re.MULTILINE))
    return (above[: found[-1].end()], above[found[-1].end() :]) if found else (above, "")


@dataclass(frozen=True, slots=True)
class _Editor:
    """Writes decisions into the lines of a file."""

    edit: PicksEdit
    sheet: _Sheet
    file: Path

    def apply(self) -> None:
        """Change the lines."""
        known: dict[str, dict[str, _Line]] = {}
        for line in self.sheet.lines:
            known.setdefault(line.pick.id, {})[line.pick.by] = line
        for name in dict.fromkeys(self.edit.remove):
            self._remove(name, known)
        for verdict, new in (("pick", self.edit.add), ("reject", self.edit.reject)):
            for one in {one.id: one for one in _picks(new)}.values():
                self._decide(replace(one, by=self.edit.by, key=self._key(one.id) or one.key), verdict, known)
        for line in self.sheet.lines:
            if not line.pick.key:
                line.become(replace(line.pick, key=self._key(line.pick.id)), line.verdict)

    def _decide(self, pick: Pick, verdict: str, known: Mapping[str, Mapping[str, _Line]]) -> None:
        lines = known.get(pick.id, {})
        own = self._own(lines)
        if own is None:
            self.sheet.insert(_Line(verdict, pick))
        else:
            own.become(self._updated(own, pick, verdict), verdict)
        for other in [line for line in lines.values() if self.edit.settles and line is not own]:
            self.sheet.drop(other)

    def _own(self, lines: Mapping[str, _Line]) -> _Line | None:
        """The line of the person who decides, among those about one cell by name; one without a name is anyone's."""
        return lines.get(self.edit.by) or lines.get("")

    def _remove(self, name: str, known: Mapping[str, Mapping[str, _Line]]) -> None:
        lines = known.get(name, {})
        own = self._own(lines)
        if not lines or (own is None and not self.edit.settles):
            others = " and ".join(sorted(lines))
            by = f" by {self.edit.by}" if lines and self.edit.by else ""
            message = f"{name} is neither picked nor rejected{by} in {self.file.name}"
            hint = f"decided by {others}; add --settle to remove everyone's decision" if lines else None
            raise UsageError(Problem("unknown_pick", message, hint=hint or near_word(name, list(known))))
        for line in list(lines.values()) if self.edit.settles else [own]:
            if line is not None:
                self.sheet.drop(line)

    def _key(self, identity: str) -> str:
        return self.edit.keys.get(identity, "")[:KEY_DIGITS]

    def _updated(self, line: _Line, new: Pick, verdict: str) -> Pick:
        old = line.pick  # whose stars are for the verdict that it had; its note stays
        stars_left = old.stars if line.verdict == verdict else None
        left = {"stars": stars_left, "note": old.note} | dict.fromkeys(self.edit.clear.get(old.id, ()))
        stars = cast("int | None", left["stars"]) if new.stars is None else new.stars
        # The whole key, where a person has written that, is as good as its beginning.
        key = old.key if new.key and old.key.startswith(new.key) else new.key or old.key
        return replace(old, stars=stars, note=new.note or str(left["note"] or ""), key=key, by=new.by or old.by)


def _picks(decided: Iterable[Pick | str]) -> list[Pick]:
    return [Pick(one) if isinstance(one, str) else one for one in decided]


def _content(pick: Pick) -> tuple[str, int | None, str, str, str]:
    return pick.id, pick.stars, pick.note, pick.by, pick.key


def _says(text: str, sheet: _Sheet, file: Path) -> bool:
    """Whether a text says exactly what the lines of a file are."""
    try:
        found = parse_picks(text, file)
    except (InvalidInput, ValueError):
        return False
    said = {
        verdict: [_content(one.pick) for one in sheet.lines if one.verdict == verdict] for verdict in ("pick", "reject")
    }
    return said == {"pick": [*map(_content, found.picks)], "reject": [*map(_content, found.rejected)]}


def _text(verdict: str, pick: Pick) -> str:
    """A decision in the form in which it is written after the dash."""
    parts = [f"{verdict}: {_scalar(pick.id)}"]
    parts += [f"stars: {pick.stars}"] if pick.stars else []
    parts += [f"note: {_scalar(pick.note)}"] if pick.note else []
    parts += [f"by: {_scalar(pick.by)}"] if pick.by else []
    quote = "" if _NO_NUMBER.fullmatch(pick.key) else '"'
    parts += [f"key: {quote}{pick.key}{quote}"] if pick.key else []
    return f"{{{', '.join(parts)}}}"


def _scalar(text: str) -> str:
    """A text as YAML on one line inside braces; ruamel.yaml, which is slow, writes only texts that are not plain."""
    return text if _PLAIN.fullmatch(text) and text.lower() not in _WORDS else flow_text(text)


# --- reading a file as lines


def _sheet_of(text: str, picks: Picks) -> _Sheet:
    """The lines of a file; lines of the old form are converted."""
    verdicts = [*(("pick", one) for one in picks.picks), *(("reject", one) for one in picks.rejected)]
    if not verdicts and not picks.document.data:
        return _Sheet([], below=_comments_alone(text), newline="\r\n" if "\r\n" in text else "\n")
    layout = Layout(text)
    found = [(_part(layout.root, one), verdict, one) for verdict, one in verdicts]
    found.sort(key=lambda one: one[0].start)
    if layout.root.kind == "block" and not picks.stage:
        return _as_it_stands(layout, found)
    return _converted(layout, found)


def _comments_alone(text: str) -> str:
    """A text without data, of which only the comments are kept."""
    lines = text.splitlines(keepends=True)
    return "".join(one for one in lines if not one.strip() or one.lstrip().startswith("#"))


def _part(root: YamlValue, pick: Pick) -> YamlValue:
    part = root
    for step in pick.trail:
        part = part.children[step]
    return part


_Found = tuple[YamlValue, str, Pick]


def _as_it_stands(layout: Layout, found: Sequence[_Found]) -> _Sheet:
    """Each line with its text; repeated lines are omitted."""
    wanted = {pick.trail: (verdict, pick) for _, verdict, pick in found}
    comments = list(_comments(layout))
    lines, end, above = list[_Line](), 0, ""
    for index, item in layout.root.children.items():
        start, after = layout.line_start(layout.dash(item)), layout.line_after(item.end)
        above += layout.text[end:start]
        if (index,) in wanted:
            verdict, pick = wanted[(index,)]
            inside = tuple(layout.text[a:b] for a, b in comments if start <= a < item.end)
            behind = "" if layout.text.endswith("\n", 0, item.end) else layout.text[item.end : after].rstrip("\r\n")
            lines.append(_Line(verdict, pick, above, layout.text[start:after], behind, inside))
            above = ""
        end = after
    dash = layout.dash(layout.root.children[0])
    return _Sheet(lines, above + layout.text[end:], layout.newline, " " * layout.column(dash))


def _converted(layout: Layout, found: Sequence[_Found]) -> _Sheet:
    """Each decision as a new line, with the comments that were above, within and behind it."""
    lines = [_Line(verdict, pick) for _, verdict, pick in found]
    sheet = _Sheet(lines, newline=layout.newline)
    ends = [part.end for part, _, _ in found]
    for start, end in _comments(layout):
        comment, following = layout.text[start:end], bisect_right(ends, start)
        if following and layout.line_start(ends[following - 1]) == layout.line_start(start):
            lines[following - 1].behind = comment
        elif following < len(lines):
            lines[following].above += comment + layout.newline
        else:
            sheet.below += comment + layout.newline
    return sheet


def _comments(layout: Layout) -> Iterator[tuple[int, int]]:
    """The start and the end of each comment of a text."""
    at = 0
    for start, end in [*sorted(_scalars(layout.root)), (len(layout.text), len(layout.text))]:
        for one in _COMMENT.finditer(layout.text, at, max(at, start)):
            yield one.span()
        at = max(at, end)


def _scalars(part: YamlValue) -> Iterator[tuple[int, int]]:
    """The spans of all words in a value, which may have a number sign in them."""
    for one in (*part.keys.values(), *part.children.values()):
        if one.kind in ("scalar", "alias"):
            yield one.start, one.end
        else:
            yield from _scalars(one)
