"""Stages that need the images of others: what Krea is sent, when, and what a chain costs."""

import asyncio

import pytest
from chain_files import (
    HEAD,
    THREE,
    TWO,
    bounded,
    chain,
    keep_running,
    keys,
    post_of,
    prompt,
    sent_images,
    statuses,
)
from krea_server import GENERATE, ask, send_answer, until
from money import draw, drawing


@pytest.fixture(autouse=True)
def _bounded(krea):
    draw(krea)
    with bounded():
        yield


def run(project, *words, code=0):
    done = project.run("run", "p.yaml", "--json", *words)
    assert done.code == code, done.text
    return done


def test_an_image_becomes_the_source_picture_and_then_the_style_reference_of_later_requests(project, krea):
    chain(project, ["a", "b"], TWO, THREE)
    done = run(project)
    assert set(statuses(done).values()) == {"succeeded"}
    for word in ("a", "b"):
        assert sent_images(krea, post_of(krea, word)) == []
        assert sent_images(krea, post_of(krea, f"{word} two")) == [(drawing(word), 0.5)]
        assert sent_images(krea, post_of(krea, f"{word} two three")) == [(drawing(f"{word} two"), 0.7)]
        assert project.image(word, "out/p/three").exists()
    assert krea.billed_prompts() == ["a", "a two", "a two three", "b", "b two", "b two three"]
    assert {action for action, _ in project.plan().values()} == {"reuse"}


def test_an_image_stands_beside_references_of_the_file(project, krea):
    project.write("grain.png", drawing("grain"))
    mixed = TWO + '    references: [{image: grain.png, strength: 0.2}, {image: "{{ source.image }}", strength: 0.9}]\n'
    chain(project, ["a"], mixed)
    run(project)
    images = [(drawing("a"), 0.5), (drawing("grain"), 0.2), (drawing("a"), 0.9)]
    assert sent_images(krea, post_of(krea, "a two")) == images
    assert len(krea.calls("POST", "/assets")) == 2


def test_a_chained_request_is_sent_while_other_jobs_of_the_stage_above_still_run(project, krea):
    keep_running(krea, "b", "c")

    async def act(scope, seen, send, app):
        del krea.rules[1:]  # the others end now, and not before
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, act, text='"a two"')
    chain(project, ["a", "b", "c"])
    run(project)
    assert len(krea.rules) == 1, "the chained request was seen"


def test_nothing_of_a_stage_is_sent_before_the_stages_that_it_needs_are_drawn(project, krea):
    drawn = []

    async def act(scope, seen, send, app):
        drawn.append(len(project.events("done")))
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, act, text='"last')
    last = '  last:\n    prompt: "last {{ n }}"\n    matrix: {n: [1, 2]}\n    needs: [one, two]\n'
    chain(project, ["a", "b", "c"], last, TWO)
    run(project)
    assert min(drawn) == 6
    assert len(krea.posts) == 8


@pytest.mark.parametrize("first", ["final: {prompt: a lamp, needs: proof}", "proof: {prompt: a lamp}"])
def test_a_request_that_two_stages_share_does_not_wait_for_itself(project, krea, first):
    second = {"f": "proof: {prompt: a lamp}", "p": "final: {prompt: a lamp, needs: proof}"}[first[0]]
    project.write("p.yaml", f"{HEAD}  {first}\n  {second}\n")
    assert run(project).json["cells"]["succeeded"] == 2
    assert krea.billed_prompts() == ["a lamp"]


def test_requests_shared_along_a_line_of_needs_do_not_wait_in_a_circle(project, krea):
    stages = "  x: {prompt: same, needs: y}\n  y: {prompt: other, needs: z}\n  z: {prompt: same}\n"
    project.write("p.yaml", HEAD + stages)
    run(project)
    assert [prompt(post) for post in krea.posts] == ["same", "other"]


@pytest.mark.parametrize("fault", ["local:fail-nsfw", "refused"])
def test_what_needs_a_failed_image_is_pending_with_the_reason_and_costs_nothing(project, krea, fault):
    krea.answer("POST", GENERATE, 422, {"error": "no"}, text='"refused"')
    chain(project, [fault, "b"], TWO, THREE)
    done = run(project, code=1)
    rows = done.report["cells"]
    failed, *chained = [row for row in rows if row["axes"]["w"] == fault]
    assert failed["status"] == "failed"
    assert [row["status"] for row in chained] == ["pending", "pending"]
    for row, above in zip(chained, (failed, chained[0]), strict=True):
        assert row["error"]["message"] == f"it needs {above['id']}, which has no image"
    assert krea.billed_prompts() == ["b", "b two", "b two three"]


def test_an_image_is_uploaded_once_for_all_requests_that_need_it(project, krea):
    many = TWO + "    matrix: {creativity: [raw, low, medium, high]}\n"
    chain(project, ["a", "b"], many, THREE.replace("for_each: two", "for_each: one"))
    run(project, "--submit-parallel", "4")
    assert len(krea.posts) == 2 + 8 + 2
    assert sorted(asset.data for asset in krea.world.assets) == sorted([drawing("a"), drawing("b")])
    chain(project, ["a", "b"], many.replace("0.5", "0.6"))
    run(project)
    assert len(krea.calls("POST", "/assets")) == 2, "what was uploaded is remembered by its bytes"


def test_cells_above_that_share_a_request_share_the_chained_one(project, krea):
    one = '  one:\n    prompt: a\n    matrix: {note: [x, y]}\n    out: "{{ note }}"\n'
    project.write("p.yaml", HEAD + one + TWO.replace("}} two", "}} two", 1))
    done = run(project)
    assert statuses(done) == dict.fromkeys(["one/x", "one/y", "two/x", "two/y"], "succeeded")
    assert krea.billed_prompts() == ["a", "a two"]


def test_a_plan_is_offline_and_its_keys_are_the_same_before_and_after_the_image_is_there(project, krea):
    chain(project, ["a", "b"], TWO, THREE)
    before = keys(project)
    assert krea.seen == []
    run(project, "-k", "stage:one")
    calls = len(krea.seen)
    assert keys(project) == before
    assert project.plan("-k", "stage:two")["a"] == ("new", "new")
    run(project)
    seen = len(krea.seen)
    assert (keys(project), len(krea.seen)) == (before, seen)
    assert seen > calls


def test_another_prompt_above_gives_what_hangs_on_it_another_key_and_nothing_else(project, krea):
    chain(project, ["a", "b"], TWO.replace("{{ source.prompt }} two", "two"), THREE)
    before = keys(project)
    text = (project.path / "p.yaml").read_text(encoding="utf-8")
    project.write("p.yaml", text.replace('"{{ w }}"', "\"{{ w }}{% if w == 'b' %}!{% endif %}\""))
    after = keys(project)
    assert {cell for cell in before if before[cell] != after[cell]} == {"one/b", "two/b", "three/b"}


def test_stored_images_feed_chained_requests_of_later_runs(project, krea):
    chain(project, ["a", "b"])
    run(project, "-k", "stage:one")
    assert krea.billed_prompts() == ["a", "b"]
    done = run(project)
    assert statuses(done) == {"one/a": "reused", "one/b": "reused", "two/a": "succeeded", "two/b": "succeeded"}
    assert sent_images(krea, post_of(krea, "b two")) == [(drawing("b"), 0.5)]
    assert krea.billed_prompts() == ["a", "a two", "b", "b two"]


def blob_of(project, word):
    return next(path for path in project.blobs() if path.read_bytes() == drawing(word))


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"broken")])
def test_a_stored_image_that_is_gone_is_read_again_for_what_needs_it(project, krea, harm):
    chain(project, ["a", "b"])
    run(project, "-k", "stage:one")
    harm(blob_of(project, "a"))
    assert project.plan("-k", "stage:one")["a"][0] == "fetch"
    run(project)
    assert krea.billed_prompts() == ["a", "a two", "b", "b two"]
    assert {action for action, _ in project.plan().values()} == {"reuse"}


@pytest.mark.parametrize("harm", [lambda path: path.unlink(), lambda path: path.write_bytes(b"broken")])
def test_an_image_that_is_harmed_while_the_run_goes_on_fails_what_needs_it_and_no_more(project, krea, harm):
    async def act(scope, seen, send, app):
        await asyncio.to_thread(until, project.image("a", "out/p/one").exists)
        harm(blob_of(project, "a"))
        await send_answer(send, *await ask(app, scope, seen))

    krea.rule("POST", GENERATE, act, text='"b"')
    chain(project, ["a", "b"])
    done = run(project, "--concurrency", "1", code=1)
    assert statuses(done) == {"one/a": "succeeded", "one/b": "succeeded", "two/a": "failed", "two/b": "succeeded"}
    message = "the stored image of one/a.png is missing or damaged; rerun to fetch it again"
    assert message in done.err
    krea.rules.pop()
    run(project)
    assert krea.billed_prompts() == ["a", "a two", "b", "b two"]


def test_a_chain_is_drawn_by_the_local_krea(project, krea):
    chain(project, ["a", "b"], TWO, THREE)
    done = project.run("run", "p.yaml", "--local", "--json")
    assert (done.code, done.counts) == (0, (6, 0, 0))
    assert project.image("a", "proofs/p/three").exists()
    again = project.run("run", "p.yaml", "--local", "--json")
    assert (again.code, again.counts) == (0, (0, 0, 6))
    assert krea.seen == []


def test_what_needs_a_stage_that_waits_for_picks_is_not_drawn(project, krea):
    picked = '  big:\n    for_each: one\n    picks: picks/one.yaml\n    prompt: "{{ source.prompt }} big"\n'
    chain(project, ["a"], picked, "  last: {prompt: last, needs: big}\n")
    assert statuses(run(project, code=6)) == {"one/a": "succeeded"}
    assert krea.billed_prompts() == ["a"]
    project.write("picks/one.yaml", "stage: one\npicks: [one/a]\n")
    run(project)
    assert krea.billed_prompts() == ["a", "a big", "last"]


def test_a_promoted_chained_cell_is_fed_the_same_image(project, krea):
    promoted = "  large:\n    for_each: two\n    promote: {variant: large}\n"
    chain(project, ["a"], TWO, promoted)
    run(project)
    small, large = [post for post in krea.posts if prompt(post) == "a two"]
    assert small.json == large.json
    assert (small.path != large.path, sent_images(krea, large)) == (True, [(drawing("a"), 0.5)])
    assert krea.billed_prompts() == ["a", "a two", "a two"]
