"""Images as servers send them: whole ones are kept as they are, others are fetched again and never lost."""

import errno
import hashlib
import os
from io import BytesIO

import pytest
from krea_server import noisy, picture, send_answer
from PIL import Image

from krea_pipe.core.contract import SIZES


def bilevel(size):
    """An image with one bit for each pixel, which is soon made however large it is."""
    buffer = BytesIO()
    Image.new("1", size).save(buffer, "PNG")
    return buffer.getvalue()


SIZE = SIZES["1:1"]
LARGE = noisy("PNG", SIZE)
"""3 MB, which arrive in many parts."""
PNG = picture(seed="x", size=SIZE)
SOUND = {form: noisy(form) for form in ("PNG", "JPEG", "WEBP")}
BAD = {
    "truncated png": SOUND["PNG"][:-900],
    "truncated jpeg": SOUND["JPEG"][:-900],
    "truncated webp": SOUND["WEBP"][:-900],
    "truncated avif": noisy("AVIF")[:-900],
    "corrupt png": SOUND["PNG"][:5000] + b"\0\0\0\0" + SOUND["PNG"][5004:],
    "html": b"<!doctype html><title>wait</title>",
    "empty": b"",
    "gif": b"GIF89a" + b"\0" * 500,
    "bomb": bilevel((20_000, 5_000)),
}


@pytest.mark.parametrize("name", ["truncated png", "html"])
def test_a_bad_image_is_fetched_again(project, krea, name):
    krea.image(BAD[name], times=2)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0, done.text
    assert len(krea.calls("GET", "/images/")) == 3
    assert [attempt["event"] for attempt in done.rows["a"]["attempts"]].count("download_failed") == 2


def test_an_image_that_never_comes_whole_stays_in_flight(project, krea):
    words = list(BAD)

    async def act(scope, seen, send, app):
        data = BAD[krea.job_of_image(seen.path).brief.order.prompt]
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    krea.rule("GET", "/images/", act)
    project.pipeline(words)
    done = project.run("run", "p.yaml", "--json", "--concurrency", "20")
    assert done.code == 1
    errors = {row["prompt"]: row["error"] for row in done.report["cells"]}
    assert {word: error["code"] for word, error in errors.items()} == dict.fromkeys(words, "image_unfetched")
    assert all("nothing is charged twice" in error["message"] for error in errors.values())
    assert "more than 89 megapixels" in errors["bomb"]["message"]
    assert list((project.path / "out").rglob("*.*")) == []
    assert {action for action, _ in project.plan().values()} == {"attach"}
    krea.rules.clear()
    again = project.run("run", "p.yaml", "--json")
    assert (again.code, again.counts) == (0, (len(words), 0, 0))
    assert (done.json["cost"]["spent_usd"], again.json["cost"]["spent_usd"]) == (f"{0.03 * len(words):.2f}", "0.00")
    assert len(krea.posts) == len(words)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"length": len(PNG) + 50}, "answer was lost"),
        ({"status": 404}, "404"),
        (
            {"status": 302, "headers": {"location": "http://krea.example/x.png"}},
            "neither https nor on this machine beside the API",
        ),
        ({"status": 302, "headers": {"location": "file:///etc/passwd"}}, "neither https nor on this machine beside"),
        ({"status": 302, "headers": {"location": "http://[::1"}}, ""),
        ({"status": 302, "headers": {"location": ""}}, "redirect"),
    ],
)
def test_an_image_that_can_not_be_had_is_said_and_kept(project, krea, fault, said):
    krea.image(PNG, **fault)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    error = done.rows["a"]["error"]
    assert (done.code, error["code"]) == (1, "image_unfetched")
    assert said in error["message"]
    assert project.plan()["a"][0] == "attach"


@pytest.mark.parametrize(
    "url", ["http://krea.example/a.png", "ftp://x/a.png", "http://[bad", "\x00", "nonsense", "//x/y"]
)
def test_an_address_that_is_none_is_said_and_kept(project, krea, url):
    krea.mutate_job(lambda job: {**job, "result": {"urls": [url]}})
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, done.rows["a"]["error"]["code"]) == (1, "image_unfetched")
    krea.rules.clear()
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


@pytest.mark.parametrize(("form", "suffix"), [("JPEG", "jpg"), ("WEBP", "webp"), ("AVIF", "avif")])
def test_the_bytes_decide_what_an_image_is(project, krea, form, suffix):
    data = picture(form, size=SIZE)
    krea.image(data)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert done.code == 0
    assert project.image("a", suffix=suffix).read_bytes() == data
    assert done.rows["a"]["image"] == f"out/p/a.{suffix}"
    assert project.run("run", "p.yaml", "--json").counts == (0, 0, 1)


def test_a_redirect_on_this_machine_is_followed_without_the_token(project, krea):
    krea.image(b"", status=302, headers={"location": f"{krea.base}/elsewhere/x.png"})
    krea.answer("GET", "/elsewhere/", 200, PNG)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    assert "authorization" not in krea.calls("GET", "/elsewhere/")[0].headers


def test_an_image_that_has_moved_is_looked_up_again(project, krea):
    def old(job):
        return {**job, "result": {"urls": [f"{krea.base}/gone/x.png"]}}

    krea.single_reads()
    krea.mutate_job(old, times=1)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    assert len(krea.posts) == 1


def stored(project):
    """Every file in the folder of stored images, by its name."""
    return {path.name: path.read_bytes() for path in (project.space / "blobs").rglob("*") if path.is_file()}


@pytest.mark.parametrize("cut", [0, 900, len(LARGE) - 600_000])
def test_a_large_image_is_stored_as_it_was_sent_and_nothing_of_a_damaged_one(project, krea, cut):
    krea.image(LARGE)
    krea.image(LARGE[: len(LARGE) - cut], times=1)
    project.pipeline(["a"])
    done = project.run("run", "p.yaml", "--json")
    assert (done.code, len(krea.calls("GET", "/images/"))) == (0, 2 if cut else 1)
    assert stored(project) == {hashlib.sha256(LARGE).hexdigest(): LARGE}


@pytest.mark.parametrize("copied", [0, 1_000_000])
def test_a_file_is_delivered_whole_where_the_kernel_copies_none_or_a_part_of_it(project, krea, monkeypatch, copied):
    def copy_file_range(source, target, count, offset):
        if offset >= copied:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return os.write(target, os.pread(source, min(count, copied - offset), offset))

    krea.image(LARGE)
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    expected = project.image("a").read_bytes()
    project.image("a").unlink()
    monkeypatch.setattr(os, "copy_file_range", copy_file_range, raising=False)
    assert project.run("run", "p.yaml").code == 0
    assert project.image("a").read_bytes() == expected
    assert expected.endswith(LARGE[33:])
