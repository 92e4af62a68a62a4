"""When Krea refuses the account rather than a request, the run sends nothing more."""

from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.errors import Problem
from krea_pipe.core.outcome import Failure
from krea_pipe.executor.session import Session
from krea_pipe.store.events import Declined

FIRST_PAGE = 100
ELSEWHERE = frozenset({301, 302, 303, 307, 308, 404, 405})
_NO_SERVICE = {
    401: ("key_refused", "check KREA_API_KEY; keys are made at krea.ai/app/api/tokens"),
    402: ("no_credit", "top up the API balance, then run the same command again; it goes on where this stopped"),
    403: ("forbidden", "check that API access is enabled for the workspace of this key"),
}


async def introduce(session: Session) -> CallFailed | None:
    """Ask for the newest jobs before anything is sent, which is free, and say why that failed.

    The answer tells Krea's time, whether the key is good, and which jobs are not of what will be sent.
    """
    try:
        page = await session.client.jobs(FIRST_PAGE)
    except CallFailed as error:
        if isinstance(error, Refused) and error.status == 401:
            await refuse_account(error, session)
        return error
    session.shown_before = frozenset(job.id for job in page.jobs)
    return None


async def refuse_account(error: CallFailed, session: Session) -> bool:
    """Stop the run when Krea refuses the account rather than the request; whether it does.

    A 403 may be about one request alone, and a 401 in another form than Krea's about one way to it: a free call that
    fails as well shows that it is not.
    """
    if not isinstance(error, Refused) or error.status not in _NO_SERVICE:
        return False
    is_doubtful = error.status == 403 or (error.status == 401 and not error.is_kreas)
    if is_doubtful and await _is_served(session):
        return False
    code, hint = _NO_SERVICE[error.status]
    session.stop.refuse(Problem(code, f"Krea refused this account: {error}", hint=hint))
    return True


async def refuse_address(error: CallFailed, session: Session) -> bool:
    """Stop the run when there is no Krea API at its address; whether that is so.

    A redirect, or a page that says that nothing is there, may be about one call: a free one that fails as well shows
    that it is not.
    """
    is_elsewhere = isinstance(error, Refused) and not error.is_kreas and error.status in ELSEWHERE
    if not is_elsewhere or await _is_served(session):
        return False
    hint = "check KREA_API_BASE; what was sent all the same is looked for by the next run"
    session.stop.refuse(Problem("no_api", f"no Krea API answers at this address: {error}", hint=hint))
    return True


async def _is_served(session: Session) -> bool:
    """Whether Krea answers a free call of this account."""
    try:
        await session.client.jobs(1)
    except CallFailed:
        return False
    return True


def declined(error: CallFailed) -> Declined:
    """The event after a POST that Krea did not take."""
    return Declined(code=failure_of(error).code, status=error.status if isinstance(error, Refused) else None)


def failure_of(error: CallFailed) -> Failure:
    """A failed call as the reason why a cell has no image."""
    if not isinstance(error, Refused):
        return Failure("unreachable", str(error), "transient")
    match error.status:
        case 410:
            return Failure("model_unavailable", f"Krea answered {error}", "gone")
        case 429:
            return Failure("too_many_requests", f"Krea answered {error}", "transient")
        case status if status >= 500 or status in (408, 425):
            return Failure("server_error", f"Krea answered {error}", "transient")
        case _:
            return Failure("rejected", f"Krea answered {error}", "rejected")
