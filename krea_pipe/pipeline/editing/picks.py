"""Which cells of a stage a person has chosen, as a committed file says.

The file is a list with one line for each decision, as in `- {pick: explore/serum/s1, stars: 5, by: Ada, key: …}` or
`- {reject: …}`, and nothing else, so that git may keep the lines of both sides of a merge. `by` is who decided: each
person has one decision about a cell. The key is the beginning of that of the request, by which the decision finds its
cell under another id. Files of the first form, with `stage`, `picks` and `rejected`, are read as well; the next change
converts them.
"""

import hashlib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json
from krea_pipe.core.merge_conflicts import CONFLICT, KEEP_BOTH, conflict_in
from krea_pipe.core.near_names import near_word
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.pipeline.nodes import Node, collect_nodes
from krea_pipe.pipeline.source import Document, Trail, read_document

VERDICTS = ("pick", "reject")
LINE_KEYS = (*VERDICTS, "stars", "note", "by", "key")
OLD_FILE_KEYS = ("stage", "picks", "rejected")
OLD_PICK_KEYS = ("id", "stars", "note")
MAX_STARS = 5
MAX_NAME = 100
"""Characters of the name of a reviewer."""
MAX_PICKS_NODES = 1_000_000
"""Values of a picks file, counted as in any other: some fifty thousand decisions."""
KEY_DIGITS = 16
"""Of the key of a request, in a picks file."""

_KEY = rf"[0-9a-f]{{{KEY_DIGITS},64}}"
_STARTER = "write a line for each decision: - {pick: explore/serum/s1, stars: 5, note: keep the droplets}"
_OLD_SHAPE = "write a cell's id, or {id: explore/serum/s1, stars: 5, note: keep the droplets}"
_MERGE_HINT = f"{KEEP_BOTH}; `picks/*.yaml merge=union` in .gitattributes does that"


@dataclass(frozen=True, slots=True)
class Pick:
    """One decision: a cell's id, 1 to 5 stars (None: not said), a note, and its place in the file.

    `key` is the beginning of the key of the request that was decided about, and `by` the name of the person who
    decided, "" where the file does not say.
    """

    id: str
    stars: int | None = None
    note: str = ""
    trail: Trail = ()
    key: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Picks:
    """A picks file: the chosen cells and the rejected ones, in the order of the file.

    `stage` is the stage that a file of the first form is about, "" in any other.
    """

    document: Document
    picks: tuple[Pick, ...]
    rejected: tuple[Pick, ...]
    stage: str = ""

    @property
    def decisions(self) -> tuple[Pick, ...]:
        """Picks and rejections."""
        return (*self.picks, *self.rejected)

    @property
    def stages_said(self) -> str:
        """The stages that the decisions are about, as a message says them."""
        return " and ".join(f"`{one}`" for one in sorted(self.stages))

    def is_of_others(self, stage: str, known: Collection[str]) -> bool:
        """Whether a file is about other stages of the pipeline, so that its name must be a mistake.

        A name that the pipeline does not have may be what the stage was called before, and keys tell for themselves.
        """
        keyed = any(one.key for one in self.decisions)
        return bool(self.stages) and not keyed and stage not in self.stages and self.stages <= set(known)

    def is_pick(self, decision: Pick) -> bool:
        """Whether a decision of this file is a pick, and no rejection."""
        if self.stage:
            return decision.trail[:1] == ("picks",)
        entry = self.document.value(decision.trail)
        return isinstance(entry, dict) and entry.get("pick") is not None

    def said(self, decision: Pick) -> str:
        """A decision of this file as a message says it."""
        return _said("pick" if self.is_pick(decision) else "reject", decision)

    @property
    def stages(self) -> frozenset[str]:
        """The stages that the decisions are about, as the file calls them."""
        return frozenset([self.stage] if self.stage else [one.id.partition("/")[0] for one in self.decisions])


def read_picks(file: Path) -> Picks:
    """Read one picks file.

    Raises:
        InvalidInput: with every problem of the file, each with its place.
    """
    try:
        document = read_document(file, MAX_PICKS_NODES)
    except InvalidInput as error:
        if error.code == "empty_file":
            return picks_of(_empty(file, ""))
        raise InvalidInput(*map(_about_picks, error.problems)) from error
    return picks_of(document)


def parse_picks(text: str, file: Path) -> Picks:
    """Parse the text of a picks file; `file` is for the places of problems.

    Raises:
        InvalidInput: with every problem of the text.
    """
    if conflict := conflict_in(file, text, _MERGE_HINT):
        raise InvalidInput(conflict)
    try:
        root, problems = collect_nodes(file, text, MAX_PICKS_NODES)
    except InvalidInput as error:
        if error.code == "empty_file":
            return picks_of(_empty(file, text))
        raise InvalidInput(*map(_about_picks, error.problems)) from error
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return picks_of(Document(file, text, root, digest, tuple(problems)))


def _empty(file: Path, text: str) -> Document:
    """A file without a decision, which may have comments."""
    return Document(file, text, Node([], 0, 0), "")


def picks_of(document: Document) -> Picks:
    """Interpret a document as a picks file.

    Raises:
        InvalidInput: with every problem of the document.
    """
    return _Reader(document).read()


class _Reader:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems = ProblemList(map(_about_picks, document.problems))

    def read(self) -> Picks:
        data = self.document.data
        if isinstance(data, list):
            return self._lines(data)
        if not isinstance(data, dict):
            self._note("wrong_type", f"a picks file must be a list of decisions, not {shown(data)}", (), _STARTER)
            raise InvalidInput(*self.problems.all())
        self._check_keys(data, (), OLD_FILE_KEYS)
        lists = {key: tuple(self._old_entries(key, data.get(key))) for key in ("picks", "rejected")}
        verdicts = dict.fromkeys(lists["rejected"], "reject") | dict.fromkeys(lists["picks"], "pick")
        self._check_repeats([*lists["picks"], *lists["rejected"]], verdicts)
        stage = self._stage(data)
        self.problems.check()
        return Picks(self.document, lists["picks"], lists["rejected"], stage)

    def _lines(self, data: list[Json]) -> Picks:
        verdicts: dict[Pick, str] = {}
        for index, entry in enumerate(data):
            verdicts |= self._line(entry, (index,))
        again = self._check_repeats(list(verdicts), verdicts)
        self.problems.check()
        kept = {one: verdict for one, verdict in verdicts.items() if one not in again}
        picks, rejected = ([one for one in kept if kept[one] == verdict] for verdict in VERDICTS)
        return Picks(self.document, tuple(picks), tuple(rejected))

    def _line(self, entry: Json, trail: Trail) -> dict[Pick, str]:
        """The decision of one line with its verdict; nothing where it is wrong."""
        if not isinstance(entry, dict):
            said = "has no value" if entry is None else f"cannot be {shown(entry)}"
            hint = f"write - {{pick: {entry}}}" if isinstance(entry, str) and entry else _STARTER
            self._note("wrong_type", f"a decision {said}", trail, hint)
            return {}
        self._check_keys(entry, trail, LINE_KEYS)
        stars, note = self._stars(entry.get("stars"), trail), self._text(entry, "note", trail)
        key, by = self._text(entry, "key", trail), self._text(entry, "by", trail)
        if by and not is_reviewer_name(by):
            message = f"`by` must be a name on one line of up to {MAX_NAME} characters"
            self._note("invalid_value", message, (*trail, "by"))
        if key and not re.fullmatch(_KEY, key):
            message = f"`key` must be the first {KEY_DIGITS} to 64 hexadecimal digits of a request's key"
            self._note("invalid_value", message, (*trail, "key"), "remove it: the next `krea-pipe pick` writes it")
        found = [verdict for verdict in VERDICTS if entry.get(verdict) is not None]
        if len(found) != 1:
            message = f"a decision {'is either' if found else 'needs'} `pick` or `reject`"
            self._note("contradiction" if found else "missing_key", message, trail, _STARTER)
            return {}
        name = self._text(entry, found[0], trail)
        return {Pick(name, stars, note, trail, key, by): found[0]} if name else {}

    def _stage(self, data: dict[str, Json]) -> str:
        stage = data.get("stage")
        if isinstance(stage, str) and stage:
            return stage
        if stage is None:
            self._note("missing_key", "a picks file needs `stage`", ("stage",), "name the stage: `stage: explore`")
        else:
            hint = f'put it in quotes: stage: "{stage}"' if isinstance(stage, (int, float)) else None
            self._note("wrong_type", f"`stage` must be the name of a stage, not {shown(stage)}", ("stage",), hint)
        return ""

    def _old_entries(self, key: str, data: Json) -> Iterator[Pick]:
        if data is None:
            return
        if not isinstance(data, list):
            self._note("wrong_type", f"`{key}` must be a list, not {shown(data)}", (key,), f"{key}: [a cell's id]")
            return
        for index, entry in enumerate(data):
            pick = self._old_entry(entry, (key, index))
            if pick is not None:
                yield pick

    def _old_entry(self, entry: Json, trail: Trail) -> Pick | None:
        if isinstance(entry, str) and entry:
            return Pick(entry, trail=trail)
        if not isinstance(entry, dict):
            said = "has no value" if entry is None else f"cannot be {shown(entry)}"
            self._note("wrong_type", f"an entry of `{trail[0]}` {said}", trail, _OLD_SHAPE)
            return None
        self._check_keys(entry, trail, OLD_PICK_KEYS)
        stars, note = self._stars(entry.get("stars"), trail), self._text(entry, "note", trail)
        if entry.get("id") is None:
            self._note("missing_key", f"an entry of `{trail[0]}` needs `id`", trail, _OLD_SHAPE)
            return None
        name = self._text(entry, "id", trail)
        return Pick(name, stars, note, trail) if name else None

    def _stars(self, stars: Json, trail: Trail) -> int | None:
        if stars is None:
            return None
        if isinstance(stars, int) and not isinstance(stars, bool) and 1 <= stars <= MAX_STARS:
            return stars
        code = "out_of_range" if isinstance(stars, int) and not isinstance(stars, bool) else "wrong_type"
        message = f"`stars` must be a whole number from 1 to {MAX_STARS}, not {shown(stars)}"
        self._note(code, message, (*trail, "stars"))
        return None

    def _text(self, entry: dict[str, Json], key: str, trail: Trail) -> str:
        data = entry.get(key)
        if isinstance(data, str) and (data or key == "note"):
            return data
        if data is not None:
            hint = f'put it in quotes: {key}: "{data}"' if isinstance(data, (int, float)) else None
            self._note("wrong_type", f"`{key}` must be text, not {shown(data)}", (*trail, key), hint)
        return ""

    def _check_keys(self, data: dict[str, Json], trail: Trail, known: tuple[str, ...]) -> None:
        for key in data:
            if key not in known:
                inside = f" in an entry of `{trail[0]}`" if len(trail) > 1 else " in a decision" if trail else ""
                at = self.document.key_place((*trail, key))
                self.problems.note(Problem("unknown_key", f"unknown key `{key}`{inside}", at, near_word(key, known)))

    def _check_repeats(self, entries: list[Pick], verdicts: dict[Pick, str]) -> list[Pick]:
        """Refuse two decisions of one person about a cell; lines that repeat one, as after a merge, are returned."""
        first: dict[tuple[str, str], Pick] = {}
        again = []
        for entry in entries:
            before = first.setdefault((entry.id, entry.by), entry)
            if before is entry:
                continue
            said = [_said(verdicts[one], one) for one in (before, entry)]
            if len(entry.trail) == 1 and said[0] == said[1]:
                again.append(entry)
                continue
            lines = [self.document.place(one.trail).line for one in (before, entry)]
            twice = f"decided twice by {entry.by}" if entry.by else "decided twice"
            message = f"`{entry.id}` is {twice}: {said[0]} on line {lines[0]}, {said[1]} on line {lines[1]}"
            self._note("decided_twice", message, entry.trail, "keep one of the two lines")
        return again

    def _note(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        self.problems.note(Problem(code, message, self.document.place(trail), hint))


def is_reviewer_name(text: str) -> bool:
    """Whether a text can be the name of a person who decides."""
    return 0 < len(text) <= MAX_NAME and text.isprintable() and text == text.strip()


def _said(verdict: str, pick: Pick) -> str:
    """A decision as a message says it."""
    stars = f" with {pick.stars} star{'' if pick.stars == 1 else 's'}" if pick.stars else ""
    note = f" and the note {shown(pick.note)}" if pick.note else ""
    return f"{'picked' if verdict == 'pick' else 'rejected'}{stars}{note}"


def _about_picks(problem: Problem) -> Problem:
    """A problem of loading in the words of a picks file."""
    if problem.code == CONFLICT:
        return replace(problem, hint=_MERGE_HINT)
    words = {"second_document": "a picks file contains one document; a second one starts here"}
    message = words.get(problem.code, problem.message.replace("a pipeline file", "a picks file"))
    hint = problem.hint and problem.hint.replace("a pipeline is a YAML file", "a picks file is a YAML file")
    return replace(problem, message=message, hint=hint)
