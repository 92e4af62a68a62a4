"""How a run asks: one list for all jobs, few POSTs at once, and no more than the account takes."""

import asyncio
import time

import pytest
from krea_rules import change_list, end_in_waves
from krea_server import GENERATE, ask, send_answer
from money import inhabit

WORDS = [f"w{number:02}" for number in range(30)]


def drawn(project, *words, env=()):
    done = project.run("run", "p.yaml", "--json", *words, env=env)
    assert done.code == 0, done.text
    return done


def until_all_are_sent(krea, count):
    """Jobs run until a look after the last POST, which finds all of them done; the number of that request."""
    krea.reset(latency=1e6)
    at = []

    async def act(scope, seen, send, app):
        if len(krea.world.jobs) == count and not at:
            at.append(len(krea.seen))
            krea.finish_jobs()
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs", act)
    return at


def lists_and_reads(krea, start=0):
    seen = [(one.method, one.path) for one in krea.seen[start:]]
    return seen.count(("GET", "/jobs")), sum(method == "GET" and path.startswith("/jobs/") for method, path in seen)


def test_one_look_at_the_list_sees_the_end_of_all_jobs(project, krea):
    at = until_all_are_sent(krea, len(WORDS))
    project.pipeline(WORDS)
    drawn(project)
    lists, reads = lists_and_reads(krea, at[0])
    assert lists <= 1, "the next look finds the last job, should its answer still have been on its way"
    assert reads == lists_and_reads(krea)[1] == 0
    assert len(krea.calls("GET", "/images/")) == len(WORDS)


def test_two_and_a_half_calls_for_each_job_are_enough(project, krea):
    """A POST, a download, and a share in the looks, with as few looks as Krea's own pace leaves time for."""
    project.pipeline(WORDS)
    drawn(project, env={"KREA_PIPE_POLL_SECONDS": "0.5"})
    assert len(krea.seen) <= 2.4 * len(WORDS)


def test_what_the_list_does_not_show_is_read_alone_and_nothing_else(project, krea):
    until_all_are_sent(krea, len(WORDS))
    change_list(krea, lambda prompt, job: None if prompt in ("w03", "w17") else job)
    asked = []

    async def act(scope, seen, send, app):
        if len(krea.world.jobs) == len(WORDS):
            krea.finish_jobs()
        asked.append(krea.world.job(seen.path.removeprefix("/jobs/")).brief.order.prompt)
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs/", act)
    project.pipeline(WORDS)
    drawn(project)
    assert set(asked) == {"w03", "w17"}


def test_an_end_in_the_list_without_an_image_is_read_alone_before_it_counts(project, krea):
    """The list may be the shorter form of a job."""
    change_list(krea, lambda prompt, job: {**job, "result": None} if prompt == "w05" else job)
    project.pipeline(WORDS)
    assert drawn(project).counts == (30, 0, 0)
    assert lists_and_reads(krea)[1] == 1


@pytest.mark.parametrize(
    ("status", "body"),
    [(404, b"<h1>Not found</h1>"), (400, {"error": "no"}), (500, b""), (200, b"<html>hi</html>"), (200, {"items": 5})],
)
def test_without_a_list_each_job_is_read(project, krea, status, body):
    krea.answer("GET", "/jobs", status, body)
    project.pipeline(WORDS)
    assert drawn(project).counts == (30, 0, 0)
    assert lists_and_reads(krea)[1] >= 30
    assert krea.billed_prompts() == WORDS


def test_a_list_that_fails_now_and_then_does_no_harm(project, krea):
    krea.reset(latency=0.05, concurrency=4)
    krea.answer("GET", "/jobs", 503, b"", times=1)
    krea.answer("GET", "/jobs", 429, {"error": "slow down"}, headers={"retry-after": "0"}, times=1)
    krea.lose("GET", "/jobs", times=1)
    project.pipeline(WORDS)
    drawn(project)
    assert krea.billed_prompts() == WORDS


def test_a_list_full_of_jobs_of_others_hides_none_of_ours(project, krea):
    """The list is the account's: what does not fit into a look because of them is read alone."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, headers, body)
        if len(krea.world.jobs) < 2000:
            brief = krea.world.jobs[-1].brief
            for _ in range(100):
                krea.world.submit(brief)

    krea.reset(latency=0.05)
    krea.rule("POST", GENERATE, act)
    project.pipeline(WORDS[:8])
    assert drawn(project).counts == (8, 0, 0)


# --- how much is under way


def watch_jobs(krea):
    """The most jobs that Krea held at once."""
    most = [0]

    async def act(scope, seen, send, app):
        await send_answer(send, *await ask(app, scope, seen))
        now = krea.world.now()
        most[0] = max(most[0], sum(job.finished_at(now) is None for job in krea.world.jobs))

    krea.rule("POST", GENERATE, act)
    return most


@pytest.mark.parametrize("limit", [1, 3, 7])
def test_krea_never_holds_more_jobs_than_the_user_allows(project, krea, limit):
    end_in_waves(krea)
    most = watch_jobs(krea)
    project.pipeline(WORDS[:10])
    drawn(project, "--concurrency", str(limit), "--submit-parallel", "4")
    assert most == [limit]


def test_without_a_limit_krea_holds_all_of_them_at_once(project, krea):
    """Jobs in flight are no connections: krea-pipe submits ahead of what Krea runs."""
    until_all_are_sent(krea, 60)
    most = watch_jobs(krea)
    project.pipeline([f"w{number}" for number in range(60)], more="budget: {usd: 50}")
    drawn(project)
    assert most == [60]


def slow_posts(krea, meeting=None):
    """The most POSTs that were under way at once; `meeting` of them are answered together."""
    most, here, met = [0], [0], asyncio.Event()

    async def act(scope, seen, send, app):
        here[0] += 1
        most[0] = max(most[0], here[0])
        if here[0] == meeting:
            met.set()
        if meeting is None:
            await asyncio.sleep(0.02)
        else:
            await asyncio.wait_for(met.wait(), 10)
        answer = await ask(app, scope, seen)
        here[0] -= 1
        await send_answer(send, *answer)

    krea.rule("POST", GENERATE, act)
    return most


def test_one_post_is_under_way_at_a_time(project, krea):
    most = slow_posts(krea)
    project.pipeline(WORDS[:12])
    drawn(project)
    assert most == [1]


@pytest.mark.parametrize("parallel", [2, 8])
def test_as_many_posts_are_under_way_as_the_user_asks_for_and_no_more(project, krea, parallel):
    most = slow_posts(krea, meeting=parallel)
    project.pipeline(WORDS[:24])
    drawn(project, "--submit-parallel", str(parallel))
    assert most == [parallel]


# --- 429


def bounded_account(krea, concurrency, backlog):
    """An account that takes so many jobs, and how often it said that it was full."""
    krea.reset(latency=1e6, concurrency=concurrency, backlog=backlog)
    refusals = []

    async def act(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        if answer[0] == 429:
            refusals.append(seen)
        await send_answer(send, *answer)

    krea.rule("POST", GENERATE, act)
    return refusals


@pytest.mark.parametrize(("concurrency", "backlog"), [(1, 0), (3, 0), (3, 2), (15, 0)])
def test_what_the_account_takes_is_learned_from_its_refusals(project, krea, concurrency, backlog):
    refusals = bounded_account(krea, concurrency, backlog)
    end_in_waves(krea)
    words = [f"w{number:03}" for number in range(24)]
    project.pipeline(words)
    assert drawn(project).counts == (24, 0, 0)
    assert krea.billed_prompts() == words
    assert 0 < len(refusals) <= 24, "each may be asked about twice"


def test_after_a_refusal_nothing_is_sent_until_a_job_ends(project, krea):
    refusals = bounded_account(krea, 3, 0)
    looks = []

    async def act(scope, seen, send, app):
        if refusals:
            looks.append(len(krea.posts))
        if len(looks) == 10:
            krea.finish_jobs()
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs", act)
    project.pipeline(WORDS)
    assert drawn(project).counts == (30, 0, 0)
    assert looks[9] <= 6, "three that were taken, and three refusals that show that there is no room"


def test_the_wait_that_krea_asks_for_is_honoured_by_every_request(project, krea):
    """Also when all jobs end meanwhile, so that there is room for others."""
    krea.reset(latency=1e6)
    times = []

    async def act(scope, seen, send, app):
        times.append(time.monotonic())
        if len(times) == 8:
            await send_answer(send, 429, {"retry-after": "1", "content-length": "0"}, b"")
        else:
            await send_answer(send, *await ask(app, scope, seen))

    async def end(scope, seen, send, app):
        if len(times) == 8:
            krea.finish_jobs()
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, act)
    krea.rule("GET", "/jobs", end)
    project.pipeline(WORDS[:14])
    assert drawn(project).counts == (14, 0, 0)
    assert times[8] - times[7] >= 1, "by Krea's record no POST came before the wait was over"


@pytest.mark.parametrize(
    ("body", "event"), [({"error": "slow down"}, "declined"), (b"<html>slow down</html>", "unanswered")]
)
def test_a_refusal_without_a_wait_is_survived(project, krea, body, event):
    """One of a gateway may follow a request that Krea has taken: it is looked for."""
    inhabit(krea)
    krea.answer("POST", GENERATE, 429, body, times=7)
    project.pipeline(WORDS[:6])
    done = drawn(project, "--submit-parallel", "4")
    assert done.counts == (6, 0, 0)
    refused = [one for row in done.report["cells"] for one in row["attempts"] if one["event"] == event]
    assert [one["detail"] for one in refused] == ["429 slow down"] * 7
