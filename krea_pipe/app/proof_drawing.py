"""Draws the proofs that a state of a pipeline lacks, without a run: they are stored, but not delivered or reported."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from krea_pipe.app import flow
from krea_pipe.app.execution import Execution, Listeners, RunWork
from krea_pipe.app.pictures import shrink
from krea_pipe.app.run_pipeline import initial_outcome
from krea_pipe.app.workspace import Workspace
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.outcome import Outcome, Result, iso
from krea_pipe.core.request import Key
from krea_pipe.core.settings import Token
from krea_pipe.executor.deliver import remember
from krea_pipe.pipeline.spec import Loaded
from krea_pipe.planning.budget import Permission
from krea_pipe.planning.plan import Step
from krea_pipe.report.build import Delivered, RunFacts, build_report
from krea_pipe.report.model import Report
from krea_pipe.report.thumbnails import keep_reference_thumbnails
from krea_pipe.store.home import make_home


@dataclass(frozen=True, slots=True)
class ProofDrawing:
    """One state of a pipeline, its plan for the local Krea, and the outcomes so far."""

    loaded: Loaded
    planned: flow.PlannedRun
    workspace: Workspace
    facts: RunFacts
    outcomes: dict[Key, Outcome] = field(default_factory=dict)

    @classmethod
    def of(cls, loaded: Loaded, workspace: Workspace, options: flow.RunOptions) -> "ProofDrawing":
        """Plan the proofs of a pipeline.

        Args:
            loaded: the pipeline.
            workspace: the local Krea, and its store.
            options: which cells.

        Returns:
            The proofs, of which none is drawn yet.

        Raises:
            KreaPipeError: the store cannot be read, or there are too many cells.
        """
        planned, name = flow.planned(loaded, workspace.space, workspace.target, options), loaded.pipeline.name
        now = datetime.now(UTC)
        facts = RunFacts(
            run_id=flow.new_run_id(name, now),
            folder=workspace.home,
            started_at=iso(now),
            finished_at=iso(now),
            exit_code=ExitCode.DONE,
            target=workspace.target,
            out=flow.out_folder(None, name, local=True),
            cap=None,
            git=None,
            warnings=loaded.warnings,
        )
        outcomes = {step.key: initial_outcome(step, is_counted=True) for step in planned.plan.steps}
        return cls(loaded, planned, workspace, facts, outcomes)

    @property
    def count(self) -> int:
        """The number of proofs that this drawing has drawn."""
        return sum(outcome.status == "succeeded" for outcome in self.outcomes.values())

    def report(self) -> Report:
        """The pipeline with the proofs that are there."""
        facts, plan = replace(self.facts, finished_at=iso(datetime.now(UTC))), self.planned.plan
        pipeline, fingerprints = self.loaded.pipeline, self.loaded.fingerprints
        report = build_report(pipeline, fingerprints, plan, dict(self.outcomes), facts=facts, delivered=Delivered())
        return replace(report, rows=tuple(replace(row, image=None) for row in report.rows))  # nothing is delivered

    def draw(
        self, execution: Execution, begun: Callable[[Callable[[], None]], None], changed: Callable[[], None]
    ) -> Mapping[str, str]:
        """Draw what is missing.

        Args:
            execution: carries the plan out, at the local Krea.
            begun: receives a function that stops the drawing, from any thread.
            changed: called when a proof is stored.

        Returns:
            The messages of cells that failed, by id.

        Raises:
            KreaPipeError: the store cannot be written.
        """
        space, plan = self.workspace.space, self.planned.plan
        make_home(self.workspace.home)
        keep_reference_thumbnails(self.report(), self.loaded.fingerprints, space, shrink)
        if not plan.has_calls:
            remember(space, plan, self.outcomes)
            return {}

        def watch(step: Step, outcome: Outcome | None) -> None:
            if outcome is not None:
                self.outcomes[step.key] = outcome
                changed()

        space.prepare()
        with space.presence.shown(self.facts.run_id):
            done, ending = execution.carry_out(self._work(), self.facts.run_id, Listeners(watch, begun=begun))
            self.outcomes.update(done)
            remember(space, plan, self.outcomes)
        changed()
        if ending.error is not None:
            raise ending.error
        failed = ((step, self.outcomes[step.key].failure) for step in plan.steps)
        return {step.cells[0].id: failure.message for step, failure in failed if failure is not None}

    def _work(self) -> RunWork:
        return RunWork(
            plan=self.planned.plan,
            replay=self.planned.replay,
            space=self.workspace.space,
            target=self.workspace.target,
            deliver=_not_delivered,
            token=Token("local"),
            cap=None,
            most=None,
            permission=Permission(),
            file=str(self.loaded.pipeline.document.file),
            allowed=self.loaded.pipeline.prices.allowed,
        )


def _not_delivered(_: Step, __: Result) -> bool:
    return False
