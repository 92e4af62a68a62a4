"""A list of jobs counts as evidence only while it shows what is known to exist; a time dates only its own job."""

import asyncio
import json
from datetime import datetime, timedelta
from email.utils import formatdate

import pytest
from command_line import KEY
from krea_server import GENERATE, ask, send_answer
from money import break_off, change_list, check_paid_once, draw, drop, hide, inhabit, job_ids, send_json

from krea_pipe.api.wire import read_time
from krea_pipe.core.settings import Token, origin_of
from krea_pipe.executor.account_jobs import NEWEST
from krea_pipe.store.probe import Probe, write_probe

STRANGE_TIMES = [
    "0001-01-01T00:00:00+14:00",
    "0001-01-01T00:00:00Z",
    "9999-12-31T23:59:59.999999-14:00",
    "9999-12-31T23:59:59Z",
    "1970-01-01T00:00:00Z",
    "2026-13-01T00:00:00Z",
    "yesterday",
    "",
    None,
    1764460800,
    ["2026-11-29"],
]


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


async def lose_after_acting(scope, seen, send, app):
    await ask(app, scope, seen)
    await break_off(send)


# --- how long an answer has been lost


def test_the_second_look_comes_after_the_loss_however_long_the_post_has_taken(project, krea):
    taken = asyncio.Event()

    async def time_out(scope, seen, send, app):
        await asyncio.sleep(1.2)  # longer than a lost answer is waited for
        krea.rule("GET", "/jobs", act_after_the_first_look, times=1)
        waiting.append((scope, seen))
        await send_answer(send, 504, {"content-length": "0"}, b"")

    async def act_after_the_first_look(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        await ask(app, *waiting[0])
        taken.set()
        await send_answer(send, *answer)

    waiting = []
    project.pipeline(["a", "b"])
    krea.rule("POST", GENERATE, time_out, text="b", times=1)
    done = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_SETTLE_SECONDS": "1"})
    assert taken.is_set()
    assert krea.billed_prompts() == ["a", "b"], done.text
    assert len(krea.posts) == 2
    assert done.rows["b"]["status"] in ("succeeded", "uncertain")


# --- a list that does not show what exists


def test_a_list_that_lacks_a_job_of_an_earlier_run_is_not_believed(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    krea.clock.advance(3600)
    hide(krea, "a", "b")
    krea.rule("POST", GENERATE, lose_after_acting, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["b"]["status"], len(krea.posts)) == ("uncertain", 2), done.text
    krea.rules.clear()
    draw(krea)
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["b"]["adopted"]) == (0, True), again.text
    check_paid_once(project, krea, ["a", "b"])


def test_an_empty_list_proves_nothing(project, krea):
    change_list(krea, lambda _: [])
    krea.rule("POST", GENERATE, lose_after_acting, times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["status"], len(krea.posts)) == (1, "uncertain", 1), done.text
    assert "is empty" in done.rows["a"]["error"]["message"]
    krea.rules.clear()
    draw(krea)
    assert project.run("run", "p.yaml", "--json").rows["a"]["adopted"]
    check_paid_once(project, krea, ["a"])


def test_an_empty_page_is_not_the_end_of_a_list_that_has_named_it(project, krea):
    inhabit(krea)
    empty = [True]

    async def in_pages_of_one(scope, seen, send, app):
        is_first = b"cursor" not in scope["query_string"]
        _, headers, body = await ask(app, scope, seen)
        page = json.loads(body)
        if is_first:
            page = {"items": page["items"][:1], "next_cursor": page["items"][0]["created_at"]}
        elif empty and len(krea.posts) > 1:
            empty.clear()
            page = {"items": [], "next_cursor": None}
        data = json.dumps(page).encode()
        await send_answer(send, 200, {**headers, "content-length": str(len(data))}, data)

    krea.rule("GET", "/jobs", in_pages_of_one)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert not empty
    assert krea.billed_prompts() == ["a", "b"], done.text


def test_a_date_that_is_ahead_decides_nothing_when_the_list_could_not_be_read_before(project, krea):
    inhabit(krea)
    lie = skew(krea, date=15)

    async def refuse_before_the_post(scope, seen, send, app):
        if krea.posts:
            await lie(scope, seen, send, app)
        else:
            await send_answer(send, 502, {"content-length": "0", "date": told(krea, 15)}, b"")

    krea.rule("GET", "/jobs", refuse_before_the_post)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert krea.billed_prompts() == ["a"], done.text
    assert done.rows["a"]["adopted"] or done.rows["a"]["status"] == "uncertain", done.text


def list_oldest_first(krea, page=1000):
    """List the oldest jobs first, no more than `page` at a time."""

    async def oldest_first(scope, seen, send, app):
        query = dict(part.split("=") for part in scope["query_string"].decode().split("&"))
        everything = {**scope, "query_string": b"limit=1000"}
        items = json.loads((await ask(app, everything, seen))[2])["items"][::-1]
        start, limit = int(query.get("cursor", "0")), min(int(query["limit"]), page)
        rest = start + limit < len(items)
        shown = {"items": items[start : start + limit], "next_cursor": str(start + limit) if rest else None}
        await send_json(send, shown)

    krea.rule("GET", "/jobs", oldest_first)


def test_a_page_of_one_moment_does_not_tell_the_order_of_the_list(project, krea):
    for _ in range(NEWEST + 2):
        inhabit(krea)
    list_oldest_first(krea, page=1)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["adopted"]) == (0, True), done.text
    check_paid_once(project, krea, ["a"])


def test_a_list_in_the_other_order_is_read_to_its_end(project, krea):
    project.pipeline([f"w{number}" for number in range(101)], name="other.yaml")
    assert project.run("run", "other.yaml").code == 0
    krea.clock.advance(60)
    list_oldest_first(krea)
    krea.rule("POST", GENERATE, lose_after_acting, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert len(krea.posts) == 103, done.text
    assert done.rows["b"]["adopted"] or done.rows["b"]["status"] == "uncertain"


def test_every_known_job_must_show_and_not_the_newest_alone(project, krea):
    krea.world.latency = 1.0
    hide(krea, "a", "c")
    krea.rule("POST", GENERATE, lose_after_acting, text='"c"', times=1)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["c"]["status"], len(krea.posts)) == ("uncertain", 3), done.text
    assert "does not contain job" in done.rows["c"]["error"]["message"]


def test_a_job_that_was_named_without_a_time_must_show_as_well(project, krea):
    inhabit(krea)
    hide(krea, "a", "b")
    date_jobs(krea, None, prompt="a", places=ANYWHERE[:1])
    krea.rule("POST", GENERATE, lose_after_acting, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["b"]["status"], len(krea.posts)) == ("uncertain", 2), done.text


# --- times


ANYWHERE = (("POST", GENERATE), ("GET", "/jobs"), ("GET", "/jobs/"))


def date_jobs(krea, time, *, prompt, places=ANYWHERE):
    """Give the jobs of a prompt another time of creation, wherever they are shown, or in some places."""

    def dated(job):
        found = krea.world.job(job.get("job_id", ""))
        other = time() if callable(time) else time
        return {**job, "created_at": other} if found and found.brief.order.prompt == prompt else job

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        data = json.loads(body)
        data = {**data, "items": [dated(one) for one in data["items"]]} if seen.path == "/jobs" else dated(data)
        answer = json.dumps(data).encode()
        await send_answer(send, status, {**headers, "content-length": str(len(answer))}, answer)

    for method, place in places:
        krea.rule(method, place, act)


@pytest.mark.parametrize("time", STRANGE_TIMES, ids=str)
def test_a_job_with_a_time_that_nobody_can_read_is_drawn_like_any_other(project, krea, time):
    date_jobs(krea, time, prompt="b")
    drop(krea, text='"c"')
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    check_paid_once(project, krea, ["a", "b", "c"])
    assert project.run("run", "p.yaml", "--json").counts == (0, 0, 3)


@pytest.mark.parametrize("time", STRANGE_TIMES, ids=str)
@pytest.mark.parametrize("taken", [True, False])
def test_a_job_of_someone_else_with_such_a_time_leaves_no_lost_answer_open(project, krea, time, taken):
    inhabit(krea)
    date_jobs(krea, time, prompt="local:fail-nsfw")
    krea.rule("POST", GENERATE, lose_after_acting, text="b", times=1) if taken else drop(krea, text="b")
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"]) == (0, taken), done.text
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_a_job_without_a_time_that_may_be_of_a_lost_answer_leaves_it_open(project, krea):
    date_jobs(krea, None, prompt="b")
    krea.rule("POST", GENERATE, lose_after_acting, text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["b"]["status"], len(krea.posts)) == ("uncertain", 2), done.text
    assert len(done.rows["b"]["error"]["candidates"]) == 1


@pytest.mark.parametrize("seconds", [1, 1.9, 2.1, 2.5, 3, 3.5, 120, 5_400_000_000])
def test_one_answer_whose_time_is_ahead_hides_no_lost_job(project, krea, seconds):
    def ahead():
        return (krea.world.now() + timedelta(seconds=seconds)).isoformat()

    date_jobs(krea, ahead, prompt="a", places=ANYWHERE[:1])
    krea.rule("POST", GENERATE, lose_after_acting, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert done.rows["b"]["adopted"] or done.rows["b"]["status"] == "uncertain", done.text
    assert (len(krea.posts), krea.billed_prompts()) == (2, ["a", "b"])


@pytest.mark.parametrize("settle", ["0", "1"])
def test_one_date_that_is_ahead_hides_no_lost_job(project, krea, settle):
    """Not even from the first look, which may be the last."""
    inhabit(krea)

    async def with_date(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, {**headers, "date": "Fri, 01 Jan 2100 00:00:00 GMT"}, body)

    krea.rule("GET", "/jobs", with_date, times=1)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_SETTLE_SECONDS": settle})
    assert done.rows["a"]["adopted"] or done.rows["a"]["status"] == "uncertain", done.text
    assert (len(krea.posts), krea.billed_prompts()) == (1, ["a"])


def test_a_time_to_come_on_the_list_does_not_make_it_up_to_date(project, krea):
    """The job of someone else is dated ahead; then the list stops at it."""
    inhabit(krea)
    date_jobs(krea, "2199-12-31T00:00:00Z", prompt="local:fail-nsfw")
    drop(krea, text='"b"')
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    hide(krea, "a", "b", "c", "d")
    krea.rule("POST", GENERATE, lose_after_acting, text='"d"', times=1)
    project.pipeline(["a", "b", "c", "d"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["d"]["status"], len(krea.posts)) == ("uncertain", 5), done.text


def test_a_job_without_a_time_is_not_dated_by_one_that_is_older_than_those_below(project, krea):
    date_jobs(krea, None, prompt="b", places=ANYWHERE[1:])
    old = {"job_id": "old", "status": "failed", "created_at": "2001-01-01T00:00:00Z"}

    def below_an_old_one(jobs):
        return [
            part
            for job in jobs
            for part in ([old, {**job, "created_at": None}] if job["job_id"] in job_ids(krea, "b") else [job])
        ]

    change_list(krea, below_an_old_one)
    krea.rule("POST", GENERATE, lose_after_acting, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["b"]["status"], len(krea.posts)) == ("uncertain", 2), done.text


@pytest.mark.parametrize(
    "date",
    ["Fri, 31 Dec 9999 23:59:59 GMT", "Mon, 01 Jan 0001 00:00:00 +1400", "Thu, 01 Jan 1970 00:00:00 GMT", "0", ","],
)
@pytest.mark.parametrize("header", ["date", "retry-after"])
def test_dates_in_headers_end_no_run(project, krea, date, header):
    async def with_date(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, {**headers, header: date}, body)

    krea.rule("GET", "/jobs", with_date)
    krea.rule("POST", GENERATE, with_date)
    krea.answer("POST", GENERATE, 429, {"error": "full"}, headers={header: date}.items(), text="b", times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    check_paid_once(project, krea, ["a", "b"])


def test_recover_names_jobs_without_a_time_and_pairs_none_of_them(project, krea):
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    (project.space / "journal.jsonl").unlink()
    for file in (project.space / "facts").iterdir():
        file.unlink()
    change_list(
        krea, lambda jobs: [{"job_id": "x", "status": "completed", "created_at": "9999-12-31T23:59:59Z"}, *jobs]
    )
    done = project.run("recover", "p.yaml", "--json", "--since", "876000")
    assert done.code == 0, done.text
    assert [(row["job_id"] == "x", row["cell"]) for row in done.json["jobs"]] == [(True, None), (False, "p/a")]


def test_recover_pairs_nothing_in_order_when_a_time_can_not_be_read(project, krea):
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    (project.space / "journal.jsonl").unlink()
    for file in (project.space / "facts").iterdir():
        file.unlink()
    date_jobs(krea, "not a time", prompt="a")
    done = project.run("recover", "p.yaml", "--json", "--in-order")
    assert (done.code, done.json["error"]["code"]) == (1, "no_order"), done.text
    assert "cannot be read" in done.json["error"]["message"]


# --- clocks that differ


def told(krea, seconds):
    """Krea's time as a `Date`, so many seconds ahead."""
    return formatdate(krea.clock().timestamp() + seconds, usegmt=True)


def skew(krea, *, date=0, jobs=0, prompt=None):
    """Show the gateway's clock, and that of the host which dates jobs (or the one job of a prompt), so much ahead."""

    def change(data):
        ours = prompt is None or data.get("job_id") in job_ids(krea, prompt)
        if jobs and ours and data.get("created_at"):
            moment = datetime.fromisoformat(data["created_at"]) + timedelta(seconds=jobs)
            return {**data, "created_at": moment.isoformat()}
        return data

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        data = json.loads(body)
        changed = {**data, "items": [change(one) for one in data["items"]]} if "items" in data else change(data)
        body = json.dumps(changed).encode()
        await send_answer(send, status, {**headers, "date": told(krea, date), "content-length": str(len(body))}, body)

    return act


@pytest.mark.parametrize("words", [["a"], ["a", "b", "c"]])
@pytest.mark.parametrize(
    ("date", "jobs"), [(3.5, 0), (60, 0), (-3.5, 0), (-60, 0), (0, 3), (0, -3), (0, 20), (0, -20), (30, -20)]
)
def test_clocks_that_differ_let_nothing_be_paid_twice(project, krea, words, date, jobs):
    """The gateway's `Date` and the times of jobs come from more than one host; the last request's answer is lost."""
    inhabit(krea)
    lie = skew(krea, date=date, jobs=jobs)
    krea.rule("GET", "/jobs", lie)
    krea.rule("POST", GENERATE, lie)
    krea.rule("POST", GENERATE, lose_after_acting, text=f'"{words[-1]}"', times=1)
    project.pipeline(words)
    done = project.run("run", "p.yaml", "--json")
    row = done.rows[words[-1]]
    assert row["adopted"] or row["status"] == "uncertain", done.text
    assert (len(krea.posts), krea.billed_prompts()) == (len(words), words)


@pytest.mark.parametrize("jobs", [-3, 3, -25])
def test_one_job_that_another_host_has_dated_is_not_paid_twice(project, krea, jobs):
    inhabit(krea)
    krea.rule("GET", "/jobs", skew(krea, jobs=jobs, prompt="c"))
    krea.rule("POST", GENERATE, lose_after_acting, text='"c"', times=1)
    project.pipeline(["a", "b", "c"])
    done = project.run("run", "p.yaml", "--json")
    assert done.rows["c"]["adopted"] or done.rows["c"]["status"] == "uncertain", done.text
    assert krea.billed_prompts() == ["a", "b", "c"]


def test_a_list_that_cuts_jobs_of_one_moment_in_two_hides_none(project, krea):
    """A page ends in the middle of jobs of one second, and the next one begins before it."""
    inhabit(krea)

    async def strict_pages(scope, seen, send, app):
        query = dict(part.split("=") for part in scope["query_string"].decode().split("&"))
        everything = {**scope, "query_string": b"limit=1000"}
        items = json.loads((await ask(app, everything, seen))[2])["items"]
        items = [{**one, "created_at": one["created_at"][:19] + "Z"} for one in items]
        cursor = query.get("cursor", "").replace("%3A", ":").replace("%2B", "+")
        shown = [one for one in items if not cursor or read_time(one["created_at"]) < read_time(cursor)]
        page = shown[:3]
        end = page[-1]["created_at"] if len(shown) > len(page) else None
        await send_json(send, {"items": page, "next_cursor": end})

    krea.rule("GET", "/jobs", strict_pages)
    krea.rule("POST", GENERATE, lose_after_acting, text='"c"', times=1)
    project.pipeline(["a", "b", "c", "d", "e", "f"])
    done = project.run("run", "p.yaml", "--json")
    assert done.rows["c"]["adopted"] or done.rows["c"]["status"] == "uncertain", done.text
    assert krea.billed_prompts() == ["a", "b", "c", "d", "e", "f"]


@pytest.mark.parametrize(("tolerance", "found"), [(None, "uncertain"), (12.0, "succeeded")])
def test_what_the_probe_has_learnt_of_clocks_is_where_a_run_starts_from(project, krea, tolerance, found):
    inhabit(krea)
    lie = skew(krea, date=8)
    krea.rule("GET", "/jobs", lie)
    krea.rule("POST", GENERATE, lie)
    krea.rule("POST", GENERATE, lose_after_acting, text='"a"', times=1)
    if tolerance is not None:
        account = Token(KEY).account
        write_probe(project.path / ".krea-pipe", Probe("", origin_of(krea.base), account, tolerance, 10.0))
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["a"]["status"], krea.billed_prompts()) == (found, ["a"]), done.text
