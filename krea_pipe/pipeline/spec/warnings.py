"""What a file may say, but probably does not mean."""

from collections.abc import Iterable, Iterator

from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import LISTS, STRENGTHS
from krea_pipe.pipeline.model import Stage
from krea_pipe.pipeline.spec.library import Library
from krea_pipe.pipeline.spec.uses import looks_of, named, values_of


def strength_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about strengths that only Krea's older guides allow, in definitions and in axes."""
    found = [(kind, item.strength) for kind in LISTS for item in library.names(kind).values() if item.strength]
    axes = [axis for stage in stages for axis in (*stage.axes, *stage.fixed) if "." in axis.name]
    sets = [(axis.name, value.sets) for axis in axes for value in axis.values if axis.name in value.sets]
    found += [(name.partition(".")[0], own[name]) for name, own in sets]
    for kind, strength in found:
        low, high = STRENGTHS[kind].sure
        if isinstance(strength.data, (int, float)) and not low <= strength.data <= high:
            at = library.problems.document.place(strength.trail)
            message = f"the strength {strength.data:g} of {kind} is outside {low:g} to {high:g}"
            yield Problem("unsure_strength", message, at, "only Krea's older guides allow it; it may be refused")


def unused_warnings(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about references, moodboards and styles that no stage uses: nothing of them would be sent."""
    used = named(value for stage in stages for value in values_of(stage, library))
    dynamic = any("{{" in name for names in used.values() for name in names)
    for kind in LISTS if not dynamic else ():
        for name in library.names(kind):
            if name not in used[kind]:
                at = library.problems.document.key_place((kind, name))
                hint = f"use it with `defaults: {{{kind}: [{name}]}}` or in a stage"
                yield Problem("unused_definition", f"no stage uses `{name}` of `{kind}:`", at, hint)
    yield from _unused_names(library, stages)


def _unused_names(library: Library, stages: Iterable[Stage]) -> Iterator[Problem]:
    """Warn about looks and shared axes that no stage uses."""
    looks = {one for stage in stages for one in looks_of(values_of(stage, library))}
    axes = {axis.name for stage in stages for axis in (*stage.axes, *stage.fixed)}
    for kind, names, used in (("looks", library.looks, looks), ("axes", library.axes, axes)):
        for name in names:
            if name not in used and not any("{{" in one for one in used):
                at = library.problems.document.key_place((kind, name))
                yield Problem("unused_definition", f"no stage uses `{name}` of `{kind}:`", at, "use it, or remove it")
