"""`krea-pipe diff`: two runs cell by cell, in words, as JSON and on a page."""

import json
import shutil
from pathlib import Path

import pytest
from command_line import schema_of

LAMP = 'version: 1\nname: lamp\nprompt: "{prompt}"\nbudget: {{usd: 9}}\nmatrix: {{w: {words}}}\n'


@pytest.fixture
def drawn(project):
    """Draw a pipeline's proofs and give the id of the run."""

    def run(prompt="{{ w }}", words="[a, b, c]", name="lamp.yaml"):
        project.write(name, LAMP.format(prompt=prompt, words=words))
        done = project.run("run", name, "--local", "--json")
        assert done.code == 0, done.text
        return done.json["run_id"]

    return run


def compare(project, *words):
    done = project.run("diff", *words, "--json")
    assert done.code == 0, done.text
    report = json.loads(Path(project.path, done.json["report"]).read_text(encoding="utf-8"))
    schema_of("run-report").validate(report)
    return done.json, report


def test_a_run_that_drew_nothing_new_is_identical(project, drawn):
    one, two = drawn(), drawn()
    done = project.run("diff", one, two, "--exit-code")
    assert (done.code, done.out.splitlines()[0]) == (0, "3 cells: 3 identical.")
    assert len(done.out.splitlines()) == 2
    found, report = compare(project, one, two)
    assert (found["identical"], found["changed"]) == (3, [])
    assert all(cell["same"] and cell["distance"] == 0 for cell in report["cells"])


def test_changed_cells_are_told_with_their_distance_and_reason(project, drawn):
    one = drawn()
    two = drawn("{% if w == 'a' %}a{% else %}{{ w }} at dusk{% endif %}", "[a, b, d]")
    done = project.run("diff", one, two, "--exit-code")
    assert done.code == 1
    head, row, *rest = done.out.splitlines()
    assert head.split() == ["distance", "cell", "change"]
    assert row.split()[1:] == ["lamp/b", "prompt", "changed"]
    assert 0 < float(row.split()[0]) < 1
    assert rest[:3] == [
        "only before: lamp/c",
        "only after: lamp/d",
        "4 cells: 1 identical, 1 changed, 1 only before, 1 only after.",
    ]


def test_without_being_asked_a_difference_is_no_failure(project, drawn):
    assert project.run("diff", drawn(), drawn("new {{ w }}")).code == 0


def test_the_json_names_every_pair_that_differs(project, drawn):
    one, two = drawn(), drawn("{{ w }} at dusk", "[a, d]")
    found, _ = compare(project, one, two)
    (pair,) = found["changed"]
    assert (found["before"], found["after"]) == (one, two)
    assert (found["only_before"], found["only_after"]) == (["lamp/b", "lamp/c"], ["lamp/d"])
    assert (pair["id"], pair["change"], pair["before"]["id"]) == ("lamp/a", "prompt changed", "lamp/a")
    assert pair["before"]["sha256"] != pair["after"]["sha256"]
    assert 0 < pair["distance"] < 1


def test_the_page_has_both_images_of_each_pair(project, drawn):
    """The second run wrote over the files of the first, whose images are in the store."""
    one, two = drawn(), drawn("{{ w }} at dusk")
    found, report = compare(project, one, two)
    folder = Path(project.path, found["report"]).parent
    assert folder == project.home / "diffs" / f"{one}..{two}"
    assert Path(project.path, found["page"]).is_file()
    digests = {cell["sha256"] for cell in report["cells"]}
    assert len(digests) == 6
    assert {path.stem for path in (folder / "thumbnails").iterdir()} == digests
    images = [Path(folder, report["base"], cell["image"]).read_bytes() for cell in report["cells"]]
    assert len(set(images)) == 6
    assert [cell["axes"]["run"] for cell in report["cells"][:2]] == ["before", "after"]


def test_another_folder_can_be_named(project, drawn):
    one = drawn()
    found, _ = compare(project, one, one, "--out", "review/lamp")
    assert found["page"] == "review/lamp/report.html"
    assert Path(project.path, "review/lamp/thumbnails").is_dir()


def test_a_selection_takes_some_cells(project, drawn):
    one, two = drawn(), drawn("{{ w }} at dusk")
    found, report = compare(project, one, two, "-k", "w=b")
    assert [pair["id"] for pair in found["changed"]] == ["lamp/b"]
    assert [cell["id"] for cell in report["cells"]] == ["before/lamp/b", "after/lamp/b"]
    assert project.run("diff", one, two, "-k", "w=x").code == 7


def test_an_older_run_without_signatures_has_distances(project, drawn):
    one, two = drawn(), drawn("{{ w }} at dusk")
    file = project.home / "runs" / one / "report.json"
    report = json.loads(file.read_text(encoding="utf-8"))
    known = compare(project, one, two)[0]["changed"]
    for cell in report["cells"]:
        assert cell.pop("likeness").startswith("d1:")
    file.write_text(json.dumps(report), encoding="utf-8")
    shutil.rmtree(project.home / "local/thumbnails")
    found = compare(project, one, two)[0]["changed"]
    assert {pair["id"]: pair["distance"] for pair in found} == pytest.approx(
        {pair["id"]: pair["distance"] for pair in known}, abs=0.01
    )


def test_a_local_run_can_be_compared_with_a_live_one(project, drawn):
    one = drawn()
    two = project.run("run", "lamp.yaml", "--json").json["run_id"]
    found, report = compare(project, one, two)
    assert [axis["name"] for axis in report["stages"][0]["axes"]] == ["w", "run"]
    labels = [value["label"] for value in report["stages"][0]["axes"][-1]["values"]]
    assert labels == ["before: local", "after: live"]
    folder = Path(project.path, found["report"]).parent
    assert {path.stem for path in (folder / "thumbnails").iterdir()} == {cell["sha256"] for cell in report["cells"]}


def test_a_cell_that_failed_is_told_first(project, drawn):
    one, two = drawn(), drawn("{{ w }} at dusk")
    file = project.home / "runs" / two / "report.json"
    report = json.loads(file.read_text(encoding="utf-8"))
    error = {"code": "nsfw", "message": "Krea shows no such thing", "class": "refused", "candidates": []}
    report["cells"][2] |= {"status": "failed", "sha256": None, "image": None, "likeness": "", "error": error}
    file.write_text(json.dumps(report), encoding="utf-8")
    lines = project.run("diff", one, two).out.splitlines()
    assert lines[1].split(maxsplit=2) == ["–", "lamp/c", "no image after: Krea shows no such thing; prompt changed"]


def test_the_id_in_a_report_leads_nowhere_else(project, drawn):
    one = drawn()
    file = project.home / "runs" / one / "report.json"
    report = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**report, "run_id": "../../../away"}), encoding="utf-8")
    found, _ = compare(project, one, one)
    assert Path(project.path, found["page"]).resolve().is_relative_to(project.home / "diffs")


def test_what_is_no_run_is_refused(project, drawn):
    drawn()
    done = project.run("diff", "nothing", "here", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "no_such_run")


def test_a_folder_of_something_else_is_not_written_into(project, drawn):
    one, two = drawn(), drawn()
    run = project.home / "runs" / one
    before = (run / "report.json").read_bytes()
    for folder in (run, project.path):
        done = project.run("diff", one, two, "--out", folder)
        assert done.code == 2
        assert "does not contain a comparison" in done.err
    assert (run / "report.json").read_bytes() == before
    for _ in range(2):  # an earlier comparison is written over
        assert project.run("diff", one, two, "--out", "compared").code == 0


def test_a_part_of_a_comparison_leaves_the_whole_one_alone(project, drawn):
    one, two = drawn(), drawn()
    whole, _ = compare(project, one, two)
    part, _ = compare(project, one, two, "-k", "w=a")
    assert whole["page"] != part["page"]
    assert whole["identical"] == 3
    assert len(json.loads(Path(project.path, whole["report"]).read_text(encoding="utf-8"))["cells"]) == 6
