"""krea-pipe for other programs: load → plan → run, as on the command line, without printing anything.

    pipeline = krea_pipe.load("pipelines/quickstart.yaml")
    plan = krea_pipe.plan(pipeline)
    finished = krea_pipe.run(pipeline, max_cost=Decimal("0.50"))

The key and the address of the API come from the environment, as they do for the command line.
"""

import json
import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeAlias

from krea_pipe.app import flow
from krea_pipe.app.execution import Execution, Listeners, SendOptions, open_execution
from krea_pipe.app.lock_place import changes_cells
from krea_pipe.app.workspace import open_workspace, target_of
from krea_pipe.core.errors import KreaPipeError as KreaPipeError
from krea_pipe.core.errors import NothingSelected, Problem, UsageError
from krea_pipe.core.outcome import Outcome
from krea_pipe.core.settings import with_engine
from krea_pipe.matrix.selection import Selection, parse_selection
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.planning.budget import Limits
from krea_pipe.planning.lockfile import lock_path
from krea_pipe.planning.out_folder import Changed
from krea_pipe.planning.plan import Attach, Fetch, Hold, Plan, Rejected, Reuse, Step, Submit
from krea_pipe.store.home import open_home, open_other_homes
from krea_pipe.store.remote.remote import open_remote

Texts: TypeAlias = str | Iterable[str]
UsdAmount: TypeAlias = Decimal | float | str


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline file and every image that it names; `is_changed` says that overrides apply to the file."""

    loaded: flow.Loaded
    is_changed: bool = False

    @property
    def name(self) -> str:
        """The pipeline's name, which its folders have too."""
        return self.loaded.pipeline.name

    @property
    def file(self) -> Path:
        """The pipeline file."""
        return self.loaded.pipeline.document.file

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings about things that are allowed but probably unintended."""
        return self.loaded.warnings


@dataclass(frozen=True, slots=True)
class Planned:
    """The actions of a run.

    Each step is one distinct request, with its action, reason, price and cells.
    """

    plan: Plan

    @property
    def steps(self) -> tuple[Step, ...]:
        """Every distinct request, in the order of the file."""
        return self.plan.steps

    @property
    def price(self) -> Decimal:
        """The price of the new images in US dollars, without what may have been paid before."""
        return self.plan.total(Submit).usd

    @property
    def most(self) -> Decimal:
        """The maximum price of a run in US dollars: the price if Krea no longer has images that only Krea can provide
        for free.
        """
        return self.price + self.plan.in_doubt().usd

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of requests that are new, reused, fetched at no cost, attached to a job, held, and rejected."""
        actions = {"new": Submit, "reuse": Reuse, "fetch": Fetch, "attach": Attach, "hold": Hold}
        actions |= {"rejected": Rejected}
        return {name: self.plan.total(action).count for name, action in actions.items()}


@dataclass(frozen=True, slots=True)
class Progress:
    """A request has ended: the first cell that it serves, its status, and how many of those that Krea is asked for."""

    cell: str
    status: str
    done: int
    total: int


OnProgress: TypeAlias = Callable[[Progress], None]


def load(
    file: Path | str,
    *,
    profile: Texts = (),
    sets: Mapping[str, object] | None = None,
    variables: Path | str | Iterable[Path | str] = (),
) -> Pipeline:
    """Read a pipeline file and every image that it names.

    Args:
        file: the pipeline.
        profile: profiles of the file's `profiles:`, merged over it.
        sets: values by their paths in the file, as `{"budget.usd": 3}`, or request fields of every cell, as
            `{"variant": "large"}`.
        variables: YAML files that are merged over `vars:`.

    Returns:
        The pipeline, which `plan` and `run` take.

    Raises:
        KreaPipeError: with every problem of the file; see its `problems`.
    """
    assigned = tuple(f"{path}={_written(value)}" for path, value in (sets or {}).items())
    files = (variables,) if isinstance(variables, (str, Path)) else variables
    overrides = Overrides(_texts(profile), assigned, tuple(Path(one) for one in files), os.environ)
    return Pipeline(flow.load_pipeline(Path(file), overrides), changes_cells(overrides))


def plan(pipeline: Pipeline, *, local: bool = False, select: Texts | None = None) -> Planned:
    """Decide what a run would do, and what it would cost, from files alone: no network, no key.

    Args:
        pipeline: what `load` gave.
        local: plan proofs.
        select: only the cells that one of these expressions takes, as with `-k`.

    Returns:
        The distinct requests, each with its action, reason, price in US dollars and cells.

    Raises:
        KreaPipeError: a cell cannot be made, nothing is selected, or the store cannot be read.
    """
    engine = pipeline.loaded.pipeline.engine
    workspace = open_workspace(os.environ, pipeline.file, local=local, engine=engine)
    homes = open_other_homes(os.environ, pipeline.file)
    options = flow.RunOptions(
        selection=_selection(select),
        lock=_lock_of(pipeline, frozen=False),
        homes=homes,
        remote=open_remote(os.environ, workspace.target, lambda _: None),
    )
    return Planned(flow.plan_run(pipeline.loaded, workspace.space, workspace.target, options))


def run(  # noqa: PLR0913 (each is an option of its own, by its name)
    pipeline: Pipeline,
    *,
    local: bool = False,
    out: Path | str | None = None,
    select: Texts | None = None,
    frozen: bool = False,
    allow_render: bool = False,
    max_cost: UsdAmount | None = None,
    max_new: int | None = None,
    changed: Changed = "keep",
    allow_commands: bool = False,
    on_progress: OnProgress | None = None,
) -> flow.FinishedRun:
    """Generate every missing image and a report, also inside a running event loop; failures are in the report.

    Args:
        pipeline: what `load` gave.
        local: draw proofs with the local Krea: no key, no network, nothing paid.
        out: the folder for images; `out/NAME` by default, `proofs/NAME` with `local`.
        select: only the cells that one of these expressions takes, as with `-k`.
        frozen: make only what the lock file has, at no cost; otherwise a live run without overrides updates that file.
        allow_render: with `frozen`, pay for images that cannot be had for nothing.
        max_cost: stop before more than this is spent, in US dollars.
        max_new: stop after this many new images.
        changed: what to do with files in the output folder that someone has changed or put there: "keep", "overwrite",
            or "beside", which keeps them and writes the images beside them.
        allow_commands: let checks run the commands of the pipeline.
        on_progress: called when a request has ended; what it raises ends the run, gently.

    Returns:
        The report, its folder, and how the work ended.

    Raises:
        KreaPipeError: the run cannot start and nothing was sent, or the run could not be recorded.
        KeyboardInterrupt: interrupted twice.
    """
    ignored: list[Problem] = []
    execution = _execution(pipeline, local=local)
    finished = flow.run_pipeline(
        pipeline.loaded,
        open_home(os.environ, pipeline.file),
        execution,
        out=flow.out_folder(None if out is None else Path(out), pipeline.name, local=local),
        options=flow.RunOptions(
            limits=Limits(_money(max_cost), _count(max_new)),
            selection=_selection(select),
            lock=_lock_of(pipeline, frozen=frozen),
            frozen=frozen,
            allow_render=allow_render,
            homes=open_other_homes(os.environ, pipeline.file),
            changed=changed,
            allow_commands=allow_commands,
            remote=open_remote(os.environ, execution.target, ignored.append),
        ),
        listen=lambda work, _: nullcontext(Listeners(_Watch(on_progress, work.calls))),
    )
    if finished.ending.error is not None:
        raise finished.ending.error
    return replace(finished, warnings=(*finished.warnings, *ignored))


def _execution(pipeline: Pipeline, *, local: bool) -> Execution:
    target = with_engine(target_of(os.environ, local=local), pipeline.loaded.pipeline.engine)
    return open_execution(target, SendOptions(), os.environ)


def _lock_of(pipeline: Pipeline, *, frozen: bool) -> Path | None:
    """The lock file that a run keeps, or with `frozen` reads."""
    return lock_path(pipeline.file) if frozen or not pipeline.is_changed else None


@dataclass(slots=True)
class _Watch:
    """Counts what has ended."""

    on_progress: OnProgress | None
    total: int
    done: int = 0

    def __call__(self, step: Step, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        self.done += 1
        if self.on_progress is not None:
            self.on_progress(Progress(step.cells[0].id, outcome.status, self.done, self.total))


def _texts(texts: Texts) -> tuple[str, ...]:
    return (texts,) if isinstance(texts, str) else tuple(texts)


def _selection(select: Texts | None) -> Selection:
    """The selection: every cell by default; an empty list is an error, because it does not mean every cell."""
    words = () if select is None else _texts(select)
    if select is not None and not words:
        raise NothingSelected(Problem("nothing_selected", "`select` is empty", hint="omit it to select every cell"))
    return parse_selection(words, ())


def _count(value: int | None) -> int | None:
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise UsageError(Problem("bad_amount", f"{value!r} is not a number of images", hint="write max_new=10"))
    return value


def _written(value: object) -> str:
    """A value as `--set` takes it: JSON is YAML too."""
    try:
        return str(value) if isinstance(value, Decimal) else json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError) as error:
        message = f"{value!r} is not allowed in a pipeline file"
        raise UsageError(Problem("bad_set", message, hint="use text, numbers, lists and dicts")) from error


def _money(value: UsdAmount | None) -> Decimal | None:
    """An amount in US dollars; a float counts as written."""
    if value is None:
        return None
    try:
        amount = Decimal(str(value))
    except InvalidOperation:
        amount = Decimal("NaN")
    if not amount.is_finite() or amount < 0:
        message = f"{value!r} is not a valid amount in US dollars"
        raise UsageError(Problem("bad_amount", message, hint='write max_cost=Decimal("0.50")'))
    return amount
