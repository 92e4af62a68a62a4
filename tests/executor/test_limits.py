"""`--max-new` and `--max-cost`: a run spends up to its limit and not a cent beyond, and the next one goes on."""

from decimal import Decimal

import pytest
from krea_server import GENERATE, ask, send_answer, until
from money import inhabit

WORDS = ["a", "b", "c", "d", "e"]
PRICE = Decimal("0.03")
CHEAP = "budget: {usd: 50}\ndefaults: {variant: medium-turbo}"


def limited(project, *words):
    """A run that stops at its limit."""
    done = project.run("run", "p.yaml", "--json", *words)
    assert (done.code, done.json["exit_code"], done.json["error"]["code"]) == (5, 5, "limit_reached"), done.text
    return done


def statuses(done):
    return [row["status"] for row in done.report["cells"]]


@pytest.mark.parametrize(
    ("words", "fit"),
    [
        (("--max-new", "0"), 0),
        (("--max-new", "3"), 3),
        (("--max-cost", "0"), 0),
        (("--max-cost", "0.0299"), 0),
        (("--max-cost", "0.09"), 3),
        (("--max-new", "4", "--max-cost", "0.07"), 2),
    ],
)
def test_as_many_are_sent_as_fit_and_the_next_run_sends_the_rest(project, krea, words, fit):
    project.pipeline(WORDS)
    reach = project.run("plan", "p.yaml", "--json", *words).json["reach"]
    assert (reach["requests"], Decimal(reach["usd"])) == (fit, fit * PRICE)
    done = limited(project, *words)
    assert statuses(done) == ["succeeded"] * fit + ["pending"] * (5 - fit)
    assert (len(krea.posts), krea.billed_prompts()) == (fit, WORDS[:fit])
    assert Decimal(done.json["cost"]["spent_usd"]) == fit * PRICE
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts) == (0, (5 - fit, 0, fit))
    assert krea.billed_prompts() == WORDS


@pytest.mark.parametrize("words", [("--max-new", "2"), ("--max-cost", "0.06")])
def test_the_printed_command_goes_on_run_by_run(project, krea, words):
    project.pipeline(WORDS)
    for sent in (2, 4):
        done = project.run("run", "p.yaml", *words)
        assert done.code == 5
        assert f"krea-pipe run p.yaml {' '.join(words)}\n" in done.err
        assert len(krea.posts) == sent
    assert project.run("run", "p.yaml", *words).code == 0
    assert krea.billed_prompts() == WORDS
    assert project.run("run", "p.yaml", "--max-new", "0", "--max-cost", "0").code == 0, "nothing is left to be sent"


@pytest.mark.parametrize("words", [("--max-new", "5"), ("--max-cost", "0.15")])
def test_a_limit_that_is_just_enough_is_not_reached(project, krea, words):
    project.pipeline(WORDS)
    done = project.run("run", "p.yaml", "--json", *words)
    assert (done.code, done.counts) == (0, (5, 0, 0))
    assert "stop at the limit" not in project.run("plan", "p.yaml", *words).out


def test_a_plan_says_how_far_a_run_would_come(project, krea):
    project.pipeline(WORDS)
    assert "3 of them for $0.09, then stop at the limit" in project.run("plan", "p.yaml", "--max-new", "3").out
    whole = project.run("plan", "p.yaml", "--json").json["reach"]
    assert (whole["requests"], Decimal(whole["usd"])) == (5, 5 * PRICE)
    assert krea.seen == []


def test_a_limit_on_the_command_line_draws_a_part_of_what_the_files_budget_refuses(project, krea):
    project.pipeline(WORDS, more="budget: {usd: 0.07}")
    assert project.run("run", "p.yaml").code == 5
    assert krea.posts == []
    limited(project, "--max-cost", "0.07")
    assert krea.billed_prompts() == WORDS[:2]


@pytest.mark.parametrize("words", [("--max-new", "3"), ("--max-cost", "0.09")])
def test_what_is_not_billed_makes_place_for_another(project, krea, words):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"b"')
    project.pipeline(["a", "b", "local:fail-nsfw", "local:fail-result", "c", "d", "e"])
    done = limited(project, *words)
    assert statuses(done) == ["succeeded", "failed", "failed", "failed", "succeeded", "succeeded", "pending"]
    assert krea.billed_prompts() == ["a", "c", "d"]


def test_an_empty_job_is_billed_and_counts(project, krea):
    project.pipeline(["local:fail-empty", "b", "c"])
    assert statuses(limited(project, "--max-cost", "0.06")) == ["failed", "succeeded", "pending"]
    assert len(krea.world.bills) == 2


def watch_money(krea):
    """The most that may have been billed at any time: what is pending or completed, in US dollars."""
    most = [Decimal(0)]

    async def act(scope, seen, send, app):
        await send_answer(send, *await ask(app, scope, seen))
        jobs, now = krea.world.jobs, krea.world.now()
        most[0] = max(most[0], sum(job.price for job in jobs if job.status(now) not in ("failed", "cancelled")))

    krea.rule("POST", GENERATE, act)
    return most


@pytest.mark.parametrize(("latency", "parallel"), [(0.0, 4), (0.04, 4), (0.04, 8)])
def test_requests_at_the_same_time_do_not_overshoot(project, krea, latency, parallel):
    """Every third job fails, after its price was reserved and another had to wait for that."""
    krea.reset(latency=latency, spread=0.9)
    most = watch_money(krea)
    project.pipeline([f"{'local:fail-nsfw' if n % 3 == 0 else 'x'} {n:02}" for n in range(50)], more=CHEAP)
    done = limited(project, "--max-cost", "0.30", "--submit-parallel", str(parallel))
    assert most == [Decimal("0.300")]
    assert sum(bill.amount for bill in krea.world.bills) == Decimal("0.300")
    assert done.json["cells"]["succeeded"] == 20
    assert len(krea.posts) == len(krea.world.jobs) < 50


def test_the_dearest_that_fits_no_more_ends_the_run(project, krea):
    """In the order of the file: what comes later is not generated instead."""
    project.write(
        "p.yaml",
        'version: 1\nbudget: {usd: 5}\nprompt: "{{ v }}"\nmatrix: {v: [medium, large, medium-turbo]}\n'
        "defaults: {variant: '{{ v }}'}\n",
    )
    reach = project.run("plan", "p.yaml", "--json", "--max-cost", "0.05").json["reach"]
    assert (reach["requests"], Decimal(reach["usd"])) == (1, PRICE)
    limited(project, "--max-cost", "0.05")
    assert krea.billed_prompts() == ["medium"]


def lose_without_trace(krea, word):
    """Let the answer of one request be lost, while Krea's list can no longer be read."""

    async def act(scope, seen, send, app):
        if krea.posts:
            await send_answer(send, 404, {"content-length": "0"}, b"")
        else:
            await send_answer(send, *await ask(app, scope, seen))

    krea.rule("GET", "/jobs", act)
    krea.answer("POST", GENERATE, 502, b"<html>Bad gateway</html>", text=f'"{word}"')


@pytest.mark.parametrize("words", [("--max-new", "3"), ("--max-cost", "0.09")])
def test_what_is_uncertain_counts_as_spent(project, krea, words):
    lose_without_trace(krea, "a")
    project.pipeline(WORDS)
    done = limited(project, *words)
    assert statuses(done) == ["uncertain", "succeeded", "succeeded", "pending", "pending"]
    assert len(krea.posts) == 3
    reach = project.run("plan", "p.yaml", "--json", "--max-cost", "0.06").json["reach"]
    assert reach["requests"] == 1, "half of it may be spent already"
    again = limited(project, "--max-cost", "0.06")
    assert statuses(again) == ["uncertain", "reused", "reused", "succeeded", "pending"]
    assert len(krea.posts) == 4


def test_an_image_that_an_earlier_run_may_have_drawn_is_not_new(project, krea):
    lose_without_trace(krea, "a")
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    project.pipeline(WORDS)
    assert project.run("plan", "p.yaml", "--json", "--max-new", "2").json["reach"]["requests"] == 2
    done = limited(project, "--max-new", "2")
    assert statuses(done) == ["uncertain", "succeeded", "succeeded", "pending", "pending"]


@pytest.mark.parametrize("words", [("--max-new", "0"), ("--max-cost", "0"), ("--max-cost", "0.02")])
def test_what_turns_out_to_be_not_ordered_is_sent_within_the_limit_alone(project, krea, words):
    inhabit(krea)
    lose_without_trace(krea, "a")
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--json").json["cells"]["uncertain"] == 1
    krea.rules.clear()
    done = limited(project, *words)
    assert (statuses(done), len(krea.posts)) == (["pending"], 1)
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a"]


def test_what_is_in_flight_is_brought_in_beside_the_limit(project, krea):
    krea.image(b"", status=404)
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    krea.rules.clear()
    project.pipeline(WORDS)
    done = limited(project, "--max-new", "1")
    assert statuses(done) == ["succeeded"] * 3 + ["pending"] * 2
    assert len(krea.posts) == 3


@pytest.mark.parametrize("words", [(), ("--concurrency", "1"), ("--submit-parallel", "4")])
def test_one_who_waits_for_room_and_one_who_waits_for_money_do_not_wait_for_each_other(project, krea, words):
    krea.answer("POST", GENERATE, 429, {"error": "full"}, times=3)
    project.pipeline(["a", "b", "c"])
    process = project.start("run", "p.yaml", "--max-new", "1", *words)
    until(lambda: process.poll() is not None, "the end of the run")
    assert project.finish(process).code == 5
    assert krea.billed_prompts() == ["a"]


def test_a_local_run_is_limited_too(project):
    project.pipeline(["a", "b"])
    done = limited(project, "--local", "--max-new", "1")
    assert statuses(done) == ["succeeded", "pending"]
    assert project.run("run", "p.yaml", "--local", "--json").counts == (1, 0, 1)
