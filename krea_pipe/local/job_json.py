"""A job as Krea shows it, in answers and in webhooks."""

from datetime import datetime

from krea_pipe.local.job import Job
from krea_pipe.local.paging import format_time
from krea_pipe.local.training import Training, name_style


def describe_job(job: Job, now: datetime, base_url: str) -> dict[str, object]:
    """The JSON of a job at an instant; the URL of its image begins with `base_url`."""
    status, finished_at = job.status(now), job.finished_at(now)
    answer: dict[str, object] = {
        "job_id": job.id,
        "status": status,
        "created_at": format_time(job.created_at),
        "completed_at": finished_at and format_time(finished_at),
        "result": None,
    }
    if status == "completed":
        answer["result"] = _describe_result(job, base_url)
    if status == "failed":
        answer |= _describe_failure(job)
    return answer


def _describe_result(job: Job, base_url: str) -> dict[str, object]:
    if job.fate.outcome != "image":
        return {}
    if isinstance(job.brief.order, Training):
        return {"style_id": name_style(job.image_id)}
    return {"urls": [f"{base_url}images/{job.image_id}.png"]}


def _describe_failure(job: Job) -> dict[str, object]:
    """Krea's schema and Krea's guide disagree on where the reason is; some failed jobs show none."""
    error = {"code": job.fate.code, "message": job.fate.message}
    match job.fate.place:
        case "top":
            return {"result": {}, "error": error}
        case "result":
            return {"result": {"error": error}}
        case "nowhere":
            return {"result": {}}


def name_type(job: Job) -> str:
    """Krea does not publish its name for the type; the list call is known to return one."""
    return "style-training" if isinstance(job.brief.order, Training) else f"krea-2-{job.brief.order.variant}"
