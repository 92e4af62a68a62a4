"""What `plan` shows: actions, reasons and prices, without a key, a network or a trace on the disk."""

import pytest
from krea_server import GENERATE, picture

STYLED = """version: 1
name: styled
budget: {usd: 5}
references: {look: {images: [refs/ref.png], strength: %s}}
stages:
  s: {prompt: %s, references: [look], creativity: %s, matrix: {seed: [1, 2]}}
"""


def styled(project, strength="0.5", prompt="a lamp", creativity="raw"):
    project.write("p.yaml", STYLED % (strength, prompt, creativity))


def reasons(project):
    return {reason for _, reason in project.plan().values()}


def files(folder):
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_each_change_has_its_reason(project, krea):
    project.write("refs/ref.png", picture(seed="1", size=(600, 600)))
    styled(project)
    assert set(project.plan(env={"KREA_API_KEY": None}).values()) == {("new", "new")}
    assert project.run("run", "p.yaml").code == 0
    assert set(project.plan().values()) == {("reuse", "cached")}
    styled(project, prompt="a vase")
    assert reasons(project) == {"prompt changed"}
    styled(project, creativity="low")
    assert reasons(project) == {"creativity raw → low"}
    styled(project, creativity="low", prompt="a vase")
    assert reasons(project) == {"prompt changed, creativity raw → low"}
    styled(project, strength="0.75")
    assert reasons(project) == {"reference strength changed"}
    styled(project)
    project.write("refs/ref.png", picture(seed="2", size=(600, 600)))
    assert reasons(project) == {"refs/ref.png changed"}
    assert len(krea.posts) == 2


def test_a_failure_is_remembered_until_it_is_mended(project, krea):
    krea.answer("POST", GENERATE, 422, {"error": "no"})
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 1
    assert project.plan()["a"] == ("new", "failed before: rejected")
    krea.rules.clear()
    krea.mutate_job(lambda job: {**job, "status": "failed", "error": {"code": "nsfw"}})
    assert project.run("run", "p.yaml").code == 1
    reason = "rejected by Krea before: nsfw; --retry-rejected sends it again"
    assert project.plan()["a"] == ("rejected", reason)
    krea.rules.clear()
    assert project.run("run", "p.yaml", "--retry-rejected").code == 0
    assert project.plan()["a"] == ("reuse", "cached")


def test_the_json_has_exact_prices_and_totals(project):
    project.write(
        "p.yaml",
        "version: 1\nbudget: {usd: 0.0000001}\nprompt: a\n"
        "matrix: {variant: [medium, large, medium-turbo], seed: [1, 2]}\n",
    )
    plan = project.run("plan", "p.yaml", "--json", env={"KREA_API_KEY": None}).json
    assert plan["schema"] == "krea-pipe/plan@1"
    assert sorted({cell["price_usd"] for cell in plan["cells"]}) == ["0.015", "0.03", "0.06"]
    assert plan["totals"]["new"] == {"requests": 6, "usd": "0.21"}
    assert plan["totals"]["reuse"] == {"requests": 0, "usd": "0.00"}
    assert plan["has_work"] is True
    assert plan["cap_usd"] == "0.0000001"
    assert plan["warnings"] == []
    assert {stage["name"] for stage in plan["stages"]} == {"p"}
    free = project.run("plan", "p.yaml", "--local", "--json").json
    assert free["totals"]["new"]["usd"] == "0.00"


def test_people_see_the_sum_and_the_cap(project):
    project.pipeline(["a", "b"])
    out = project.run("plan", "p.yaml").out
    assert "2 × $0.03 = $0.06" in out
    assert "below the cap of $5.00" in out
    assert "exactly the cap of $0.06" in project.run("plan", "p.yaml", "--max-cost", "0.06").out
    free = project.run("plan", "p.yaml", "--local").out
    assert "New: 2, free with the local Krea." in free
    assert "$" not in free


@pytest.mark.parametrize(
    ("budget", "words", "code"),
    [
        ("{usd: 5}", (), None),
        ("{usd: 5, images: 2}", (), None),
        ("{usd: 5, images: 1}", (), "over_budget"),
        ("{images: 2}", (), "no_cap"),
        ("{usd: 0.05}", (), "over_budget"),
        ("{usd: 0.05}", ("--max-cost", "0.06"), "over_budget"),
    ],
)
def test_the_verdict_is_the_one_of_a_run(project, krea, budget, words, code):
    project.pipeline(["a", "b"], more=f"budget: {budget}")
    plan, text = project.run("plan", "p.yaml", *words, "--json").json, project.run("plan", "p.yaml", *words).out
    run = project.run("run", "p.yaml", *words, "--json").json
    error = run.get("error")
    assert plan["verdict"]["ok"] == (error is None) == (code is None)
    assert (plan["verdict"]["code"], plan["verdict"]["message"]) == (
        (code, error["message"]) if error else (None, None)
    )
    assert (f"A run would be refused: {error['message']}" if error else "below the cap of $5.00") in text
    assert ("below the cap" in text) == (error is None)


def test_a_local_plan_has_no_verdict_and_shows_the_budget_of_the_file(project):
    project.pipeline(["a", "b"], more="budget: {images: 1}")
    plan = project.run("plan", "p.yaml", "--local", "--json").json
    assert (plan["verdict"], plan["budget_images"]) == (None, 1)
    assert "refuse" not in project.run("plan", "p.yaml", "--local").out


def test_an_image_may_have_been_uploaded_long_ago(project):
    project.write("refs/ref.png", picture(seed="1", size=(600, 600)))
    styled(project)
    assert "uses 1 reference image, uploaded if not yet in this account;" in project.run("plan", "p.yaml").out


def test_check_tells_whether_there_is_work(project, krea):
    project.pipeline(["a"])
    assert project.run("plan", "p.yaml", "--check").code == 3
    assert project.run("plan", "p.yaml").code == 0
    assert project.run("run", "p.yaml").code == 0
    assert project.run("plan", "p.yaml", "--check", "--json").code == 0


@pytest.mark.parametrize("home", [True, False])
def test_a_plan_leaves_the_disk_as_it_is_and_asks_nobody(project, krea, home):
    project.pipeline(["a", "b"])
    if home:
        assert project.run("run", "p.yaml").code == 0
        project.pipeline(["a", "c"])
    before, asked = files(project.path), len(krea.seen)
    for words in ((), ("--json",), ("--local",)):
        assert project.run("plan", "p.yaml", *words, env={"KREA_API_KEY": None}).code == 0
    assert files(project.path) == before
    assert len(krea.seen) == asked


def test_a_changed_prompt_is_told_by_its_words_and_long_ones_are_cut(project):
    """In the table, in JSON, and where a cell is explained; what looks like markup is text."""
    before = "one two three four five slate [bold]six seven eight nine ten"
    after = "one two three four five wet oak [bold]six seven eight nine ten"
    project.write("p.yaml", f"version: 1\nname: p\nprompt: {before!r}\nbudget: {{usd: 5}}\n")
    assert project.run("run", "p.yaml", "--local").code == 0
    project.write("p.yaml", f"version: 1\nname: p\nprompt: {after!r}\nbudget: {{usd: 5}}\n")
    said = "prompt: … three four five [-slate-]{+wet oak+} [bold]six seven eight …"
    assert said in project.run("plan", "p.yaml", "--local").out
    (cell,) = project.run("plan", "p.yaml", "--local", "--json").json["cells"]
    assert cell["reason"] == "prompt changed"
    parts = cell["prompt_change"]
    assert [(one["kind"], one["text"]) for one in parts if one["kind"] != "same"] == [
        ("removed", "slate"),
        ("added", "wet oak"),
    ]
    assert "".join(one["text"] for one in parts if one["kind"] != "added") == before
    assert "".join(one["text"] for one in parts if one["kind"] != "removed") == after
    explained = project.run("explain", "p.yaml", cell["id"], "--local")
    assert explained.out.count(said) == 2
    assert project.run("explain", "p.yaml", cell["id"], "--local", "--json").json["last"]["prompt_change"] == parts


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("a red cup", "a blue bowl", "a [-red cup-]{+blue bowl+}"),
        ("a lamp, low light", "a lamp, low light, rain", "a lamp, low light{+, rain+}"),
        ("wet slate at dusk", "slate at dusk", "[-wet -]slate at dusk"),
        ("a-b c", "a-d c", "[-a-b-]{+a-d+} c"),
        ("one", "two " * 40 + "end", "[-one-]{+two two two two two two … two two two two two end+}"),
    ],
)
def test_whole_words_differ(project, before, after, said):
    project.write("p.yaml", f"version: 1\nname: p\nprompt: {before!r}\nbudget: {{usd: 5}}\n")
    assert project.run("run", "p.yaml", "--local").code == 0
    project.write("p.yaml", f"version: 1\nname: p\nprompt: {after!r}\nbudget: {{usd: 5}}\n")
    assert f"prompt: {said}\n" in project.run("plan", "p.yaml", "--local").out
