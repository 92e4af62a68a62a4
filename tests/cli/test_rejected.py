"""What Krea's moderation has rejected is not sent again until the request changes, or somebody wants that."""

import pytest
from krea_server import GENERATE

NSFW = "local:fail-nsfw"


@pytest.fixture
def rejected(project, krea):
    """A pipeline with a moderated job, a moderated POST, a request that is declined, and two good ones."""
    krea.answer("POST", GENERATE, 422, {"error": "the prompt violates our content policy"}, text='"posted"')
    krea.answer("POST", GENERATE, 422, {"error": "seed is not an integer"}, text='"declined"')
    project.pipeline([NSFW, "posted", "declined", "good", "also"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (1, (2, 3, 0))
    krea.rules.clear()
    return project


def test_only_what_moderation_rejected_is_kept_from_being_sent(rejected, krea):
    posts, bills = len(krea.posts), krea.billed_prompts()
    plan = rejected.run("plan", "p.yaml", "--json", "--check")
    cells = {cell["id"].rpartition("/")[2]: cell for cell in plan.json["cells"]}
    found = [(cells[word]["action"], cells[word]["price_usd"]) for word in ("posted", "local-fail-nsfw", "declined")]
    assert found == [("rejected", "0.00"), ("rejected", "0.00"), ("new", "0.03")]
    assert cells["local-fail-nsfw"]["reason"] == "rejected by Krea before: nsfw; --retry-rejected sends it again"
    assert (plan.code, plan.json["totals"]["rejected"], plan.json["price_usd"]) == (
        3,
        {"requests": 2, "usd": "0.00"},
        "0.03",
    )
    shown = rejected.run("plan", "p.yaml").out
    assert "2 rejected by Krea before, not sent again" in shown
    assert "unresolved  fetch  rejected" in shown
    done = rejected.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, len(krea.posts)) == (1, (1, 2, 2), posts + 1)
    assert done.rows["posted"]["error"]["class"] == "rejected"
    assert krea.billed_prompts() == sorted([*bills, "declined"])
    idle = rejected.run("run", "p.yaml", "--json", "--events", "events.jsonl")
    assert (idle.code, idle.counts, len(krea.posts)) == (1, (0, 2, 3), posts + 1)
    assert '"rejected":2' in (rejected.path / "events.jsonl").read_text().replace(" ", "")


def test_a_rejected_request_is_sent_again_when_it_changes_or_is_asked_for(rejected, krea):
    posts = len(krea.posts)
    assert rejected.plan("--retry-rejected")["posted"][0] == "new"
    again = rejected.run("run", "p.yaml", "--json", "--retry-rejected", "-k", "posted")
    assert (again.code, again.counts, len(krea.posts)) == (0, (1, 0, 0), posts + 1)
    assert rejected.plan()["posted"] == ("reuse", "cached")
    rejected.pipeline(["declined", NSFW], more="budget: {usd: 5}\ndefaults: {creativity: high}")
    assert rejected.plan()["local-fail-nsfw"][0] == "new"


def test_what_needs_a_rejected_image_waits_and_nothing_hangs(project, krea):
    text = (
        "version: 1\nbudget: {usd: 5}\nstages:\n"
        f'  first: {{prompt: "{{{{ w }}}}", matrix: {{w: ["{NSFW}", good]}}}}\n'
        '  then: {for_each: first, prompt: c, image: "{{ source.image }}"}\n'
    )
    project.write("p.yaml", text)
    first = project.run("run", "p.yaml", "--json")
    assert (first.code, first.counts) == (1, (2, 1, 0))
    second = project.run("run", "p.yaml", "--json")
    assert (second.code, second.counts, second.json["cells"]["pending"]) == (1, (0, 1, 2), 1)
    assert len(krea.posts) == 3


def test_proofs_are_drawn_again(project):
    project.pipeline([NSFW])
    for _ in range(2):
        assert project.run("run", "p.yaml", "--local", "--json").counts == (0, 1, 0)
    assert project.plan("--local")["local-fail-nsfw"][0] == "new"
