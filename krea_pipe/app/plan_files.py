"""What a run would do and how far it would get; and plan files, which limit a run to exactly that."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.app import flow
from krea_pipe.app.lock_place import lock_of_run
from krea_pipe.app.workspace import open_workspace, target_of
from krea_pipe.core.errors import KreaPipeError, Problem, UsageError
from krea_pipe.core.excerpts import shown
from krea_pipe.core.settings import Target, image_kind, live_target, origin_of
from krea_pipe.pipeline.pricing import PriceRow
from krea_pipe.pipeline.spec import Loaded, Overrides
from krea_pipe.pipeline.spec.loading import repository_root
from krea_pipe.planning.budget import cap_of, check_budget, share_of, sum_within
from krea_pipe.planning.out_folder import InTheWay, look_over
from krea_pipe.planning.plan import Hold, Plan, Submit, Sum
from krea_pipe.planning.plan_file import (
    ENGINE_PLAN,
    LOCAL_PLAN,
    PlanFile,
    digest_of,
    fetches_of,
    is_plan_file,
    parts_of,
    read_plan_file,
)
from krea_pipe.planning.recipe_files import look_over_recipes
from krea_pipe.planning.records import record_text
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.home import open_other_homes
from krea_pipe.store.remote.remote import open_remote


@dataclass(frozen=True, slots=True)
class RecipeCounts:
    """The number of files that recipes make, and of those that a run would deliver."""

    total: int
    to_make: int


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a run of a pipeline would do.

    `cap` is what it may spend, in US dollars, `reach` how many requests it would send before it stops at a limit, and
    their price; `refusal` says why it would send nothing; `in_the_way` are the files in the output folder that it would
    keep, because someone has changed them; `files` counts those that recipes make.
    """

    file: Path
    overrides: Overrides
    max_cells: int
    loaded: Loaded
    basis: flow.PlannedRun
    target: Target
    cap: Decimal | None
    refusal: Problem | None
    reach: Sum
    in_the_way: tuple[InTheWay, ...] = ()
    files: RecipeCounts = field(default_factory=lambda: RecipeCounts(0, 0))

    @property
    def problems(self) -> tuple[Problem, ...]:
        """Which other home folders cannot be read."""
        return self.basis.problems

    @property
    def most(self) -> Decimal:
        """The maximum price of a run in US dollars: the price if Krea has none of the images that only Krea can provide
        for free.
        """
        return self.plan.total(Submit).usd + self.plan.in_doubt().usd

    @property
    def plan(self) -> Plan:
        """The plan itself."""
        return self.basis.plan

    @property
    def stated_prices(self) -> list[PriceRow]:
        """The prices of what may be paid that a file states, in place of the built-in ones."""
        paid = (step.request for step in self.plan.steps if isinstance(step.action, (Submit, Hold)))
        return self.loaded.pipeline.prices.stated(paid)

    @property
    def is_whole(self) -> bool:
        """Whether it would send everything that is new."""
        return self.reach.count == self.plan.total(Submit).count


def forecast(
    file: Path, overrides: Overrides, options: flow.RunOptions, environment: Mapping[str, str], *, local: bool
) -> Forecast:
    """Decide what a run would do, and how far it would come.

    Args:
        file: the pipeline.
        overrides: settings that override it.
        options: which cells, and the limits.
        environment: where the API and the home folder may be named.
        local: plan proofs.

    Returns:
        The plan, what it may spend in US dollars, how far a run would come, and why it would be refused.

    Raises:
        KreaPipeError: the file or the store cannot be read, or nothing is selected.
    """
    loaded = flow.load_pipeline(file, overrides)
    options = replace(options, lock=lock_of_run(file, options.lock, overrides, frozen=options.frozen))
    return forecast_of(loaded, file, overrides, options, environment, local=local)


def forecast_of(
    loaded: Loaded,
    file: Path,
    overrides: Overrides,
    options: flow.RunOptions,
    environment: Mapping[str, str],
    *,
    local: bool,
) -> Forecast:
    """Decide what a run of a pipeline that was read would do.

    Args:
        loaded: the pipeline.
        file: its file.
        overrides: settings that override it.
        options: which cells, and the limits.
        environment: where the API and the home folder may be named.
        local: plan proofs.

    Returns:
        The plan, what it may spend in US dollars, how far a run would come, and why it would be refused.

    Raises:
        KreaPipeError: the store cannot be read, or nothing is selected.
    """
    workspace = open_workspace(environment, file, local=local, engine=loaded.pipeline.engine)
    limits = options.limits if local else options.limits.for_price(bills=workspace.target.bills)
    ignored: list[Problem] = []
    remote = open_remote(environment, workspace.target, ignored.append)
    options = replace(options, homes=open_other_homes(environment, file), remote=remote)
    basis = flow.planned(loaded, workspace.space, workspace.target, options)
    basis = replace(basis, problems=(*basis.problems, *ignored))
    loaded = replace(loaded, of_cells=basis.warnings)
    own = options.limits
    cap = cap_of(share_of(loaded.pipeline.budget, basis.plan, basis.whole, own), own)
    reach, refusal = basis.plan.total(Submit), None
    if not local:
        reach = sum_within(basis.plan, limits)
        try:
            check_budget(basis.plan, basis.whole, loaded.pipeline.budget, limits)
        except KreaPipeError as error:
            refusal = error.problems[0]
    out = flow.out_folder(options.out, loaded.pipeline.name, local=local)
    target, source = workspace.target, loaded.pipeline.document.file
    taken = look_over(workspace.space, out, image_kind(target.kind), basis.plan, file=source).taken
    recipes = look_over_recipes(workspace.space, out, image_kind(target.kind), basis.plan, source=source)
    files = RecipeCounts(recipes.total, len(recipes.to_make) + recipes.waiting)
    taken += [one for _, one in recipes.taken]
    return Forecast(file, overrides, options.max_cells, loaded, basis, target, cap, refusal, reach, (*taken,), files)


def write_plan_file(path: Path, forecast: Forecast) -> PlanFile:
    """Write what was planned, as far as a run would come, into a file, over an older plan file at most.

    Args:
        path: where it is written.
        forecast: what was planned.

    Returns:
        The contents of the file.

    Raises:
        UsageError: another file is in the way, or a plan file cannot hold the overrides of the pipeline.
        StateError: it cannot be written.
    """
    cells, sends = parts_of(forecast.plan, forecast.reach.count)
    approval = PlanFile(
        krea_pipe=__version__,
        pipeline=forecast.file,
        target=_name_of(forecast.target),
        profiles=tuple(forecast.overrides.profiles),
        set=tuple(forecast.overrides.sets),
        vars=tuple(forecast.overrides.var_files),
        max_cells=forecast.max_cells,
        everything=digest_of(forecast.basis.found),
        cells=cells,
        sends=sends,
        fetches={} if forecast.target.kind == "local" else fetches_of(forecast.plan),
    )
    _check_contents(approval)
    if os.path.lexists(path) and not is_plan_file(path):
        message = f"{path} exists and is not a plan file"
        raise UsageError(Problem("file_in_the_way", message, hint="choose another name with --out"))
    write_atomically(path, record_text(approval).encode("utf-8"))
    return approval


@dataclass(frozen=True, slots=True)
class RunRequest:
    """The subject of a run: a pipeline file with its overrides, or a plan of it."""

    file: Path
    overrides: Overrides
    max_cells: int
    target: Target
    lock: Path | None
    approval: PlanFile | None = None

    @property
    def over(self) -> str:
        """The overrides in a plan file, as options, so that its user sees them."""
        if self.approval is None:
            return ""
        named = {"--profile": self.approval.profiles, "--set": self.approval.set, "--vars": self.approval.vars}
        return shlex.join(word for name, values in named.items() for one in values for word in (name, str(one)))


def run_request(
    file: Path, overrides: Overrides, options: flow.RunOptions, environment: Mapping[str, str], *, local: bool
) -> RunRequest:
    """The subject that a file (a pipeline or a plan) and options specify.

    Args:
        file: a pipeline, or a plan file.
        overrides: settings that override the pipeline.
        options: which cells, the lock file that is named, and whether it is frozen.
        environment: where the API may be named.
        local: draw proofs.

    Returns:
        The pipeline, its overrides, the API, the lock file, and the plan file if it is one.

    Raises:
        InvalidInput: a plan file cannot be read. UsageError: options contradict it, or it is for another API.
    """
    if not is_plan_file(file):
        lock = lock_of_run(file, options.lock, overrides, frozen=options.frozen)
        return RunRequest(file, overrides, options.max_cells, target_of(environment, local=local), lock)
    approval = read_plan_file(file)
    _check_contents(approval)
    _check_options(file, overrides, options)
    _check_target(file, approval, environment, local=local)
    over = Overrides(approval.profiles, approval.set, approval.vars, overrides.environment)
    lock = lock_of_run(approval.pipeline, options.lock, over, frozen=options.frozen)
    target = target_of(environment, local=approval.is_local)
    return RunRequest(approval.pipeline, over, approval.max_cells, target, lock, approval)


def _name_of(target: Target) -> str:
    """An API as a plan file names it; where the replicas of an engine are does not matter."""
    match target.kind:
        case "local":
            return LOCAL_PLAN
        case "engine":
            return ENGINE_PLAN
        case "live":
            return target.base


def _check_contents(approval: PlanFile) -> None:
    """Refuse what would make a plan file more than a plan of a pipeline here: other files, another budget."""
    here = repository_root(Path.cwd() / "plan")
    for file in (approval.pipeline, *approval.vars):
        try:
            inside = file.resolve().is_relative_to(here)
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            message = f"a plan file can only name files below {here}, not {shown(str(file))}"
            raise UsageError(
                Problem("plan_file_outside", message, hint="create and run the plan in the pipeline's repository")
            )
    if any(one.partition("=")[0].split(".")[0] == "budget" for one in approval.set):
        hint = "write it into the pipeline, or run the plan with --max-cost"
        raise UsageError(Problem("plan_file_budget", "a plan file does not change the budget", hint=hint))


def _check_options(file: Path, overrides: Overrides, options: flow.RunOptions) -> None:
    """Refuse options that would change what a plan file says."""
    chosen = options.selection
    named = {
        "--profile": overrides.profiles,
        "--set": overrides.sets,
        "--vars": overrides.var_files,
        "-k": chosen.select,
        "--exclude": chosen.exclude,
        "--only-failed": chosen.only_failed,
    }
    given = next((name for name, value in named.items() if value), None)
    if given is not None:
        message = (
            f"{file} is a plan, which already defines the cells and settings, so it cannot be combined with {given}"
        )
        hint = f"create another plan: krea-pipe plan FILE {given} … --out PLANFILE"
        raise UsageError(Problem("plan_file_options", message, hint=hint))


def _check_target(file: Path, approval: PlanFile, environment: Mapping[str, str], *, local: bool) -> None:
    if local and not approval.is_local:
        message = f"{file} is a plan for {approval.target}, not for the local Krea"
        hint = "create another plan: krea-pipe plan FILE --local --out PLANFILE"
        raise UsageError(Problem("plan_file_target", message, hint=hint))
    if approval.is_for_engine:
        return
    target = live_target(environment)
    if not approval.is_local and target.origin != origin_of(approval.target):
        message = f"{file} is a plan for {approval.target}, not for {target.base}"
        raise UsageError(
            Problem("plan_file_target", message, hint="set KREA_API_BASE as it was, or create another plan")
        )
