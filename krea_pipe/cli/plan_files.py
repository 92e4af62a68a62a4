"""Plan files on the command line: written by `plan --out`, carried out by `run`."""

import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from krea_pipe._version import __version__
from krea_pipe.app import flow
from krea_pipe.cli.executor import How
from krea_pipe.cli.lock_options import run_lock
from krea_pipe.cli.options import Over, overrides
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.json_data import shown
from krea_pipe.core.settings import LOCAL, Target, live_target, origin_of
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.spec import Overrides
from krea_pipe.pipeline.spec.load import repository_root
from krea_pipe.planning.plan_file import PlanFile, digest_of, is_plan_file, parts_of, read_plan_file
from krea_pipe.planning.records import record_text
from krea_pipe.store.atomic import write_atomically


def approval_of(file: Path, basis: flow.Planned, reach: int, over: Over, *, max_cells: int, target: Target) -> PlanFile:
    """What was planned, as far as a run would come.

    Raises:
        UsageError: a plan file cannot hold what stands over the pipeline.
    """
    cells, sends = parts_of(basis.plan, reach)
    approval = PlanFile(
        krea_pipe=__version__,
        pipeline=file,
        target="local" if target.kind == "local" else target.base,
        profiles=tuple(over["profiles"]),
        set=tuple(over["sets"]),
        vars=tuple(over["var_files"]),
        max_cells=max_cells,
        everything=digest_of(basis.found),
        cells=cells,
        sends=sends,
    )
    _check_contents(approval)
    return approval


def write_plan_file(path: Path, approval: PlanFile) -> None:
    """Write a plan file, over an older one at most.

    Raises:
        UsageError: another file is in the way. StateError: it cannot be written.
    """
    if os.path.lexists(path) and not is_plan_file(path):
        message = f"{path} exists, and is no plan file"
        raise UsageError(Problem("file_in_the_way", message, hint="choose another name with --out"))
    write_atomically(path, record_text(approval).encode("utf-8"))


def plan_file_words(path: Path, approval: PlanFile, *, is_refused: bool) -> str:
    """What a plan file is good for."""
    if is_refused:
        return f"plan    {path}: a run refuses it as it stands."
    if not approval.sends:
        return f"plan    {path}: `krea-pipe run {path}` sends nothing."
    price = "" if approval.is_local else f" for {usd(approval.price_usd)}"
    count = "this request" if len(approval.sends) == 1 else f"these {len(approval.sends)} requests"
    return f"plan    {path}: `krea-pipe run {path}` sends {count}{price}, and no other."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a run was asked to carry out: a pipeline file with what stands over it, or the plan of one."""

    file: Path
    overrides: Overrides
    max_cells: int
    is_local: bool
    lock: Path | None
    approval: PlanFile | None = None

    @property
    def target(self) -> Target:
        """The API that it is for."""
        return LOCAL if self.is_local else live_target(os.environ)

    @property
    def over(self) -> str:
        """What stands over the file of a plan, as options: whoever runs it should see that."""
        if self.approval is None:
            return ""
        named = {"--profile": self.approval.profiles, "--set": self.approval.set, "--vars": self.approval.vars}
        return shlex.join(
            [word for option, values in named.items() for value in values for word in (option, str(value))]
        )


def asked(file: Path, how: How, *, local: bool, max_cells: int) -> Asked:
    """What a file and the options of `run` ask for.

    Raises:
        InvalidInput: a plan file cannot be read. UsageError: options contradict it, or it is for another API.
    """
    if not is_plan_file(file):
        return Asked(file, overrides(how), max_cells, local, run_lock(file, how, how))
    approval = read_plan_file(file)
    _check_contents(approval)
    _check_options(file, how)
    _check_target(file, approval, local=local)
    over = Over(profiles=approval.profiles, sets=approval.set, var_files=approval.vars)
    lock = run_lock(approval.pipeline, how, over)
    return Asked(approval.pipeline, overrides(over), approval.max_cells, approval.is_local, lock, approval)


def _check_contents(approval: PlanFile) -> None:
    """Refuse what would make a plan file more than a plan of a pipeline here: other files, another budget."""
    here = repository_root(Path.cwd() / "plan")
    for file in (approval.pipeline, *approval.vars):
        try:
            inside = file.resolve().is_relative_to(here)
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            message = f"a plan file names files below {here} alone, and not {shown(str(file))}"
            raise UsageError(Problem("plan_file_outside", message, hint="make and run it in the pipeline's repository"))
    if any(one.partition("=")[0].split(".")[0] == "budget" for one in approval.set):
        hint = "write it into the pipeline, or run the plan with --max-cost"
        raise UsageError(Problem("plan_file_budget", "a plan file does not change the budget", hint=hint))


def _check_options(file: Path, how: How) -> None:
    named = {"--profile": how["profiles"], "--set": how["sets"], "--vars": how["var_files"], "-k": how["select"]}
    given = [
        name
        for name, value in {**named, "--exclude": how["exclude"], "--only-failed": how["only_failed"]}.items()
        if value
    ]
    if given:
        message = f"{file} is a plan: which cells are drawn, and how, stands in it, so it takes no {given[0]}"
        hint = f"make another: krea-pipe plan FILE {given[0]} … --out PLANFILE"
        raise UsageError(Problem("plan_file_options", message, hint=hint))


def _check_target(file: Path, approval: PlanFile, *, local: bool) -> None:
    if local and not approval.is_local:
        message = f"{file} is a plan for {approval.target}, not for the local Krea"
        raise UsageError(
            Problem("plan_file_target", message, hint="make another: krea-pipe plan FILE --local --out PLANFILE")
        )
    target = live_target(os.environ)
    if not approval.is_local and target.origin != origin_of(approval.target):
        message = f"{file} is a plan for {approval.target}, not for {target.base}"
        raise UsageError(Problem("plan_file_target", message, hint="set KREA_API_BASE as it was, or make another plan"))
