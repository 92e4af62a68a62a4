"""Jobs as Krea shows them, in its list and alone: each is followed to its end, whatever comes in between."""

import pytest

NO_JOBS = {"items": [], "next_cursor": None}
READS = {
    "error": (500, b""),
    "html error": (503, b"<html>no</html>"),
    "full": (429, {"error": "slow"}),
    "missing": (404, b"<h1>no</h1>"),
    "html": (200, b"<html>hello</html>"),
    "another": (200, {"job_id": "another", "status": "failed"}),
    "cut": (200, b'{"job_id":'),
    "items": (200, {"items": 5}),
}


def test_trouble_while_a_job_is_read_is_waited_out(project, krea):
    krea.single_reads()
    project.pipeline(["a"])
    for status, body in READS.values():
        krea.answer("GET", "/jobs/", status, body, times=1)
    krea.lose("GET", "/jobs/", times=1)
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.calls("GET", "/jobs/")) == len(READS) + 2
    assert krea.billed_prompts() == ["a"]


@pytest.mark.parametrize("trouble", READS)
def test_without_the_list_jobs_are_read_alone(project, krea, trouble):
    krea.answer("GET", "/jobs", *READS[trouble])
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert len(krea.calls("GET", "/jobs/")) >= 2
    assert krea.billed_prompts() == ["a", "b"]


@pytest.mark.parametrize("body", [{"error": "Job not found"}, b"<html><title>404 Not Found</title></html>"])
def test_a_job_that_krea_does_not_show_is_looked_for_again_and_not_paid_again(project, krea, body):
    project.pipeline(["a"])
    krea.answer("GET", "/jobs", 200, NO_JOBS)
    krea.answer("GET", "/jobs/", 404, body)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"], done.rows["a"]["status"]) == (1, "job_unseen", "uncertain")
    assert project.plan()["a"][0] == "attach"
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def test_a_job_that_is_not_in_the_list_is_read_alone(project, krea):
    project.pipeline(["a"])
    krea.answer("GET", "/jobs", 200, NO_JOBS)
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.calls("GET", "/jobs/")) >= 1


def test_a_job_that_krea_has_forgotten_can_be_sent_again(project, krea):
    project.pipeline(["a"])
    krea.answer("GET", "/jobs", 200, NO_JOBS)
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"}, times=5)
    assert project.run("run", "p.yaml").code == 1
    assert project.run("run", "p.yaml", "--uncertain", "resubmit").code == 0
    assert len(krea.posts) == 2


def test_a_job_without_an_image_is_not_paid_a_second_time_unasked(project, krea):
    project.pipeline(["a"])
    krea.mutate_job(lambda job: {**job, "result": {}})
    assert project.run("run", "p.yaml", "--json").rows["a"]["error"]["code"] == "empty"
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["a"]["error"]["code"], again.json["cost"]["uncertain_usd"]) == (1, "empty", "0.00")
    assert len(krea.posts) == 1
    krea.rules.clear()
    assert project.run("run", "p.yaml", "--uncertain", "resubmit").code == 0


def test_trouble_while_an_image_is_fetched_is_waited_out(project, krea):
    project.pipeline(["a"])
    krea.answer("GET", "/images/", 503, b"", times=2)
    krea.answer("GET", "/images/", 200, b"<html>soon</html>", times=2)
    krea.answer("GET", "/images/", 401, b"", times=1)
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.calls("GET", "/images/")) == 6


def _failed(**fields):
    return lambda job: {**{name: job[name] for name in ("job_id", "created_at")}, "status": "failed", **fields}


JOBS = {
    "top": (_failed(error={"code": "nsfw", "message": "not this"}), "nsfw", "not this"),
    "under": (_failed(result={"error": {"code": "ip_detected"}}), "ip_detected", "ip_detected"),
    "words": (_failed(error="plain words"), "failed", "plain words"),
    "absent": (_failed(), "failed", "no reason"),
    "list": (_failed(result=[], error=["x"]), "failed", "x"),
    "preview": (_failed(result={"urls": ["http://127.0.0.1/p.png"]}, error={"code": "nsfw"}), "nsfw", "nsfw"),
    "cancelled": (lambda job: {**job, "status": "cancelled", "result": None}, "cancelled", "cancelled"),
    "unknown": (lambda job: {**job, "status": "Expired", "result": None}, "expired", "expired"),
    "empty": (lambda job: {**job, "result": {}}, "empty", "no image"),
    "nothing": (lambda job: {**job, "result": None}, "empty", "no image"),
    "numbers": (lambda job: {**job, "result": {"urls": [None, 3]}}, "empty", "no image"),
    "wanted": (lambda job: {**job, "result": {"urls": [], "error": {"code": "nsfw"}}}, "empty", "nsfw"),
}
DRAWN = {
    "upper": lambda job: {**job, "status": "COMPLETED"},
    "mapped": lambda job: {**job, "result": {"urls": {"image": job["result"]["urls"][0]}}},
    "objects": lambda job: {**job, "result": {"urls": [{"type": "model", "url": job["result"]["urls"][0]}]}},
    "invented": lambda job: {**job, "status": "archived"},
}


@pytest.mark.parametrize("listed", [True, False])
def test_jobs_that_end_in_every_way(project, krea, listed):
    changes = {**{word: change for word, (change, *_) in JOBS.items()}, **DRAWN}
    krea.mutate_job(lambda job: changes[krea.world.job(job["job_id"]).brief.order.prompt](job))
    if not listed:
        krea.single_reads()
    project.pipeline([*JOBS, *DRAWN])
    done = project.run("run", "p.yaml", "--json")
    found = done.rows
    for word, (_, code, said) in JOBS.items():
        assert (found[word]["status"], found[word]["error"]["code"]) == ("failed", code), word
        assert said in found[word]["error"]["message"], word
    assert [found[word]["status"] for word in DRAWN] == ["succeeded"] * len(DRAWN)
    assert done.json["cells"]["failed"] == len(JOBS)
    reasons = {c["id"]: c["reason"] for c in project.run("plan", "p.yaml", "--json").json["cells"]}
    assert reasons["p/top"] == "rejected by Krea before: nsfw; --retry-rejected sends it again"


def test_a_status_that_krea_invents_is_waited_for(project, krea):
    krea.single_reads()
    project.pipeline(["a"])
    krea.mutate_job(lambda job: {**job, "status": "polishing", "completed_at": None, "result": None}, times=3)
    krea.mutate_job(lambda job: {**job, "status": "sampling", "result": {"urls": ["http://127.0.0.1/x"]}}, times=3)
    krea.mutate_job(lambda job: {"job_id": job["job_id"], "created_at": "now"}, times=3)
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.calls("GET", "/jobs/")) == 10
