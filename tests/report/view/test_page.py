"""What `krea-pipe view` serves of a run that has ended, and to whom."""

import json

import httpx
import pytest
from krea_server import DEADLINE, picture
from served_view import View, run_folder, stop, viewed

from krea_pipe.core.image_file import sniff


@pytest.fixture(scope="module")
def ended(tmp_path_factory, served_krea):
    """A view of a run that has drawn `a` and `b`, for tests that change nothing."""
    from command_line import Project

    served_krea.reset()
    project = Project(tmp_path_factory.mktemp("ended"), served_krea)
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    with viewed(project) as view:
        yield project, view
    project.stop()


def test_the_first_line_is_the_address_alone(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml", "--local")
    process = project.start("view", "--no-open", anew=True)
    url = process.stdout.readline().decode()
    assert httpx.get(url.strip(), timeout=DEADLINE, trust_env=False).status_code == 200
    assert stop(process) == 0
    token = url.strip().split("/")[3]
    assert len(token) >= 43
    assert process.stdout.read() == b""
    assert token not in process.stderr.read().decode()


def test_the_page_is_made_for_the_server(ended):
    _, view = ended
    page = view.get()
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert view.run_id in page.text
    slot = page.text.split('<script type="application/json" id="page">')[1].split("</script>")[0]
    how = json.loads(slot)
    assert (how["form"], how["live"]) == ("view", False)
    assert how["decisions"]["p"]["file"] == "picks/p.yaml"


def test_the_report_is_the_one_that_was_written(ended):
    project, view = ended
    assert view.json("report.json") == json.loads((run_folder(project) / "report.json").read_bytes())


def test_images_are_served_by_digest(ended):
    project, view = ended
    digest = view.rows()["a"]["sha256"]
    small, whole = view.get(f"thumbnails/{digest}.webp"), view.get(f"originals/{digest}")
    assert (small.status_code, small.headers["content-type"], sniff(small.content)) == (200, "image/webp", "image/webp")
    assert (whole.status_code, whole.headers["content-type"]) == (200, "image/png")
    assert whole.content == (project.space / "blobs" / digest[:2] / digest).read_bytes()
    assert "immutable" in small.headers["cache-control"]
    assert "immutable" in whole.headers["cache-control"]


def test_every_answer_is_bound_to_the_page(ended):
    _, view = ended
    digest = view.rows()["a"]["sha256"]
    for path in ("", "report.json", "picks", f"originals/{digest}", "nothing"):
        headers = view.get(path).headers
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        policy = headers["content-security-policy"].split("; ")
        assert {"default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"} <= set(policy)
        assert "access-control-allow-origin" not in headers
    assert view.get().headers["cache-control"] == "no-store"
    assert view.get("report.json").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("change", [lambda _: "", lambda t: t[:-1], lambda t: t + "x", lambda t: "x" * len(t)])
def test_without_the_token_nothing_is_there(ended, change):
    _, view = ended
    token = change(view.token)
    nothing = (404, b"Not Found")
    for path in ("", "report.json", "picks", "events"):
        assert view.raw(f"/{token}/{path}".replace("//", "/")) == nothing
    assert view.raw("/favicon.ico") == view.raw(f"/{view.token}") == nothing


@pytest.mark.parametrize("host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "[::1]:{port}"])
def test_another_name_for_this_machine_is_refused(ended, host):
    _, view = ended
    host = host.format(port=view.port)
    status, body = view.raw(f"/{view.token}/", host=host)
    assert status == 403
    assert body.decode().endswith(f"start it with: krea-pipe view --allow-host {host}")


@pytest.mark.parametrize("host", ["a<b>" * 100, "two words"])
def test_a_host_that_cannot_be_shown_is_refused_without_it(ended, host):
    _, view = ended
    assert view.raw(f"/{view.token}/", host=host) in (
        (403, b"Forbidden: this request must name exactly one host"),
        (400, b"Invalid HTTP request received."),
    )


def test_a_view_behind_a_forwarded_port_answers_to_the_hosts_that_are_allowed(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml", "--local")
    with viewed(project, "--allow-host", "Box.example", "--allow-host", "localhost:9000") as view:
        for host, status in {
            "box.example": 200,
            "box.example:8443": 200,
            "localhost:9000": 200,
            "localhost:9001": 403,
            "evil.box.example": 403,
            "box.example.evil": 403,
            "box.example:8443:1": 403,
            f"127.0.0.1:{view.port}": 200,
        }.items():
            assert view.raw(f"/{view.token}/", host=host)[0] == status, host
        stars = {"base": None, "stars": {}}
        for origin, allowed in {
            "https://box.example": True,
            "http://localhost:9000": True,
            f"http://127.0.0.1:{view.port}": True,
            "https://evil.example": False,
            "http://localhost:9001": False,
            "null": False,
        }.items():
            assert (view.post("p", stars, Origin=origin).status_code != 403) is allowed, origin


@pytest.mark.parametrize("host", ["*", "*.example", "http://box.example", "box.example/", "", "a b"])
def test_what_is_no_host_cannot_be_allowed(project, host):
    done = project.run("view", "--allow-host", host)
    assert done.code == 2
    assert "is not a host: write NAME or NAME:PORT" in done.text.replace("\n", " ")


def test_localhost_is_a_name_for_this_machine(ended):
    _, view = ended
    assert view.raw(f"/{view.token}/", host=f"localhost:{view.port}")[0] == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"])
def test_other_methods_are_refused(ended, method):
    _, view = ended
    assert view.raw(f"/{view.token}/picks/p", method)[0] == 405


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e/etc/passwd",
        "originals/../report.json",
        "originals//etc/passwd",
        "originals/%2fetc%2fpasswd",
        "originals/..",
        "originals/{digest}/",
        "originals/%62{digest}",
        "thumbnails/../report.json",
        "thumbnails/..%2freport.json%00.webp",
        "thumbnails/{digest}",
        "thumbnails/{digest}.png",
        "report.html",
        "started.json",
        "//etc/passwd",
        "picks/../../p.yaml",
        "picks/",
        "report.json/",
    ],
)
def test_names_that_lead_elsewhere_lead_nowhere(ended, path):
    _, view = ended
    digest = view.rows()["a"]["sha256"]
    assert view.raw(f"/{view.token}/{path.format(digest=digest)}")[0] in (404, 405)


def test_an_image_of_another_run_is_not_served(project, krea):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    project.pipeline(["b"], name="q.yaml")
    other = project.run("run", "q.yaml", "--json").rows["b"]["sha256"]
    first = sorted((project.home / "runs").iterdir())[0]
    with viewed(project, first.name) as view:
        assert other not in view.get().text
        assert (project.space / "blobs" / other[:2] / other).is_file()
        assert view.get(f"originals/{other}").status_code == 404
        assert view.get(f"thumbnails/{other}.webp").status_code == 404


def test_a_small_picture_that_is_missing_is_made_and_kept(project, krea):
    project.pipeline(["a"])
    digest = project.run("run", "p.yaml", "--json").rows["a"]["sha256"]
    kept = project.space / "thumbnails" / digest[:2] / f"{digest}.webp"
    kept.unlink()
    (run_folder(project) / "thumbnails" / f"{digest}.webp").unlink()
    with viewed(project) as view:
        assert sniff(view.get(f"thumbnails/{digest}.webp").content) == "image/webp"
    assert kept.is_file()


def test_links_are_not_followed(project, krea):
    project.pipeline(["a"])
    digest = project.run("run", "p.yaml", "--json").rows["a"]["sha256"]
    secret = project.write("secret.webp", picture("WEBP", "secret"))
    blob = project.space / "blobs" / digest[:2] / digest
    links = (
        project.space / "thumbnails" / digest[:2] / f"{digest}.webp",
        run_folder(project) / "thumbnails" / f"{digest}.webp",
        blob,
    )
    for link in links:
        link.unlink()
        link.symlink_to(secret)
    with viewed(project) as view:
        assert view.get(f"thumbnails/{digest}.webp").status_code == 404
        assert view.get(f"originals/{digest}").status_code == 404
    assert links[0].is_symlink()


# --- which run


def test_a_run_is_found_by_the_beginning_of_its_id_and_by_its_folder(project):
    for word in "ab":
        project.pipeline([word], name=f"{word}.yaml")
        project.run("run", f"{word}.yaml", "--local")
    first, second = sorted((project.home / "runs").iterdir())
    for words, run in (((), second), ((first.name[:22],), first), ((first,), first), ((first / "report.html",), first)):
        with viewed(project, *words) as view:
            assert view.run_id == run.name


def test_a_run_that_is_not_there_is_named(project):
    done = project.run("view", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "no_such_run")
    project.pipeline(["a"])
    project.run("run", "p.yaml", "--local")
    done = project.run("view", "nothing", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "no_such_run")
    assert run_folder(project).name in done.json["error"]["hint"]


def test_a_port_that_is_taken_is_said(ended):
    project, view = ended
    done = project.run("view", "--port", view.port, "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "cannot_listen")


def test_it_ends_by_itself(ended):
    project, _ = ended
    done = project.run("view", "--seconds", 0, "--no-open")
    assert done.code == 0
    assert done.out.count("\n") == 1


def test_a_stream_that_is_open_does_not_hold_up_its_end(ended):
    project, _ = ended
    with viewed(project) as view, view.events() as events:
        events.next("picks")
        assert stop(view.process) == 0
        events.next("bye")
        assert isinstance(view, View)
