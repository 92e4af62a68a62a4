"""How a step stands before a run has touched it."""

from decimal import Decimal

from krea_pipe.core.outcome import Failure, FailureClass, Outcome
from krea_pipe.planning.plan import Attach, Hold, Reuse, Step, Submit


def settled_outcome(step: Step) -> Outcome:
    """The outcome of a step that no run has touched: reused, held, or still to be done."""
    match step.action:
        case Reuse(result=result, counted=counted, adopted=adopted):
            cost = Decimal(0) if counted else step.price
            return Outcome("reused", result=result, job_id=result.job_id, cost_usd=cost, adopted=adopted)
        case Hold(code=code):
            kind: FailureClass = "empty" if code == "empty" else "uncertain"
            failure = Failure(code, f"{step.reason}; `--uncertain resubmit` sends it again", kind)
            if code == "empty":  # the run that met it has counted it
                return Outcome("failed", failure=failure)
            return Outcome("uncertain", failure=failure, cost_usd=step.price)
        case Attach(job_id=job_id):
            return Outcome("pending", job_id=job_id)
        case Submit():
            return Outcome("pending")
