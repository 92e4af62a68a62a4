"""The image of a job is found in every form in which a result may come, and a preview is never taken for it."""

import json

import pytest
from krea_server import GENERATE, Seen, ask, picture, send_answer
from money import draw, drawing, send_json

from krea_pipe.core.contract import SIZES

PREVIEW = picture(seed="a preview", size=SIZES["1:1"])


@pytest.fixture(autouse=True)
def pictures(krea):
    """Each job's own picture, and one that stands for all previews."""
    draw(krea)
    krea.answer("GET", "/previews/", 200, PREVIEW)


def shown(result):
    """A change of jobs to another form of result, with the addresses in place of FINAL, PREVIEW and NAME."""

    def changed(job):
        urls = (job["result"] or {}).get("urls")
        if not urls:
            return job
        text = json.dumps(result).replace("FINAL", urls[0]).replace("NAME", urls[0].rpartition("/")[2])
        return {**job, "result": json.loads(text.replace("PREVIEW", urls[0].replace("/images/", "/previews/")))}

    return changed


FORMS = {
    "objects": {"urls": [{"type": "preview", "url": "PREVIEW"}, {"type": "model", "url": "FINAL"}]},
    "objects the other way round": {"urls": [{"type": "image", "url": "FINAL"}, {"type": "preview", "url": "PREVIEW"}]},
    "a map": {"urls": {"preview": "PREVIEW", "image": "FINAL"}},
    "a map with what is no address": {"urls": {"format": "png", "0": "FINAL"}},
    "a map of objects": {"urls": {"thumbnail": {"url": "PREVIEW"}, "0": {"url": "FINAL"}}},
    "images": {"images": [{"url": "FINAL", "content_type": "image/png"}]},
    "images as texts": {"images": ["FINAL"]},
    "images behind no urls": {"urls": [], "images": [{"url": "FINAL"}]},
    "a url": {"url": "FINAL", "preview_url": "PREVIEW"},
    "an image": {"image": {"url": "FINAL"}},
    "a list": ["FINAL"],
    "a folder of previews first": {"urls": ["PREVIEW", "FINAL"]},
    "data": {"data": [{"url": "FINAL"}]},
    "an address below the API": {"urls": ["/images/NAME"]},
    "an address without a slash": {"urls": ["images/NAME"]},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_the_final_image_is_stored_whatever_form_the_result_has(project, krea, form):
    krea.mutate_job(shown(form))
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (2, 0, 0)), done.text
    assert {path.read_bytes() for path in project.blobs()} == {drawing("a"), drawing("b")}


def test_a_result_that_shows_previews_alone_has_no_image(project, krea):
    krea.mutate_job(shown({"urls": [{"type": "preview", "url": "PREVIEW"}]}))
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["a"]["error"]["code"], project.blobs()) == ("empty", [])


PENDING = ["sampling", "refining", "in-progress", "preview_ready"]


@pytest.mark.parametrize("status", PENDING)
def test_a_job_that_goes_on_is_not_ended_by_the_previews_that_it_shows(project, krea, status):
    def previewed(job):
        result = {"urls": [job["result"]["urls"][0].replace("/images/", "/previews/")]} if job["result"] else None
        return {**job, "status": status, "completed_at": None, "result": result}

    krea.single_reads()
    krea.mutate_job(previewed, times=2)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, [path.read_bytes() for path in project.blobs()]) == (0, [drawing("a")]), done.text


# --- statuses that no document has


def ended_as(krea, **fields):
    krea.mutate_job(lambda job: {**job, "completed_at": None, **fields} if job["result"] else job)


@pytest.mark.parametrize("status", ["succeeded", "SUCCESS", "released"])
@pytest.mark.parametrize("completed_at", [None, "2026-11-22T10:00:00Z"])
def test_a_final_status_that_nobody_knows_ends_a_job_with_its_image(project, krea, status, completed_at):
    ended_as(krea, status=status, completed_at=completed_at)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml", "--json").counts == (1, 0, 0)


REASONS = {
    "moderated": ({"error": {"code": "nsfw", "message": "the words"}}, "nsfw"),
    "moderated, with a text": ({"error": "the words"}, "moderated"),
    "moderated, under result": ({"result": {"error": {"message": "the words"}}}, "moderated"),
    "moderated, as a reason": ({"reason": "the words"}, "moderated"),
    "content_moderated": ({"failure": {"code": "CONTENT_POLICY", "message": "the words"}}, "content_policy"),
    "halted": ({"error": {"code": "moderation_blocked", "message": "the words"}}, "moderation_blocked"),
}


@pytest.mark.parametrize(("status", "reason"), REASONS.items(), ids=REASONS)
def test_a_job_that_is_moderated_ends_at_once_with_its_reason_and_is_not_counted(project, krea, status, reason):
    fields, code = reason
    ended_as(krea, **{"status": status.partition(",")[0], "result": {}, **fields})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["a"]["error"]
    assert (error["code"], error["class"], done.json["cost"]["spent_usd"]) == (code, "rejected", "0.00")
    assert "the words" in error["message"]


def test_a_moderated_job_without_any_reason_ends_by_its_name(project, krea):
    ended_as(krea, status="moderated", result=None)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["a"]["error"]
    assert (error["code"], error["class"]) == ("moderated", "rejected")
    assert "gave no reason" in error["message"]


# --- answers to a POST


def test_a_post_that_is_answered_with_a_failed_job_keeps_its_reason(project, krea):
    """Also when Krea tells it only once."""

    async def act(scope, seen, send, app):
        job = (await ask(app, scope, seen))[2]
        error = {"code": "ip_detected", "message": "the words"}
        await send_json(send, {**json.loads(job), "status": "failed", "error": error})

    krea.rule("POST", GENERATE, act, text='"b"')
    krea.mutate_job(lambda job: {**job, "status": "failed", "result": None}, text="b")
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["b"]["error"]
    assert (error["code"], error["class"], error["message"]) == ("ip_detected", "rejected", "the words")
    assert (len(krea.posts), done.json["cost"]["spent_usd"]) == (2, "0.03")


REJECTIONS = {
    "a text": {"error": "prompt rejected"},
    "an object": {"error": {"code": "content_policy", "message": "prompt rejected"}},
    "with no success": {"success": False, "error": "prompt rejected", "job_id": None, "result": None},
    "issues": {"success": False, "error": {"issues": [{"path": ["prompt"], "message": "prompt rejected"}]}},
}


@pytest.mark.parametrize("body", REJECTIONS.values(), ids=REJECTIONS)
def test_an_error_in_an_answer_of_success_is_a_rejection(project, krea, body):
    krea.answer("POST", GENERATE, 200, body, text='"b"')
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["b"]["error"]
    assert (done.counts, error["code"], error["class"]) == ((1, 1, 0), "rejected", "rejected"), done.text
    assert "prompt rejected" in error["message"]
    assert (len(krea.posts), done.json["cost"]["spent_usd"]) == (2, "0.03")


@pytest.mark.parametrize("more", [{"id": 7}, {"result": {"job_id": "x y"}}, {"job": {"state": "queued"}}])
def test_an_error_beside_what_may_be_a_job_is_a_lost_answer(project, krea, more):
    async def act(scope, seen: Seen, send, app):
        await ask(app, scope, seen)
        await send_json(send, {"error": "no", **more})

    krea.rule("POST", GENERATE, act, text='"b"', times=1)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["b"]["adopted"], len(krea.posts)) == (0, True, 2), done.text


# --- routes that will end


def test_what_krea_says_of_a_deprecated_route_is_one_warning_of_the_run(project, krea):
    headers = {"deprecation": "true", "sunset": "Fri, 01 Jan 2027 00:00:00 GMT"}
    headers["link"] = '<https://docs.example/end>; rel="deprecation"; type="text/html"'

    async def act(scope, seen, send, app):
        status, fields, body = await ask(app, scope, seen)
        await send_answer(send, status, {**fields, **headers}, body)

    krea.rule("POST", GENERATE, act)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--json")
    [warning] = done.json["warnings"]
    assert done.report["warnings"] == [warning]
    for word in ("POST /generate/image/krea/krea-2/medium", "01 Jan 2027", "https://docs.example/end"):
        assert word in warning
    krea.rules.pop()
    project.pipeline(["a", "b", "c"])
    assert project.run("run", "p.yaml", "--json").json["warnings"] == []


def test_a_deprecation_is_said_once_on_stderr(project, krea):
    async def act(scope, seen, send, app):
        status, fields, body = await ask(app, scope, seen)
        await send_answer(send, status, {**fields, "deprecation": "@1735689600"}, body)

    krea.rule("GET", "/jobs", act)
    krea.rule("GET", "/jobs/", act)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml")
    assert done.code == 0
    assert done.err.count("the route GET /jobs since 2025-01-01") == 1
