"""The folder of a run: whole by itself, and there as soon as there is something to look at."""

import json
import re
import shutil

import pytest
from command_line import schema_of
from krea_server import until


@pytest.fixture
def folder(project):
    project.pipeline(["a", "b"], more="")
    assert project.run("run", "p.yaml", "--local").code == 0
    (folder,) = project.home.glob("runs/*")
    return folder


def test_every_form_of_the_report_stands_in_the_folder(folder):
    names = {"report.json", "report.html", "report.css", "report.md", "junit.xml", "results.csv", "thumbnails"}
    assert {path.name for path in folder.iterdir()} == names


def test_a_small_picture_of_each_image_lies_beside_the_page(folder):
    cells = json.loads((folder / "report.json").read_text(encoding="utf-8"))["cells"]
    assert {path.stem for path in (folder / "thumbnails").iterdir()} == {cell["sha256"] for cell in cells}


def test_pictures_that_are_missing_are_made_again(folder, project):
    shutil.rmtree(folder / "thumbnails")
    shutil.rmtree(project.home / "local/thumbnails")
    assert project.run("report").code == 0
    assert len(list((folder / "thumbnails").iterdir())) == 2


def test_an_image_that_is_lost_takes_no_report_away(folder, project):
    shutil.rmtree(folder / "thumbnails")
    shutil.rmtree(project.home / "local/thumbnails")
    shutil.rmtree(project.home / "local/blobs")
    assert project.run("report").code == 0
    assert list((folder / "thumbnails").iterdir()) == []


def test_where_no_links_can_be_made_pictures_are_copied(folder, project, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    shutil.rmtree(folder / "thumbnails")
    monkeypatch.setattr("os.link", refuse)
    assert project.run("report").code == 0
    assert len(list((folder / "thumbnails").iterdir())) == 2


def test_what_a_run_is_about_to_do_is_written_down_before_it_asks_anything(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a", "b"])
    process = project.start("run", "p.yaml")
    until(lambda: krea.posts, "a request")
    (planned,) = project.home.glob("runs/*/started.json")
    schema_of("run-report").validate(data := json.loads(planned.read_text(encoding="utf-8")))
    assert [cell["status"] for cell in data["cells"]] == ["pending", "pending"]
    krea.finish_jobs()
    project.finish(process)
    assert not planned.exists()
    assert (planned.parent / "report.json").is_file()


@pytest.fixture
def sent(folder, project, tmp_path_factory):
    """The folder of a run on another machine, where nothing else of it is."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copytree(folder, elsewhere / "my run #1")
    project.path = elsewhere
    return elsewhere


def test_a_folder_that_was_sent_has_its_pictures_in_every_form(sent, project):
    assert project.run("report", "my run #1", "--single-file", "one.html").code == 0
    page = (sent / "one.html").read_text(encoding="utf-8")
    assert len(set(re.findall(r'data-of="(.*?)" src="data:', page))) == 2
    done = project.run("sheet", "my run #1", "--size", "64", "--json")
    assert done.json["missing"] == []


def test_a_folder_that_was_sent_names_no_place_of_this_machine(sent, project):
    assert project.run("report", "my run #1").code == 0
    for name in ("report.html", "report.css", "report.md", "junit.xml", "results.csv", "report.json"):
        assert str(sent) not in (sent / "my run #1" / name).read_text(encoding="utf-8-sig"), name
    assert "p.yaml is missing, so no picks are shown" in (sent / "my run #1/report.html").read_text(encoding="utf-8")


def test_no_picture_is_named_that_is_not_there(folder, project):
    for place in (folder / "thumbnails", project.home / "local/thumbnails", project.home / "local/blobs"):
        shutil.rmtree(place)
    assert project.run("report").code == 0
    assert "<img" not in (folder / "report.md").read_text(encoding="utf-8")


def test_another_file_is_not_written_over(folder, project):
    file = project.write("mine.html", "<p>mine</p>")
    assert project.run("report", "--single-file", "mine.html").code == 2
    assert file.read_text() == "<p>mine</p>"
    for _ in range(2):  # an earlier report may be
        assert project.run("report", "--single-file", "ours.html").code == 0


def test_a_run_without_a_report_is_told_from_one_that_is_not_there(folder, project):
    (folder / "report.json").rename(folder / "started.json")
    for name in (folder, folder.name):
        done = project.run("report", name)
        assert done.code == 2
        assert "it is in progress or was interrupted" in done.err


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["cells", 0, "width"], "x"),
        (["cells", 0, "status"], "lost"),
        (["cells", 0, "template"], 99),
        (["started_at"], None),
        (["base"], None),
        (["pipeline", "name"], None),
    ],
)
def test_a_record_with_a_value_of_another_kind_is_damaged_and_no_bug(folder, project, path, value):
    file = folder / "report.json"
    data = place = json.loads(file.read_text(encoding="utf-8"))
    *above, last = path
    for name in above:
        place = place[name]
    place[last] = value
    file.write_text(json.dumps(data), encoding="utf-8")
    for command in ("report", "sheet", "export"):
        done = project.run(command)
        assert done.code == 1
        assert "the report is damaged" in done.err
