"""Carries out a plan for the command line, with the network code, loaded only when there is something to do."""

import os
from decimal import Decimal
from typing import Literal

from krea_pipe.app import flow
from krea_pipe.cli.colour import can_move
from krea_pipe.cli.lazy import (
    EXECUTE,
    HOOKS,
    LOCAL_TRANSPORT,
    MANNER,
    ORDER,
    PROGRESS_BAR,
    PROGRESS_LINES,
    WEBHOOK_ADDRESS,
    WEBHOOK_URL,
    load,
)
from krea_pipe.cli.lock_options import Lock
from krea_pipe.cli.log_options import Told
from krea_pipe.cli.options import Chosen, Over
from krea_pipe.cli.progress_state import ProgressState, Watcher
from krea_pipe.cli.run_notifications import RunNotifications
from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.core.outcome import Ending, Outcome
from krea_pipe.core.request import Key
from krea_pipe.core.settings import LOCAL_PACE, Target, live_pace
from krea_pipe.planning.plan import needs_call

HINT = "leave the webhook out, or serve a Krea with `krea-pipe serve` and name it in KREA_API_BASE"


class How(Over, Chosen, Lock, Told):
    """The options that say how a plan is carried out."""

    max_cost: Decimal | None
    max_new: int | None
    concurrency: int
    submit_parallel: int
    uncertain: Literal["hold", "adopt", "resubmit"]
    job_timeout: float | None
    webhook_url: str | None
    webhook_listen: str | None


class Executor:
    """Carries out a plan with the network code, which is loaded only now that there is something to do."""

    def __init__(self, target: Target, how: "How", notifications: RunNotifications, *, as_json: bool) -> None:
        self.target, self.how, self.notifications, self.stderr_log = (
            target,
            how,
            notifications,
            notifications.stderr_log,
        )
        self.is_plain = as_json or self.stderr_log.quiet or self.stderr_log.in_json
        is_local = target.kind == "local"
        self.pace = LOCAL_PACE if is_local else live_pace(os.environ, how["job_timeout"])
        url, listen = how["webhook_url"], how["webhook_listen"]
        if is_local and (url or listen):
            raise UsageError(
                Problem("webhook_local", "the local Krea runs in this process and calls nobody", hint=HINT)
            )
        self.public = load(WEBHOOK_URL)(url, is_base=bool(listen)) if url else None
        self.hooks = load(HOOKS)(load(WEBHOOK_ADDRESS)(listen), self.public) if listen else None

    def __call__(self, prepared: flow.Prepared, run_id: str) -> tuple[dict[Key, Outcome], Ending]:
        """Do the work, and show how far it has come."""
        local = self.target.kind == "local"
        work = sum(needs_call(step.action) for step in prepared.plan.steps)
        progress_state = ProgressState(work, local)
        terminal = can_move() and not self.is_plain
        observe = self.notifications.begun(prepared, run_id)
        with (
            load(PROGRESS_BAR)(progress_state)
            if terminal
            else load(PROGRESS_LINES)(progress_state, self.stderr_log) as display
        ):
            order = load(ORDER)(
                plan=prepared.plan,
                replay=prepared.replay,
                space=prepared.space,
                target=self.target,
                token=prepared.token,
                run_id=run_id,
                origin=f"local:{run_id}" if local else self.target.origin,
                pace=self.pace,
                watch=self.notifications.watched(Watcher(progress_state, display)),
                deliver=prepared.delivery.deliver,
                tell=lambda message: self.stderr_log.say("info", "stopping", message),
                options=load(MANNER)(
                    concurrency=self.how["concurrency"],
                    submit_parallel=self.how["submit_parallel"],
                    cap=prepared.cap,
                    max_new=prepared.most,
                    uncertain=self.how["uncertain"],
                    webhook=self.public,
                ),
                hooks=self.hooks,
                transport=load(LOCAL_TRANSPORT)() if local else None,
                observe=observe,
            )
            done: tuple[dict[Key, Outcome], Ending] = load(EXECUTE)(order)
        return done
