"""Where prompts and images come from: templates with the values that they read, references, upstream cells."""

import hashlib

import pytest
from command_line import Project
from PIL import Image

FILE = """\
version: 1
vars: {mood: quiet, brand: {name: Aurelle}}
references:
  brand: {images: [refs/one.png], strength: 0.4}
stages:
  explore:
    prompt: "{{ brand.name }} {{ subject.text }}, {{ mood }}, {{ creativity }}"
    references: [brand]
    matrix:
      subject:
        - {id: jar, text: a jar}
        - {id: box, text: a box, prompt: "Only {{ subject.id }}"}
      creativity: [raw, low]
  final:
    for_each: explore
    prompt: "{{ source.prompt }}, {{ source.axes.subject.text }} again"
    image: "{{ source.image }}"
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory, served_krea):
    """One for all: they look at the same run."""
    return Project(tmp_path_factory.mktemp("origins"), served_krea)


@pytest.fixture(scope="module")
def cells(project):
    (project.path / "refs").mkdir()
    Image.new("RGB", (600, 600), "teal").save(project.path / "refs/one.png")
    project.write("p.yaml", FILE)
    done = project.run("run", "p.yaml", "--local", "--json")
    assert done.code == 0, done.err
    return done.report


def test_a_prompt_is_told_as_its_template_and_what_that_reads(cells):
    rows = {row["id"]: row for row in cells["cells"]}
    told = {name: (cells["templates"][row["template"]], row["values"]) for name, row in rows.items()}
    assert told["explore/jar/low"] == (
        "{{ brand.name }} {{ subject.text }}, {{ mood }}, {{ creativity }}",
        {"brand.name": "Aurelle", "subject.text": "a jar", "mood": "quiet", "creativity": "low"},
    )
    assert told["explore/box/raw"] == ("Only {{ subject.id }}", {"subject.id": "box"})
    assert told["final/jar/raw"] == (
        "{{ source.prompt }}, {{ source.axes.subject.text }} again",
        {"source.prompt": "Aurelle a jar, quiet, raw", "source.axes.subject.text": "a jar"},
    )


def test_each_template_stands_once(cells):
    assert len(cells["templates"]) == len(set(cells["templates"])) == 3


def test_a_chained_cell_names_the_one_that_it_is_drawn_for(cells):
    assert {row["id"]: row["source"] for row in cells["cells"] if row["source"]} == {
        "final/jar/raw": "explore/jar/raw",
        "final/jar/low": "explore/jar/low",
        "final/box/raw": "explore/box/raw",
        "final/box/low": "explore/box/low",
    }


def test_references_have_their_label_and_a_small_picture(cells, project):
    digest = hashlib.sha256((project.path / "refs/one.png").read_bytes()).hexdigest()
    assert cells["references"] == [{"source": f"sha256:{digest}", "label": "refs/one.png", "sha256": digest}]
    (small,) = project.home.glob(f"runs/*/thumbnails/{digest}.webp")
    with Image.open(small) as picture:
        assert picture.size == (256, 256)


def test_pixels_are_told(cells):
    assert {(row["width"], row["height"]) for row in cells["cells"]} == {(1024, 1024)}
