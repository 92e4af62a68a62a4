"""Rules for a served Krea that several tests share."""

import json

from krea_server import ask, send_answer


def change_list(krea, change):
    """Change the list of jobs, and the list alone: `change(prompt, job)` gives the job to show, or None to hide it."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        page = json.loads(body)
        shown = (change(krea.world.job(job["job_id"]).brief.order.prompt, job) for job in page["items"])
        page["items"] = [job for job in shown if job is not None]
        body = json.dumps(page).encode()
        await send_answer(send, status, {**headers, "content-length": str(len(body))}, body)

    krea.rule("GET", "/jobs", act)


def end_in_waves(krea, looks=3):
    """Let jobs end, all at once, whenever Krea was looked at so many times without a POST in between."""
    krea.world.latency = 1e6
    posts, quiet = [0], [0]

    async def act(scope, seen, send, app):
        quiet[0] = quiet[0] + 1 if posts[0] == len(krea.posts) else 0
        posts[0] = len(krea.posts)
        if quiet[0] >= looks:
            quiet[0] = 0
            krea.clock.advance(1e8)
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs", act)
