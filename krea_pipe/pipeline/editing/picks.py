"""Which cells of a stage a person has chosen, as a committed file says."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import near_word
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.pipeline.nodes import collect_nodes
from krea_pipe.pipeline.source import Document, Trail, read_document

FILE_KEYS = ("stage", "picks", "rejected")
PICK_KEYS = ("id", "stars", "note")
MAX_STARS = 5

_SHAPE = "write a cell's id, or {id: explore/serum/s1, stars: 5, note: keep the droplets}"
_STARTER = "write `stage: explore`, and under `picks:` a list of cell ids"


@dataclass(frozen=True, slots=True)
class Pick:
    """One chosen, or rejected, cell: its id, 1 to 5 stars (None: not said), a note, and where it stands in the file."""

    id: str
    stars: int | None = None
    note: str = ""
    trail: Trail = ()


@dataclass(frozen=True, slots=True)
class Picks:
    """A picks file: the stage that it is about, the chosen cells and the rejected ones, in the order of the file."""

    document: Document
    stage: str
    picks: tuple[Pick, ...]
    rejected: tuple[Pick, ...]


def read_picks(file: Path) -> Picks:
    """Read one picks file.

    Raises:
        InvalidInput: with every problem of the file, each with its place.
    """
    try:
        document = read_document(file)
    except InvalidInput as error:
        raise InvalidInput(*map(_about_picks, error.problems)) from error
    return picks_of(document)


def parse_picks(text: str, file: Path) -> Picks:
    """Parse the text of a picks file; `file` is for the places of problems.

    Raises:
        InvalidInput: with every problem of the text.
    """
    try:
        root, problems = collect_nodes(file, text)
    except InvalidInput as error:
        raise InvalidInput(*map(_about_picks, error.problems)) from error
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return picks_of(Document(file, text, root, digest, tuple(problems)))


def picks_of(document: Document) -> Picks:
    """What a document says as a picks file.

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
        if not isinstance(data, dict):
            self._note("wrong_type", f"a picks file must be a mapping, not {shown(data)}", (), _STARTER)
            raise InvalidInput(*self.problems.all())
        self._check_keys(data, (), FILE_KEYS)
        lists = {key: tuple(self._entries(key, data.get(key))) for key in ("picks", "rejected")}
        self._check_repeats(*lists["picks"], *lists["rejected"])
        stage = self._stage(data)
        self.problems.check()
        return Picks(self.document, stage, lists["picks"], lists["rejected"])

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

    def _entries(self, key: str, data: Json) -> Iterator[Pick]:
        if data is None:
            return
        if not isinstance(data, list):
            self._note("wrong_type", f"`{key}` must be a list, not {shown(data)}", (key,), f"{key}: [a cell's id]")
            return
        for index, entry in enumerate(data):
            pick = self._entry(entry, (key, index))
            if pick is not None:
                yield pick

    def _entry(self, entry: Json, trail: Trail) -> Pick | None:
        if isinstance(entry, str) and entry:
            return Pick(entry, trail=trail)
        if not isinstance(entry, dict):
            said = "has no value" if entry is None else f"cannot be {shown(entry)}"
            self._note("wrong_type", f"an entry of `{trail[0]}` {said}", trail, _SHAPE)
            return None
        self._check_keys(entry, trail, PICK_KEYS)
        stars, note = self._stars(entry.get("stars"), trail), self._text(entry, "note", trail)
        if entry.get("id") is None:
            self._note("missing_key", f"an entry of `{trail[0]}` needs `id`", trail, _SHAPE)
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
                inside = f" in an entry of `{trail[0]}`" if trail else ""
                at = self.document.key_place((*trail, key))
                self.problems.note(Problem("unknown_key", f"unknown key `{key}`{inside}", at, near_word(key, known)))

    def _check_repeats(self, *entries: Pick) -> None:
        """Refuse a cell that stands in the file twice, in one list or in both."""
        first: dict[str, Pick] = {}
        for entry in entries:
            before = first.setdefault(entry.id, entry)
            if before is entry:
                continue
            line = self.document.place(before.trail).line
            if before.trail[0] == entry.trail[0]:
                message = f"{entry.id} is already in line {line}"
                self._note("repeated_value", message, entry.trail, "remove one of the two")
            else:
                message = f"{entry.id} is rejected here and picked in line {line}"
                self._note("picked_and_rejected", message, entry.trail, "keep one of the two")

    def _note(self, code: str, message: str, trail: Trail, hint: str | None = None) -> None:
        self.problems.note(Problem(code, message, self.document.place(trail), hint))


def _about_picks(problem: Problem) -> Problem:
    """A problem of loading in the words of a picks file."""
    if problem.code == "empty_file":
        return replace(problem, hint=_STARTER)
    words = {"second_document": "a picks file contains one document; a second one starts here"}
    message = words.get(problem.code, problem.message.replace("a pipeline file", "a picks file"))
    hint = problem.hint and problem.hint.replace("a pipeline is a YAML file", "a picks file is a YAML file")
    return replace(problem, message=message, hint=hint)
