"""One protocol for whatever is paid: lost answers and kill -9 end alike for images and for trainings."""

import signal
from dataclasses import dataclass

import pytest
from krea_server import GENERATE, Krea, ask, picture, until
from money import (
    HTML,
    alive,
    answer_without_a_job,
    break_off,
    change_list,
    draw,
    hide_behind_a_gateway,
    inhabit,
    kill,
    kill_when,
    lose_after_acting,
)

from krea_pipe.local.job import JobOutcome

TRAINING = """version: 1
name: p
budget: {usd: 5}
references:
  lamp: {images: "refs/*.png"}
prompt: a lamp
"""
TRAIN = ("styles", "train", "p.yaml", "lamp", "--name", "lamp", "--max-cost", "2")


@dataclass
class Paid:
    """One request that is paid, and the command that makes it."""

    project: object
    krea: Krea
    path: str
    words: tuple[str, ...]
    repeat: tuple[str, ...]
    """The option that sends it again though nobody can tell what became of it."""

    def start(self):
        return self.project.start(*self.words)

    def run(self, *more):
        return self.project.run(*self.words, *more)

    @property
    def jobs(self):
        """The jobs that Krea has made of it."""
        return [job for job in self.krea.world.jobs if job.brief.order.prompt.startswith("lamp")]

    @property
    def posts(self):
        return self.krea.calls("POST", self.path)

    @property
    def events(self):
        return [
            line["event"] for line in self.project.journal() if line["event"] not in ("reported", "counted", "listed")
        ]

    def lose(self, *, acts=True, times=1):
        async def act(scope, seen, send, app):
            if acts:
                await ask(app, scope, seen)
            await break_off(send)

        self.krea.rule("POST", self.path, act, times=times)

    def check_paid_once(self, *, posts):
        """One more run brings in what is not here yet, and after that nothing is left to do."""
        self.krea.rules.clear()
        draw(self.krea)
        self.krea.catch_up()
        self.krea.finish_jobs()
        done = self.run()
        assert done.code == 0, done.text
        assert len([job for job in self.jobs if job.id in {bill.job_id for bill in self.krea.world.bills}]) == 1
        assert (len(self.posts), self.events[-1], alive(self.project)) == (posts, "done", [])
        again = self.run()
        assert (again.code, len(self.posts)) == (0, posts), again.text


@pytest.fixture(params=["image", "training"])
def paid(request, project, krea):
    inhabit(krea)
    draw(krea)
    if request.param == "image":
        project.pipeline(["lamp"])
        return Paid(project, krea, GENERATE, ("run", "p.yaml"), ("--uncertain", "resubmit"))
    for number in range(5):
        project.write(f"refs/{number}.png", picture(seed=f"lamp {number}", size=(600, 520)))
    project.write("p.yaml", TRAINING)
    return Paid(project, krea, "/styles/train", TRAIN, ("--again",))


@pytest.mark.parametrize("loss", [lose_after_acting, hide_behind_a_gateway, answer_without_a_job])
def test_the_job_of_a_lost_answer_is_found_and_adopted(paid, krea, loss):
    krea.rule("POST", paid.path, loss, times=1)
    assert paid.run().code == 0
    assert paid.events == ["submitting", "unanswered", "adopted", "done"]
    paid.check_paid_once(posts=1)


@pytest.mark.parametrize("status", [408, 500, 504])
def test_what_krea_did_not_take_is_sent_again(paid, krea, status):
    krea.answer("POST", paid.path, status, HTML, times=1)
    assert paid.run().code == 0
    assert paid.events == ["submitting", "unanswered", "cleared", "submitting", "submitted", "done"]
    paid.check_paid_once(posts=2)


def test_a_refusal_of_krea_says_why_in_the_journal(paid, krea):
    krea.answer("POST", paid.path, 422, {"error": "no"})
    assert paid.run().code == 1
    [declined] = paid.project.events("declined")
    assert (declined["code"], declined["status"]) == ("rejected", 422)
    paid.check_paid_once(posts=2)


def test_an_account_with_too_many_requests_is_asked_again(paid, krea):
    krea.answer("POST", paid.path, 429, {"error": "busy"}, times=2)
    assert paid.run().code == 0
    assert [line["status"] for line in paid.project.events("declined")] == [429, 429]
    paid.check_paid_once(posts=3)


def test_what_is_never_answered_is_given_up_unpaid(paid):
    paid.lose(acts=False, times=None)
    done = paid.run()
    assert (done.code, "Krea did not answer 5 times" in done.err) == (1, True), done.text
    paid.check_paid_once(posts=len(paid.posts) + 1)


@pytest.mark.parametrize("change", [lambda _: [], lambda jobs: jobs[1:]])
def test_a_list_that_does_not_show_what_it_should_leaves_the_question_open(paid, krea, change):
    paid.lose(acts=False)
    change_list(krea, change)
    assert paid.run().code == 1
    assert paid.events == ["submitting", "unanswered"]
    assert paid.run().code == 1
    assert len(paid.posts) == 1
    assert paid.run(*paid.repeat).code == 0
    paid.check_paid_once(posts=2)


@pytest.mark.parametrize("acts", ["never", "before", "after"])
def test_killed_while_it_is_on_its_way(paid, krea, acts):
    async def act(scope, seen, send, app):
        if acts == "before":
            await ask(app, scope, seen)
        kill(paid.project.started[0])
        if acts == "after":
            await ask(app, scope, seen)
        await break_off(send)

    krea.rule("POST", paid.path, act, times=1)
    assert paid.start().wait() == -9
    until(lambda: acts == "never" or paid.jobs, "what Krea makes of it")
    assert paid.events == ["submitting"]
    paid.check_paid_once(posts=2 if acts == "never" else 1)


def fail_once(paid):
    left = ["lamp"]
    paid.krea.world.fate_of = lambda brief: (
        JobOutcome("failed", "odd") if brief.order.prompt.startswith("lamp") and left and left.pop() else JobOutcome()
    )


@pytest.mark.parametrize(
    ("event", "fault"),
    [
        ("submitting", None),
        ("submitted", None),
        ("done", None),
        ("declined", lambda paid: paid.krea.answer("POST", paid.path, 429, {"error": "busy"}, times=1)),
        ("failed", fail_once),
        ("unanswered", lambda paid: paid.lose()),
        ("cleared", lambda paid: paid.lose(acts=False)),
        ("adopted", lambda paid: paid.lose()),
    ],
)
def test_killed_after_a_line_of_each_kind(paid, event, fault):
    if fault:
        fault(paid)
    process = paid.start()
    kill_when(process, lambda: paid.project.events(event))
    assert paid.project.events(event)
    paid.krea.catch_up()
    in_all = len(paid.jobs)
    paid.check_paid_once(posts=len(paid.posts) + (paid.events[-1] != "done" and not open_job(paid, in_all)))


def open_job(paid, jobs) -> bool:
    """Whether Krea has a job that was not told to have failed."""
    return jobs > len(paid.project.events("failed"))


def test_a_request_that_another_command_has_under_way_is_not_sent(paid, krea):
    krea.hang("POST", paid.path, times=1)
    process = paid.start()
    until(lambda: paid.jobs, "the job of the first command")
    second = paid.start()
    until(lambda: paid.project.path and len(alive(paid.project)) == 2, "the second command")
    kill(process)
    krea.rules.clear()
    draw(krea)
    assert second.wait() == 0, second.stderr.read()
    paid.check_paid_once(posts=1)


def without_times(krea):
    """Take the time off every job that is not of long ago, in each list."""
    old = {job.id for job in krea.world.jobs if job.brief.order.prompt == "local:fail-nsfw"}
    change_list(krea, lambda jobs: [job if job["job_id"] in old else {**job, "created_at": "?"} for job in jobs])


def test_a_job_without_a_time_may_be_that_of_a_killed_command(paid, krea):
    async def act(scope, seen, send, app):
        await ask(app, scope, seen)
        kill(paid.project.started[0])
        await break_off(send)

    krea.rule("POST", paid.path, act, times=1)
    assert paid.start().wait() == -9
    until(lambda: paid.jobs, "the job of the killed command")
    without_times(krea)
    assert paid.run().code == 1
    assert len(paid.posts) == 1
    paid.check_paid_once(posts=1)


def test_what_is_sent_again_stays_so_when_that_is_killed(paid, krea):
    """The job that was given up is not waited for again."""
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"})
    change_list(krea, lambda jobs: [job for job in jobs if job["job_id"] not in {one.id for one in paid.jobs}])
    assert paid.run().code == 1
    [given_up] = paid.jobs

    async def act(scope, seen, send, app):
        kill(paid.project.started[0])
        await break_off(send)

    krea.rule("POST", paid.path, act, times=1)
    assert paid.project.start(*paid.words, *paid.repeat).wait() == -9
    krea.rules.clear()
    draw(krea)
    krea.answer("GET", f"/jobs/{given_up.id}", 404, {"error": "Job not found"})
    change_list(krea, lambda jobs: [job for job in jobs if job["job_id"] != given_up.id])
    done = paid.run(*paid.repeat)
    assert (done.code, len(paid.jobs)) == (0, 2), done.text


def test_an_interrupt_while_a_lost_answer_is_looked_up_leaves_it_to_the_next_command(paid):
    paid.lose(acts=False)
    process = paid.project.start(*paid.words, env={"KREA_PIPE_SETTLE_SECONDS": "20"})
    until(lambda: paid.project.events("unanswered"), "a lost answer")
    process.send_signal(signal.SIGINT)
    assert process.wait() == 130
    paid.check_paid_once(posts=2)
