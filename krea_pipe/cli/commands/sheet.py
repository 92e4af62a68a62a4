"""`krea-pipe sheet`: a printed contact sheet of a finished run."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.cli.cell_options import SelectFlags, select_options, selection
from krea_pipe.cli.completing import stages_option
from krea_pipe.cli.messages import print_json, print_partial, print_replaced
from krea_pipe.cli.options import FILE, Number, json_option, replace_option
from krea_pipe.cli.report_source import (
    ReportSource,
    SourceFlags,
    assembled_json,
    read_source,
    say_missing,
    say_waiting,
    source_options,
)
from krea_pipe.core.errors import NothingSelected, Problem, UsageError
from krea_pipe.report.export.selected_images import check_missing, read_selected_picks, selected_images
from krea_pipe.report.model import Report, cells_of
from krea_pipe.report.row_selection import select_rows
from krea_pipe.report.sheet.arrange import AxisChoice, StageLayout, arrange_stage, check_axes, list_cells, stages_of
from krea_pipe.report.sheet.draw import Painter, check_fuller, check_path, page_files, pictures_of, write_sheet
from krea_pipe.report.sheet.model import Sheet
from krea_pipe.report.sheet.pages import PageLimits, make_sheet
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.print_pages import PAPER_SIZES, Paper, PaperName, print_sheet
from krea_pipe.report.sheet.typeface import FontSet
from krea_pipe.report.thumbnails import digests_of, import_thumbnails


class _Flags(SelectFlags, SourceFlags):
    """Which cells, and how the sheet is laid out."""

    stages: tuple[str, ...]
    rows: str | None
    columns: str | None
    size: int | None
    max_megapixels: float | None
    paper: PaperName | None
    per_page: int | None
    landscape: bool
    picks: bool
    allow_missing: bool
    title: str | None
    replace_fuller: bool


@click.command()
@source_options
@select_options
@click.option(
    "-o",
    "--out",
    type=FILE,
    default=Path("sheet.pdf"),
    show_default=True,
    help="A .pdf file, or .png files, one for each page.",
)
@stages_option
@click.option("--rows", metavar="AXIS[,AXIS]", help="The axes of the rows.  [default: the last axis but one]")
@click.option("--columns", metavar="AXIS[,AXIS]", help="The axes of the columns.  [default: the last axis]")
@click.option("--size", type=click.IntRange(32, 4096), help="The side of a picture in pixels.  [default: 360]")
@click.option(
    "--max-megapixels",
    type=Number(0.5, 170),
    help="The largest page; the rest continues on the next page.  [default: 40]",
)
@click.option(
    "--paper",
    type=click.Choice(list(PAPER_SIZES), case_sensitive=False),
    help="The size of pages for a printer; by default, a page grows with the matrix.",
)
@click.option("--per-page", type=click.IntRange(1, 1000), help="The most pictures on a page of --paper.  [default: 12]")
@click.option("--landscape", is_flag=True, help="Turn the --paper on its side.")
@click.option("--picks", is_flag=True, help="Only picked cells, with their stars and notes.")
@click.option("--allow-missing", is_flag=True, help="Skip picks without an image.")
@click.option("--title", help="The heading.  [default: the pipeline's name]")
@replace_option
@json_option
def sheet(source: str | None, *, out: Path, as_json: bool, **options: Unpack[_Flags]) -> int:
    """Create a contact sheet of a pipeline, or of a finished run, with captions.

    PIPELINE is a pipeline file or the name of a pipeline: the sheet has its current cells, each with its stored image,
    whichever run generated it. RUN is a run id, the start of a run id, or a run folder; the default is the latest run.
    Each stage starts on a new
    page; the values of axes that are neither rows nor columns become block headings. Multiple PNG pages are numbered:
    sheet-1.png, sheet-2.png. An earlier sheet is replaced, unless it has more pictures and the new one is partial; any
    other file is kept.

    Without --paper, a page grows with the matrix. With --paper, headings and labels are repeated on each page, no type
    is smaller than 6 points, and pictures have 300 dpi, or their own resolution if it is lower.

    Latin, Greek and Cyrillic are built in. Other scripts need fonts on this machine, for example Noto Sans CJK for
    Chinese, Japanese and Korean. Letters that no font contains become empty boxes.
    """
    check_path(out)
    if options["allow_missing"] and not options["picks"]:
        raise UsageError(Problem("without_picks", "--allow-missing needs --picks", hint="add --picks"))
    layout = _page_layout(options, is_pdf=out.suffix.lower() == ".pdf")
    origin = read_source(source, options)
    report, folder, space = origin.report, origin.folder, origin.space
    content = _content(report, folder, options)
    fonts = FontSet()
    title = options["title"] or report.pipeline.name
    if isinstance(layout, Paper):
        contact_sheet = print_sheet(content.report, content.stages, layout, title=title, fonts=fonts)
    else:
        contact_sheet = make_sheet(content.report, content.stages, layout, title=title, fonts=fonts)
    files = page_files(contact_sheet, out)
    earlier = check_fuller(contact_sheet, files, content.expected, replace_fuller=options["replace_fuller"])
    import_thumbnails(folder / "thumbnails", digests_of(report), space)
    painter = Painter(space, folder / report.base, Typesetter(fonts, layout.measures))
    write_sheet(contact_sheet, files, painter)
    if not as_json:
        print_replaced(out, earlier, pictures_of(contact_sheet))
        say_missing(origin.assembled, content.report.rows)
        say_waiting(origin.assembled if content.is_whole else None)
    _say(contact_sheet, files, content, painter.missing, origin, as_json=as_json)
    return 0


@dataclass(frozen=True, slots=True)
class _Content:
    """The part of a report that is on the sheet, its stages, its cells, and the pictures of a complete sheet."""

    report: Report
    stages: list[StageLayout]
    cells: int
    expected: int
    is_whole: bool


def _content(report: Report, folder: Path, options: _Flags) -> _Content:
    """The cells that were asked for, laid out by their axes; picks follow each other unless axes are named.

    Raises:
        UsageError: an axis or a stage does not exist, or picks have no image. NothingSelected: there are no cells.
    """
    which, is_part = selection(options), bool(options["stages"])
    part = report if which.is_all else select_rows(report, which)
    remarks: dict[str, str] = {}
    if options["picks"]:
        stages_of(report, options["stages"])
        picked = read_selected_picks(report, folder, options["stages"], ())
        found = selected_images(report, picked, options["stages"])
        if not options["allow_missing"]:
            check_missing(found.missing, report, folder)
        ids = {row.id for row in part.rows}
        images = [image for image in found.images if image.row.id in ids]
        part = replace(part, rows=tuple(image.row for image in images))
        remarks = {image.row.id: image.remark for image in images}
    chosen = stages_of(part, options["stages"])
    if not chosen:
        raise NothingSelected(Problem("nothing_selected", "none of the selected cells is on the sheet"))
    wanted = AxisChoice(_names(options["rows"]), _names(options["columns"]))
    check_axes([stage for stage, _ in chosen], wanted)
    is_list = options["picks"] and wanted == AxisChoice()
    stages = [
        list_cells(stage, rows, remarks) if is_list else arrange_stage(stage, rows, wanted) for stage, rows in chosen
    ]
    cells = sum(len(rows) for _, rows in chosen)
    is_whole = which.is_all and not is_part and not options["picks"]
    return _Content(part, stages, cells, cells_of(report) if is_whole else cells, is_whole)


def _page_layout(options: _Flags, *, is_pdf: bool) -> Paper | PageLimits:
    """What the options say about pages.

    Raises:
        UsageError: options for paper and for pages without paper are mixed.
    """
    if options["paper"] is None:
        if options["per_page"] is not None or options["landscape"]:
            name = "--landscape" if options["per_page"] is None else "--per-page"
            raise UsageError(Problem("without_paper", f"{name} needs --paper", hint="add --paper A4, A3 or letter"))
        return PageLimits(options["size"] or 360, options["max_megapixels"] or 40, even=is_pdf)
    if options["size"] is not None or options["max_megapixels"] is not None:
        name = "--size" if options["size"] is not None else "--max-megapixels"
        hint = "use --per-page to set the number of pictures on each page"
        raise UsageError(Problem("with_paper", f"{name} cannot be combined with --paper", hint=hint))
    return Paper(options["paper"], options["per_page"] or 12, is_landscape=options["landscape"])


def _names(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(name.strip() for name in text.split(",") if name.strip())


def _say(
    made: Sheet, files: list[Path], content: _Content, missing: list[str], origin: ReportSource, *, as_json: bool
) -> None:
    cells, expected = content.cells, content.expected
    pages, pictures = len(made.pages), pictures_of(made) - len(missing)
    if as_json:
        counts = {"pages": pages, "cells": cells, "pictures": pictures, "expected": expected, "missing": missing}
        head = {"schema": "krea-pipe/sheet@1", "run_id": made.run_id, "files": [str(file) for file in files]}
        print_json({**head, **counts, **assembled_json(origin.assembled)})
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
