"""The corpus: pipeline files with what krea-pipe makes of them, in a small repository with images."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput, Problem
from krea_pipe.core.request import key_of, parse_source
from krea_pipe.matrix.matrix import Expansion
from krea_pipe.pipeline.references import Fingerprints

HERE = Path(__file__).parent


def build_repository(root: Path) -> Path:
    """Make a repository with images inside and one outside, and return its folder for pipelines."""
    references = root / "pipelines/refs"
    (references / "many").mkdir(parents=True)
    (root / ".git").mkdir()
    (root / "shared").mkdir()
    for number in range(11):
        _draw(references / f"many/{number:02}.png", number)
    for number, name in enumerate(("brand.png", "grain.png", "sheen.jpg", "../../shared/logo.png"), 20):
        _draw(references / name, number)
    (references / "copy.png").write_bytes((references / "brand.png").read_bytes())
    (references / "cut.png").write_bytes((references / "brand.png").read_bytes()[:18])
    (references / "notes.png").write_text("not an image\n")
    _draw(references / "tiny.png", 30, (64, 48))
    _draw(root.parent / "outside.png", 31)
    (references / "link.png").symlink_to(root.parent / "outside.png")
    shutil.copytree(HERE / "files", references.parent, dirs_exist_ok=True)
    for kind in ("subjects.csv", "lenses.txt"):
        (root.parent / kind).write_text("outside\n")
        (references / kind).symlink_to(root.parent / kind)
    return references.parent


def _draw(file: Path, number: int, size: tuple[int, int] = (600, 400)) -> None:
    Image.new("RGB", size, (number * 8, 90, 40)).save(file)


def problems_of(file: Path, *, max_cells: int = 100_000) -> tuple[Problem, ...]:
    """Every problem of a file, from loading to the last cell."""
    try:
        loaded = flow.load_pipeline(file)
        for _ in flow.cells(loaded, max_cells=max_cells):
            pass
    except InvalidInput as error:
        return error.problems
    return ()


def render(problems: Iterable[Problem], file: Path) -> str:
    """Problems as in the corpus: place, code, message and hint, without the path of the pipeline's own file."""
    lines = []
    for problem in problems:
        place = f"{problem.at.line}:{problem.at.column}" if problem.at else "-"
        if problem.at and problem.at.path != file:
            place = f"{problem.at.path.relative_to(file.parent).as_posix()}:{place}"
        lines.append(f"{place} {problem.code}: {problem.message}")
        lines += [f"  hint: {problem.hint}"] if problem.hint else []
    return "".join(f"{line}\n" for line in lines).replace(str(file), file.name)


def render_cells(file: Path) -> tuple[str, str]:
    """The cells of a file as JSON lines, with pictures by the names of their files or cells, and what is noted."""
    loaded = flow.load_pipeline(file)
    expansion = Expansion(loaded.pipeline, loaded.fingerprints)
    lines, cells = [], list(expansion.cells())
    ids = {f"key:{key_of(cell.request)}": cell.id for cell in reversed(cells)}
    for cell in cells:
        fields = _named(cell.request.fields(), loaded.fingerprints, ids)
        line = {
            "id": cell.id,
            "out": cell.out,
            "axes": dict(zip(cell.names, cell.axes, strict=True)),
            "request": fields,
        }
        lines.append(json.dumps(line, ensure_ascii=False))
    waiting = [f"{one.stage} waits for {one.wants} picks, ${one.usd_each} each\n" for one in expansion.waiting]
    return "".join(f"{line}\n" for line in lines), render([*loaded.warnings, *expansion.warnings], file) + "".join(
        waiting
    )


def _named(fields: dict, fingerprints: Fingerprints, ids: dict[str, str]) -> dict:
    pictures = [*fields.get("image_style_references", ()), *([fields["image"]] if "image" in fields else [])]
    for picture in pictures:
        source = picture["image"]
        picture["image"] = (
            f"cell:{ids[source]}" if source in ids else fingerprints.by_source[parse_source(source)].label
        )
    return fields
