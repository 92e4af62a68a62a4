"""Changes of a picks file, each as small a diff as a person would make by hand."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from krea_pipe.core.errors import InvalidInput, Problem, UsageError
from krea_pipe.core.near_names import near_word
from krea_pipe.pipeline.editing.picks import MAX_STARS, Pick, Picks, parse_picks
from krea_pipe.pipeline.editing.yaml_text import (
    Layout,
    TextChange,
    YamlValue,
    changed_entry,
    flow_text,
    split_mark,
    unsafe_edit,
    without_keys,
)

_FILE = Path("picks.yaml")
_NOTHING: Mapping[str, Collection[str]] = {}


def change_picks(
    text: str | None,
    stage: str,
    *,
    add: Sequence[Pick | str] = (),
    remove: Sequence[str] = (),
    reject: Sequence[Pick | str] = (),
    clear: Mapping[str, Collection[str]] = _NOTHING,
    file: Path = _FILE,
) -> str:
    """Write decisions down in the text of a picks file.

    A cell that is already there is changed in place: stars that are None and an empty note leave what is written.
    Picking a rejected cell takes it out of `rejected`, and the other way round.

    Args:
        text: the file as it is; None, or a text without data, begins a file.
        stage: the stage that the decisions are about.
        add: the cells that are picked, by id or with stars and a note.
        remove: the ids of cells that are taken out of the file.
        reject: the cells that are rejected, as in `add`.
        clear: by cell id, which of "stars" and "note" are taken out.
        file: the file's name, for the places of problems.

    Returns:
        The new text, in which nothing else has changed.

    Raises:
        UsageError: the decisions contradict each other, are of another stage, remove a cell that is not in the file,
            or the file cannot be edited safely. InvalidInput: the text is no picks file.
    """
    decisions = _Decisions(_by_id(add), _by_id(reject), tuple(dict.fromkeys(remove)), clear)
    decisions.check()
    mark, body = split_mark(text or "")
    if all(not line.strip() or line.lstrip().startswith("#") for line in body.split("\n")):
        body = _new_file(body, stage)
    before = parse_picks(body, file)
    if before.stage != stage:
        message = f"{file.name} contains picks of `{before.stage}`, not of `{stage}`"
        raise UsageError(
            Problem("other_stage", message, before.document.place(("stage",)), "use the picks file of that stage")
        )
    after = decisions.applied(before)
    new = _rewritten(body, before, after, file)
    if new is None:
        raise unsafe_edit(file, decisions.lines())
    return mark + new


@dataclass(frozen=True, slots=True)
class _Decisions:
    """The decisions to write down."""

    add: Mapping[str, Pick]
    reject: Mapping[str, Pick]
    remove: tuple[str, ...]
    clear: Mapping[str, Collection[str]]

    def check(self) -> None:
        """Refuse decisions that contradict each other."""
        said: set[str] = set()
        for name in (*self.add, *self.reject, *self.remove):
            if name in said:
                message = f"{name} is given twice, but a cell can only be picked, rejected or removed"
                raise UsageError(Problem("contradiction", message, hint="choose one of them"))
            said.add(name)
        for one in (*self.add.values(), *self.reject.values()):
            if one.stars is not None and not 1 <= one.stars <= MAX_STARS:
                message = f"stars must be from 1 to {MAX_STARS}, not {one.stars}"
                raise UsageError(Problem("out_of_range", message))

    def applied(self, before: Picks) -> Picks:
        """What the file has to hold afterwards."""
        known = [one.id for one in (*before.picks, *before.rejected)]
        held = set(known)
        for name in self.remove:
            if name not in held:
                message = f"{name} is neither picked nor rejected in {before.document.file.name}"
                raise UsageError(Problem("unknown_pick", message, hint=near_word(name, known)))
        gone = set(self.remove)
        picks = self._merged(before.picks, self.add, gone | self.reject.keys())
        rejected = self._merged(before.rejected, self.reject, gone | self.add.keys())
        return replace(before, picks=picks, rejected=rejected)

    def _merged(self, old: Sequence[Pick], new: Mapping[str, Pick], gone: set[str]) -> tuple[Pick, ...]:
        kept = [self._updated(one, new[one.id]) if one.id in new else one for one in old if one.id not in gone]
        there = {one.id for one in old}
        return (*kept, *(one for one in new.values() if one.id not in there))

    def _updated(self, old: Pick, new: Pick) -> Pick:
        left = {"stars": old.stars, "note": old.note} | dict.fromkeys(self.clear.get(old.id, ()))
        stars = cast("int | None", left["stars"]) if new.stars is None else new.stars
        return replace(old, stars=stars, note=new.note or str(left["note"] or ""))

    def lines(self) -> list[str]:
        """The decisions as a person would write them."""
        lists = (("picks", self.add), ("rejected", self.reject))
        written = [
            line for key, new in lists if new for line in (f"{key}:", *(f"  - {_text(one)}" for one in new.values()))
        ]
        return [*written, *(f"remove {name}" for name in self.remove)]


def _by_id(picks: Iterable[Pick | str]) -> dict[str, Pick]:
    found = (Pick(one) if isinstance(one, str) else one for one in picks)
    return {one.id: one for one in found}


def _new_file(comments: str, stage: str) -> str:
    newline = "\r\n" if "\r\n" in comments else "\n"
    above = comments if not comments or comments.endswith("\n") else comments + newline
    return f"{above}stage: {flow_text(stage)}{newline}"


def _rewritten(text: str, before: Picks, after: Picks, file: Path) -> str | None:
    """The new text, or None where it would not say exactly what is decisions."""
    layout = Layout(text)
    sections = (
        _Section("picks", layout, before.picks, after.picks),
        _Section("rejected", layout, before.rejected, after.rejected),
    )
    try:
        new = layout.changed(change for section in sections for change in section.changes())
        found = parse_picks(new, file)
    except (InvalidInput, ValueError):
        return None
    same = _contents(found.picks) == _contents(after.picks) and _contents(found.rejected) == _contents(after.rejected)
    return new if same and found.stage == before.stage else None


def _contents(picks: Iterable[Pick]) -> list[tuple[str, int | None, str]]:
    return [(one.id, one.stars, one.note) for one in picks]


def _text(pick: Pick) -> str:
    """A pick as it is written in a list."""
    said = {"stars": pick.stars, "note": pick.note}
    more = {key: value for key, value in said.items() if value}
    return flow_text({"id": pick.id, **more} if more else pick.id)


@dataclass(frozen=True, slots=True)
class _Section:
    """One of the two lists of a file, and the changes that bring it to what it has to hold."""

    key: str
    layout: Layout
    before: Sequence[Pick]
    after: Sequence[Pick]

    def changes(self) -> Iterator[TextChange]:
        part = self.layout.root.children.get(self.key)
        old, new = _by_id(self.before), _by_id(self.after)
        added = [_text(one) for one in self.after if one.id not in old]
        gone = [index for index, one in enumerate(self.before) if one.id not in new]
        if part is None:
            yield from self._new_list(added)
            return
        for index, one in enumerate(self.before):
            if one.id in new and _contents([one]) != _contents([new[one.id]]):
                yield from self._update(part.children[index], one, new[one.id])
        if not gone and not added:
            return
        if part.kind == "block":
            yield from self._in_block(part, gone, added)
        elif len(gone) < len(part.children):
            yield from self._in_flow(part, gone, added)
        else:
            yield from self._in_place(part, added)

    def _new_list(self, added: list[str]) -> Iterator[TextChange]:
        """The list's key and all below it, under all that the file holds."""
        layout = self.layout
        if not added:
            return
        if layout.root.kind == "flow":
            yield from layout.in_flow(layout.root, [f"{self.key}: [{', '.join(added)}]"])
            return
        margin = " " * layout.indent(layout.root)
        at = layout.below(layout.root.end, len(margin))
        yield layout.lines_at(at, [f"{margin}{self.key}:", *self._lines(added)], spaced=layout.spaced(layout.root))

    def _in_place(self, part: YamlValue, added: list[str]) -> Iterator[TextChange]:
        """A list in place of none, of an empty one, or of one in brackets that loses all that it holds."""
        layout = self.layout
        if layout.root.kind == "flow" or not added:
            yield part.start, part.end, f"[{', '.join(added)}]"
            return
        if not part.empty:
            yield self._colon(), part.end, ""
        yield layout.lines_at(layout.below(part.end, len(self._margin())), self._lines(added))

    def _in_block(self, part: YamlValue, gone: list[int], added: list[str]) -> Iterator[TextChange]:
        layout = self.layout
        for index in gone:
            item = part.children[index]
            yield layout.line_start(layout.dash(item)), layout.line_after(item.end), ""
        if added:
            yield layout.lines_at(layout.below(part.end, len(self._margin())), self._lines(added))
        elif len(gone) == len(part.children):
            yield self._colon(), self._colon(), " []"

    def _in_flow(self, part: YamlValue, gone: list[int], added: list[str]) -> Iterator[TextChange]:
        items = [part.children[index] for index in range(len(part.children))]
        last = max(set(range(len(items))) - set(gone))
        for index in gone:
            if index < last:
                yield items[index].start, items[index + 1].start, ""
        if last + 1 < len(items):
            yield items[last].end, items[-1].end, "".join(f", {one}" for one in added)
        elif added:
            yield from self.layout.in_flow(part, added)

    def _update(self, part: YamlValue, old: Pick, new: Pick) -> Iterator[TextChange]:
        layout = self.layout
        if not part.keys:
            yield part.start, part.end, _text(new)
            return
        values = {"stars": new.stars} if new.stars and new.stars != old.stars else {}
        more = {"note": new.note} if new.note and new.note != old.note else {}
        gone = [name for name in ("stars", "note") if name in part.keys and not getattr(new, name)]
        flow = part.kind == "flow"
        end = part.end if flow else layout.line_end(part.end)
        margin = "" if flow else " " * layout.column(part.start)
        lines = layout.text[part.start : end].replace("\r\n", "\n").split("\n")
        entry = without_keys("\n".join(line.removeprefix(margin) for line in lines), gone)
        changed = (changed_entry(entry, {**values, **more}, last="note") if values or more else entry).split("\n")
        yield part.start, end, layout.newline.join([changed[0], *(line and margin + line for line in changed[1:])])

    def _lines(self, added: list[str]) -> list[str]:
        margin = self._margin()
        return [f"{margin}- {one}" for one in added]

    def _margin(self) -> str:
        """What stands before the dashes of this list, else of the other, else what indents a list."""
        layout = self.layout
        for key in (self.key, "picks", "rejected"):
            part = layout.root.children.get(key)
            if part is not None and part.kind == "block":
                return " " * layout.column(layout.dash(part.children[0]))
        return " " * (layout.indent(layout.root) + layout.step)

    def _colon(self) -> int:
        """The place after the colon of this list's key."""
        return self.layout.text.index(":", self.layout.root.keys[self.key].end) + 1
