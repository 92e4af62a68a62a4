"""`krea-pipe export`: the picked images of a run as one pack to hand on."""

from dataclasses import replace
from pathlib import Path
from typing import TypedDict, Unpack

import click

from krea_pipe.cli.cell_options import SelectFlags, select_options, selection
from krea_pipe.cli.completing import stages_option
from krea_pipe.cli.messages import print_json, print_partial, print_replaced
from krea_pipe.cli.options import FILE, json_option, replace_option
from krea_pipe.cli.report_source import (
    ReportSource,
    SourceFlags,
    assembled_json,
    read_source,
    say_missing,
    say_waiting,
    source_options,
)
from krea_pipe.core.errors import NothingSelected, Problem
from krea_pipe.report.export.pack import PackContents, WrittenPack, check_target, title_of, write_pack
from krea_pipe.report.export.selected_images import (
    Picked,
    Selected,
    check_missing,
    read_selected_picks,
    selected_images,
)
from krea_pipe.report.model import Report, cells_of, seen_from
from krea_pipe.report.row_selection import select_rows
from krea_pipe.report.sheet.arrange import stages_of


class _Flags(SelectFlags, SourceFlags):
    """Which cells are handed off."""

    stages: tuple[str, ...]
    picks: bool
    picks_files: tuple[Path, ...]
    names: str
    allow_missing: bool
    replace_fuller: bool


@click.command()
@source_options
@click.option("--picks", is_flag=True, help="Only cells picked in picks/STAGE.yaml, or in the file that a stage names.")
@click.option("--picks-file", "picks_files", multiple=True, type=FILE, help="Only the cells picked in this file.")
@stages_option
@select_options
@click.option("-o", "--out", type=FILE, help="The zip file.  [default: NAME-picks.zip, or NAME.zip without picks]")
@click.option(
    "--names",
    default="",
    metavar="TEMPLATE",
    help='A template for the names of the images, as in "{{ surface }}-{{ seed }}".  [default: with --picks, from the '
    "ids of cells; otherwise, as in the output folder]",
)
@click.option("--allow-missing", is_flag=True, help="Skip picks without an image, and images that are lost.")
@replace_option
@json_option
def export(source: str | None, *, out: Path | None, as_json: bool, **options: Unpack[_Flags]) -> int:
    """Pack the images of a pipeline, or of a finished run, into a zip file for handover.

    PIPELINE is a pipeline file or the name of a pipeline: its current cells are packed, each with its stored image,
    whichever run generated it. RUN is a run id, the start of a run id, or a run folder; the default is the latest run.
    With --picks, each pick is
    followed to the image that was generated last from it, through the stages that are generated for picks; --stage
    limits how far. The zip contains the images as Krea sent them; beside each, a JSON file that says how it was made,
    and an XMP file with its stars; images.csv; a contact sheet; manifest.json; and SHA256SUMS for `sha256sum -c`. An
    earlier export is replaced, unless it has more images and the new one is partial; any other file is kept.
    """
    origin = read_source(source, options)
    report, folder = origin.report, origin.folder
    is_picked = options["picks"] or bool(options["picks_files"])
    title = title_of(report, is_picked=is_picked)
    path = out or Path(f"{title}.zip")
    check_target(path)
    stages_of(report, options["stages"])
    picked = read_selected_picks(report, folder, options["stages"], options["picks_files"]) if is_picked else None
    chosen = _chosen(origin, picked, options)
    expected = _expected(report, picked, options, len(chosen.images))
    picks = [seen_from(folder / report.base, file) for file in picked.files] if picked else []
    contents = PackContents(
        report, folder, chosen.images, picks, [one.pick for one in chosen.missing], expected, options["names"]
    )
    written = write_pack(
        contents,
        origin.space,
        path,
        allow_missing=options["allow_missing"],
        replace_fuller=options["replace_fuller"],
    )
    _say(written, origin, chosen if picked else None, as_json=as_json)
    return 0


def _chosen(origin: ReportSource, picked: Picked | None, options: _Flags) -> Selected:
    """The cells that are handed off, and picks without an image.

    Raises:
        NothingSelected: there are no cells. UsageError: there are such picks, which was not allowed.
    """
    which, report = selection(options), origin.report
    part = report if which.is_all else select_rows(report, which)
    found = selected_images(part if picked is None else report, picked, options["stages"])
    if picked is not None and not options["allow_missing"]:
        check_missing(found.missing, report, origin.folder)
    ids = {row.id for row in part.rows}
    images = [one for one in found.images if one.row.id in ids]
    if not images:
        say_missing(origin.assembled, part.rows)
        raise NothingSelected(Problem("nothing_selected", "none of the selected cells has an image to export"))
    return replace(found, images=images)


def _expected(report: Report, picked: Picked | None, options: _Flags, count: int) -> int:
    """The number of images in a complete run, for the requested selection."""
    which, stages = selection(options), options["stages"]
    is_whole = which.is_all and not stages
    if picked is not None:
        found = selected_images(report, picked, stages)
        return (len(found.images) if is_whole else count) + len(found.missing)
    part = report if which.is_all else select_rows(report, which)
    return cells_of(report) if is_whole else sum(not stages or row.stage in stages for row in part.rows)


def _say(packed: WrittenPack, origin: ReportSource, picked: Selected | None, *, as_json: bool) -> None:
    report = origin.report
    if as_json:
        data = {"run_id": report.run_id, "target": report.target.kind, "file": str(packed.file)}
        counts = {
            "images": packed.images,
            "expected": packed.expected,
            "replaced": packed.replaced,
            "missing": list(packed.missing),
            "bytes": packed.size,
        }
        more = {"taken": _taken(packed, picked), "rejected": [chain[-1] for chain in picked.rejected]} if picked else {}
        print_json(
            {
                "schema": "krea-pipe/export@1",
                **data,
                **counts,
                **more,
                **assembled_json(origin.assembled),
                "sha256": packed.sha256,
            }
        )
        return
    for name in packed.missing:
        click.echo(f"{click.style('missing', fg='yellow', bold=True)} {name}: left out", err=True)
    for chain in picked.rejected if picked else ():
        click.echo(f"{click.style('rejected', fg='yellow', bold=True)} {' → '.join(chain)}: left out", err=True)
    if origin.assembled is not None and packed.missing:
        click.echo(f"  to generate: {origin.assembled.command}", err=True)
    if picked is None:
        say_waiting(origin.assembled)
    print_partial(packed.images, packed.expected)
    print_replaced(packed.file, packed.replaced, packed.images)
    for one in _taken(packed, picked) if picked else ():
        click.echo(f"{one['file']}  {' → '.join(one['chain'])}")
    if report.target.kind == "local":
        click.echo("Local proofs: not for production.")
    images = "1 image" if packed.images == 1 else f"{packed.images} images"
    click.echo(f"{images}, {packed.size / 1_000_000:.1f} MB, sha256 {packed.sha256}")
    click.echo(f"pack    {packed.file}")


class _Taken(TypedDict):
    """A packed image: its name in the pack, and the ids from the picked cell to the cell of the image."""

    file: str
    chain: list[str]


def _taken(packed: WrittenPack, picked: Selected) -> list[_Taken]:
    """The packed images of picks, in the order of the run."""
    found = [(packed.names.get(one.row.id), one.chain) for one in picked.images]
    return [{"file": name, "chain": list(chain)} for name, chain in found if name is not None]
