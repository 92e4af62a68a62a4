"""What every form of a comparison says in the same words."""

from krea_pipe.core.errors import Problem
from krea_pipe.pipeline.pricing import usd
from krea_pipe.report.compare.model import Comparison, Kind

KIND_WORDS: dict[Kind, str] = {
    "new": "new",
    "changed": "changed",
    "moved": "moved",
    "gone": "gone",
    "same": "untouched",
}


def headline(made: Comparison) -> str:
    """What the change comes to, in one breath: images by what becomes of them, and the price."""
    rendered, images = made.count("new") + made.count("changed"), made.images()
    parts = {kind: f"{made.count(kind):,} {KIND_WORDS[kind]}" for kind in KIND_WORDS if made.count(kind)}
    if "moved" in parts:
        parts["moved"] += " (free)"
    counts = [", ".join(parts[kind] for kind in kinds if kind in parts) for kinds in _GROUPS]
    found = "; ".join(one for one in counts if one)
    if not rendered:
        return f"Renders nothing: {found}." if found else "Renders nothing."
    verb = "Re-renders" if made.count("changed") else "Renders"
    requests = made.rendered()
    shared = f" ({_counted(requests.count, 'request')})" if requests.count != rendered else ""
    return f"{verb} {rendered:,} of {_counted(images, 'image')}{shared} for {usd(requests.usd)}: {found}."


_GROUPS: tuple[tuple[Kind, ...], ...] = (("changed", "new"), ("moved", "gone", "same"))


def stored_words(made: Comparison) -> str:
    """What of that the store has already, "" when it has nothing."""
    stored, unpaid = made.stored(), made.unpaid()
    if not stored.count:
        return ""
    if not unpaid.count:
        return "The store has all of them already, so a run would pay nothing."
    return f"The store has {stored.count:,} of them already, so a run would pay {usd(unpaid.usd)}."


def base_words(made: Comparison) -> str:
    """Between which two states the images were compared."""
    head = f", as {made.head.words} has it" if made.head.commit else ""
    old = f", where it is {made.old_file}" if made.old_file else ""
    return f"{made.file}{head}, against {made.base.words}{old}"


def problem_words(problem: Problem) -> str:
    """Why the base has no cells, on one line."""
    if problem.code == "new_file":
        return f"{problem.message}, so everything is new."
    where = f"{problem.at}: " if problem.at else ""
    return " ".join(f"The base cannot be used, so everything counts as new: {where}{problem.message}".split())


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
