"""What a live run pays, keeps and says: each distinct request once, below the cap, and nothing twice."""

import json
from decimal import Decimal
from io import BytesIO
from pathlib import Path

import pytest
from command_line import KEY
from krea_server import GENERATE, picture, until
from PIL import Image

from krea_pipe.core.contract import SIZES


def cells_of(done):
    counts = done.json["cells"]
    return tuple(counts[name] for name in ("total", "succeeded", "failed", "reused"))


def test_a_local_run_draws_reports_and_is_reused(project):
    project.pipeline(["a", "b"])
    first = project.run("run", "p.yaml", "--local", "--json", env={"KREA_API_KEY": None})
    assert first.code == 0, first.text
    assert cells_of(first) == (2, 2, 0, 0)
    assert first.json["schema"] == "krea-pipe/run@1"
    assert first.json["exit_code"] == 0
    assert first.json["cost"]["spent_usd"] == "0.00"
    assert first.json["run_id"] in first.json["report"]
    assert first.report["exit_code"] == 0
    assert Path(project.path, first.json["report"]).with_name("report.html").is_file()
    for word in "ab":
        with Image.open(project.image(word, "proofs/p")) as image:
            assert image.size == (1024, 1024)
    second = project.run("run", "p.yaml", "--local", "--json", env={"KREA_API_KEY": None})
    assert cells_of(second) == (2, 0, 0, 2)
    assert project.krea.seen == []


def test_each_distinct_request_is_billed_once(project, krea):
    stage = '{prompt: "{{ w }}", matrix: {w: [a, b]}}'
    project.write("p.yaml", f"version: 1\nbudget: {{usd: 1}}\nstages:\n  one: {stage}\n  two: {stage}\n")
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert cells_of(done) == (4, 4, 0, 0)
    assert krea.billed_prompts() == ["a", "b"]
    assert len(krea.posts) == 2
    assert Decimal(done.json["cost"]["spent_usd"]) == sum(bill.amount for bill in krea.world.bills)
    assert all(project.image(f"{stage}/{w}").is_file() for w in "ab" for stage in ("one", "two"))
    again = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": None})
    assert again.code == 0
    assert cells_of(again) == (4, 0, 0, 4)
    assert again.json["cost"] == {
        "spent_usd": "0.00",
        "saved_usd": "0.06",
        "uncertain_usd": "0.00",
        "in_flight_usd": "0.00",
    }
    assert len(krea.posts) == 2


def test_the_stored_bytes_are_krea_s_and_the_copy_tells_how_it_was_made(project, krea):
    krea.image(sent := picture(seed="sea", size=SIZES["1:1"]))
    project.pipeline(["sea"], more="budget: {usd: 1}\ndefaults: {seed: 77}")
    done = project.run("run", "p.yaml", "--json")
    job = krea.world.jobs[0]
    digest = done.report["cells"][0]["sha256"]
    assert (project.space / "blobs" / digest[:2] / digest).read_bytes() == sent
    with Image.open(project.image("sea")) as copy:
        copy.load()
        made = json.loads(copy.text["krea-pipe"])
        assert (made["job_id"], made["request"]["seed"], made["request"]["prompt"]) == (job.id, 77, "sea")
        assert made["request"]["creativity"] == krea.posts[0].json["creativity"]
        assert copy.tobytes() == Image.open(BytesIO(sent)).tobytes()


@pytest.mark.parametrize("name", ["KREA_API_KEY", "KREA_API_TOKEN"])
def test_the_key_is_taken_from_either_name(project, krea, name):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": None, name: f"  {KEY} "})
    assert done.code == 0
    assert krea.posts[0].headers["authorization"] == f"Bearer {KEY}"


def test_without_a_key_nothing_is_sent_and_the_message_says_what_to_set(project, krea):
    project.pipeline(["a"])
    for env in ({"KREA_API_KEY": None}, {"KREA_API_KEY": "  "}):
        done = project.run("run", "p.yaml", env=env)
        assert done.code == 4
        assert "KREA_API_KEY" in done.err
        assert "--local" in done.err
    assert project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": None}).json["error"]["code"] == "no_key"
    assert project.run("run", "p.yaml", env={"KREA_API_KEY": "two words"}).code == 4
    assert krea.seen == []


@pytest.mark.parametrize(
    ("budget", "option", "code", "error"),
    [
        ("", (), 2, "no_cap"),
        ("budget: {usd: 0.05}", (), 5, "over_budget"),
        ("budget: {usd: 0.0599}", ("--max-cost", "5"), 5, "over_budget"),
        ("budget: {images: 1}", ("--max-cost", "5"), 5, "over_budget"),
    ],
)
def test_a_cap_is_kept_before_anything_is_sent(project, krea, budget, option, code, error):
    project.pipeline(["a", "b"], more=budget)
    done = project.run("run", "p.yaml", "--json", *option)
    assert (done.code, done.json["error"]["code"]) == (code, error), done.text
    assert krea.seen == []
    assert not (project.path / "out").exists()


def test_the_exact_cap_is_enough(project, krea):
    project.pipeline(["a", "b"], more="budget: {usd: 0.06}")
    assert project.run("run", "p.yaml", "--max-cost", "$0.060").code == 0
    assert len(krea.posts) == 2


def test_the_token_reaches_the_api_alone(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": f"bad header: Bearer {KEY}"}, text="echo")
    krea.mutate_job(lambda job: {**job, "status": "failed", "error": {"code": "x", "message": KEY}}, text="fail")
    project.pipeline(["a", "echo", "fail"])
    done = project.run("run", "p.yaml")
    assert done.code == 1
    files = [path for path in project.path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    images = krea.calls("GET", "/images/")
    assert images
    assert all(KEY not in str(one.headers) for one in images)
    assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in krea.posts)


def test_no_more_is_under_way_than_asked_for(project, krea):
    krea.reset(latency=1e6)
    project.pipeline([f"w{n}" for n in range(5)])
    process = project.start("run", "p.yaml", "--concurrency", "2")
    most = 0

    def no_more_posts():
        """Whether jobs have been looked at several times since the last POST, so that no other is on its way."""
        paths = [one.path for one in list(krea.seen)]
        last = max((n for n, path in enumerate(paths) if path.startswith(GENERATE)), default=len(paths))
        return process.poll() is not None or len(paths) > last + 5

    while process.poll() is None:
        until(no_more_posts)
        most = max(most, sum(job.finished_at(krea.clock()) is None for job in krea.world.jobs))
        before = len(krea.posts)
        krea.clock.advance(2e6)
        until(lambda known=before: process.poll() is not None or len(krea.posts) > known)
    assert project.finish(process).code == 0
    assert most == 2
    assert len(krea.posts) == 5
