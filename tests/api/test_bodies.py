"""Bodies of answers: what an encoding may do to them, and odd JSON; each fails its own call and nothing else."""

import gzip
import json
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from krea_server import GENERATE, ask, picture, send_answer

from krea_pipe.api.body import SecretScan
from krea_pipe.api.client import MAX_ANSWER_BYTES
from krea_pipe.core.contract import SIZES

PNG = picture(seed="x", size=SIZES["1:1"])


def packed(layers, data):
    for _ in range(layers):
        data = gzip.compress(data)
    return data


def encode_answers(krea, method, place, encoding, pack, *, times=None):
    """Have the answers of a place come packed, under a `Content-Encoding`."""

    async def act(scope, seen, send, app):
        status, headers, body = await ask(app, scope, seen)
        data = pack(body)
        fields = {**headers, "content-encoding": encoding, "content-length": str(len(data))}
        await send_answer(send, status, fields, data)

    krea.rule(method, place, act, times=times)


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("X-GZip", gzip.compress),
        ("identity", bytes),
        ("identity,,gzip,", gzip.compress),
        ("", bytes),
    ],
)
def test_one_layer_of_gzip_is_taken_from_the_api(project, krea, encoding, pack):
    for method, place in (("POST", GENERATE), ("GET", "/jobs"), ("GET", "/jobs/")):
        encode_answers(krea, method, place, encoding, pack)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, len(krea.posts)) == (0, (1, 0, 0), 1)
    assert krea.posts[0].headers["accept-encoding"] == "gzip"


BAD = {
    "two layers": ("gzip, gzip", lambda data: packed(2, data), "content encoding that was not requested (2 layers)"),
    "eight layers": (", ".join(["gzip"] * 8), lambda data: packed(8, data), "(8 layers)"),
    "unknown": ("br", bytes, "content encoding that was not requested"),
    "deflate": ("deflate", zlib.compress, "content encoding that was not requested"),
    "too large": ("gzip", lambda _: packed(1, bytes(MAX_ANSWER_BYTES + 1)), "larger than 8,388,608 bytes"),
    "cut off": ("gzip", lambda data: gzip.compress(data)[:-9], "truncated"),
    "not gzip": ("gzip", bytes, "cannot be decompressed"),
    "goes on": ("gzip", lambda data: gzip.compress(data) + b"more", "more data after"),
    "goes on with gzip": ("gzip", lambda data: gzip.compress(data) * 2, "more data after"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_encoded_otherwise_fails_that_answer(project, krea, name):
    encoding, pack, said = BAD[name]
    project.pipeline(["a"])
    encode_answers(krea, "GET", "/styles", encoding, pack)
    done = project.run("styles", "list")
    assert done.code != 0
    assert said in " ".join(done.text.split())


def test_nothing_is_inflated_when_there_are_layers(project, krea):
    """The bytes of a layered body are not gzip at all: whoever began to inflate them would say so."""
    encode_answers(krea, "GET", "/styles", "gzip, gzip", bytes)
    done = project.run("styles", "list")
    assert "(2 layers)" in done.text
    assert "decompressed" not in done.text


def test_an_answer_to_a_post_that_can_not_be_read_may_have_made_a_job(project, krea):
    encode_answers(krea, "POST", GENERATE, "gzip, gzip", lambda data: packed(2, data), times=1)
    krea.real_images = True
    project.pipeline(["a"])
    project.run("run", "p.yaml", "--json")
    assert len(krea.posts) == 1, "it is looked for, and not sent again"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip"])
def test_an_error_that_is_compressed_once_is_read(project, krea, encoding):
    body = packed(1, json.dumps({"message": "out of cash"}).encode())
    krea.answer("POST", GENERATE, 402, body, headers={"content-encoding": encoding})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, "out of cash" in done.text) == (4, True)


@pytest.mark.parametrize("encoding", ["br", "gzip, gzip"])
def test_an_error_whose_body_can_not_be_read_is_told_by_its_status_and_proves_nothing(project, krea, encoding):
    body = packed(2, json.dumps({"message": "out of cash"}).encode())
    krea.answer("POST", GENERATE, 402, body, headers={"content-encoding": encoding})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.rows["a"]["status"], len(krea.posts)) == ("uncertain", 1)
    assert "402 Payment Required" in done.text
    assert "out of cash" not in done.text


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity, gzip"])
def test_an_image_is_compressed_in_itself_alone(project, krea, encoding):
    krea.image(packed(1, PNG), headers={"content-encoding": encoding})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["a"]["error"]
    assert (done.code, error["code"]) == (1, "image_unfetched")
    assert "content encoding that was not requested" in error["message"]
    assert krea.calls("GET", "/images/")[0].headers["accept-encoding"] == "identity"
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts, len(krea.posts)) == (0, (1, 0, 0), 1)


def test_an_image_may_say_that_it_is_not_encoded(project, krea):
    krea.image(PNG, headers={"content-encoding": "Identity"})
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0


ODD = {
    "deep": b"[" * 400_000,
    "deep and whole": b"[" * 950 + b"]" * 950,
    "large number": b'{"job_id": "j", "status": ' + b"9" * 5000 + b"}",
    "many jobs": b'{"items": [' + b"{}," * 200_000 + b"{}]}",
    "long id": json.dumps({"job_id": "j" * 10_000, "status": "queued", "items": [{"job_id": "j" * 10_000}]}).encode(),
    "surrogates": b'{"job_id": "\\ud800", "status": "\\udfff", "items": [{"job_id": "\\ud800"}]}',
    "nul": b'{"job_id": "a\\u0000b", "status": "queued", "items": [{"job_id": "\\u0000"}]}',
    "no text": b"\xff\xfe\xfd",
}


@pytest.mark.parametrize("name", ODD)
def test_odd_json_about_a_job_fails_that_answer(project, krea, name):
    project.pipeline(["a"])
    krea.answer("GET", "/jobs", 200, ODD[name])
    krea.answer("GET", "/jobs/", 200, ODD[name], times=1)
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, len(krea.posts)) == (0, (1, 0, 0), 1)


DEEP = [b"[" * depth + b"]" * depth for depth in range(880, 990, 10)]


@pytest.mark.parametrize("value", ['{"code": %s}', "%s", '{"code": "x", "message": %s}', '{"msg": %s}'])
def test_what_is_nested_as_deep_as_can_be_read_is_not_written_out(project, krea, value):
    """Somewhere below the limit of recursion a value can still be read, and not be turned into a text."""
    project.pipeline([str(number) for number in range(len(DEEP))])

    def changed(job):
        number = int(krea.world.job(job["job_id"]).brief.order.prompt)
        return {**job, "status": "failed", "error": f"<{number}>"}

    async def act(scope, seen, send, app):
        _, _, body = await ask(app, scope, seen)
        job = changed(json.loads(body))
        number = int(job["error"].strip("<>"))
        data = json.dumps(job).replace(json.dumps(job["error"]), value % DEEP[number].decode()).encode()
        await send_answer(send, 200, {"content-length": str(len(data))}, data)

    krea.single_reads()
    krea.rule("GET", "/jobs/", act, times=2 * len(DEEP))
    done = project.run("run", "p.yaml", "--json")
    assert sum(done.counts) == len(DEEP)


@pytest.mark.parametrize("cursor", ["\ud800", "c" * 5000, "a\0b"])
def test_a_cursor_that_can_not_be_sent_makes_the_list_unreadable_and_not_complete(project, krea, cursor):
    krea.answer("GET", "/styles", 200, {"items": [], "next_cursor": cursor})
    done = project.run("styles", "list")
    assert done.code != 0
    assert "could not be read" in done.text


def test_a_cookie_is_neither_kept_nor_read(project, krea):
    """The standard library prints a traceback about this one."""
    odd = {"set-cookie": "a=b; max-age=" + "9" * 4000}
    krea.answer("GET", "/jobs", 404, b"", headers=odd, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    assert not any("cookie" in one.headers for one in krea.seen)


@pytest.mark.parametrize("target", ["https://xn--a/", "https://a..b/", "http://h:99999/", "//[", "\xff"])
def test_a_redirect_of_the_api_to_nowhere_fails_that_call(project, krea, target):
    krea.answer("GET", "/jobs", 302, b"", headers={"location": target})
    krea.answer("GET", "/jobs/", 302, b"", headers={"location": target}, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0


@given(st.integers(0, 40), st.lists(st.integers(0, 60), max_size=12), st.booleans())
def test_a_secret_is_found_wherever_a_body_is_divided(place, cuts, is_there):
    secret = b"kr-abcab-cd"
    body = (b"abc" * 20)[:place] + (secret if is_there else secret[:-1]) + b"kr-abc" * 3
    ends = sorted({min(one, len(body)) for one in cuts} | {len(body)})
    scan = SecretScan(secret)
    found = [scan.finds(body[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    assert any(found) is is_there


def test_no_secret_is_found_nowhere():
    assert not SecretScan(b"").finds(b"anything")
