"""The names of exported images in one folder: from the ids of cells, or from a template."""

from collections import Counter
from collections.abc import Mapping, Sequence

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.excerpts import shown
from krea_pipe.matrix.out_paths import case_folded, flaw_of_part, without_image_suffix
from krea_pipe.matrix.rendering import CellProblem, Renderer
from krea_pipe.pipeline.model import Value
from krea_pipe.report.export.archive import image_suffix, safe_part, unique_path
from krea_pipe.report.export.selected_images import SelectedImage
from krea_pipe.report.model import Report, Row


def names_by_id(images: Sequence[SelectedImage]) -> dict[str, str]:
    """The name of each image by the id of its cell: the parts of the id after the stage, as in `slate-s1.png`.

    Images that would have the same name get the name of their stage too.
    """
    short = {one.row.id: _joined(one.row.id.partition("/")[2] or one.row.id) for one in images}
    counts = Counter(map(case_folded, short.values()))
    taken: set[str] = set()
    return {
        one.row.id: unique_path(
            (short[one.row.id] if counts[case_folded(short[one.row.id])] == 1 else _joined(one.row.id))
            + image_suffix(one.row.image),
            taken,
        )
        for one in images
    }


def names_by_template(report: Report, images: Sequence[SelectedImage], template: str) -> dict[str, str]:
    """The name of each image by the id of its cell, as a template gives it.

    Args:
        report: the run.
        images: the images that are exported.
        template: as for `out`; it reads the axes, the fields of the request, `stage`, `cell`, `source`, `pipeline`,
            and of the decision `stars`, `note` and `by`.

    Raises:
        UsageError: it cannot be rendered, gives a name that some disk refuses, or gives two images the same name.
    """
    renderer, value = Renderer(), Value(template, ("--names",))
    rows = {row.id: row for row in report.rows}
    names: dict[str, str] = {}
    owners: dict[str, str] = {}
    for one in images:
        context = _context(report, one, rows)
        try:
            text = without_image_suffix(renderer.text(value, context).strip())
        except CellProblem as error:
            hint = error.hint or f"the names are {', '.join(context)}"
            raise _refused(one.row, str(error), hint) from error
        if flaw := _flaw(text):
            raise _refused(one.row, *flaw)
        owner = owners.setdefault(case_folded(text), one.row.id)
        if owner != one.row.id:
            message = f"--names: {owner} and {one.row.id} would both be named {text}"
            raise UsageError(Problem("name_collision", message, hint=_collision_hint(rows[owner], one.row)))
        names[one.row.id] = text + image_suffix(one.row.image)
    return names


def _context(report: Report, image: SelectedImage, rows: Mapping[str, Row]) -> dict[str, object]:
    row, pick = image.row, image.pick
    source = rows.get(row.source or "")
    own = {name: value for name, value in row.axes.items() if "." not in name}
    return {
        **row.request,
        "stage": row.stage,
        "cell": _joined(row.id.partition("/")[2] or row.id),
        "pipeline": report.pipeline.name,
        "source": {**source.request, "id": source.id, "axes": dict(source.axes)} if source else {},
        "stars": pick.stars or "" if pick else "",
        "note": pick.note if pick else "",
        "by": pick.by if pick else "",
        **own,
    }


def _joined(identity: str) -> str:
    return safe_part(identity.replace("/", "-"))


def _flaw(name: str) -> tuple[str, str] | None:
    """Why a name cannot be used, and what to do."""
    if not name:
        return "the name is empty", "add {{ cell }}"
    if "/" in name:
        return f"the name {shown(name)} has a /, but all images are in one folder", "write - instead"
    found = flaw_of_part(name)
    return (f"the name is {shown(name)}, {found[1]}", found[2]) if found else None


def _refused(row: Row, message: str, hint: str) -> UsageError:
    return UsageError(Problem("bad_name", f"--names, for {row.id}: {message}", hint=hint))


def _collision_hint(first: Row, second: Row) -> str:
    """A name to add to the template, by which the two images differ."""
    differing = [axis for axis, value in second.axes.items() if "." not in axis and first.axes.get(axis) != value]
    added = next(iter(differing), "stage" if first.stage != second.stage else "cell")
    return f"add {{{{ {added} }}}} to the template"
