"""Errors of every status and in every shape: one clear line, never a traceback, and nothing paid twice."""

import random
from decimal import Decimal

import pytest
from command_line import KEY
from krea_server import GENERATE
from money import check_paid_once, draw, inhabit, refuse_lists_when

BODIES = {
    "text": ({"error": "the words"}, "the words"),
    "object": ({"error": {"code": "some_code", "message": "the words"}}, "the words"),
    "message": ({"message": "the words"}, "the words"),
    "detail": ({"detail": [{"loc": ["body", "seed"], "msg": "the words"}]}, "body.seed: the words"),
    "nested": ({"errors": [{"issues": [{"message": "the words"}]}]}, "the words"),
    "html": (b"<html><head><title>the &amp; words</title></head></html>", "the & words"),
    "empty": (b"", ""),
    "number": (b"17", ""),
    "null": (b"null", ""),
    "garbage": (random.Random(1).randbytes(3000), ""),
    "deep": (b'{"error":' * 30_000, ""),
    "nest": (b'{"error":' * 300 + b"1" + b"}" * 300, ""),
    "huge": (b"<h1>" * 3_000_000, ""),
    "long": ({"error": "the words " * 5000}, "the words"),
    "control": ({"error": "\x1b[31mthe\nwords\u202e"}, "the words"),
}


def rows(done):
    return {row["prompt"]: row for row in done.report["cells"]}


@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_request_that_krea_declines_fails_alone(project, krea, status):
    inhabit(krea)
    for word, (body, _) in BODIES.items():
        krea.answer("POST", GENERATE, status, body, text=f'"{word}"')
    project.pipeline([*BODIES, "good"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 1
    found = rows(done)
    assert found["good"]["status"] == "succeeded"
    for word, (_, said) in BODIES.items():
        error = found[word]["error"]
        assert (found[word]["status"], error["code"]) == ("failed", "rejected")
        assert str(status) in error["message"]
        assert said in error["message"], word
        assert error["message"].isprintable()
        assert len(error["message"]) < 400
    assert krea.billed_prompts() == ["good"]
    assert len(krea.posts) == len(BODIES) + 1  # an answer that may be a gateway's is looked into, and then believed
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert again.json["cells"]["succeeded"] == len(BODIES)
    assert len(krea.billed_prompts()) == len(BODIES) + 1


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (401, {"message": "Unauthorized"}, "key_refused"),
        (402, {"message": "Your API balance is empty"}, "no_credit"),
        (402, b"", "no_credit"),
        (402, b"<html>" + b"x" * 9_000_000, "no_credit"),
        (403, {"error": {"code": "forbidden", "message": "no"}}, "forbidden"),
    ],
)
def test_a_refused_account_stops_the_run_and_the_next_goes_on(project, krea, status, body, code):
    words = ["a", "b", "c", "d", "e"]
    project.pipeline(words)
    krea.answer("POST", GENERATE, status, body, text='"b"')
    if code == "forbidden":
        refuse_lists_when(krea, lambda: len(krea.posts) == 2, status)
    done = project.run("run", "p.yaml", "--json", "--concurrency", "1")
    assert (done.code, done.json["exit_code"], done.json["error"]["code"]) == (4, 4, code)
    assert done.json["error"]["hint"]
    assert [rows(done)[word]["status"] for word in words] == ["succeeded", *["pending"] * 4]
    assert len(krea.posts) == 2
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.json["cells"]["reused"], again.json["cells"]["succeeded"]) == (0, 1, 4)
    assert krea.billed_prompts() == words


def test_jobs_that_run_when_the_credit_ends_are_still_collected(project, krea):
    project.pipeline(["a", "b", "c"])
    krea.world.latency = 1.0
    krea.answer("POST", GENERATE, 402, {"message": "Your API balance is empty"}, text='"b"')
    done = project.run("run", "p.yaml", "--json", "--concurrency", "2")
    assert (done.code, done.counts) == (4, (1, 0, 0))
    assert krea.billed_prompts() == ["a"]


def test_a_refusal_is_told_to_people_with_what_to_do(project, krea):
    project.pipeline(["a", "b"])
    krea.answer("POST", GENERATE, 402, {"message": "Your API balance is empty"})
    done = project.run("run", "p.yaml")
    assert done.code == 4
    assert "402 Your API balance is empty" in done.err
    assert "top up" in done.err
    assert "To continue (nothing is charged twice): krea-pipe run p.yaml\n" in done.err


def test_a_key_that_krea_does_not_know_is_found_out_before_anything_is_sent(project, krea):
    project.pipeline(["a"])
    krea.answer("GET", "/jobs", 401, {"message": "Unauthorized"})
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"], krea.posts) == (4, "key_refused", [])
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_while_a_job_is_looked_at_keeps_the_job(project, krea, status):
    krea.reset(latency=1e6)
    refuse_lists_when(krea, lambda: krea.posts, status)
    krea.answer("GET", "/jobs/", 401, {"message": "Unauthorized"})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"], done.rows["a"]["status"]) == (4, "key_refused", "pending")
    assert project.plan()["a"][0] == "attach"
    krea.rules.clear()
    krea.finish_jobs()
    assert project.run("run", "p.yaml").code == 0
    assert krea.billed_prompts() == ["a"]
    assert len(krea.posts) == 1


def test_a_status_counts_even_when_its_body_is_cut_off(project, krea):
    inhabit(krea)
    project.pipeline(["a", "b"])
    krea.answer("POST", GENERATE, 422, b'{"error": "the', length=999, text='"a"')
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["a"]["status"], done.rows["b"]["status"]) == ("failed", "succeeded")
    assert "422" in done.rows["a"]["error"]["message"]
    krea.answer("POST", GENERATE, 402, b"", length=999)
    assert project.run("run", "p.yaml").code == 4
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 4


def test_a_retired_model_names_its_replacement(project, krea):
    body = {
        "error": "model_unavailable",
        "reason": "sunset",
        "message": "This model is gone. " * 40,
        "replacement": "krea-3",
        "migration_url": "https://krea.ai/x",
    }
    krea.answer("POST", GENERATE, 410, body)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = rows(done)["a"]["error"]
    assert (done.code, error["code"]) == (1, "model_unavailable")
    assert "krea-3" in error["message"]
    assert len(krea.posts) == 1


def test_too_many_requests_are_sent_again_until_taken(project, krea):
    waits = ["0", None, "Sun, 22 Nov 2020 10:00:00 GMT", "soon", "-1", "²", "0.5"]
    for number, retry in enumerate(waits):
        headers = {} if retry is None else {"retry-after": retry}
        krea.answer("POST", GENERATE, 429, {"error": "LIMIT"}, headers=headers, text=f'"w{number}"', times=4)
    project.pipeline([f"w{number}" for number in range(len(waits))])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert len(krea.billed_prompts()) == len(waits)
    assert len(krea.posts) == 5 * len(waits)


def test_an_unreachable_krea_is_no_uncertain_one(project, krea):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_BASE": "http://127.0.0.1:9"})
    assert (done.code, rows(done)["a"]["status"], rows(done)["a"]["error"]["code"]) == (1, "failed", "unreachable")
    assert project.run("run", "p.yaml").code == 0


LOST = {
    **{f"s{status}": (status, b"<html>Bad gateway</html>") for status in (500, 502, 503, 504, 524)},
    "blank": (200, b""),
    "prose": (200, b"<html>welcome</html>"),
    "jobless": (200, {"status": "queued"}),
    "number": (200, {"job_id": 5}),
    "deep": (200, b"[" * 90_000),
}


def lose_answers(krea, **options):
    """Lose one answer in each way, named by the words of the prompts; of `cut` alone Krea makes a job."""
    for word, (status, body) in LOST.items():
        krea.answer("POST", GENERATE, status, body, text=f'"{word}"', **options)
    krea.lose("POST", GENERATE, text='"cut"', **options)
    return [*LOST, "cut"]


def test_a_lost_answer_of_any_kind_is_looked_for_and_is_no_second_order(project, krea):
    draw(krea)
    words = lose_answers(krea, times=1)
    project.pipeline(["good", *words])  # an answer that names a job tells the time to the millisecond
    apart = {"KREA_PIPE_POLL_SECONDS": "0.3"}  # lost answers some milliseconds apart could not be told from each other
    done = project.run("run", "p.yaml", "--json", env=apart)
    assert (done.code, done.json["cells"]["succeeded"]) == (0, len(words) + 1), done.text
    assert [word for word in words if rows(done)[word]["adopted"]] == ["cut"]
    assert len(krea.posts) == 2 * len(LOST) + 2
    check_paid_once(project, krea, [*words, "good"])


def test_a_lost_answer_without_a_trace_is_held_counted_and_never_sent_again_unasked(project, krea):
    """Krea's list, where it would be looked for, does not work."""
    krea.single_reads()
    words = lose_answers(krea)
    project.pipeline([*words, "good"])
    done = project.run("run", "p.yaml", "--json")
    usd = str(len(words) * Decimal("0.03"))
    assert done.code == 1
    assert done.json["cells"]["uncertain"] == len(words)
    assert {rows(done)[word]["error"]["code"] for word in words} == {"answer_lost"}
    assert done.json["cost"] == {
        "spent_usd": "0.03",
        "saved_usd": "0.00",
        "uncertain_usd": usd,
        "in_flight_usd": "0.00",
    }
    assert krea.billed_prompts() == ["cut", "good"]
    krea.rules.clear()
    krea.single_reads()
    plan = project.run("plan", "p.yaml", "--json", "--check")
    assert (plan.code, plan.json["totals"]["hold"]) == (3, {"requests": len(words), "usd": usd})
    assert "possibly billed" in project.run("plan", "p.yaml").out
    held = project.run("run", "p.yaml", "--json")
    assert (held.code, held.json["cost"]["uncertain_usd"], held.json["cost"]["spent_usd"]) == (1, usd, "0.00")
    assert "--uncertain resubmit" in rows(held)["cut"]["error"]["message"]
    assert len(krea.posts) == len(words) + 1
    project.pipeline([*words, "good", "one more"], more=f"budget: {{usd: {usd}}}")
    assert project.run("run", "p.yaml", "--json").json["error"]["code"] == "over_budget"
    project.pipeline([*words, "good"])
    over = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit", "--max-cost", "0.1")
    assert (over.code, over.json["error"]["code"]) == (5, "limit_reached")
    assert len(krea.posts) == len(words) + 1 + 3
    asked = project.run("run", "p.yaml", "--json", "--uncertain", "resubmit")
    assert (asked.code, len(krea.posts)) == (0, 2 * len(words) + 1)
    assert project.run("run", "p.yaml", "--uncertain", "resubmit").code == 0
    assert len(krea.posts) == 2 * len(words) + 1


def test_the_key_itself_is_not_sent_as_a_prompt(project, krea):
    project.pipeline([KEY])
    done = project.run("run", "p.yaml")
    assert (done.code, krea.posts) == (2, [])
    assert "this file contains your API key" in done.err
