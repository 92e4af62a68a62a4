"""When Krea refuses the account rather than a request, the run sends nothing more."""

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.errors import Problem
from krea_pipe.nodes import Json
from krea_pipe.outcome import Failure
from krea_pipe.run.session import Session

_NO_SERVICE = {
    401: ("key_refused", "check KREA_API_KEY; keys are made at krea.ai/app/api/tokens"),
    402: ("no_credit", "top up the API balance, then run the same command again; it goes on where this stopped"),
    403: ("forbidden", "check that API access is enabled for the workspace of this key"),
}


def refuse_account(error: CallFailed, session: Session) -> bool:
    """Stop the run when Krea refuses the account rather than the request; whether it does."""
    if not isinstance(error, Refused) or error.status not in _NO_SERVICE:
        return False
    code, hint = _NO_SERVICE[error.status]
    session.stop.refuse(Problem(code, f"Krea refused this account: {error}", hint=hint))
    return True


def refusal_facts(error: CallFailed) -> dict[str, Json]:
    """What a `declined` line says of a call that Krea did not take: a code, and the HTTP status if there was one."""
    return {"code": failure_of(error).code, "status": error.status if isinstance(error, Refused) else None}


def failure_of(error: CallFailed) -> Failure:
    """A failed call as the reason why a cell has no image."""
    if not isinstance(error, Refused):
        return Failure("unreachable", str(error), "transient")
    match error.status:
        case 410:
            return Failure("model_unavailable", f"Krea answered {error}", "gone")
        case 429:
            return Failure("too_many_requests", f"Krea answered {error}", "transient")
        case status if error.may_have_acted or status == 425:
            return Failure("server_error", f"Krea answered {error}", "transient")
        case _:
            return Failure("rejected", f"Krea answered {error}", "rejected")
