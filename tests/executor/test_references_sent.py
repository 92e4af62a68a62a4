"""Style images: uploaded once for each account, and again only when Krea has forgotten them."""

import pytest
from krea_server import GENERATE, ask, picture, send_answer
from money import end_empty_during_the_upload

MORE = """budget: {usd: 5}
references:
  look: {images: [%s]}
"""


def styled(project, prompts, images="ref.png"):
    words = ", ".join(prompts)
    project.write(
        "p.yaml",
        f"version: 1\n{MORE % images}"
        f'stages: {{p: {{prompt: "{{{{ w }}}}", references: [look], matrix: {{w: [{words}]}}}}}}\n',
    )


@pytest.fixture
def look(project):
    return project.write("ref.png", picture(seed="look", size=(600, 600)))


def urls(seen):
    return [one["url"] for one in seen.json["image_style_references"]]


def test_an_image_is_uploaded_once_and_remembered(project, krea, look):
    styled(project, ["a", "b", "c"])
    plan = project.run("plan", "p.yaml", "--json").json
    assert [upload["label"] for upload in plan["uploads"]] == ["ref.png"]
    assert {cell["price_usd"] for cell in plan["cells"]} == {"0.035"}
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.json["cost"]["spent_usd"]) == (0, "0.105")
    assert len(krea.world.assets) == 1
    assert krea.world.assets[0].data == look.read_bytes()
    assert {url for post in krea.posts for url in urls(post)} == {
        f"{krea.base}/uploads/{krea.world.assets[0].file_name}"
    }
    styled(project, ["a", "b", "c", "d"])
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.world.assets) == 1
    styled(project, ["e"])
    assert project.run("run", "p.yaml", env={"KREA_API_KEY": "another-account"}).code == 0
    assert len(krea.world.assets) == 2


def test_what_another_run_has_paid_for_nothing_during_the_upload_is_not_sent(project, krea, look):
    styled(project, ["a"])
    (cell,) = project.run("plan", "p.yaml", "--json").json["cells"]
    end_empty_during_the_upload(krea, project, cell["key"])
    for _ in range(2):
        done = project.run("run", "p.yaml", "--json")
        assert (done.code, krea.posts, done.json["cost"]["spent_usd"]) == (1, [], "0.00")
    assert project.run("run", "p.yaml", "--uncertain", "resubmit").code == 0
    assert len(krea.posts) == 1


def test_identical_bytes_are_uploaded_once(project, krea, look):
    project.write("copy.png", look.read_bytes())
    project.write("other.png", picture(seed="other", size=(600, 600)))
    styled(project, ["a"], "ref.png, other.png")
    assert project.run("run", "p.yaml").code == 0
    styled(project, ["b"], "copy.png, other.png")
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.world.assets) == 2


@pytest.mark.parametrize("status", [None, 404])
def test_a_forgotten_image_is_uploaded_again(project, krea, look, status):
    styled(project, ["a"])
    assert project.run("run", "p.yaml").code == 0
    krea.world.remove_asset(krea.world.assets[0])
    if status:
        krea.answer("POST", GENERATE, status, {"error": "Asset not found"}, times=3)
    styled(project, ["b", "c", "d"])
    done = project.run("run", "p.yaml", "--json", "--concurrency", "3")
    assert (done.code, done.counts) == (0, (3, 0, 0)), done.report["cells"]
    assert len(krea.world.assets) == 1
    assert krea.billed_prompts() == ["a", "b", "c", "d"]
    styled(project, ["e"])
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.world.assets) == 1


def test_a_request_that_is_refused_with_a_fresh_image_fails(project, krea, look):
    krea.answer("POST", GENERATE, 422, {"error": "Input file rejected"})
    styled(project, ["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["message"]) == (
        1,
        "Krea answered 422 Input file rejected (sent with ref.png)",
    )
    assert (len(krea.posts), len(krea.world.assets)) == (1, 1)


def test_trouble_with_an_upload_is_waited_out(project, krea, look):
    krea.answer("POST", "/assets", 503, b"<html>no</html>", times=1)
    krea.answer("POST", "/assets", 429, {"error": "slow"}, headers={"retry-after": "0"}, times=1)
    krea.answer("POST", "/assets", 200, b"garbage", times=1)
    krea.lose("POST", "/assets", times=1)
    styled(project, ["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.calls("POST", "/assets")) == 5
    assert krea.billed_prompts() == ["a", "b"]


@pytest.mark.parametrize(
    ("status", "body", "code", "error"),
    [
        (413, b"<html>too large</html>", 1, "upload_failed"),
        (400, {"error": "Unsupported file type"}, 1, "upload_failed"),
        (500, b"", 1, "upload_failed"),
        (200, {"image_url": None}, 1, "upload_failed"),
        (402, {"message": "empty"}, 4, None),
    ],
)
def test_an_upload_that_fails_sends_nothing(project, krea, look, status, body, code, error):
    krea.answer("POST", "/assets", status, body)
    styled(project, ["a"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == code
    assert error == (done.rows["a"]["error"] or {}).get("code")
    assert error is None or "a reference could not be uploaded: ref.png: " in done.rows["a"]["error"]["message"]
    assert krea.posts == []
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0


@pytest.mark.parametrize("changed", [None, picture(seed="another", size=(600, 600))])
def test_an_image_that_changes_under_way_is_not_sent_for_the_planned_one(project, krea, look, changed):
    """The first cell holds the run back while the second one's image changes."""
    project.write("first.png", picture(seed="first", size=(600, 600)))
    project.write(
        "p.yaml",
        "version: 1\nbudget: {usd: 5}\nreferences: {one: {images: [first.png]}, two: {images: [ref.png]}}\n"
        "stages:\n  s: {prompt: a, references: [one]}\n  t: {prompt: b, references: [two]}\n",
    )

    async def act(scope, seen, send, app):
        if changed is None:
            look.unlink(missing_ok=True)
        else:
            look.write_bytes(changed)
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", "/assets", act)
    done = project.run("run", "p.yaml", "--json", "--concurrency", "1")
    assert done.code == 1
    error = next(row["error"] for row in done.report["cells"] if row["stage"] == "t")
    assert error["code"] == "upload_failed"
    assert "ref.png" in error["message"]
    assert krea.billed_prompts() == ["a"]
    assert len(krea.world.assets) == 1
