"""What a stage uses of a file: every value that ends in a request, a path or a rule."""

from collections.abc import Iterable, Iterator

from krea_pipe.core.fields import LISTS
from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import Stage, Value
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.template.template import is_template


def values_of(stage: Stage, library: Library) -> Iterator[tuple[str, Value]]:
    """Every value of a stage, with the name of what it sets."""
    own = [*stage.fields.items(), *_of_axes(stage)]
    own += [one for matrix in stage.matrices for rule in matrix.patch for one in rule.sets.items()]
    looks = looks_of(own)
    for name, look in library.looks.items():
        if name in looks or any(is_template(one) for one in looks):
            own += look.fields.items()
    yield from own
    for kind, names in named(own).items():
        sets = (library.references[name] for name in names if kind == "references" and name in library.references)
        yield from (("images", image) for one in sets for image in one.images)
        strengths = (library.names(kind)[name].strength for name in names if name in library.names(kind))
        yield from (("strength of a list", strength) for strength in strengths if strength)
    for rule in (rule for matrix in stage.matrices for rule in matrix.exclude + matrix.patch):
        if rule.condition is not None:
            yield "if", rule.condition
    if stage.out is not None:
        yield "out", stage.out


def named(values: Iterable[tuple[str, Value]]) -> dict[str, set[str]]:
    """The names of references, moodboards and styles that some values use."""
    used = {kind: set[str]() for kind in LISTS}
    for name, value in values:
        if name in LISTS and isinstance(value.data, list):
            used[name].update(str(one) for one in value.data)
    return used


def looks_of(values: Iterable[tuple[str, Value]]) -> set[str]:
    """The names of looks that some values use."""
    return {str(value.data) for name, value in values if name == "look" and value.data is not None}


def _of_axes(stage: Stage) -> Iterator[tuple[str, Value]]:
    for axis in (*stage.axes, *stage.fixed):
        for value in axis.values:
            yield from value.sets.items()
            if value.is_dynamic and not value.sets:
                yield axis.name, Value(list(_texts(value.data)), value.trail)


def _texts(data: Json) -> Iterator[Json]:
    if isinstance(data, dict):
        for one in data.values():
            yield from _texts(one)
    elif isinstance(data, list):
        for one in data:
            yield from _texts(one)
    else:
        yield data
