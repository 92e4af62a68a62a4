"""How a step stands before a run has touched it."""

from decimal import Decimal

from krea_pipe.outcome import Failure, Outcome
from krea_pipe.plan import Attach, Hold, Reuse, Step, Submit


def settled_outcome(step: Step) -> Outcome:
    """The outcome of a step that no run has touched: reused, held, or still to be done."""
    match step.action:
        case Reuse(result=result, counted=counted):
            return Outcome(
                "reused", result=result, job_id=result.job_id, cost_usd=Decimal(0) if counted else step.price
            )
        case Hold(code=code):
            failure = Failure(code, f"{step.reason}; `--uncertain resubmit` sends it again")
            if code == "empty":  # the run that met it has counted it
                return Outcome("failed", failure=failure)
            return Outcome("uncertain", failure=failure, cost_usd=step.price)
        case Attach(job_id=job_id):
            return Outcome("pending", job_id=job_id)
        case Submit():
            return Outcome("pending")
