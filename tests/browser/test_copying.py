"""What is copied of a cell repeats it: as a call of cURL, as a pipeline file, as a prompt, as a request."""

import io
import json
import subprocess
from urllib.parse import quote

import pytest
from command_line import KEY, Project
from krea_server import DEADLINE, picture
from pictured import write_page
from PIL import Image
from playwright.sync_api import expect
from sample_reports import make_report, make_stage

CLIPBOARD = {"permissions": ["clipboard-read", "clipboard-write"]}
ODD = "a lamp's \"glow\"\n\tat $HOME `id` \\ {{ '{{ w }} {% if %}' }} 20% – ランプ"
PIPELINE = {
    "version": 1,
    "budget": {"usd": 9},
    "stages": {
        "one": {
            "prompt": ODD,
            "aspect_ratio": "3:2",
            "references": [
                {"image": "refs/look [[]1].webp", "strength": 0.7},
                {"image": "https://example.com/m.png", "strength": 0.2},
            ],
            "seed": None,
            "takes": 2,
        },
        "two": {
            "for_each": "one",
            "prompt": "{{ source.prompt }}, large",
            "image": "{{ source.image }}",
            "strength": 0.4,
            "matrix": {"creativity": ["raw", "high"]},
        },
    },
}


class Copied:
    """A run that has been paid for, and its page."""

    def __init__(self, project):
        self.project = project
        project.write("refs/look [1].webp", picture("WEBP", "look", (600, 600)))
        project.write("p.yaml", json.dumps(PIPELINE))
        done = project.spawn("run", "p.yaml", "--json")
        assert done.code == 0, done.text
        self.rows = {row["id"]: row for row in done.report["cells"]}
        self.address = project.path.joinpath(done.json["report"]).with_suffix(".html").as_uri()
        self.posts = [(post.path, post.json) for post in project.krea.posts]

    def row(self, stage, take, **axes):
        wanted = {"take": take, **axes}
        (found,) = (
            one for one in self.rows.values() if one["stage"] == stage and wanted.items() <= one["axes"].items()
        )
        return found

    def pictures_behind(self, row):
        """What the request of a row is drawn after: the image of its source, or the references of its stage."""
        if row["source"]:
            return [pixels(self.project.path.joinpath(self.rows[row["source"]]["image"]).read_bytes())]
        return [pixels(self.project.path.joinpath("refs/look [1].webp").read_bytes()), "https://example.com/m.png"]


def pixels(data):
    """A picture without what its file says besides."""
    return Image.open(io.BytesIO(data)).convert("RGB").tobytes()


@pytest.fixture(scope="module")
def paid(tmp_path_factory, served_krea):
    served_krea.reset()
    project = Project(tmp_path_factory.mktemp("copying"), served_krea)
    yield Copied(project)
    project.stop()


@pytest.fixture
def copy(open_page):
    """Presses a button of an open cell, and gives what is in the clipboard then."""

    def copy(paid, row, button):
        page = open_page(f"{paid.address}#cell={quote(row['id'], safe='')}", **CLIPBOARD)
        page.locator(button).click()
        expect(page.locator(button)).to_have_text("Copied")
        return page.evaluate("navigator.clipboard.readText()")

    return copy


def shell(script, project):
    """Run a script in the folder of a project, as somebody who pastes it does."""
    done = subprocess.run(
        ["bash", "-euc", script],
        cwd=project.path,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nowhere", "KREA_API_KEY": KEY, "no_proxy": "127.0.0.1"},
        capture_output=True,
        timeout=DEADLINE,
        check=True,
    )
    return done.stdout.decode()


def test_the_prompt_and_the_request_are_copied_as_they_were_sent(open_page, copy, paid):
    row = paid.row("one", 2)
    prompt = copy(paid, row, "#copy-prompt")
    assert prompt == row["prompt"]
    assert "{{ w }} {% if %} 20% – ランプ" in prompt
    assert json.loads(copy(paid, row, "#copy-request")) == row["request"]


@pytest.mark.parametrize(("stage", "axes"), [("one", {}), ("two", {"creativity": "high"})])
def test_the_copied_call_of_curl_sends_what_the_run_sent(copy, paid, stage, axes):
    row = paid.row(stage, 2, **axes)
    script = copy(paid, row, "#copy-curl")
    for place, upload in enumerate(uploads_in(script), 1):
        script = script.replace(f"URL_OF_IMAGE_{place}", json.loads(shell(upload, paid.project))["image_url"])
    krea = paid.project.krea
    before = len(krea.posts)
    assert json.loads(shell(script, paid.project))["job_id"]
    (sent,) = krea.posts[before:]
    assert sent.headers["authorization"] == f"Bearer {KEY}"
    assert without_urls(sent.json) in [without_urls(body) for path, body in paid.posts if path == sent.path]
    assert sent.json["prompt"] == row["prompt"]
    assert pictures_of(krea, sent.json) == paid.pictures_behind(row)


def uploads_in(script):
    """The calls that stand in the comments above a call."""
    return [line.removeprefix("# ") for line in script.splitlines() if line.startswith("# curl ")]


def without_urls(body):
    """A body without the addresses of what was uploaded, which are new each time."""
    styles = [one["strength"] for one in body.get("image_style_references", [])]
    return {**body, "image_url": "image_url" in body, "image_style_references": styles}


def pictures_of(krea, body):
    """The pixels behind the addresses that a body names; of other hosts the address."""
    assets = {f"{krea.base}/uploads/{asset.file_name}": pixels(asset.data) for asset in krea.world.assets}
    urls = [
        *([body["image_url"]] if "image_url" in body else []),
        *(one["url"] for one in body.get("image_style_references", [])),
    ]
    return [assets.get(url, url) for url in urls]


@pytest.mark.parametrize(("stage", "axes"), [("one", {}), ("two", {"creativity": "raw"})])
def test_the_copied_pipeline_file_has_one_cell_with_the_same_key(copy, paid, stage, axes):
    row = paid.row(stage, 2, **axes)
    file = paid.project.write("again.yaml", copy(paid, row, "#copy-yaml"))
    checked = paid.project.spawn("validate", file.name)
    assert checked.code == 0, checked.text
    cells = map(json.loads, paid.project.spawn("expand", file.name, "--jsonl").out.splitlines())
    needed = [paid.row("one", 2)] if stage == "two" else []
    assert [cell["key"] for cell in cells] == [one["key"] for one in [*needed, row]]


def test_a_digest_is_read_short_and_copied_whole(open_page, paid):
    row = paid.row("one", 1)
    page = open_page(f"{paid.address}#cell={quote(row['id'], safe='')}", **CLIPBOARD)
    button = page.get_by_role("button", name=f"Copy digest {row['sha256']}")
    expect(button).to_have_text(row["sha256"][:8])
    button.click()
    expect(button).to_have_text("Copied")
    assert page.evaluate("navigator.clipboard.readText()") == row["sha256"]


def test_the_command_for_the_next_step_is_copied(open_page, tmp_path):
    report = make_report(make_stage("lamp", {"seed": [1, 2]}, lambda _: "failed"))
    page = open_page(write_page(report, tmp_path), **CLIPBOARD)
    page.locator(".problems").get_by_role("button", name="Copy").click()
    expect(page.locator(".problems").get_by_role("button", name="Copied")).to_be_visible()
    copied = page.evaluate("() => navigator.clipboard.readText()")
    assert copied == page.locator(".problems code").inner_text()
    assert copied.startswith("krea-pipe ")
