"""The corpus: pipeline files with what krea-pipe makes of them, in a small repository with images."""

import json
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from krea_pipe import flow
from krea_pipe.errors import InvalidInput, Problem
from krea_pipe.references import Fingerprints

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
    return references.parent


def _draw(file: Path, number: int, size: tuple[int, int] = (600, 400)) -> None:
    Image.new("RGB", size, (number * 8, 90, 40)).save(file)


def problems_of(file: Path, *, max_cells: int = 100_000) -> tuple[Problem, ...]:
    """Every problem of a file, from loading to the last cell."""
    try:
        loaded = flow.load(file)
        for _ in flow.cells(loaded, max_cells=max_cells):
            pass
    except InvalidInput as error:
        return error.problems
    return ()


def render(problems: Iterable[Problem]) -> str:
    """Problems as in the corpus: place, code, message and hint, without the file's path."""
    lines = []
    for problem in problems:
        place = f"{problem.at.line}:{problem.at.column}" if problem.at else "-"
        lines.append(f"{place} {problem.code}: {problem.message}")
        lines += [f"  hint: {problem.hint}"] if problem.hint else []
    return "".join(f"{line}\n" for line in lines)


def render_cells(file: Path) -> tuple[str, str]:
    """The cells of a file as JSON lines, with references by the names of their files, and its warnings."""
    loaded = flow.load(file)
    lines = []
    for cell, _ in flow.cells(loaded):
        fields = _named(cell.request.fields(), loaded.fingerprints)
        lines.append(json.dumps({"id": cell.id, "out": cell.out, "request": fields}, ensure_ascii=False))
    return "".join(f"{line}\n" for line in lines), render(loaded.warnings)


def _named(fields: dict, fingerprints: Fingerprints) -> dict:
    for reference in fields.get("image_style_references", ()):
        reference["image"] = fingerprints.by_source[reference["image"]].label
    return fields
