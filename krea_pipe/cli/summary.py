"""A finished run in a few lines: its cells, its lock file, and the stages that wait for picks; in words and as JSON."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import click

from krea_pipe.app.finished_run import FinishedRun
from krea_pipe.cli.annotations import Annotation, AnnotationKind, annotate
from krea_pipe.cli.messages import as_one
from krea_pipe.cli.stderr_log import Level, StderrLog
from krea_pipe.core.money import exact
from krea_pipe.core.request import Key
from krea_pipe.executor.fetch import Copied
from krea_pipe.matrix.cell import Waiting
from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.pricing import usd
from krea_pipe.planning.free_sources import FreeSource, FromFile, FromHome, FromRemote
from krea_pipe.planning.out_folder import IN_THE_WAY
from krea_pipe.report.model import Report, Row
from krea_pipe.report.prompt_place import prompt_place
from krea_pipe.report.words import adopted_cells, checks_of, explanation, notices, summary_sentence

_MAX_ROWS = 10
_SOURCES: Mapping[type[FreeSource], str] = {FromFile: "file", FromHome: "home", FromRemote: "shared store"}


def print_troubles(report: Report, stderr_log: StderrLog) -> None:
    """Say which cells have no image and why, the first of them."""
    without = ("failed", "uncertain") if stderr_log.quiet else ("failed", "uncertain", "pending")
    troubled = [row for row in report.rows if row.status in without]
    for row in troubled[:_MAX_ROWS]:
        level: Level = "info" if row.status == "pending" else "error"
        code = row.error.code if row.error else None
        text, styled = f"{row.status} {row.id}: {as_one(explanation(row))}", _trouble(row)
        stderr_log.say(level, "cell", text, styled=styled, cell=row.id, status=row.status, code=code)
    if len(troubled) > _MAX_ROWS:
        rest = len(troubled) - _MAX_ROWS
        stderr_log.say("error", "cells", f"… and {rest} more; see the report for the rest", more=rest)


def print_summary(report: Report, page: Path, start: Path, *, is_earlier: bool = False) -> None:
    """Print what happened, where the images are, and the report.

    Args:
        report: what has happened.
        page: the page of the report.
        start: the folder that the run was started in, from which its paths count.
        is_earlier: whether it is the report of an earlier run, because nothing has changed since.
    """
    if report.target.kind == "local":
        click.echo("Local proofs: nothing was sent to Krea or charged.")
    click.echo(summary_sentence(report))
    click.echo("\n".join([*notices(report), f"images  {_place(report, start.resolve())}"]))
    click.echo(f"report  {page}{' (of an earlier run; nothing has changed)' if is_earlier else ''}")


def _place(report: Report, start: Path) -> str:
    """The output folder, and where it counts from unless that is plain to see: not from the pipeline's own folder."""
    own = (start / report.pipeline.file).parent.resolve()
    is_plain = Path(report.out).is_absolute() or start == own == Path.cwd()
    return report.out if is_plain else f"{report.out} in {start}"


def annotate_cells(report: Report, pipeline: Pipeline) -> None:
    """Annotate each cell that failed, or may have been billed without an image, on the line of its prompt."""
    annotate(_annotation(report, row, pipeline) for row in report.rows if row.status in ("failed", "uncertain"))
    places = {check.name: pipeline.document.place(check.trail) for stage in pipeline.stages for check in stage.checks}
    for one in checks_of(report):
        if one.failed:
            kind: AnnotationKind = "error" if one.check.fail else "warning"
            annotate([Annotation(kind, f"check: {one.check.name}", one.sentence(), places.get(one.check.name))])


def summary_json(report: Report, folder: Path) -> dict[str, object]:
    """A finished run as the one object that `run --json` prints."""
    return {
        "schema": "krea-pipe/run@1",
        "run_id": report.run_id,
        "exit_code": report.exit_code,
        "target": report.target.kind,
        "shard": report.shard,
        **batch_summary_json(report),
        "failed_checks": {one.check.name: len(one.failed) for one in checks_of(report) if one.failed},
        "adopted": adopted_cells(report),
        "in_the_way": [row.id for row in report.rows if row.error is not None and row.error.code == IN_THE_WAY],
        "warnings": list(report.warnings),
        "report": str(folder / "report.json"),
        "page": str(folder / "report.html"),
    }


def batch_summary_json(report: Report) -> dict[str, object]:
    """The counts and the cost of a run, or of all runs of a batch."""
    cells, cost = report.cells, report.cost
    return {
        "cells": {
            "total": cells.total,
            "succeeded": cells.succeeded,
            "failed": cells.failed,
            "reused": cells.reused,
            "uncertain": cells.uncertain,
            "pending": cells.pending,
        },
        "cost": {
            "spent_usd": exact(cost.spent_usd),
            "saved_usd": exact(cost.saved_usd),
            "uncertain_usd": exact(cost.uncertain_usd),
            "in_flight_usd": exact(cost.in_flight_usd),
        },
    }


def _trouble(row: Row) -> str:
    what = click.style(row.status, fg="yellow" if row.status == "pending" else "red", bold=True)
    return f"{what} {row.id}: {as_one(explanation(row))}"


def _annotation(report: Report, row: Row, pipeline: Pipeline) -> Annotation:
    kind: AnnotationKind = "error" if row.status == "failed" else "warning"
    title = f"{row.status}: {row.error.code}" if row.error else row.status
    return Annotation(kind, title, f"{row.id}: {explanation(row)}", prompt_place(pipeline, report, row))


def fetched_words(finished: FinishedRun) -> list[str]:
    """From where images were copied, for people: a line for each folder."""
    counts = Counter(_folder_of(one.source) for one in _copied(finished).values())
    return [f"fetched {count} from {folder}" for folder, count in counts.items()]


def fetched_json(finished: FinishedRun) -> list[dict[str, object]]:
    """The same for programs: each key with the kind of its source, and its place."""
    return [{"key": key, **source_json(one.source)} for key, one in _copied(finished).items()]


def source_json(source: FreeSource) -> dict[str, object]:
    """The source of a copied image: the kind of place, and the place."""
    return {"source": _SOURCES[type(source)], "place": source.place}


def _copied(finished: FinishedRun) -> Mapping[Key, Copied]:
    return finished.fetched.copied if finished.fetched else {}


def _folder_of(source: FreeSource) -> str:
    return source.path.parent.as_posix() if isinstance(source, FromFile) else source.place


def delivered_words(finished: FinishedRun) -> list[str]:
    """What to report about the files of recipes."""
    done = finished.recipes
    counts = ((done.made, "delivered"), (done.current, "up to date"), (len(done.taken), "kept"))
    said = [f"{count:,} {word}" for count, word in (*counts, (len(done.failed), "not delivered")) if count]
    return [f"files   {', '.join(said)}"] if said else []


def delivered_json(finished: FinishedRun) -> dict[str, object]:
    """The same for programs; nothing for a pipeline without recipes."""
    done = finished.recipes
    counts = {"made": done.made, "current": done.current, "kept": len(done.taken), "failed": len(done.failed)}
    return {"delivered": counts} if any(counts.values()) else {}


def pruned_words(finished: FinishedRun) -> list[str]:
    """The files that were removed because no cell produces them, a line for each."""
    removed = finished.pruned.removed if finished.pruned else ()
    out = Path(finished.report.out)
    return [f"removed {(out / path).as_posix()}" for path in removed]


def pruned_json(finished: FinishedRun) -> dict[str, object]:
    """The same for programs; nothing for a run that removes none."""
    return {} if finished.pruned is None else {"pruned": list(finished.pruned.removed)}


def lock_words(finished: FinishedRun) -> list[str]:
    """What to report about the lock file of a run."""
    found = finished.kept
    if found is None:
        return []
    words = [f"lock    {found.lock.file}"] if found.changes else []
    if found.drifted:
        what = "1 image differs from" if len(found.drifted) == 1 else f"{len(found.drifted)} images differ from"
        look = f"krea-pipe check {finished.report.pipeline.file}"
        words.append(f"{what} {found.lock.file.name}; compare them with: {look}")
    return words


def lock_json(finished: FinishedRun) -> dict[str, object] | None:
    """The same for programs."""
    found = finished.kept
    if found is None:
        return None
    return {"file": str(found.lock.file), "changes": found.changes, "drifted": list(found.drifted)}


def waiting_words(one: Waiting, *, local: bool) -> str:
    """What a stage waits for, and what it would cost."""
    least, most = one.wants
    wanted = f"{least}" if most == least else f"{least} to {most}" if most else f"at least {least}"
    noun = "pick" if least == 1 and most in (1, None) else "picks"
    have = f"{one.found} so far" if one.found else "none so far"
    images = _span(str(one.each * least), str(one.each * most) if most else None)
    images += " image" if images in ("1", "at least 1") else " images"
    low, high = one.usd
    price = "" if local else f", {_span(usd(low), usd(high) if high is not None else None)}"
    return (
        f"`{one.stage}` waits for {wanted} {noun} of `{one.upstream}` in {one.file} ({have}): {images}{price}. "
        f"Pick with `krea-pipe pick`."
    )


def waiting_json(one: Waiting) -> dict[str, object]:
    """The same for programs; `max` is null without a most."""
    low, high = one.usd
    return {
        "stage": one.stage,
        "for_each": one.upstream,
        "file": one.file,
        "picked": one.found,
        "min": one.wants[0],
        "max": one.wants[1],
        "images_per_pick": one.each,
        "usd_min": exact(low),
        "usd_max": None if high is None else exact(high),
    }


def _span(low: str, high: str | None) -> str:
    return low if high == low else f"{low} to {high}" if high is not None else f"at least {low}"
