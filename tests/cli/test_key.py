"""The key goes to the API, and into no file and no stream, whatever an answer or a file does with it."""

import base64
import json

import pytest
from command_line import KEY
from krea_server import GENERATE, picture

from krea_pipe.core.image_file import with_text


def in_json(text):
    return "".join(f"\\u{ord(sign):04x}" for sign in text)


def in_percent(text):
    return "".join(f"%{ord(sign):02X}" for sign in text)


def in_html(text):
    return "".join(f"&#x{ord(sign):x};" for sign in text)


def in_base64(text):
    return base64.b64encode(f"Bearer {text}".encode()).decode()


def nothing_holds_the_key(project, done):
    """Neither plainly nor in a way of writing that a reader sees through."""
    forms = [KEY, in_percent(KEY), in_percent(KEY).lower(), in_html(KEY), in_base64(KEY), in_json(KEY)]
    forms += [json.dumps(in_json(KEY))[1:-1], in_percent(KEY).replace("%", "%25")]
    files = [path for path in project.path.rglob("*") if path.is_file()]
    assert len(files) > 5
    texts = {"out": done.out.encode(), "err": done.err.encode()} | {path.name: path.read_bytes() for path in files}
    assert [(name, form) for name, text in texts.items() for form in forms if form.encode() in text] == []


@pytest.mark.parametrize("write", [str, in_json, in_percent, in_html, in_base64])
def test_a_key_that_an_answer_echoes_is_written_nowhere(project, krea, write):
    """In a refusal, in HTML, in the reason of a job, its code, its status, and where an image is fetched from."""
    said = write(KEY)
    raw = f'{{"error": [{{"loc": ["{said}"], "msg": "Bearer {said}"}}], "replacement": "{said}"}}'.encode()
    page = f"<html><title>{said}</title>no</html>".encode()
    told = write(KEY) if write is not in_json else KEY
    krea.answer("POST", GENERATE, 422, raw, text="echo")
    krea.answer("POST", GENERATE, 410, page, text="page")
    changes = {
        "fail": {"status": "failed", "result": None, "error": {"code": told, "message": f"no {told} here", told: told}},
        "odd": {"status": told, "completed_at": "2026-01-01T00:00:00Z", "result": None},
        "port": {"result": {"urls": [f"https://a.example:{told}/x.png"]}},
    }
    krea.mutate_job(lambda job: {**job, **changes.get(krea.world.job(job["job_id"]).brief.order.prompt, {})})
    krea.image(f"sorry, {told}".encode(), status=403, text="gone")
    project.pipeline(["a", "echo", "page", "fail", "odd", "gone", "port"], more="budget: {usd: 5, images: 99}")
    done = project.run("run", "p.yaml", "--log-format", "json", "--events", "events.jsonl", sane=False)
    assert done.code == 1, done.text
    assert "***" in done.text
    nothing_holds_the_key(project, done)


def test_an_image_whose_address_holds_the_key_is_fetched_from_there_and_it_is_written_nowhere(project, krea):
    def signed(job):
        return (
            {**job, "result": {"urls": [f"{url}?token={KEY}" for url in job["result"]["urls"]]}}
            if job["result"]
            else job
        )

    krea.mutate_job(signed)
    project.pipeline(["a", "b"])
    done = project.run("run", "p.yaml", "--events", "events.jsonl")
    assert done.code == 0, done.text
    nothing_holds_the_key(project, done)


def test_an_image_that_holds_the_key_is_not_kept(project, krea):
    krea.image(with_text(picture(seed="a"), {"Comment": KEY}), text="a")
    project.pipeline(["a"])
    done = project.run("run", "p.yaml")
    assert done.code == 1
    assert "contains the API key" in done.text
    nothing_holds_the_key(project, done)


def test_an_upload_whose_address_holds_the_key_is_none(project, krea):
    krea.answer("POST", "/assets", 200, {"image_url": f"https://app-uploads.krea.ai/{KEY}.png"})
    project.write("ref.png", picture(seed="ref", size=(600, 600)))
    project.pipeline(["a"], more="budget: {usd: 5}\nimage: ref.png")
    done = project.run("run", "p.yaml", env={"KREA_PIPE_POLL_SECONDS": "0.01"})
    assert done.code == 1, done.text
    assert krea.posts == []
    nothing_holds_the_key(project, done)


@pytest.mark.parametrize(
    ("text", "words", "env"),
    [
        ("prompt: a {{ w }}\nmatrix: {w: {words: words.txt}}", [], {}),
        ("prompt: a {{ env.SEASON }}\nenv: {SEASON: x}", [], {"SEASON": f"in {KEY}"}),
        ("prompt: a lamp", ["--set", f"description=my {KEY}"], {}),
        ("prompt: a lamp", ["--set", f"prompt=my {KEY}"], {}),
        ("prompt: a lamp {{ x }}\nvars: {x: y}", ["--vars", "vars.yaml"], {}),
        (f'prompt: "{in_json(KEY)}"', [], {}),
        (f"prompt: a {in_percent(KEY)}", [], {}),
    ],
    ids=["words", "env", "set", "set-prompt", "vars", "escaped", "percent"],
)
def test_the_key_in_use_gets_into_no_request(project, krea, text, words, env):
    project.write("words.txt", f"lamp\n{KEY}\n")
    project.write("vars.yaml", f"x: {KEY}\n")
    project.write("p.yaml", f"version: 1\n{text}\nbudget: {{usd: 5}}\n")
    done = project.run("run", "p.yaml", "--json", *words, env=env)
    assert (done.code, done.json["error"]["code"]) == (2, "secret_in_file"), done.text
    assert krea.posts == []


def test_a_key_too_short_to_be_told_from_a_word_goes_to_no_real_api(project):
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json", env={"KREA_API_KEY": "lamp", "KREA_API_BASE": "https://krea.example"})
    assert (done.code, done.json["error"]["code"]) == (4, "bad_key")
