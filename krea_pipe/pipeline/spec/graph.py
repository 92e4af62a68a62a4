"""How stages hang together: `for_each` and `needs` name stages that are there, and lead in no circle."""

from collections.abc import Mapping, Sequence

from krea_pipe.pipeline.model import Stage
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.problems import Problems

MAX_DEPTH = 200


def check_graph(stages: Sequence[Stage], problems: Problems) -> None:
    """Refuse stages that nothing defines, circles, and picks of another stage."""
    known = {stage.name: stage for stage in stages}
    circles = set[frozenset[str]]()
    for stage in stages:
        for name, trail in _edges(stage):
            if name not in known and not problems.has_lost(name):
                hint = suggestion(name, [one for one in known if one != stage.name])
                problems.add("unknown_stage", f"there is no stage `{name}`", trail, hint)
        if _depth(stage, known) > MAX_DEPTH:
            message = f"more than {MAX_DEPTH} stages are drawn for each other"
            problems.add("too_many", message, (*stage.trail, "for_each"), "draw some of them without `for_each`")
        circle = _circle(stage, known)
        if circle and frozenset(circle) not in circles:
            circles.add(frozenset(circle))
            trail = next(trail for name, trail in _edges(stage) if name == circle[1])
            message = f"the stages wait for each other: {' → '.join(circle)}"
            problems.add("stage_cycle", message, trail, "a stage can only use stages that do not use it")
        _check_picks(stage, problems)


def _depth(stage: Stage, known: Mapping[str, Stage]) -> int:
    """How many stages a stage is drawn for, one after the other; a circle is said elsewhere."""
    depth, seen = 0, {stage.name}
    while stage.upstream is not None and stage.upstream.stage in known and stage.upstream.stage not in seen:
        stage = known[stage.upstream.stage]
        seen.add(stage.name)
        depth += 1
        if depth > MAX_DEPTH:
            break
    return depth


def _edges(stage: Stage) -> list[tuple[str, Trail]]:
    """The stages that a stage waits for, and where it says so."""
    edges: list[tuple[str, Trail]] = []
    if stage.upstream is not None:
        edges.append((stage.upstream.stage, stage.upstream.trail))
    return edges + [(name, (*stage.trail, "needs", index)) for index, name in enumerate(stage.needs)]


def _circle(start: Stage, known: Mapping[str, Stage]) -> list[str] | None:
    """A way from a stage back to itself, if there is one."""
    waiting, seen = [[start.name]], {start.name}
    while waiting:
        path = waiting.pop()
        for name, _ in _edges(known[path[-1]]):
            if name == start.name:
                return [*path, name]
            if name in known and name not in seen:
                seen.add(name)
                waiting.append([*path, name])
    return None


def _check_picks(stage: Stage, problems: Problems) -> None:
    upstream = stage.upstream
    if upstream is None or upstream.picks is None:
        return
    picks = upstream.picks
    if picks.stage != upstream.stage:
        message = f"{picks.document.file.name} holds picks of `{picks.stage}`, and this stage is for `{upstream.stage}`"
        problems.add("other_stage", message, (*stage.trail, "picks"), "name the picks file of that stage")
