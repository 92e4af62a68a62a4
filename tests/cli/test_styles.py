"""Styles are listed and trained; a training is agreed on, written down before it is sent, and never paid twice."""

import json
import os
import signal
from urllib.parse import parse_qs

import pytest
from krea_server import GENERATE, Seen, ask, picture, send_answer, until
from money import (
    alive,
    break_off,
    change_list,
    draw,
    end_empty_during_the_upload,
    inhabit,
    kill,
    refuse_lists_when,
    send_json,
)

from krea_pipe.core.settings import origin_of

TRAIN = "/styles/train"
COMMAND = ("styles", "train", "p.yaml", "house", "--name", "house", "--max-cost", "2")
FILE = """version: 1
name: p
budget: {usd: 5}
references:
  house: {images: "refs/*.png"}     # what it learns from
prompt: a lamp
"""


@pytest.fixture
def studio(project, krea):
    """A project with a set of five images, and an account that has a job."""
    inhabit(krea)
    for number in range(5):
        project.write(f"refs/{number}.png", picture(seed=f"house {number}", size=(600, 520)))
    project.write("p.yaml", FILE)
    return project


def trainings(krea):
    """The trainings that Krea has taken."""
    return [job for job in krea.world.jobs if job.brief.order.prompt.startswith("house")]


def posts(krea):
    return krea.calls("POST", TRAIN)


def own_styles(krea, project):
    return [one["id"] for one in project.run("styles", "list", "--json").json["styles"]]


def events(project):
    return [line["event"] for line in project.journal() if line["event"] != "listed"]


def start(project, *words):
    """Start a training in a process of its own, and wait until Krea has its job."""
    process = project.start(*(words or COMMAND))
    until(lambda: project.events("submitted") or process.poll() is not None)
    return process


def start_and_kill(project, *words):
    kill(start(project, *words))


async def order(krea, scope, prompt):
    """Let another client of the account draw an image."""
    body = json.dumps({"prompt": prompt, "aspect_ratio": "1:1", "resolution": "1K"}).encode()
    path = f"{GENERATE}image/krea/krea-2/medium"
    await ask(krea.app, {**scope, "path": path, "raw_path": path.encode()}, Seen("POST", path, {}, body))


def lose(krea, *, acts=True, strangers=0, times=1):
    """Lose the answer to a training; `strangers` are images that others of the account have drawn at that time."""

    async def act(scope, seen, send, app):
        for number in range(strangers):
            await order(krea, scope, f"a stranger's {number}")
        if acts:
            await ask(app, scope, seen)
        await break_off(send)

    krea.rule("POST", TRAIN, act, times=times)


# --- listing


def test_the_styles_of_the_key_are_listed(studio, krea):
    assert "No styles" in studio.run("styles", "list").out
    style = studio.run(*COMMAND, "--json").json["style_id"]
    listed = studio.run("styles", "list", "--json").json
    assert (listed["schema"], listed["filter"], listed["more"]) == ("krea-pipe/styles@1", "user", False)
    [row] = listed["styles"]
    assert (row["id"], row["title"], row["models"]) == (style, "house", ["k2"])
    table = studio.run("styles", "list", "--filter", "all").out
    assert all(word in table for word in (style, "house", "st_riso", "Riso print"))
    assert {one.headers["authorization"] for one in krea.calls("GET", "/styles")} == {"Bearer krea-test-secret-4711"}


def test_a_long_list_is_cut_and_says_so(project):
    done = project.run("styles", "list", "--filter", "krea", "--limit", "2", "--json")
    assert (len(done.json["styles"]), done.json["more"]) == (2, True)
    done = project.run("styles", "list", "--filter", "krea", "--limit", "2")
    assert "more" in done.err
    assert project.run("styles", "list", "--filter", "mine").code == 2


def pages(krea, *answers):
    """Answer with pages, each under the cursor of its number; the last may lead anywhere."""

    async def act(scope, seen, send, app):
        cursor = parse_qs(scope["query_string"].decode()).get("cursor", ["0"])[0]
        items, following = answers[int(cursor)]
        await send_json(send, {"items": items, "next_cursor": following})

    krea.rule("GET", "/styles", act)


def test_all_pages_are_read_and_what_is_no_style_is_left_out(project, krea):
    pages(krea, ([{"id": "a"}, {"title": "no id"}], "1"), ([{"id": "b", "owner": {"name": "Ann\n"}}], "2"), ([], None))
    listed = project.run("styles", "list", "--json").json
    assert [(one["id"], one["owner"]) for one in listed["styles"]] == [("a", ""), ("b", "Ann")]
    assert listed["more"] is False


def test_a_list_that_leads_round_in_a_circle_ends(project, krea):
    pages(krea, ([{"id": "a"}], "1"), ([{"id": "b"}], "1"))
    assert project.run("styles", "list", "--json").code == 0
    assert len(krea.calls("GET", "/styles")) < 5


def test_listing_needs_a_good_key_and_a_krea_that_answers(project, krea):
    assert project.run("styles", "list", env={"KREA_API_KEY": None}).code == 4
    krea.answer("GET", "/styles", 401, {"message": "Unauthorized"}, times=1)
    assert project.run("styles", "list").code == 4
    krea.answer("GET", "/styles", 200, {"items": "none"}, times=1)
    done = project.run("styles", "list", "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "krea_unreadable")
    krea.answer("GET", "/styles", 500, times=1)
    assert project.run("styles", "list").code == 1


def test_without_a_command_the_help_is_shown(project):
    done = project.run("styles")
    assert (done.code, "train" in done.out, "list" in done.out) == (0, True, True)
    help_text = " ".join(project.run("styles", "train", "--help").out.split())
    assert "Krea's documentation does not state the cost of a training" in help_text


# --- training


def test_a_training_sends_what_was_asked_for_and_prints_the_style(studio, krea):
    done = studio.run(*COMMAND, "--model", "k2-large", "--type", "Object", "--trigger", "sks", "--steps", "900")
    assert done.code == 0, done.text
    [post] = posts(krea)
    urls = post.json["urls"]
    assert {**post.json, "urls": []} == {
        "model": "k2-large",
        "type": "Object",
        "name": "house",
        "urls": [],
        "trigger_word": "sks",
        "max_train_steps": 900,
    }
    assert len(set(urls)) == 5
    assert {url.rpartition("/")[2] for url in urls} == {asset.file_name for asset in krea.world.assets}
    [style] = own_styles(krea, studio)
    assert f"styles:\n  house: {{id: {style}}}\n" in done.out
    assert "processing" in done.err or "completed" in done.err


def test_the_printed_lines_make_a_file_that_draws_with_the_style(studio, krea):
    lines = studio.run(*COMMAND, "--json").json["yaml"]
    stage = "stages: {one: {prompt: a lamp, styles: [house]}}"
    studio.write("q.yaml", f"version: 1\nname: q\nbudget: {{usd: 1}}\n{lines}{stage}\n")
    done = studio.run("run", "q.yaml")
    assert done.code == 0, done.text
    assert [one["id"] for one in krea.posts[0].json["styles"]] == own_styles(krea, studio)


def test_an_odd_style_id_is_printed_as_yaml_text(studio, krea):
    async def act(scope, seen, send, app):
        _, _, body = await ask(app, scope, seen)
        data = json.loads(body)
        if data["result"]:
            data["result"]["style_id"] = "123e4"
        await send_json(send, data)

    krea.rule("GET", "/jobs/", act)
    assert '  house: {id: "123e4"}' in studio.run(*COMMAND).out


def test_each_step_is_written_down_before_it_is_taken(studio, krea):
    seen_at_post, seen_at_poll = [], []

    async def post(scope, seen, send, app):
        seen_at_post.append(events(studio))
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, headers, body)

    async def poll(scope, seen, send, app):
        seen_at_poll.append(events(studio))
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, headers, body)

    krea.rule("POST", TRAIN, post)
    krea.rule("GET", "/jobs/", poll)
    done = studio.run(*COMMAND, "--json")
    assert seen_at_post == [["submitting"]]
    assert seen_at_poll[0] == ["submitting", "submitted"]
    assert events(studio) == ["submitting", "submitted", "done"]
    submitting, submitted, end = lines = [line for line in studio.journal() if line["event"] != "listed"]
    assert {line["key"] for line in lines} == {done.json["key"]}
    assert (submitting["cell"], submitting["usd"], submitting["origin"]) == (
        "p/styles/house",
        "2.00",
        origin_of(krea.base),
    )
    assert end["job_id"] == submitted["job_id"] == trainings(krea)[0].id
    assert end["result"]["style_id"] == done.json["style_id"]


# --- the price


def test_without_a_stated_cost_nothing_is_sent(studio, krea):
    done = studio.run(*COMMAND[:-2], "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "unknown_price")
    assert "--max-cost" in done.json["error"]["hint"]
    assert "publishes no price" in studio.run(*COMMAND[:-2]).err
    assert krea.seen == []


@pytest.mark.parametrize("cost", ["0", "5.01"])
def test_a_cost_above_the_budget_or_of_nothing_is_refused(studio, krea, cost):
    done = studio.run(*COMMAND[:-1], cost, "--json")
    assert (done.code, done.json["error"]["code"]) == (5, "over_budget")
    assert krea.seen == []


def test_the_stated_cost_is_said_first_and_counted(studio, krea):
    krea.answer("POST", "/assets", 400, {"error": "no"})
    done = studio.run(*COMMAND)
    assert done.code == 1
    assert "price is unknown" in done.err.splitlines()[0]
    assert "$2.00" in done.err.splitlines()[0]
    assert posts(krea) == []


# --- refused before anything is uploaded


def make_refused(project, what):
    match what:
        case "few_images":
            (project.path / "refs/4.png").unlink()
        case "copies":
            (project.path / "refs/4.png").write_bytes((project.path / "refs/3.png").read_bytes())
        case "reference_not_image":
            project.write("refs/4.png", b"MZ this is a program")
        case "reference_damaged":
            project.write("refs/4.png", picture()[:20])
        case "reference_too_large":
            os.truncate(project.write("refs/4.png", picture()), 75 * 1024 * 1024 + 1)
        case "reference_outside":
            project.write("p.yaml", FILE.replace("refs/*.png", "../*.png"))


@pytest.mark.parametrize(
    "what",
    ["few_images", "copies", "reference_not_image", "reference_damaged", "reference_too_large", "reference_outside"],
)
def test_images_that_can_not_be_learnt_from_are_refused_before_anything_is_sent(studio, krea, what):
    make_refused(studio, what)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "few_images" if what == "copies" else what), done.text
    assert (krea.seen, studio.journal()) == ([], [])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("p.yaml", "hose", "--name", "house"), "unknown_name"),
        (("p.yaml", "house", "--name", "my house"), "bad_name"),
        (("p.yaml", "house", "--name", "no"), "bad_name"),
        (("p.yaml", "house"), "usage"),
        (("p.yaml", "house", "--name", "house", "--steps", "2001"), "usage"),
        (("p.yaml", "house", "--name", "house", "--model", "flux_dev"), "usage"),
        (("p.yaml", "house", "--name", "house", "--type", "Default"), "usage"),
        (("q.yaml", "house", "--name", "house"), "file_missing"),
    ],
)
def test_what_can_not_be_followed_is_refused(studio, krea, words, code):
    done = studio.run("styles", "train", *words, "--max-cost", "2", "--json")
    assert (done.code, krea.seen) == (2, [])
    assert done.json["error"]["code"] == code or words[0] == "q.yaml"


def test_a_name_that_is_taken_is_refused_before_it_is_written(studio, krea):
    studio.write("p.yaml", FILE + "styles:\n  house: {id: st_old}\n")
    done = studio.run(*COMMAND, "--write", "--json")
    assert (done.code, done.json["error"]["code"], krea.seen) == (2, "name_taken", [])


def test_a_file_that_can_not_be_edited_is_refused_before_anything_is_paid(studio, krea):
    studio.write("p.yaml", FILE + "styles: [{id: st_old}]\n")
    done = studio.run(*COMMAND, "--write", "--json")
    assert (done.code, done.json["error"]["code"], krea.seen) == (2, "unsafe_edit", [])
    assert studio.run(*COMMAND).code == 0


def test_a_set_and_a_budget_may_come_from_a_profile(studio, krea):
    studio.write("p.yaml", FILE + "profiles:\n  cheap: {budget: {usd: 1}}\n")
    assert studio.run(*COMMAND, "--profile", "cheap").code == 5
    assert krea.seen == []
    assert studio.run(*COMMAND).code == 0


# --- never paid twice


def test_the_same_training_is_paid_once_however_its_files_are_called(studio, krea):
    first = studio.run(*COMMAND, "--json").json
    studio.write("p.yaml", FILE.replace("refs/*.png", "pictures/*.png").replace("house:", "home:"))
    (studio.path / "refs").rename(studio.path / "pictures")
    (studio.path / "pictures/0.png").rename(studio.path / "pictures/9.png")
    again = studio.run("styles", "train", "p.yaml", "home", "--name", "house", "--json")  # no cost is needed any more
    assert (again.code, again.json["style_id"], again.json["key"]) == (0, first["style_id"], first["key"])
    assert (first["trained"], again.json["trained"], again.json["counted_usd"]) == (True, False, "2.00")
    assert len(posts(krea)) == 1


@pytest.mark.parametrize(
    "change", [("--trigger", "sks"), ("--steps", "5"), ("--type", "Object"), ("--model", "k2-large"), "image", "name"]
)
def test_another_training_has_another_key_and_uploads_nothing_twice(studio, krea, change):
    first = studio.run(*COMMAND, "--json").json
    words = change if isinstance(change, tuple) else ("--name", "hut") if change == "name" else ()
    if change == "image":
        studio.write("refs/5.png", picture(seed="house 5", size=(600, 520)))
    second = studio.run(*COMMAND, *words, "--json").json
    assert second["key"] != first["key"]
    assert len(posts(krea)) == 2
    assert len(krea.calls("POST", "/assets")) == (6 if change == "image" else 5)


def test_again_trains_once_more(studio, krea):
    first = studio.run(*COMMAND, "--json").json
    second = studio.run(*COMMAND, "--again", "--json").json
    assert (len(posts(krea)), second["trained"]) == (2, True)
    assert first["style_id"] != second["style_id"]
    assert studio.run(*COMMAND, "--json").json["style_id"] == second["style_id"]


def test_a_killed_training_is_listed_and_waited_for_by_the_same_command(studio, krea):
    krea.reset(latency=1e6)
    start_and_kill(studio)
    [listed] = studio.run("status", "--json").json["in_flight"]
    assert (listed["state"], listed["cell"], listed["usd"]) == ("in flight", "p/styles/house", "2.00")
    assert "p/styles/house" in studio.run("status").out
    krea.finish_jobs()
    done = studio.run(*COMMAND[:-2], "--json")
    assert (done.code, done.json["job_id"], done.json["counted_usd"]) == (0, listed["job_id"], "2.00"), done.text
    assert len(posts(krea)) == 1
    assert studio.run("status", "--json").json["in_flight"] == []


def test_two_commands_at_once_share_one_training(studio, krea):
    krea.reset(latency=1e6)
    first = start(studio)
    second = studio.start(*COMMAND, "--json")
    waiting = iter(second.stderr.readline, b"")
    assert any(b"is already training it" in line for line in waiting)
    krea.finish_jobs()
    done, shared = studio.finish(first), studio.finish(second)
    assert (done.code, shared.code) == (0, 0), done.text + shared.text
    assert shared.json["style_id"] in done.out
    assert len(posts(krea)) == 1
    assert events(studio).count("done") == 1


def test_a_style_that_another_command_finishes_during_the_upload_is_taken(studio, krea):
    key = studio.run(*COMMAND, "--local", "--json").json["key"]
    result = {"style_id": "st_theirs", "job_id": "j", "origin": krea.base, "account": "a", "cost_usd": "1.00"}
    facts = {
        "key": key,
        "run": "theirs",
        "job_id": "j",
        "origin": krea.base,
        "account": "a",
        "usd": "1.00",
        "cell": "c",
    }
    lines = [{"event": "submitted", **facts}, {"event": "done", "result": result, **facts}]

    async def act(scope, seen, send, app):
        with (studio.space / "journal.jsonl").open("a") as journal:
            journal.writelines(json.dumps(line) + "\n" for line in lines)
        status, headers, body = await ask(app, scope, seen)
        await send_answer(send, status, headers, body)

    krea.rule("POST", "/assets", act, times=1)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["style_id"], done.json["trained"]) == (0, "st_theirs", False), done.text
    assert posts(krea) == []
    assert studio.run("status", "--json").json["in_flight"] == []


def test_a_training_that_another_command_has_for_nothing_during_the_upload_is_not_paid_again(studio, krea):
    end_empty_during_the_upload(krea, studio, studio.run(*COMMAND, "--local", "--json").json["key"])
    done = studio.run(*COMMAND, "--json")
    assert (done.code, posts(krea)) == (1, []), done.text
    assert studio.run(*COMMAND, "--again").code == 0


def test_one_that_is_to_be_trained_again_is_so_whatever_another_command_has_met(studio, krea):
    end_empty_during_the_upload(krea, studio, studio.run(*COMMAND, "--local", "--json").json["key"])
    assert studio.run(*COMMAND, "--again").code == 0
    assert len(posts(krea)) == 1


def test_a_second_command_waits_for_the_answer_of_the_first(studio, krea):
    krea.hang("POST", TRAIN, times=1)
    first = studio.start(*COMMAND)
    until(lambda: posts(krea))
    second = studio.start(*COMMAND, "--json")
    until(lambda: sum(name.endswith("-journal") is False for name in alive(studio)) == 2)
    krea.rules.clear()  # which answers with 500, so that the job has to be found
    assert studio.finish(first).code == 0
    assert studio.finish(second).code == 0
    assert (len(posts(krea)), len(trainings(krea))) == (1, 1)


def test_an_interrupt_ends_the_waiting_and_says_how_to_go_on(studio, krea):
    krea.reset(latency=1e6)
    process = start(studio, *COMMAND, "--json")
    until(lambda: krea.calls("GET", "/jobs/"))
    process.send_signal(signal.SIGINT)
    done = studio.finish(process)
    assert (done.code, done.json["error"]["code"]) == (130, "interrupted")
    assert "rerun the command" in done.json["error"]["hint"]
    assert trainings(krea)[0].id in done.json["error"]["message"]
    krea.finish_jobs()
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 1


def test_an_interrupt_during_the_post_waits_for_its_answer(studio, krea):
    krea.reset(latency=1e6)

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        studio.started[0].send_signal(signal.SIGINT)
        await send_answer(send, status, headers, body)

    krea.rule("POST", TRAIN, act)
    done = studio.spawn(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (130, "interrupted")
    assert [line["job_id"] for line in studio.events("submitted")] == [trainings(krea)[0].id]


def test_a_training_that_takes_long_goes_on_without_us(studio, krea):
    krea.reset(latency=1e6)
    done = studio.run(*COMMAND, "--wait", "0", "--json")
    assert (done.code, done.json["error"]["code"]) == (3, "still_training")
    krea.finish_jobs()
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 1


def test_a_training_in_flight_can_be_cancelled(studio, krea):
    krea.reset(latency=1e6)
    studio.run(*COMMAND, "--wait", "0")
    done = studio.run("cancel", "p/styles/house", "--json")
    assert [one["end"] for one in done.json["jobs"]] == ["cancelled"]
    krea.finish_jobs()
    assert studio.run(*COMMAND).code == 0
    assert [job.cancelled_at is None for job in trainings(krea)] == [False, True]


# --- lost answers


@pytest.mark.parametrize("acts", [True, False])
def test_a_lost_answer_is_looked_up_and_sent_again_only_if_krea_has_no_job(studio, krea, acts):
    lose(krea, acts=acts)
    done = studio.run(*COMMAND, "--json")
    assert done.code == 0, done.text
    assert len(trainings(krea)) == 1
    assert len(posts(krea)) == (1 if acts else 2)
    assert done.json["job_id"] == trainings(krea)[0].id
    looked_up = ["unanswered", "adopted"] if acts else ["unanswered", "cleared", "submitting", "submitted"]
    assert events(studio) == ["submitting", *looked_up, "done"]


@pytest.mark.parametrize("acts", [True, False])
def test_a_command_that_dies_during_the_post_leaves_no_doubt(studio, krea, acts):
    async def act(scope, seen, send, app):
        if acts:
            await ask(app, scope, seen)
        kill(studio.started[0])
        await break_off(send)

    krea.rule("POST", TRAIN, act, times=1)
    studio.start(*COMMAND).communicate()
    [listed] = studio.run("status", "--json").json["in_flight"]
    assert (listed["state"], listed["cell"]) == ("answer lost", "p/styles/house")
    done = studio.run(*COMMAND)
    assert done.code == 0, done.text
    assert len(trainings(krea)) == 1
    assert len(posts(krea)) == (1 if acts else 2)


def test_what_can_not_be_told_is_held_until_the_user_decides(studio, krea):
    lose(krea, strangers=2)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "answer_lost")
    assert "krea-pipe styles list" in done.json["error"]["message"]
    assert trainings(krea)[0].id in done.json["error"]["message"]
    assert studio.run(*COMMAND).code == 1
    assert len(posts(krea)) == 1
    assert [one["state"] for one in studio.run("status", "--json").json["in_flight"]] == ["answer lost"]
    assert studio.run(*COMMAND[:-2], "--again").code == 2  # it would be paid again, so its cost has to be stated
    assert studio.run(*COMMAND, "--again").code == 0
    assert len(posts(krea)) == 2
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 2


def test_a_job_that_draws_an_image_is_not_taken_for_a_training(studio, krea):
    lose(krea, acts=False, strangers=1)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "answer_lost")
    assert "generated an image" in done.json["error"]["message"]
    assert "disowned" in events(studio)
    assert studio.run(*COMMAND).code == 1
    assert len(posts(krea)) == 1


def test_answers_that_are_always_lost_end_the_command(studio, krea):
    lose(krea, acts=False, times=None)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "no_answer")
    assert len(posts(krea)) == 5
    krea.rules.clear()
    assert studio.run(*COMMAND).code == 0
    assert len(trainings(krea)) == 1


def test_a_list_that_can_not_be_read_leaves_the_question_open(studio, krea):
    lose(krea)
    krea.answer("GET", "/jobs", 500)
    assert studio.run(*COMMAND).code == 1
    krea.rules.clear()
    again = studio.run(*COMMAND)
    assert again.code == 0, again.text
    assert len(posts(krea)) == 1


# --- what Krea refuses, and how trainings fail


@pytest.mark.parametrize("status", [401, 402, 403])
def test_an_account_that_is_refused_ends_it(studio, krea, status):
    krea.answer("POST", TRAIN, status, {"message": "not you"})
    refuse_lists_when(krea, lambda: status == 403 and posts(krea), status)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, len(posts(krea))) == (4, 1)
    assert events(studio) == ["submitting", "declined"]


@pytest.mark.parametrize(("status", "code", "exit_code"), [(422, "rejected", 1), (402, "no_credit", 4)])
def test_a_refusal_in_the_form_of_a_gateway_is_believed_when_there_is_no_job(studio, krea, status, code, exit_code):
    krea.answer("POST", TRAIN, status, b"<html>no</html>")
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"], len(posts(krea))) == (exit_code, code, 1)
    assert events(studio) == ["submitting", "unanswered", "cleared"]


def test_a_bad_key_is_noticed_before_anything_is_uploaded(studio, krea):
    krea.reset(token="another")
    assert studio.run(*COMMAND).code == 4
    assert krea.calls("POST", "/assets") == []
    assert studio.run(*COMMAND, env={"KREA_API_KEY": None}).code == 4


def test_a_full_account_is_asked_again_and_a_refused_request_is_not(studio, krea):
    krea.answer("POST", TRAIN, 429, {"error": "Maximum number of concurrent jobs reached"}, times=2)
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 3
    krea.answer("POST", TRAIN, 410, {"error": "model_unavailable", "message": "too old"})
    done = studio.run(*COMMAND, "--name", "hut", "--json")
    assert (done.code, "too old" in done.json["error"]["message"]) == (1, True)
    assert len(posts(krea)) == 4


def test_a_full_account_is_asked_again_however_short_the_wait_for_the_end(studio, krea):
    krea.answer("POST", TRAIN, 429, {"error": "Maximum number of concurrent jobs reached"}, times=2)
    done = studio.run(*COMMAND, "--wait", "0", "--json")
    assert (len(posts(krea)), len(trainings(krea))) == (3, 1), done.text
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 3


def test_images_that_krea_has_dropped_are_uploaded_anew(studio, krea):
    studio.run(*COMMAND)
    for asset in krea.world.assets:
        krea.world.remove_asset(asset)
    done = studio.run(*COMMAND, "--name", "hut")
    assert done.code == 0, done.text
    assert len(krea.calls("POST", "/assets")) == 10


@pytest.mark.parametrize(("trigger", "code"), [("local:fail-nsfw", "nsfw"), ("local:fail-empty", "empty")])
def test_a_failed_training_is_tried_again_and_one_that_may_be_billed_is_not(studio, krea, trigger, code):
    command = (*COMMAND, "--trigger", trigger)
    done = studio.run(*command, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, code)
    assert [line["code"] for line in studio.events("failed") + studio.events("unfetched")] == [code]
    assert studio.run(*command, "--json").json["error"]["code"] == code
    assert len(posts(krea)) == (2 if code == "nsfw" else 1)
    studio.run(*command, "--again")
    assert len(posts(krea)) == (3 if code == "nsfw" else 2)

    command = (*COMMAND, "--trigger", "local:fail-empty")
    assert studio.run(*command).code == 1
    krea.seen.clear()
    done = studio.run(*command)
    assert (done.code, {call.method for call in krea.seen}) == (1, {"GET"})
    assert ("--again" in done.err, "is what you allow" in done.err) == (True, False)


def test_a_training_that_is_answered_as_failed_keeps_its_reason(studio, krea):
    """Also when Krea tells it only once."""

    async def act(scope, seen, send, app):
        _, _, body = await ask(app, scope, seen)
        error = {"code": "content_policy", "message": "the words"}
        await send_json(send, {**json.loads(body), "status": "failed", "error": error})

    krea.rule("POST", "/styles/train", act)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"], len(posts(krea))) == (1, "content_policy", 1)
    assert "the words" in done.json["error"]["message"]


def test_a_failed_training_gives_no_style_even_if_it_names_one(studio, krea):
    async def act(scope, seen, send, app):
        _, _, body = await ask(app, scope, seen)
        await send_json(send, {**json.loads(body), "status": "failed", "result": {"style_id": "st_half"}})

    krea.rule("GET", "/jobs/", act)
    done = studio.run(*COMMAND, "--json")
    assert (done.code, done.json["error"]["code"]) == (1, "failed")
    assert studio.events("done") == []


def test_a_job_that_krea_does_not_show_is_given_up_only_on_request(studio, krea):
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"}, times=10)
    for _ in range(2):
        done = studio.run(*COMMAND, "--json")
        assert (done.code, done.json["error"]["code"]) == (1, "not_shown")
    assert len(posts(krea)) == 1
    assert studio.run(*COMMAND, "--again").code == 0
    assert len(posts(krea)) == 2


def test_reads_that_fail_now_and_then_do_not_end_the_waiting(studio, krea):
    krea.answer("GET", "/jobs/", 503, times=3)
    krea.answer("GET", "/jobs/", 404, {"error": "Job not found"}, times=3)
    assert studio.run(*COMMAND).code == 0
    assert len(posts(krea)) == 1


def test_another_key_is_given_the_style_only_if_it_sees_it(studio, krea):
    style = studio.run(*COMMAND, "--json").json["style_id"]
    other = {"KREA_API_KEY": "another-secret-1147"}
    assert studio.run(*COMMAND, "--json", env=other).json["style_id"] == style
    krea.answer("GET", "/styles/", 404, {"error": "Style not found"})
    done = studio.run(*COMMAND, "--json", env=other)
    assert (done.code, done.json["error"]["code"]) == (1, "style_hidden")
    assert len(posts(krea)) == 1
    assert studio.run(*COMMAND, "--again", env=other).code == 0
    assert len(posts(krea)) == 2


# --- with everything else


def test_other_commands_live_with_a_training_in_the_journal(studio, krea):
    krea.reset(latency=1e6)
    studio.run(*COMMAND, "--wait", "0")
    krea.finish_jobs()
    assert [action for action, _ in studio.plan().values()] == ["new"]
    assert studio.run("run", "p.yaml").code == 0
    assert studio.run("recover", "p.yaml", "--json").json["jobs"] == []
    assert studio.run(*COMMAND).code == 0
    assert (len(krea.posts), len(posts(krea))) == (1, 1)
    assert studio.run("run", "p.yaml", "--json").json["cells"]["reused"] == 1


def test_a_training_in_krea_s_list_is_no_stranger_to_a_run(studio, krea):
    krea.reset(latency=1e6)
    studio.run(*COMMAND, "--wait", "0")
    krea.finish_jobs()
    draw(krea)
    krea.lose("POST", GENERATE, times=1)
    done = studio.run("run", "p.yaml", "--json")
    assert (done.code, len(krea.posts)) == (0, 1), done.text


def test_a_list_that_shows_the_job_late_is_looked_at_again(studio, krea):
    lose(krea)
    looks = []

    def late(jobs):
        looks.extend(posts(krea))
        return jobs if len(looks) != 1 and len(looks) != 2 else []  # the first call comes before the request

    change_list(krea, late)
    assert studio.run(*COMMAND).code == 0
    assert (len(posts(krea)), len(trainings(krea))) == (1, 1)


def test_a_list_that_can_not_be_understood_is_not_believed(studio, krea):
    lose(krea)
    change_list(krea, lambda _: [{"status": "completed"}])
    assert studio.run(*COMMAND).code == 1
    assert len(posts(krea)) == 1


def test_the_local_krea_trains_for_nothing(studio, krea):
    done = studio.run(*COMMAND[:-2], "--local", "--json", env={"KREA_API_KEY": None})
    assert (done.code, done.json["target"], done.json["counted_usd"]) == (0, "local", "0.00")
    assert studio.run(*COMMAND[:-2], "--local", "--json").json["style_id"] == done.json["style_id"]
    assert studio.run("styles", "list", "--local", "--filter", "all", env={"KREA_API_KEY": None}).code == 0
    assert (krea.seen, studio.journal(), len(studio.journal("local"))) == ([], [], 3)


def test_the_style_is_written_into_the_file_beside_its_comments(studio, krea):
    done = studio.run(*COMMAND, "--write", "--json")
    assert (done.code, done.json["written"]) == (0, "p.yaml"), done.text
    text = (studio.path / "p.yaml").read_text()
    assert "# what it learns from" in text
    assert done.json["style_id"] in text
    assert studio.run("validate", "p.yaml").code == 0
    again = studio.run(*COMMAND, "--write", "--json")
    assert (again.code, again.json["written"]) == (0, None)
    assert (studio.path / "p.yaml").read_text() == text
    assert len(posts(krea)) == 1
