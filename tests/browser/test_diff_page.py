"""The page of two runs: what is the same is folded away, what differs stands in pairs, the most changed first."""

import io
import json

import pytest
from command_line import Project
from krea_server import send_answer
from PIL import Image
from playwright.sync_api import expect

from krea_pipe.core.contract import SIZES

BEFORE = {"noon": "bright", "dusk": "dim", "night": "dark"}
AFTER = {**BEFORE, "dusk": "very dim", "night": "pitch dark"}
GREYS = {"bright": 250, "dim": 100, "very dim": 106, "dark": 112, "pitch dark": 10}


def grey(level):
    buffer = io.BytesIO()
    Image.new("L", SIZES["1:1"], level).save(buffer, "PNG")
    return buffer.getvalue()


class Compared:
    """Two runs of three cells, of which two have another prompt in the second, and the page about both."""

    def __init__(self, project):
        self.project = project
        project.krea.rule("GET", "/images/", self._draw)
        self.runs = [self._run(lights) for lights in (BEFORE, AFTER)]
        done = project.spawn("diff", *self.runs, "--json")
        assert done.code == 0, done.text
        self.said = done.json
        self.address = project.path.joinpath(done.json["page"]).as_uri()

    async def _draw(self, _scope, seen, send, _app):
        prompt = self.project.krea.job_of_image(seen.path).brief.order.prompt
        data = grey(GREYS[prompt.removesuffix(" lamp")])
        await send_answer(send, 200, {"content-type": "image/png", "content-length": str(len(data))}, data)

    def _run(self, lights):
        rows = [{"id": name, "text": text} for name, text in lights.items()]
        text = {"version": 1, "budget": {"usd": 5}, "prompt": "{{ light.text }} lamp", "matrix": {"light": rows}}
        self.project.write("p.yaml", json.dumps(text))
        done = self.project.spawn("run", "p.yaml", "--json")
        assert done.code == 0, done.text
        return done.json["run_id"]


@pytest.fixture(scope="module")
def compared(tmp_path_factory, served_krea):
    served_krea.reset()
    project = Project(tmp_path_factory.mktemp("diff"), served_krea)
    yield Compared(project)
    project.stop()


def shown(page):
    """The ids of the cells that are drawn, in the order of the page."""
    return [one.get_attribute("title").partition("\n")[0] for one in page.locator(".cell > .frame").all()]


def pair(name):
    return [f"before/p/{name}", f"after/p/{name}"]


def middle_of(element):
    """How light an element is in its middle, from 0 to 255."""
    seen = Image.open(io.BytesIO(element.screenshot())).convert("L")
    return seen.getpixel((seen.width // 2, seen.height // 2))


def test_identical_pairs_are_folded_away_and_shown_when_asked_for(open_page, compared):
    page = open_page(compared.address)
    expect(page.locator(".cell")).to_have_count(4)
    assert sorted(shown(page)) == sorted([*pair("dusk"), *pair("night")])
    folded = page.locator("#folded")
    expect(folded).to_have_text("1 identical pair hidden: show")
    folded.click()
    expect(page.locator(".cell")).to_have_count(6)
    assert "same=yes" in page.url
    folded.click()
    expect(page.locator(".cell")).to_have_count(4)


def test_pairs_stand_with_their_distance_the_most_changed_first(open_page, compared):
    distances = {one["id"].partition("/")[2]: f"{one['distance']:.2f}" for one in compared.said["changed"]}
    assert distances["night"] > distances["dusk"]
    page = open_page(compared.address)
    page.locator("#sort").select_option("distance")
    expect(page.locator("#turn")).to_have_text("largest first")
    assert sorted(shown(page)[:2]) == sorted(pair("night"))
    for name in ("night", "dusk"):
        distance = page.locator(f'.cell > .frame[title^="after/p/{name}"] + .caption .distance')
        expect(distance).to_have_text(distances[name])
    page.locator("#turn").click()
    expect(page.locator("#turn")).to_have_text("smallest first")
    assert sorted(shown(page)[:2]) == sorted(pair("dusk"))


def test_a_pair_opens_beside_each_other_with_what_its_requests_differ_in(open_page, compared):
    page = open_page(compared.address)
    page.locator('.cell > .frame[title^="after/p/night"]').click()
    expect(page.locator("#detail-text .state")).to_contain_text("prompt changed")
    page.locator("#detail-compare").click()
    panes = page.locator("#compare-room .pane")
    assert [pane.get_attribute("data-cell") for pane in panes.all()] == pair("night")
    expect(page.locator("#difference-sentence")).to_have_text("Only this differs: prompt.")
    assert page.locator('#compare-text tr[data-field="prompt"] td:last-child mark').all_inner_texts() == ["pitch"]
    # Each run has its own picture, though both wrote the same file.
    for image in page.locator("#compare-room img").all():
        expect(image).to_have_js_property("naturalWidth", 1024)
    assert list(map(middle_of, panes.all())) == [GREYS["dark"], GREYS["pitch dark"]]
    page.keyboard.press("ArrowLeft")
    expect(panes.first).to_have_attribute("data-cell", "before/p/dusk")
    page.keyboard.press("Escape")
    expect(page.locator("#compare-bar")).to_be_hidden()
    expect(page.locator('.cell > .frame[title^="before/p/dusk"]')).to_be_focused()


def test_nothing_is_decided_on_a_page_of_two_runs(open_page, compared):
    page = open_page(compared.address)
    page.locator(".cell > .frame").first.focus()
    page.keyboard.press("5")
    expect(page.locator(".stars")).to_have_count(0)
    expect(page.get_by_role("button", name="Export")).to_have_count(0)
    expect(page.locator("#decided")).to_be_hidden()
    expect(page.locator(".sentence")).to_have_text("3 cells of two runs: 1 identical, 2 changed.")
