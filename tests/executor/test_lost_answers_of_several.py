"""Lost answers beside other jobs and other lost answers, and a list of jobs that is late or cannot be read."""

import asyncio

import pytest
from krea_rules import change_list
from krea_server import GENERATE, ask, send_answer
from money import STRANGER, break_off, check_paid_once, draw, drop, job_ids, order

LATE = {"KREA_PIPE_SETTLE_SECONDS": "0.6"}
"""The first look is within this time, also on a machine that has much to do, and the second one after it."""
WORDS = [f"w{number}" for number in range(10)]


@pytest.fixture(autouse=True)
def pictures(krea):
    """Pictures of the size that is asked for: without it nothing is adopted."""
    draw(krea)


def statuses(done):
    return {word: row["status"] for word, row in done.rows.items()}


def lose_once_done(project, krea, word, *, lost):
    """Lose a request that Krea does not take, once the ones before it are done: nothing else is looked for then."""

    async def act(scope, seen, send, app):
        while len(project.events("done")) < len(krea.posts) - 1:
            await asyncio.sleep(0.01)
        lost.append(seen)
        await break_off(send)

    krea.rule("POST", GENERATE, act, text=f'"{word}"', times=1)


# --- jobs of someone else


@pytest.mark.parametrize("acts", [True, False])
def test_a_strangers_job_of_seconds_before_is_not_taken_for_the_lost_one(project, krea, acts):
    """A job of ours has told Krea's time to the millisecond by then, and no poll has shown the stranger's."""

    async def order_seconds_before_the_next(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        await order(app, scope, STRANGER)
        krea.clock.advance(5)
        await send_answer(send, *answer)

    change_list(krea, lambda prompt, job: None if prompt == STRANGER and len(krea.posts) < 4 else job)
    krea.rule("POST", GENERATE, order_seconds_before_the_next, text='"b"')
    krea.lose("POST", GENERATE, text='"d"', times=1) if acts else drop(krea, text='"d"')
    project.pipeline(["a", "b", "c", "d"])
    done = project.run("run", "p.yaml", "--json", "--concurrency", "1")  # in this order
    assert statuses(done) == {"a": "succeeded", "b": "succeeded", "c": "succeeded", "d": "uncertain"}, done.text
    assert done.rows["d"]["error"]["candidates"] == job_ids(krea, "d" if acts else STRANGER)
    assert (project.image("d").exists(), len(krea.posts)) == (False, 4)


@pytest.mark.parametrize(("acts", "status", "posts"), [(True, "uncertain", 4), (False, "succeeded", 5)])
def test_a_strangers_job_that_a_poll_has_shown_before_the_post_is_no_candidate(project, krea, acts, status, posts):
    shown = asyncio.Event()

    async def order_first(scope, seen, send, app):
        await order(app, scope, STRANGER)
        await send_answer(send, *await ask(app, scope, seen))

    async def wait_for_the_poll(scope, seen, send, app):
        await shown.wait()
        await send_answer(send, *await ask(app, scope, seen))

    def look(prompt, job):
        if prompt == STRANGER:
            shown.set()
        return job

    change_list(krea, look)
    krea.rule("POST", GENERATE, order_first, text='"a"')
    krea.rule("POST", GENERATE, wait_for_the_poll, text='"c"')
    krea.lose("POST", GENERATE, text='"d"', times=1) if acts else drop(krea, text='"d"')
    project.pipeline(["a", "b", "c", "d"])
    done = project.run("run", "p.yaml", "--json")
    assert statuses(done) == {"a": "succeeded", "b": "succeeded", "c": "succeeded", "d": status}, done.text
    assert len(krea.posts) == posts
    assert done.rows["d"]["error"] is None or done.rows["d"]["error"]["candidates"] == job_ids(krea, "d")


def test_a_strangers_job_of_a_second_after_forbids_to_send_again(project, krea):
    """It comes between the two looks, so that it may be the job of the lost request, made late."""
    lost, strangers = [], []

    async def order_after_the_look(scope, seen, send, app):
        await send_answer(send, *await ask(app, scope, seen))
        if lost and not strangers:
            krea.clock.advance(1)
            strangers.append(await order(app, {**scope, "path": lost[0].path}, STRANGER))

    lose_once_done(project, krea, "b", lost=lost)
    krea.rule("GET", "/jobs", order_after_the_look)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json", env=LATE)
    assert statuses(done) == {"a": "succeeded", "b": "uncertain"}, done.text
    assert (done.rows["b"]["error"]["candidates"], len(krea.posts)) == (strangers, 2)
    assert project.plan()["b"][0] == "hold"


# --- a list that is late, or cannot be read


def test_a_job_that_the_first_look_does_not_show_is_found_by_the_second(project, krea):
    looks = []
    change_list(krea, lambda _, job: None if looks.append(job) or len(looks) == 1 else job)
    krea.lose("POST", GENERATE, times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env=LATE)
    assert (done.code, done.rows["a"]["adopted"], len(krea.posts)) == (0, True, 1), done.text
    assert len(looks) > 1
    check_paid_once(project, krea, ["a"])


def spoil(krea, item, *, times=None):
    """Show something else in place of the job of `b`, in so many lists."""
    spoiled = []

    def change(prompt, job):
        spoiled.extend([job] * (prompt == "b"))
        return item if prompt == "b" and (times is None or len(spoiled) <= times) else job

    change_list(krea, change)


@pytest.mark.parametrize("item", [[], "job", {"status": "queued"}, {"job_id": 7, "status": "completed"}])
def test_a_list_with_an_item_that_can_not_be_read_is_not_believed(project, krea, item):
    spoil(krea, item)
    krea.lose("POST", GENERATE, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (statuses(done), len(krea.posts)) == ({"a": "succeeded", "b": "uncertain"}, 2), done.text
    krea.rules.clear()
    draw(krea)
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["b"]["adopted"]) == (0, True), again.text
    check_paid_once(project, krea, ["a", "b"])


def test_a_list_that_can_not_be_read_for_a_moment_is_read_again(project, krea):
    spoil(krea, "job", times=2)
    krea.lose("POST", GENERATE, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"], len(krea.posts)) == (0, True, 2), done.text
    check_paid_once(project, krea, ["a", "b"])


# --- several lost answers


@pytest.mark.parametrize("parallel", ["1", "3"])
def test_of_many_lost_answers_each_is_adopted_or_sent_again_and_none_twice(project, krea, parallel):
    """One at a time they can be told apart; of several at once, what may be paid is never sent again."""
    taken = WORDS[::2]
    for word in WORDS:
        krea.lose("POST", GENERATE, text=f'"{word}"', times=1) if word in taken else drop(krea, text=f'"{word}"')
    project.pipeline(["first", *WORDS])
    done = project.run("run", "p.yaml", "--json", "--submit-parallel", parallel)
    paid = krea.billed_prompts()
    assert len(paid) == len(set(paid)), paid
    if parallel == "1":
        assert (done.code, done.counts) == (0, (len(WORDS) + 1, 0, 0)), done.text
        assert [word for word in WORDS if done.rows[word]["adopted"]] == taken
        check_paid_once(project, krea, ["first", *WORDS])


def test_a_lost_answer_is_sent_again_once_the_job_after_it_is_found_to_be_of_another_lost_answer(project, krea):
    """The second look for `a` finds the job of `b`, whose answer is lost while that look waits for it."""

    async def lose_slowly(scope, seen, send, app):
        await ask(app, scope, seen)
        await asyncio.sleep(0.3)
        await break_off(send)

    lost = []
    lose_once_done(project, krea, "a", lost=lost)
    krea.rule("POST", GENERATE, lose_slowly, text='"b"', times=1)
    project.pipeline(["first", "a", "b"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_SETTLE_SECONDS": "0.1"})
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.text
    assert {word: row["adopted"] for word, row in done.rows.items()} == {"first": False, "a": False, "b": True}
    check_paid_once(project, krea, ["first", "a", "b"])


# --- a journal that cannot be written any more


@pytest.mark.parametrize("acts", [True, False])
def test_a_lost_answer_that_can_not_be_written_down_ends_the_run_and_the_next_one_looks_for_its_job(
    project, krea, acts
):
    journal, aside = project.space / "journal.jsonl", project.path / "aside"

    async def lose_with_the_journal(scope, seen, send, app):
        if acts:
            await ask(app, scope, seen)
        journal.rename(aside)
        journal.mkdir()
        await break_off(send)

    krea.rule("POST", GENERATE, lose_with_the_journal, text='"b"', times=1)
    project.pipeline(["a", "b", "c", "d"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"], len(krea.posts)) == (1, "journal_unusable", 2), done.text
    journal.rmdir()
    aside.rename(journal)
    again = project.run("run", "p.yaml", "--json", env={"KREA_PIPE_SETTLE_SECONDS": "0.05"})
    assert (again.code, again.rows["b"]["adopted"]) == (0, acts), again.text
    check_paid_once(project, krea, ["a", "b", "c", "d"])
