"""`krea-pipe sheet`: a printed contact sheet of a finished run."""

import os
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.cli.completing import run_argument, stages_option
from krea_pipe.cli.messages import print_json, print_partial, print_replaced
from krea_pipe.cli.options import FILE, Number, SelectFlags, json_option, replace_option, select_options, selection
from krea_pipe.report.folder import find_run, read_report, space_of
from krea_pipe.report.model import cells_of
from krea_pipe.report.row_selection import select_rows
from krea_pipe.report.sheet.arrange import AxisChoice, arrange_stage, check_axes, stages_of
from krea_pipe.report.sheet.draw import Painter, check_fuller, check_path, page_files, pictures_of, write_sheet
from krea_pipe.report.sheet.model import Sheet
from krea_pipe.report.sheet.pages import Paper, make_sheet
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.typeface import FontSet
from krea_pipe.report.thumbnails import digests_of, import_thumbnails
from krea_pipe.store.home import open_home


class _Flags(SelectFlags):
    """Which cells, and how the sheet is laid out."""

    stages: tuple[str, ...]
    rows: str | None
    columns: str | None
    size: int
    max_megapixels: float
    title: str | None
    replace_fuller: bool


@click.command()
@run_argument
@select_options
@click.option(
    "--out",
    type=FILE,
    default=Path("sheet.pdf"),
    show_default=True,
    help="A .pdf file, or .png files, one for each page.",
)
@stages_option
@click.option("--rows", metavar="AXIS[,AXIS]", help="The axes of the rows.  [default: the last axis but one]")
@click.option("--columns", metavar="AXIS[,AXIS]", help="The axes of the columns.  [default: the last axis]")
@click.option(
    "--size", type=click.IntRange(32, 4096), default=360, show_default=True, help="The side of a picture in pixels."
)
@click.option(
    "--max-megapixels",
    type=Number(0.5, 170),
    default=40,
    show_default=True,
    help="The largest page; the rest continues on the next page.",
)
@click.option("--title", help="The heading.  [default: the pipeline's name]")
@replace_option
@json_option
def sheet(run: str | None, *, out: Path, as_json: bool, **options: Unpack[_Flags]) -> int:
    """Create a contact sheet of a finished run, with captions.

    RUN is a run id, the start of a run id, or a run folder; the default is the latest run. Each stage starts on a new
    page; the values of axes that are neither rows nor columns become block headings. Multiple PNG pages are numbered:
    sheet-1.png, sheet-2.png. An earlier sheet is replaced, unless it has more pictures and the new one is partial; any
    other file is kept.

    Latin, Greek and Cyrillic are built in. Other scripts need fonts on this machine, for example Noto Sans CJK for
    Chinese, Japanese and Korean. Letters that no font contains become empty boxes.
    """
    check_path(out)
    home = open_home(os.environ)
    folder = find_run(home, run)
    found = read_report(folder)
    which, expected = selection(options), cells_of(found)
    if not which.is_all:
        found = select_rows(found, which)
    wanted = AxisChoice(_names(options["rows"]), _names(options["columns"]))
    chosen = stages_of(found, options["stages"])
    check_axes([stage for stage, _ in chosen], wanted)
    fonts = FontSet()
    paper = Paper(options["size"], options["max_megapixels"], even=out.suffix.lower() == ".pdf")
    contact_sheet = make_sheet(
        found,
        [arrange_stage(stage, rows, wanted) for stage, rows in chosen],
        paper,
        title=options["title"] or found.pipeline.name,
        fonts=fonts,
    )
    cells = sum(len(rows) for _, rows in chosen)
    files = page_files(contact_sheet, out)
    if options["stages"] or not which.is_all:
        expected = cells
    earlier = check_fuller(contact_sheet, files, expected, replace_fuller=options["replace_fuller"])
    space = space_of(found, home)
    import_thumbnails(folder / "thumbnails", digests_of(found), space)
    painter = Painter(space, folder / found.base, Typesetter(fonts, paper.side))
    write_sheet(contact_sheet, files, painter)
    if not as_json:
        print_replaced(out, earlier, pictures_of(contact_sheet))
    _say(contact_sheet, files, cells, expected, painter.missing, as_json=as_json)
    return 0


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _say(made: Sheet, files: list[Path], cells: int, expected: int, missing: list[str], *, as_json: bool) -> None:
    pages, pictures = len(made.pages), pictures_of(made) - len(missing)
    if as_json:
        counts = {"pages": pages, "cells": cells, "pictures": pictures, "expected": expected, "missing": missing}
        head = {"schema": "krea-pipe/sheet@1", "run_id": made.run_id, "files": [str(file) for file in files]}
        print_json({**head, **counts})
        return
    print_partial(pictures, expected)
    for name in missing[:10]:
        click.echo(
            f"{click.style('missing', fg='yellow', bold=True)} {name}: its picture is missing or damaged", err=True
        )
    if len(missing) > 10:
        click.echo(f"… and {len(missing) - 10} more", err=True)
    click.echo(f"{cells} {'cell' if cells == 1 else 'cells'} on {pages} {'page' if pages == 1 else 'pages'}")
    for file in files:
        click.echo(f"sheet   {file}")
