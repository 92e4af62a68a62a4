"""What a file defines by name (references, moodboards, styles, looks, axes, recipes, prompts), and what uses it."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias, cast

from krea_pipe.core.engine import EngineSpec
from krea_pipe.core.excerpts import shown
from krea_pipe.core.fields import LIST_FIELDS, SINGULARS, Allowed
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.written import unspelled
from krea_pipe.pipeline.cell_ids import Scalar
from krea_pipe.pipeline.model import AxisValue, Board, Look, Recipe, ReferenceSet, Value
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.engine import with_loras
from krea_pipe.pipeline.spec.hints import nearest, suggestion
from krea_pipe.pipeline.spec.problems import Problems
from krea_pipe.pipeline.spec.recipes import read_recipes
from krea_pipe.pipeline.template import is_template

MAX_AXIS_VALUES = 150_000
"""Values of the axes of all matrices."""

ValueIndexes: TypeAlias = dict[int, tuple[Sequence[AxisValue], dict[tuple[bool, Scalar], list[int]]]]
"""Cached results by the identity of their values, which are kept beside them."""

SOURCE_IMAGE = re.compile(r"\bsource\s*\.\s*image\b")
"""A template's word for the picture of the upstream cell, which no text can hold."""


@dataclass(slots=True, eq=False)
class Library:
    """The definitions that stages use by name.

    An item that is written in place gets a separate name that no file can contain.

    `folder` is the pipeline file's, `root` the one that no file of it may leave. `allowed` are the values of request
    fields that `allow_unknown` names. `built` keeps what `axes` became; `counts` are the values and matrices of all
    stages so far.
    """

    problems: Problems
    folder: Path
    root: Path
    allowed: Allowed = field(default_factory=dict)
    prompts: dict[str, Value] = field(default_factory=dict)
    references: dict[str, ReferenceSet] = field(default_factory=dict)
    boards: dict[str, dict[str, Board]] = field(default_factory=lambda: {"moodboards": {}, "styles": {}})
    looks: dict[str, Look] = field(default_factory=dict)
    axes: dict[str, Json] = field(default_factory=dict)
    recipes: dict[str, Recipe] = field(default_factory=dict)
    built: dict[tuple[str, frozenset[str]], list[AxisValue]] = field(default_factory=dict)
    indexes: ValueIndexes = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(
        cls,
        data: Mapping[str, Json],
        problems: Problems,
        root: Path,
        allowed: Allowed,
        engine: EngineSpec | None,
    ) -> "Library":
        """Everything that a file defines by name; an engine has files for trained styles."""
        library = cls(problems, problems.document.file.resolve().parent, root, allowed)
        for name, text in mapping_in(data, "prompts").items():
            library.prompts[name] = Value(text, ("prompts", name))
        for kind in LIST_FIELDS:
            for name, item in mapping_in(data, kind).items():
                library.define(kind, name, item, (kind, name))
        if engine is not None:
            library.boards["styles"] = with_loras(engine, library.boards["styles"])
        looks = mapping_in(data, "looks")
        for name in looks:
            library.looks[name] = Look(library.fields(mapping_in(looks, name), ("looks", name)), ("looks", name))
        library.axes = mapping_in(data, "axes")
        library.recipes = read_recipes(data, problems)
        return library

    def fields(self, data: Mapping[str, Json], trail: Trail) -> dict[str, Value]:
        """The values of several request fields, under their names in a request."""
        self.refuse_both_names(data, trail)
        return {SINGULARS.get(key, key): self.field_value(key, one, (*trail, key)) for key, one in data.items()}

    def refuse_both_names(self, data: Mapping[str, Json], trail: Trail) -> None:
        """Refuse two names of one field side by side, because only one of them would count."""
        for one, kind in SINGULARS.items():
            if one in data and kind in data:
                message = f"`{one}` and `{kind}` are the same field"
                self.problems.add_key(
                    "name_taken", message, (*trail, one), f"remove it, and list everything under `{kind}`"
                )

    def define(self, kind: str, name: str, data: Json, trail: Trail) -> None:
        """Put one set of references, moodboard or style under a name."""
        item = cast("dict[str, Json]", data)
        strength = Value(item["strength"], (*trail, "strength")) if "strength" in item else None
        if kind != "references":
            identity = str(item["id"])
            self.boards[kind][name] = Board(identity.lower() if kind == "moodboards" else identity, strength, trail)
            return
        key = "images" if "images" in item else "image"
        images = item[key]
        values = [Value(images, (*trail, key))]
        if isinstance(images, list):
            values = [Value(one, (*trail, key, index)) for index, one in enumerate(images)]
        self.references[name] = ReferenceSet(tuple(values), strength, trail)

    def field_value(self, name: str, data: Json, trail: Trail) -> Value:
        """The value of a request field, with names resolved as far as the file alone can."""
        kind, data = SINGULARS.get(name, name), unspelled(data)
        if kind in LIST_FIELDS:
            items = data if isinstance(data, list) else [] if data is None else [data]
            return Value([self._use(kind, item, (*trail, index)) for index, item in enumerate(items)], trail)
        if name == "prompt":
            return self._prompt(data, trail)
        if name == "look" and data is not None:
            self._check_look(data, trail)
        return Value(data, trail)

    def _check_look(self, data: Json, trail: Trail) -> None:
        if is_template(data) or data in self.problems.dropped:
            return
        if not isinstance(data, str) or data not in self.looks:
            message = f"`looks:` does not define {shown(data)}"
            hint = suggestion(str(data), self.looks) or "define it: `looks: {plain: {}}`"
            self.problems.add("unknown_name", message, trail, hint)

    def count_values(self, count: int, trail: Trail) -> None:
        """Refuse a file whose matrices have too many values in total: stages may share long axes.

        Raises:
            InvalidInput: it is such a file.
        """
        self.counts["values"] += count
        if self.counts["values"] > MAX_AXIS_VALUES:
            message = f"the axes of all matrices have more than {MAX_AXIS_VALUES:,} values"
            self.problems.add_key("too_many", message, trail, "use long axes in fewer stages")
            self.problems.check()

    def names(self, kind: str) -> "Mapping[str, ReferenceSet | Board]":
        """The definitions of a kind: references, moodboards or styles."""
        return self.references if kind == "references" else self.boards[kind]

    def _use(self, kind: str, item: Json, trail: Trail) -> Json:
        if isinstance(item, dict):
            name = "@" + ".".join(str(step) for step in trail)
            self.define(kind, name, item, trail)
            return name
        if not isinstance(item, str):
            self.problems.add("wrong_type", f"{kind} are given by name, not by {shown(item)}", trail)
        elif SOURCE_IMAGE.search(item):
            hint = 'write {image: "{{ source.image }}"}' if kind == "references" else None
            self.problems.add("not_text", f"`source.image` is an image, not a name under `{kind}:`", trail, hint)
        elif item not in self.names(kind) and not is_template(item) and item not in self.problems.dropped:
            message = f"`{kind}:` does not define `{item}`"
            self.problems.add("unknown_name", message, trail, self._hint(kind, item))
        return item

    def _hint(self, kind: str, name: str) -> str | None:
        if kind == "references" and re.search(r"[/.:]", name):
            return f"to use a file, write {{image: {name}}}"
        if kind == "moodboards" and re.fullmatch(r"[0-9A-Fa-f-]{36}", name):
            return f"to use a moodboard by its id, write {{id: {name}}}"
        known = [one for one in self.names(kind) if not one.startswith("@")]
        return suggestion(name, known) or f"define it: `{kind}: {{{name}: {{…}}}}`"

    def _prompt(self, data: Json, trail: Trail) -> Value:
        if not isinstance(data, str) or not data.strip():
            what = "is empty" if data is None or isinstance(data, str) else f"must be text, not {shown(data)}"
            self.problems.add("wrong_type", f"a prompt {what}", trail)
            return Value(" ", trail)
        if data in self.prompts:
            return self.prompts[data]
        near = nearest(data, self.prompts) if re.fullmatch(r"\w+", data) else None
        if near:
            what = f"`prompts:` does not define `{data}`"
            self.problems.add("unknown_name", what, trail, f"did you mean `{near}`?")
        return Value(data, trail)


def value_indexes(wanted: Json, values: Sequence[AxisValue], known: ValueIndexes) -> Sequence[int]:
    """Which values a word in a rule or a matrix means: by the part in ids, or by the value itself."""
    if isinstance(wanted, (dict, list)):
        return ()
    if id(values) not in known:
        found: dict[tuple[bool, Scalar], list[int]] = {}
        for index, value in enumerate(values):
            for word in dict.fromkeys(((False, value.part), (isinstance(value.scalar, bool), value.scalar))):
                found.setdefault(word, []).append(index)
        known[id(values)] = values, found
    return known[id(values)][1].get((isinstance(wanted, bool), wanted), ())
