"""The files of a sheet: a PDF, or a PNG for each page; what is no sheet is never replaced."""

import re
from pathlib import Path

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.sheet.model import Sheet
from krea_pipe.report.sheet.paint import MARK, Brush
from krea_pipe.report.sheet.pdf import sheet_pdf
from krea_pipe.report.sheet.png import page_png
from krea_pipe.store.atomic import write_atomically

SUFFIXES = (".pdf", ".png")


def check_path(path: Path) -> None:
    """Refuse a file that cannot be a sheet.

    Raises:
        UsageError: it has no suffix of a sheet, or is a folder.
    """
    if path.suffix.lower() not in SUFFIXES:
        message = f"a sheet is a PDF or a PNG, and {path} is neither"
        raise UsageError(Problem("unknown_suffix", message, hint=f"write {path.with_suffix('.pdf')}"))


def page_files(sheet: Sheet, path: Path) -> list[Path]:
    """The files that a sheet becomes: several pages of PNG are numbered.

    Raises:
        UsageError: one of them exists and is no sheet.
    """
    check_path(path)
    count = len(sheet.pages)
    files = [path]
    if path.suffix.lower() == ".png" and count > 1:
        digits = len(str(count))
        files = [path.with_name(f"{path.stem}-{at:0{digits}}{path.suffix}") for at in range(1, count + 1)]
    problems = [_in_the_way(file) for file in files if _is_foreign(file)]
    if problems:
        raise UsageError(*problems)
    return files


def write_sheet(sheet: Sheet, files: list[Path], brush: Brush) -> None:
    """Write the files of a sheet, page by page, and drop the pages of an earlier sheet that had more.

    Raises:
        StateError: they cannot be written.
    """
    if files[0].suffix.lower() == ".pdf":
        write_atomically(files[0], sheet_pdf(sheet, brush), durable=False)
        return
    for page, file in zip(sheet.pages, files, strict=True):
        write_atomically(file, page_png(sheet, page, brush), durable=False)
    if len(files) > 1:
        _drop_others(files)


def _drop_others(files: list[Path]) -> None:
    stem, suffix = files[0].stem.rpartition("-")[0], files[0].suffix
    numbered = re.compile(re.escape(stem) + r"-\d+" + re.escape(suffix))
    for path in files[0].parent.iterdir():
        if numbered.fullmatch(path.name) and path not in files and not _is_foreign(path):
            path.unlink()


def _is_foreign(path: Path) -> bool:
    """Whether something is there that is not a sheet of ours."""
    if not path.exists():
        return path.is_symlink()
    try:
        data = path.read_bytes()
    except OSError:
        return True
    return bool(data) and MARK.encode() not in data


def _in_the_way(path: Path) -> Problem:
    return Problem("file_in_the_way", f"{path} exists and is no contact sheet", hint="move it away, or use --out")
