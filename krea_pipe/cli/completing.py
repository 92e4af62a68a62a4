"""Options and arguments that a shell completes: runs that are stored, stages of a file or a run.

Nothing that goes wrong here is said, because it would be printed into the line that is being typed.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from krea_pipe.app.run_argument import resolve_run
from krea_pipe.core.errors import KreaPipeError
from krea_pipe.pipeline.source import read_document
from krea_pipe.report.folder import RECORD, read_head
from krea_pipe.report.run_list import list_runs
from krea_pipe.store.home import open_home


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """The names of pipelines with runs and the ids of runs, the latest first, or a file or folder."""
    if "/" in incomplete or incomplete.startswith("."):
        return [CompletionItem(incomplete, type="file")]
    with suppress(KreaPipeError, OSError):
        listed = list_runs(open_home(os.environ))
        return _beginning((*listed.names, *(run.id for run in listed.runs)), incomplete)
    return []


def complete_pipeline(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:  # noqa: ARG001
    """The names of pipelines with runs, or a file."""
    names = list[CompletionItem]()
    with suppress(KreaPipeError, OSError):
        names = _beginning(list_runs(open_home(os.environ)).names, incomplete)
    return names or [CompletionItem(incomplete, type="file")]


def complete_stage_of_file(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """The stages of the pipeline file that was named before."""
    file = ctx.params.get("file")
    with suppress(KreaPipeError, OSError):
        data = read_document(Path(str(file))).data
        stages = data.get("stages") if isinstance(data, dict) else None
        if isinstance(stages, dict):
            return _beginning(stages, incomplete)
    return []


def complete_stage_of_run(
    ctx: click.Context,
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """The stages of the pipeline or run that was named before, or of the latest run."""
    with suppress(KreaPipeError, OSError):
        place = resolve_run(ctx.params.get("source"), os.environ)
        return _beginning((stage.name for stage in read_head(place.folder / RECORD).stages), incomplete)
    return []


def _beginning(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


run_argument = click.argument("run", required=False, shell_complete=complete_run)
stage_argument = click.argument("stage", shell_complete=complete_stage_of_file)
stages_option = click.option(
    "--stage",
    "stages",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_stage_of_run,
    help="Only this stage; can be repeated.",
)
