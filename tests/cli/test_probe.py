"""`krea-pipe doctor --probe`: what it learns, each thing turned the other way as well, what it spends and tells."""

import json
import re
import signal
import uuid
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import count

import pytest
from command_line import KEY
from krea_server import ask, picture, send_answer, until

from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.local.job import JobOutcome
from krea_pipe.store.probe import Probe, read_probe, write_probe

SAFE = Probe("2026-11-30T12:00:00.000Z", "http://localhost", "ab", 2.0, 10.0)


def doctor(project, *words, max_cost="0.10", code=0):
    done = project.run("doctor", "--probe", "--max-cost", max_cost, "--json", *words)
    assert done.code == code, done.text
    return done.json


def probed(project, **options):
    """The report of a probe, and the values that it has left for later runs."""
    return doctor(project, **options), read_probe(project.home)


def change_list(krea, change):
    """Change the JSON of the list of jobs; `change` gets it with the query."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        data = json.loads(body)
        if status == 200:
            data = change(data, scope["query_string"].decode())
        answer = json.dumps(data).encode()
        await send_answer(send, status, {**headers, "content-length": str(len(answer))}, answer)

    krea.rule("GET", "/jobs", act)


def dated(krea, seconds, *, places=("/jobs", "/jobs/", "/generate/", "/no-such-path")):
    """Let the `Date` of answers be so many seconds ahead of `created_at`."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        ahead = format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)
        await send_answer(send, status, {**headers, "date": ahead}, body)

    for method in ("GET", "POST", "DELETE"):
        for place in places:
            krea.rule(method, place, act)


def reply(app_answer, change):
    """An answer with its JSON changed."""
    status, headers, body = app_answer
    data = json.dumps(change(json.loads(body))).encode()
    return status, {**headers, "content-length": str(len(data))}, data


@pytest.fixture
def account(krea):
    """A Krea of which every fifth job, and each without a seed, runs until it is cancelled."""
    numbers = count(1)

    def fate_of(brief):
        is_endless = brief.order.seed is None or next(numbers) % 5 == 0
        return JobOutcome("stuck") if is_endless else JobOutcome()

    krea.reset(fate_of=fate_of)
    krea.image(picture(size=(1024, 1024)))
    return krea


def test_a_krea_as_documented(project, account):
    report, values = probed(project)
    assert (values.order, values.cursor, values.lag_seconds, values.ties) == ("newest_first", "strict", 0.0, 0)
    assert (values.date_offset_seconds, values.host_spread_seconds) == (0.0, 0.0)
    assert (values.tolerance_seconds, values.settle_seconds) == (2.0, 10.0)
    assert values.origin == account.base.replace("127.0.0.1", "localhost")
    assert report["values"] == {"tolerance_seconds": 2.0, "settle_seconds": 10.0}
    assert sorted(report["images"]["status"].values()) == ["failed", *["succeeded"] * 4]
    assert report["pixels"] == {"asked": [1024, 1024], "got": [[1024, 1024]]}
    assert [one["status"] for one in report["errors"]] == [404, 404, 400, 404, 400]
    assert [one["is_understood"] for one in report["errors"]] == [True, True, True, False, True]
    assert [(one["status"], one["job_status"]) for one in report["cancel"]] == [(200, None), (200, "cancelled")] * 2
    assert report["list"]["item"]["items"][0]["created_at"] == "text"
    assert report["list"]["item"]["items"][-1]["result"] in ({"urls": ["text"]}, None)
    text = (project.home / "probe/report.txt").read_text()
    assert "4 succeeded, 1 failed; the last one was meant to be cancelled" in text


def test_it_spends_what_it_says_through_the_journal(project, account):
    report, _ = probed(project)
    made = [post for post in account.posts if "prompt" in post.json]
    assert {post.path for post in account.posts} == {"/generate/image/krea/krea-2/medium-turbo"}
    assert (len(made), len(project.events("submitted"))) == (5, 5)
    assert report["images"]["spent_usd"] == "0.06"
    assert sum(bill.amount for bill in account.world.bills) <= 5 * account.world.bills[0].amount
    again, _ = probed(project)
    assert len(project.events("submitted")) == 10
    assert again["images"]["jobs"] != report["images"]["jobs"]


@pytest.mark.parametrize(
    ("max_cost", "images", "wrong"), [("0.10", 5, 1), ("0.075", 5, 0), ("0.059", 3, 0), ("0.03", 2, 0), ("0.015", 1, 0)]
)
def test_it_never_orders_more_than_the_limit_pays_for(project, account, max_cost, images, wrong):
    probed(project, max_cost=max_cost)
    made = [post for post in account.posts if "prompt" in post.json]
    assert (len(made), len(account.posts) - len(made)) == (images, wrong)


def test_a_limit_below_one_image_sends_nothing(project, krea):
    done = project.run("doctor", "--probe", "--max-cost", "0.01")
    assert (done.code, krea.seen) == (ExitCode.LIMIT_REACHED, [])
    assert "one image costs $0.015" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--probe"], "add --max-cost 0.10"),
        (["--max-cost", "1"], "add --probe"),
        (["--probe", "--offline", "--max-cost", "1"], "cannot be combined"),
    ],
)
def test_the_options_belong_together(project, krea, words, said):
    done = project.run("doctor", *words)
    assert (done.code, krea.seen, said in done.err) == (ExitCode.INVALID, [], True), done.text


def test_without_a_key_nothing_is_sent(project, krea):
    done = project.run("doctor", "--probe", "--max-cost", "1", env={"KREA_API_KEY": None})
    assert (done.code, krea.seen) == (ExitCode.REFUSED, [])


def test_a_list_with_the_oldest_first(project, account):
    change_list(account, lambda data, _: {**data, "items": data["items"][::-1]})
    assert probed(project)[1].order == "oldest_first"


def test_a_list_without_an_order(project, account):
    change_list(
        account, lambda data, _: {**data, "items": [*data["items"][1:3], *data["items"][:1], *data["items"][3:]]}
    )
    assert probed(project)[1].order == "unordered"


def test_a_list_that_lags(project, account):
    """A job is listed when the list has been asked for a number of times since it was there."""
    asked = {}

    def late(data, _):
        for job in data["items"]:
            asked[job["job_id"]] = asked.get(job["job_id"], 0) + 1
        return {**data, "items": [job for job in data["items"] if asked[job["job_id"]] > 6]}

    change_list(account, late)
    values = probed(project)[1]
    assert values.lag_seconds > 0
    assert values.settle_seconds >= 2 * values.lag_seconds


def test_a_list_that_never_shows_the_jobs(project, account, monkeypatch):
    monkeypatch.setattr("krea_pipe.app.probe._AFTER", 0.1)
    change_list(account, lambda data, _: {**data, "items": []})
    report, values = probed(project)
    assert (values.order, values.lag_seconds, values.settle_seconds) == ("unknown", None, 120.0)
    assert report["images"]["spent_usd"] == "0.06"


def test_jobs_of_one_time_that_a_strict_cursor_loses(project, account):
    """One time for all: the next page begins after all jobs of the last one's time."""

    def tied(data, query):
        first = min((job["created_at"] for job in data["items"]), default="")
        items = [{**job, "created_at": first[:19] + "Z"} for job in data["items"]]
        if "cursor" in query:
            items = []
        return {"items": items, "next_cursor": items[-1]["created_at"] if items else None}

    change_list(account, tied)
    report, values = probed(project)
    assert (values.order, values.cursor) == ("unknown", "strict")
    assert values.ties == 5
    assert report["list"]["missing_in_pages"] == 3
    assert report["list"]["digits_of_created_at"] == [0]


def test_a_cursor_that_takes_the_job_of_its_time_again(project, account):
    async def act(scope, seen, send, app):
        query = scope["query_string"].decode()
        if "cursor=" in query:
            head, _, cursor = query.partition("cursor=")
            later = datetime.fromisoformat(cursor.partition("&")[0].replace("%3A", ":")) + timedelta(microseconds=1)
            scope = {**scope, "query_string": f"{head}cursor={later.isoformat().replace('+00:00', 'Z')}".encode()}
        await send_answer(send, *await ask(app, scope, seen))

    account.rule("GET", "/jobs", act)
    report, values = probed(project)
    assert (values.cursor, report["list"]["repeated_in_pages"] > 0) == ("inclusive", True)


def test_a_cursor_that_is_ignored_and_one_that_is_refused(project, account):
    async def newest(scope, seen, send, app):
        await send_answer(send, *await ask(app, {**scope, "query_string": b"limit=100"}, seen))

    account.rule("GET", "/jobs", newest)
    assert probed(project)[1].cursor == "ignored"
    account.rules.pop()

    async def refused(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        if b"cursor" in scope["query_string"]:
            answer = 400, {"content-type": "application/json"}, b'{"error": "cursor: not an offset"}'
        await send_answer(send, *answer)

    account.rule("GET", "/jobs", refused)
    assert probed(project)[1].cursor == "refused"


@pytest.mark.parametrize("seconds", [7, -7])
def test_a_date_that_is_far_from_the_times_of_jobs(project, account, seconds):
    dated(account, seconds)
    report, values = probed(project)
    assert 5 < values.date_offset_seconds <= 7
    assert 10 < values.tolerance_seconds <= 14
    span = report["clocks"]["created_at_ahead_of_date_seconds"]
    assert span["least"] <= -seconds <= span["most"]


def test_hosts_whose_clocks_differ(project, account):
    """Every second POST is answered by a host that is nine seconds behind."""
    numbers = count()

    async def act(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        behind = timedelta(seconds=9 * (next(numbers) % 2))

        def change(data):
            at = datetime.fromisoformat(data["created_at"]) - behind
            return {**data, "created_at": at.isoformat()}

        await send_answer(send, *(reply(answer, change) if answer[0] == 200 else answer))

    account.rule("POST", "/generate/", act)
    values = probed(project)[1]
    assert 8 < values.host_spread_seconds <= 9
    assert values.tolerance_seconds > 16


def test_errors_of_other_forms_are_told_and_nothing_breaks(project, account):
    account.answer("POST", "/generate/", 422, b"<h1>Unprocessable</h1>", text='"resolution":"none"')
    account.answer("GET", "/jobs/00000000-0000-4000-8000-000000000000", 410, {"title": "Gone", "type": "about:blank"})
    account.answer("DELETE", "/jobs/00000000-0000-4000-8000-000000000000", 200, {"success": True})
    report, _ = probed(project)
    found = {one["call"]: one for one in report["errors"]}
    assert [(one["status"], one["is_understood"]) for one in report["errors"]][-1] == (422, False)
    assert found["GET /jobs/00000000…"]["form"] == {"title": "text", "type": "text"}
    assert found["DELETE /jobs/00000000…"]["status"] == 200


def test_a_wrong_call_without_an_answer_is_told(project, account):
    account.lose("GET", "/no-such-path")
    report, _ = probed(project)
    found = {one["call"]: one for one in report["errors"]}["GET /no-such-path"]
    assert (found["status"], found["is_understood"], bool(found["says"])) == (None, False, True)
    assert "GET /no-such-path: no answer" in (project.home / "probe/report.txt").read_text()


def test_what_was_paid_is_reported_when_the_list_fails_afterwards(project, account):
    async def act(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        if b"limit=2" in scope["query_string"] or b"cursor" in scope["query_string"]:
            answer = 200, {"content-type": "application/json", "content-length": "999"}, b'{"items'
        await send_answer(send, *answer)

    account.rule("GET", "/jobs", act)
    report, values = probed(project)
    assert (values.cursor, report["images"]["spent_usd"]) == ("unknown", "0.06")


def test_a_wrong_request_that_is_taken_is_cancelled_at_once(project, account):
    async def take(scope, seen, send, app):
        body = json.dumps({"prompt": "x", "aspect_ratio": "1:1", "resolution": "1K"}).encode()
        await send_answer(send, *await ask(app, scope, type(seen)(seen.method, seen.path, seen.headers, body)))

    account.rule("POST", "/generate/", take, text='"resolution":"none"')
    report, _ = probed(project)
    assert [one["status"] for one in report["errors"]][-2:] == [200, 200]
    assert "x" not in account.billed_prompts()


def test_a_job_that_can_not_be_cancelled(project, account):
    account.world.fate_of = lambda _: JobOutcome()
    account.answer("DELETE", "/jobs/", 404, {"error": "Job not found"})
    report, _ = probed(project)
    assert [one["status"] for one in report["cancel"]] == [404, 200]
    assert set(report["images"]["status"].values()) == {"succeeded"}


def test_images_of_another_size_and_headers_of_limits_are_told(project, account):
    account.image(picture(size=(512, 640)))
    account.answer(
        "GET",
        "/no-such-path",
        429,
        {"error": "slow down"},
        headers={
            "Retry-After": "7",
            "X-RateLimit-Remaining": "0",
            "Sunset": "Fri, 01 Jan 2027 00:00:00 GMT",
            "x-id": "1",
        },
    )
    report, _ = probed(project)
    assert report["pixels"]["got"] == [[512, 640]]
    assert report["headers"] == {
        "retry-after": ["7"],
        "sunset": ["Fri, 01 Jan 2027 00:00:00 GMT"],
        "x-ratelimit-remaining": ["0"],
    }


def test_the_report_has_no_secret(project, account):
    told = f"key {KEY} of bob@example.com, see https://krea.example/w/secret-workspace?t=1 and job "

    async def act(scope, seen, send, app):
        answer = await ask(app, scope, seen)
        job = account.world.jobs[-1].id if account.world.jobs else ""
        body = json.dumps({"error": told + job, KEY: "x"}).encode()
        await send_answer(
            send, *(answer if answer[0] < 400 else (answer[0], {"content-type": "application/json"}, body))
        )

    for method in ("GET", "POST", "DELETE"):
        for place in ("/jobs/", "/jobs", "/generate/"):
            account.rule(method, place, act)
    done = project.run("doctor", "--probe", "--max-cost", "0.10")
    assert done.code == 0, done.text
    files = [project.home / "probe" / name for name in ("report.json", "report.txt")]
    for text in (done.out, *(file.read_text() for file in files)):
        assert "https://krea.example" in text
        for secret in (KEY, "bob@", "secret-workspace", *(job.id for job in account.world.jobs)):
            assert secret not in text
    assert KEY not in (project.home / "probe.json").read_text()


def test_ids_of_another_form_are_cut_as_well(project, account):
    async def act(scope, seen, send, app):
        path = re.sub(r"job_([0-9a-f]{32})$", lambda found: str(uuid.UUID(found[1])), scope["path"])
        status, headers, body = await ask(app, {**scope, "path": path}, seen)
        body = re.sub(rb'("job_id":")([0-9a-f-]{36})"', lambda found: found[1] + named(found[2]).encode() + b'"', body)
        await send_answer(send, status, {**headers, "content-length": str(len(body))}, body)

    def named(identity):
        return "job_" + uuid.UUID(identity if isinstance(identity, str) else identity.decode()).hex

    for method, place in (("GET", "/jobs"), ("GET", "/jobs/"), ("DELETE", "/jobs/"), ("POST", "/generate/")):
        account.rule(method, place, act)
    report, values = probed(project)
    assert (values.lag_seconds, report["cancel"][1]["job_status"]) == (0.0, "cancelled")
    assert report["images"]["jobs"] == [named(job.id)[:8] + "…" for job in account.world.jobs]
    text = (project.home / "probe/report.json").read_text()
    assert not any(named(job.id) in text for job in account.world.jobs)


def test_nothing_is_lost_when_it_is_killed(project, krea):
    krea.reset(latency=1e6, concurrency=None)
    process = project.start("doctor", "--probe", "--max-cost", "0.045")
    until(lambda: len(project.events("submitted")) == 3, "three jobs")
    process.send_signal(signal.SIGKILL)
    process.wait()
    krea.finish_jobs()
    krea.catch_up()
    report, _ = probed(project, max_cost="0.045")
    assert list(report["images"]["status"].values()).count("succeeded") >= 2
    billed = {bill.job_id for bill in krea.world.bills}
    assert len(billed) <= 3  # the job that was cancelled, if it was, is sent again
    assert billed == {line["job_id"] for line in project.events("done")}


def test_a_refused_key_ends_with_4(project, krea):
    for method in ("GET", "POST", "DELETE"):
        for place in ("/jobs", "/jobs/", "/generate/"):
            krea.answer(method, place, 401, {"message": "Unauthorized"})
    done = project.run("doctor", "--probe", "--max-cost", "0.10")
    assert (done.code, krea.world.jobs, read_probe(project.home)) == (ExitCode.REFUSED, (), None), done.text


def test_without_credit_there_is_a_report_and_no_values(project, krea):
    krea.answer("POST", "/generate/", 402, {"message": "Insufficient balance"})
    report = doctor(project, code=ExitCode.REFUSED)
    assert (report["images"]["spent_usd"], report["values_file"]) == ("0.00", None)
    assert read_probe(project.home) is None
    assert "no values were saved" in project.run("doctor", "--probe", "--max-cost", "0.10").out


def test_a_krea_that_is_gone_is_said(project):
    done = project.run("doctor", "--probe", "--max-cost", "0.10", env={"KREA_API_BASE": "http://127.0.0.1:9"})
    assert (done.code, "no connection" in done.err) == (ExitCode.SOME_FAILED, True), done.text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "[" * 10_000,
        "{}",
        json.dumps({"schema": "krea-pipe/probe@2"}),
        json.dumps({"schema": "krea-pipe/probe@1", "probed_at": "x"}),
    ],
)
def test_a_damaged_file_is_as_none(tmp_path, text):
    (tmp_path / "probe.json").write_text(text)
    assert read_probe(tmp_path) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tolerance_seconds", None),
        ("tolerance_seconds", -1),
        ("settle_seconds", "10"),
        ("settle_seconds", True),
        ("settle_seconds", 1e9),
        ("lag_seconds", float("nan")),
        ("order", "random"),
        ("cursor", None),
        ("ties", -1),
        ("origin", 3),
    ],
)
def test_a_value_that_can_not_be_is_as_no_file(tmp_path, name, value):
    write_probe(tmp_path, SAFE)
    assert read_probe(tmp_path) == SAFE
    data = json.loads((tmp_path / "probe.json").read_text())
    (tmp_path / "probe.json").write_text(json.dumps({**data, name: value}))
    assert read_probe(tmp_path) is None


def test_fields_of_later_versions_are_passed_over(tmp_path):
    write_probe(tmp_path, SAFE)
    data = json.loads((tmp_path / "probe.json").read_text())
    (tmp_path / "probe.json").write_text(json.dumps({**data, "more": 1}))
    assert read_probe(tmp_path) == SAFE


def test_there_is_none_without_a_file_or_behind_a_link(tmp_path):
    assert read_probe(tmp_path) is None
    write_probe(tmp_path / "other", SAFE)
    (tmp_path / "probe.json").symlink_to(tmp_path / "other/probe.json")
    assert read_probe(tmp_path) is None
