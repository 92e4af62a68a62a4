"""`report:`: how the page of a run is arranged when it opens."""

from collections.abc import Mapping, Sequence

from krea_pipe.core.json_data import Json
from krea_pipe.pipeline.model import ReportView, Stage
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.axes import UPSTREAM
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.problems import Problems

SORTS = ("time", "cost", "stars")
"""What cells can be sorted by besides an axis."""


def read_report_view(data: Mapping[str, Json], stages: Sequence[Stage], problems: Problems) -> ReportView | None:
    """The arrangement that a file asks for; None if it leaves that to the page.

    Args:
        data: the mapping under `report`, as far as it follows the schema.
        stages: the stages of the pipeline, whose axes can be named.
        problems: collects axes and orders that do not exist.
    """
    if not data:
        return None
    names = {axis.name for stage in stages for axis in stage.axes}
    known = names | {f"{UPSTREAM}.{name}" for name in names}
    rows, columns = (_axes(data, kind, known, problems) for kind in ("rows", "columns"))
    for name in set(rows or ()) & set(columns or ()):
        trail = ("report", "columns", list(columns or ()).index(name))
        problems.add("axis_twice", f"`{name}` is already in `rows`", trail, "remove it from `rows` or from `columns`")
    size = data.get("size")
    checks = {f"check.{check.name}" for stage in stages for check in stage.checks}
    sort = _sort(str(data.get("sort", "")), known, checks, problems)
    return ReportView(rows, columns, size if isinstance(size, int) else None, sort)


def _axes(data: Mapping[str, Json], kind: str, known: set[str], problems: Problems) -> tuple[str, ...] | None:
    listed = data.get(kind)
    if not isinstance(listed, list):
        return None
    for place, name in enumerate(listed):
        _check_axis(str(name), ("report", kind, place), known, problems)
    return tuple(map(str, listed))


def _sort(sort: str, known: set[str], checks: set[str], problems: Problems) -> str:
    order = sort.removeprefix("-")
    if order.startswith("axis."):
        _check_axis(order.removeprefix("axis."), ("report", "sort"), known, problems)
    elif order and order not in SORTS and order not in checks:
        axis = f"`axis.{order}`" if order in known else None
        hint = (
            f"did you mean {axis}?"
            if axis
            else suggestion(order, [*SORTS, *checks, *(f"axis.{name}" for name in known)])
        )
        problems.add("unknown_order", f"cells cannot be sorted by `{order}`", ("report", "sort"), hint)
    return sort


def _check_axis(name: str, trail: Trail, known: set[str], problems: Problems) -> None:
    if name not in known and not problems.was_dropped(name):
        problems.add("unknown_axis", f"no stage has an axis `{name}`", trail, _hint(name, known))


def _hint(name: str, known: set[str]) -> str | None:
    own = [one for one in known if not one.startswith(f"{UPSTREAM}.")]
    return suggestion(name, known if name.startswith(f"{UPSTREAM}.") else own)
