"""Why there is no style, in the words of a failure."""

from krea_pipe.api.wire import Job
from krea_pipe.core.outcome import Failure

AGAIN = "`--again` trains once more, and pays for it"


def failed(job: Job) -> Failure:
    """The job ended in a way that Krea does not bill."""
    if job.failure is None:
        return Failure(job.status, f"the training was {job.status}; it is not billed")
    reason = f"the training has failed, and is not billed: {job.failure.message}"
    return Failure(job.failure.code, reason, job.failure.kind)


def empty() -> Failure:
    """The job was completed, and has no style."""
    return Failure("empty", f"the training was completed without a style, and may be billed. {AGAIN}", "empty")


def hidden(style_id: str) -> Failure:
    """There is a style, and this key is not the one that may use it."""
    reason = f"style {style_id} was trained with another key, and this one does not see it"
    return Failure("style_hidden", f"{reason}; share it with the workspace. {AGAIN}", "refused")


def uncertain(reason: str, candidates: tuple[str, ...] = ()) -> Failure:
    """An answer was lost, and nobody can tell what became of its POST; `candidates` are jobs that may be of it."""
    jobs = f" Jobs that may be it: {', '.join(candidates)}." if candidates else ""
    look = "`krea-pipe styles list` shows whether the style is there"
    message = f"Krea may be training it, for its answer was lost, and {reason.rstrip('.')}.{jobs} {look}; {AGAIN}"
    return Failure("answer_lost", message, "uncertain", candidates)
