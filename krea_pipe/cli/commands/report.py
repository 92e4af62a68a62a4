"""`krea-pipe report`: render a finished run again."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app.pictures import preview, shrink, sign
from krea_pipe.app.run_argument import resolve_run
from krea_pipe.cli.cell_options import SelectFlags, select_options, selection
from krea_pipe.cli.completing import run_argument
from krea_pipe.cli.messages import print_json
from krea_pipe.cli.options import FILE, json_option
from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.summary import print_summary, print_troubles
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.report.decisions import decisions_json, read_decisions
from krea_pipe.report.export.report_pack import WrittenReport, check_report_target, pack_report
from krea_pipe.report.export.review import ReviewPage, write_review
from krea_pipe.report.folder import read_report, space_of
from krea_pipe.report.html import HtmlOptions
from krea_pipe.report.rendered_forms import MAX_MB, MB, check_thumbnails_url, write_report, write_single
from krea_pipe.report.row_selection import select_rows
from krea_pipe.report.thumbnails import digests_of, import_thumbnails, make_thumbnails, with_signatures
from krea_pipe.store.plain import check_folders


class _Flags(SelectFlags):
    """All options but those of the output."""

    single_file: Path | None
    pack: Path | None
    for_review: Path | None
    max_mb: int | None
    thumbnails_url: str | None


@click.command()
@run_argument
@click.option(
    "--single-file",
    type=FILE,
    metavar="PATH",
    help="Write only one HTML file with all thumbnails embedded.",
)
@click.option(
    "--pack",
    type=FILE,
    metavar="FILE.zip",
    help="Write only a zip file of the report folder with all original images. It works wherever it is unpacked.",
)
@click.option(
    "--for-review",
    type=FILE,
    metavar="FILE.html|FOLDER",
    help="Write only a page with previews of 1,024 pixels, as one file or one folder, for someone to decide.",
)
@click.option(
    "--max-mb",
    type=click.IntRange(min=1),
    help=f"Refuse to write a larger single file or review. [default: {MAX_MB} for a file, no limit for a folder]",
)
@click.option(
    "--thumbnails-url",
    metavar="URL",
    help="The URL of the published `thumbnails` folder, for the pictures in report.md.",
)
@select_options
@json_option
def report(run: str | None, *, as_json: bool, **flags: Unpack[_Flags]) -> int:
    """Regenerate the report of a finished run.

    RUN is a run id, the start of a run id, a run folder, or the file or the name of a pipeline for its latest run; the
    default is the latest run. A report of selected cells
    is written into the folder `selected` beside the full one.
    """
    which, url = selection(flags), _thumbnails_url(flags)
    _check_outputs(flags)
    place = resolve_run(run, os.environ)
    folder = place.folder
    found = read_report(folder)
    space = space_of(found, place.home)
    import_thumbnails(folder / "thumbnails", digests_of(found), space)
    make_thumbnails(digests_of(found), space, shrink)
    found = with_signatures(found, space, sign)
    extras = HtmlOptions(decisions=decisions_json(read_decisions(found, folder)), thumbnails_url=url)
    if not which.is_all:
        found = select_rows(found, which)
    if flags["single_file"] is not None:
        page = flags["single_file"]
        write_single(found, page, space, shrink, extras, max_mb=flags["max_mb"] or MAX_MB, folder=folder)
    elif flags["pack"] is not None:
        page = flags["pack"]
        _say_missing(pack_report(found, folder, space, extras, page))
    elif flags["for_review"] is not None:
        target, limit = flags["for_review"], flags["max_mb"]
        page = write_review(found, target, space, preview, extras, max_mb=limit, announce=_announce).page
    else:
        if not which.is_all:
            found, folder = replace(found, base=f"../{found.base}"), folder / "selected"
            check_folders(folder)
        page = write_report(found, folder, space, shrink, extras)
    if as_json:
        data = {"schema": "krea-pipe/report@1", "run_id": found.run_id, "exit_code": found.exit_code}
        print_json({**data, "report": str(folder / "report.json"), "page": str(page)})
    else:
        print_troubles(found, StderrLog())
        print_summary(found, page, folder / found.base)
    return 0


def _check_outputs(flags: _Flags) -> None:
    """Refuse several outputs at once, and what the zip file would replace."""
    names = {"--single-file": flags["single_file"], "--pack": flags["pack"], "--for-review": flags["for_review"]}
    given = [name for name, path in names.items() if path is not None]
    if len(given) > 1:
        message = f"{given[0]} and {given[1]} cannot be combined"
        raise UsageError(Problem("usage", message, hint="run the command once for each"))
    if flags["pack"] is not None:
        check_report_target(flags["pack"])


def _announce(review: ReviewPage) -> None:
    """Say how large a review is before it is written."""
    lost = review.images - review.previews
    less = f" ({lost:,} images are no longer stored)" if lost else ""
    previews = f"{review.previews:,} {'preview' if review.previews == 1 else 'previews'}"
    click.echo(f"{review.target}: {previews}{less}, {review.size / MB:,.1f} MB", err=True)


def _say_missing(packed: WrittenReport) -> None:
    for name in packed.missing:
        click.echo(
            f"{click.style('missing', fg='yellow', bold=True)} {name}: its original is no longer stored", err=True
        )
    originals = f"{packed.originals:,} {'original' if packed.originals == 1 else 'originals'}"
    click.echo(f"{packed.file}: {originals}, {packed.size / MB:,.1f} MB", err=True)


def _thumbnails_url(flags: _Flags) -> str | None:
    url = flags["thumbnails_url"]
    if url is not None and flags["single_file"] is not None:
        hint = "remove one of them: the URL is only for the pictures in report.md"
        raise UsageError(Problem("usage", "--thumbnails-url and --single-file cannot be combined", hint=hint))
    return None if url is None else check_thumbnails_url(url)
