"""What tests about money share: pictures of the size that was asked for, crashes at a chosen moment, and the bills."""

import asyncio
import json
import time
from collections import Counter
from decimal import Decimal
from functools import lru_cache
from io import BytesIO

from krea_server import DEADLINE, GENERATE, Krea, Seen, ask, picture, send_answer
from PIL import Image

from krea_pipe.core.contract import SIZES

SIZE = SIZES["1:1"]
STRANGER = "a stranger's"
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>"


@lru_cache
def drawing(prompt, size=SIZE) -> bytes:
    """The picture that Krea draws for a prompt: another colour for each, so that a mix-up shows."""
    return picture(seed=prompt, size=size, compress_level=1)


@lru_cache
def colour(prompt):
    with Image.open(BytesIO(drawing(prompt))) as image:
        return image.getpixel((0, 0))


def draw(krea: Krea, size=SIZE, *, broken="", times=None):
    """Serve each job's picture in a size, by default the one that pipelines ask for when they name none.

    That of the prompt `broken` is no picture.
    """

    async def act(scope, seen, send, app):
        prompt = krea.job_of_image(seen.path).brief.order.prompt
        data = b"<html>" if prompt == broken else drawing(prompt, size)
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    krea.rule("GET", "/images/", act, times=times)


# --- what someone else does on the account


async def order(app, scope, prompt):
    """Let another client of the account start a job."""
    body = json.dumps({"prompt": prompt, "aspect_ratio": "1:1", "resolution": "1K"}).encode()
    status, _, answer = await ask(app, {**scope, "method": "POST"}, Seen("POST", scope["path"], {}, body))
    assert status == 200, answer
    return json.loads(answer)["job_id"]


def inhabit(krea, prompt="local:fail-nsfw"):
    """Put a job on the account before a run, because an empty list proves nothing; by default it is not billed."""
    path = f"{GENERATE}image/krea/krea-2/medium"
    scope = {"type": "http", "method": "POST", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [(b"authorization", b"Bearer x"), (b"content-type", b"application/json")]}
    job_id = asyncio.run(order(krea.app, scope, prompt))
    krea.clock.advance(3600)
    return job_id


def refuse_lists_when(krea, happens, status):
    """Refuse the list of jobs from when something happens on."""

    async def act(scope, seen, send, app):
        refused = (status, {"content-type": "application/json"}, b'{"message": "no"}')
        await send_answer(send, *(refused if happens() else await ask(app, scope, seen)))

    krea.rule("GET", "/jobs", act)


def intrude(krea, *, text="", acts=True, after=False, jobs=1, seconds=0):
    """Lose the answer to a POST, when another client has just started `jobs`; the ids of these will be in the list.

    `acts` says whether Krea takes the POST, `after` that it does so before the other jobs come, which they do some
    `seconds` later.
    """
    found = []

    async def act(scope, seen, send, app):
        if acts and after:
            await ask(app, scope, seen)
            krea.clock.advance(seconds)
        found.extend([await order(app, scope, STRANGER) for _ in range(jobs)])
        if acts and not after:
            await ask(app, scope, seen)
        await break_off(send)

    krea.rule("POST", GENERATE, act, text=text, times=1)
    return found


async def break_off(send):
    """Answer, but not to the end."""
    await send_answer(send, 200, {"content-type": "application/json", "content-length": "999"}, b'{"job_')


def end_empty_during_the_upload(krea, project, key):
    """Let another command order the same and get nothing for it, while this one uploads its references."""
    facts = {"key": key, "run": "theirs", "job_id": "j", "origin": krea.base, "account": "a", "usd": "1", "cell": "c"}
    lines = [{"event": "submitted", **facts}, {"event": "failed", "code": "empty", **facts}]

    async def act(scope, seen, send, app):
        with (project.space / "journal.jsonl").open("a") as journal:
            journal.writelines(json.dumps(line) + "\n" for line in lines)
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", "/assets", act, times=1)


def drop(krea, *, text="", times=1):
    """Break the connection of a POST before Krea has acted."""

    async def act(scope, seen, send, app):
        await break_off(send)

    krea.rule("POST", GENERATE, act, text=text, times=times)


async def lose_after_acting(scope, seen, send, app):
    await ask(app, scope, seen)
    await break_off(send)


async def hide_behind_a_gateway(scope, seen, send, app):
    await ask(app, scope, seen)
    await send_answer(send, 502, {"content-type": "text/html", "content-length": str(len(HTML))}, HTML)


async def answer_without_a_job(scope, seen, send, app):
    await ask(app, scope, seen)
    await send_json(send, {"status": "queued"})


async def send_json(send, data):
    body = json.dumps(data).encode()
    await send_answer(send, 200, {"content-type": "application/json", "content-length": str(len(body))}, body)


def change_list(krea, change):
    """Change the jobs in every answer that lists them."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        page = json.loads(body)
        changed = json.dumps({**page, "items": change(page["items"])}).encode()
        await send_answer(send, status, {**headers, "content-length": str(len(changed))}, changed)

    krea.rule("GET", "/jobs", act)


def hide(krea, *prompts):
    """Leave jobs out of the list, as one does that is not up to date."""

    def without(jobs):
        hidden = {job_id for prompt in prompts for job_id in job_ids(krea, prompt)}
        return [job for job in jobs if job["job_id"] not in hidden]

    change_list(krea, without)


def job_ids(krea, prompt) -> list[str]:
    return [job.id for job in krea.world.jobs if job.brief.order.prompt == prompt]


# --- crashes


def kill(process):
    """What kill -9 does, to its end."""
    process.kill()
    process.wait()


def kill_when(process, happened):
    """Kill a process as soon as something is so, looking all the time; whether it lived until then."""
    end = time.monotonic() + DEADLINE
    while process.poll() is None and not happened():
        assert time.monotonic() < end, f"it neither happened nor did the process end in {DEADLINE} s"
        time.sleep(0.0005)
    lived = process.poll() is None
    kill(process)
    return lived


def kill_at_post(krea, project, text, *, acts, when=lambda: True):
    """Kill the project's first process while a POST of it is under way, once something is so besides.

    Krea acts on the POST `before` that, `after` it, or `never`.
    """

    async def act(scope, seen, send, app):
        if acts == "before":
            await ask(app, scope, seen)
        while not when():
            await asyncio.sleep(0.01)
        kill(project.started[0])
        if acts == "after":
            await ask(app, scope, seen)
        await break_off(send)

    krea.rule("POST", GENERATE, act, text=f'"{text}"', times=1)


def count_lines(project) -> int:
    """How many lines the journal has, whole ones."""
    file = project.space / "journal.jsonl"
    return file.read_bytes().count(b"\n") if file.exists() else 0


def alive(project) -> list[str]:
    """The runs that have said that they live."""
    folder = project.space / "running"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    return [name for name in names if not name.startswith(".") and not name.endswith("-journal")]  # SQLite's own


# --- bills


def check_paid_once(project, krea, words, *, out=("out/p",), but=(), env=()):
    """Every request was billed exactly once, and each image is in one of the folders, as it was asked for.

    What is uncertain has no image: `but` names it. `env` names the shared store, if there is one.
    """
    billed, wanted = Counter(krea.billed_prompts()), Counter(words)
    assert billed == wanted, f"too often: {billed - wanted}, not: {wanted - billed}"
    for word in words:
        if word in but:
            continue
        found = [project.image(word, folder) for folder in out if project.image(word, folder).exists()]
        with Image.open(found[0]) as image:
            assert (image.size, image.getpixel((0, 0))) == (SIZE, colour(word)), word
    folder = project.path.parent
    homes = folder.glob("*/.krea-pipe") if (folder / "store").exists() else ()  # those that share it
    total = check_spend(project, krea, *(f"--home={home}" for home in homes), env=env)
    assert but or total["uncertain"] == 0


def check_spend(project, krea, *words, training="0", env=()):
    """What the journals say was paid is Krea's bill to the cent; what is uncertain may be on it besides.

    The local Krea bills nothing for a `training`, because no document says what one costs.
    """
    total = project.run("spend", "--json", *words, env=env).json["total"]
    billed = sum((bill.amount for bill in krea.world.bills), Decimal(training))
    paid, more = Decimal(total["paid_usd"]), Decimal(total["uncertain_usd"]) + Decimal(total["in_flight_usd"])
    assert paid <= billed <= paid + more, (billed, total)
    return total
