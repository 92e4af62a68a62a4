"""A report in one file, which is sent to somebody who has nothing else."""

import shutil

import pytest
from krea_server import picture
from playwright.sync_api import expect

PIPELINE = """\
version: 1
budget: {usd: 5}
stages:
  p:
    prompt: "{{ w }}"
    references: [{image: look.png, strength: 0.5}]
    matrix: {w: [a, b, c]}
"""


@pytest.fixture
def sent(project, tmp_path_factory):
    """The file, moved to where nothing else is, and the folder of the run gone."""
    project.write("look.png", picture(seed="look", size=(600, 600)))
    project.write("p.yaml", PIPELINE)
    assert project.spawn("run", "p.yaml").code == 0
    assert project.spawn("report", "--single-file", "look at this.html").code == 0
    there = tmp_path_factory.mktemp("elsewhere") / "look at this.html"
    shutil.move(project.path / there.name, there)
    shutil.rmtree(project.path)
    return there


def test_a_single_file_shows_every_picture_and_asks_for_nothing_else(open_page, sent):
    page = open_page("about:blank")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(sent.as_uri())
    expect(page.locator(".cell .picture")).to_have_count(3)
    for shown in page.locator(".cell .picture").all():
        expect(shown).to_have_js_property("width", 256)
    expect(page.locator("#references .input img")).to_have_js_property("naturalWidth", 256)
    page.locator(".cell > .frame").first.click()
    expect(page.locator("#detail-image")).to_have_js_property("naturalWidth", 256)
    expect(page.locator("#detail-lost")).to_have_text("This file contains only thumbnails.")
    expect(page.get_by_role("link", name="Open original")).to_have_count(0)
    for _ in range(2):
        page.locator("#detail-mark").click()
        page.locator("#next").click()
    page.locator("#detail-compare").click()
    expect(page.locator("#compare-room img").last).to_have_js_property("naturalWidth", 256)
    assert [url for url in asked if not url.startswith("data:")] == [sent.as_uri()]
