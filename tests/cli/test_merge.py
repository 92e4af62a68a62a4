"""`merge`: the runs of all shards, from wherever they come, are one run."""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from xml.etree import ElementTree

import pytest
from command_line import Project, schema_of
from krea_server import GENERATE
from PIL import Image

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]
COUNT = 3


def draw(project, number, *words, total=COUNT, code=0, name="p.yaml"):
    """Run a shard on a machine of its own, of which only the artifact is left: its folders of runs and its images."""
    machine = Project(
        project.path / "machines" / f"{number}-{len(list(project.path.rglob('shard.json')))}", project.krea
    )
    machine.path.mkdir(parents=True)
    for file in [*project.path.glob("*.yaml"), *project.path.glob("*.lock.jsonl")]:
        shutil.copy(file, machine.path)
    done = machine.run("run", name, "--json", "--shard", f"{number}/{total}", *words)
    assert done.code == code, done.text
    artifact = project.path / "shards" / machine.path.name
    shutil.copytree(machine.home / "runs", artifact / ".krea-pipe" / "runs")
    if (machine.path / "out").exists():
        shutil.copytree(machine.path / "out", artifact / "out")
    shutil.rmtree(machine.path)
    return artifact, done


def merged(project, *words, code=0):
    done = project.run("merge", *(words or ["shards"]), "--json")
    assert done.code == code, done.text
    return done


def lines(project):
    return [json.loads(line) for line in (project.path / "p.lock.jsonl").read_text().splitlines()]


def record(artifact):
    return next(artifact.rglob("report.json"))


def number_of(project, word, total=COUNT):
    for number in range(1, total + 1):
        done = project.run("plan", "p.yaml", "--json", "--shard", f"{number}/{total}")
        if f"p/{word}" in [cell["id"] for cell in done.json["cells"]]:
            return number
    raise AssertionError(word)


def test_the_artifacts_of_all_shards_are_one_report_with_all_images_one_junit_file_and_one_lock_file(project, krea):
    project.pipeline(WORDS, more="budget: {usd: 1.00}")
    parts = [draw(project, number)[1] for number in (1, 2, 3)]
    done = merged(project)
    report = done.report
    assert [row["id"] for row in report["cells"]] == [f"p/{word}" for word in WORDS]
    assert report["totals"]["cells"]["succeeded"] == len(WORDS)
    assert report["totals"]["cost"]["spent_usd"] == "0.24"
    assert float(report["totals"]["cost"]["cap_usd"]) == 1
    assert sorted(report["merged"]) == sorted(part.json["run_id"] for part in parts)
    assert "shard" not in report
    folder = Path(project.path, done.json["report"]).parent
    root = ElementTree.parse(folder / "junit.xml").getroot()
    assert (root.get("name"), root.get("tests"), len(list(root.iter("testcase")))) == ("p", "8", 8)
    assert "Merged from" in (folder / "report.html").read_text()
    assert len(list((folder / "thumbnails").iterdir())) == len(WORDS)
    for row in report["cells"]:
        with Image.open(project.image(row["id"].removeprefix("p/"))) as image:
            assert json.loads(image.text["krea-pipe"])["sha256"] == row["sha256"]
        assert Path(folder, report["base"], row["image"]).is_file()
        assert (project.space / "blobs" / row["sha256"][:2] / row["sha256"]).is_file()
    assert done.json["lock"] == "p.lock.jsonl"
    assert {line["id"]: line["sha256"] for line in lines(project)} == {
        row["id"]: row["sha256"] for row in report["cells"]
    }
    assert project.run("verify", "p.yaml").code == 0
    assert len(krea.posts) == len(WORDS)


def test_a_merged_run_is_a_run_like_any_other_for_the_other_commands(project):
    project.pipeline(WORDS)
    for number in (1, 2, 3):
        draw(project, number)
    done = project.run("merge", "shards")
    assert done.code == 0, done.text
    assert "8 images: 8 rendered. $0.24 spent of $5.00." in done.out
    again = project.run("report", "--json")
    assert (again.code, len(again.report["cells"]), len(again.report["merged"])) == (0, 8, 3)
    assert project.run("export", "--out", "all.zip").code == 0
    assert project.run("gc", "--delete", "--keep", "0d").code == 0


def test_runs_of_one_home_are_merged_by_their_ids_or_by_the_folder_of_all_runs(project):
    project.pipeline(WORDS)
    ids = [project.run("run", "p.yaml", "--json", "--shard", f"{n}/2").json["run_id"] for n in (1, 2)]
    assert sorted(merged(project, *ids).report["merged"]) == sorted(ids)
    project.run("run", "p.yaml", "--shard", "1/2")
    found = merged(project, ".krea-pipe/runs").report
    assert len(found["cells"]) == len(WORDS)
    assert (len(found["merged"]), ids[1] in found["merged"], ids[0] in found["merged"]) == (2, True, False)


def test_gc_takes_the_folder_of_a_shard_as_a_whole(project):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml", "--shard", "1/2").code == 0
    (folder,) = (project.home / "runs").iterdir()
    assert (folder / "shard.json").is_file()
    assert project.run("gc", "--delete", "--keep", "0d").code == 0
    assert not folder.exists()


def test_a_record_has_the_lock_lines_of_its_own_shard_alone(project):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    artifact, _ = draw(project, 1)
    data = json.loads(record(artifact).with_name("shard.json").read_text())
    assert [line["id"] for line in data["lines"]] == sorted(
        row["id"] for row in json.loads(record(artifact).read_text())["cells"]
    )
    assert len(data["lines"]) < len(data["cells"]) == len(WORDS)


def test_chains_and_dynamic_axes_stand_in_the_order_of_the_file(project):
    project.write(
        "p.yaml",
        "version: 1\nname: p\nbudget: {usd: 9}\nstages:\n"
        f"  one: {{prompt: '{{{{ w }}}}', matrix: {{w: {json.dumps(WORDS)}}}}}\n"
        "  two: {for_each: one, prompt: '{{ source.prompt }} two', image: '{{ source.image }}', strength: 0.5}\n",
    )
    for number in (1, 2, 3):
        draw(project, number)
    found = merged(project).report
    whole = project.run("plan", "p.yaml", "--json").json
    assert [row["id"] for row in found["cells"]] == [cell["id"] for cell in whole["cells"]]
    values = {stage["name"]: [one["value"] for one in stage["axes"][0]["values"]] for stage in found["stages"]}
    assert values == {"one": WORDS, "two": WORDS}
    prompts = {row["id"]: found["templates"][row["template"]] for row in found["cells"]}
    assert {prompts[f"two/{word}"] for word in WORDS} == {"{{ source.prompt }} two"}


# --- what is missing


def test_a_shard_that_did_not_come_is_named_with_its_cells_and_is_a_failure(project):
    project.pipeline(WORDS)
    assert project.run("run", "p.yaml").code == 0
    before = lines(project)
    project.pipeline(WORDS, more="budget: {usd: 5}\ndefaults: {creativity: high}")
    gone = number_of(project, "fox")
    for number in {1, 2, 3} - {gone}:
        draw(project, number)
    done = merged(project, code=1)
    (missing,) = done.json["missing"]
    assert (missing["shard"], missing["came"]) == (f"{gone}/3", False)
    assert {row["id"] for row in done.report["cells"]} == {f"p/{word}" for word in WORDS} - {*missing["cells"]}
    assert any(f"shard {gone}/3 has no run" in one for one in done.report["warnings"])
    said = project.run("merge", "shards")
    assert f"shard {gone}/3 has no run" in said.err
    assert "p/fox" in said.err
    kept = {line["id"]: line for line in before if line["id"] in missing["cells"]}
    assert {line["id"]: line for line in lines(project) if line["id"] in kept} == kept  # as they were


def test_cells_that_were_not_selected_are_not_missed(project):
    project.pipeline(WORDS)
    for number in (1, 2, 3):
        draw(project, number, "-k", "fox", "-k", "hen")
    done = merged(project)
    assert [row["id"] for row in done.report["cells"]] == ["p/fox", "p/hen"]
    assert done.json["missing"] == []


def test_a_shard_that_was_run_again_counts_with_both_runs(project, krea):
    project.pipeline(["yak", *WORDS])
    assert project.run("run", "p.yaml").code == 0  # an earlier version, whose lock file each machine begins with
    earlier = (project.path / "p.lock.jsonl").read_bytes()
    krea.reset()
    project.pipeline(WORDS, more="budget: {usd: 5}\ndefaults: {creativity: high}")
    number = number_of(project, "fox")
    for other in {1, 2, 3} - {number}:
        draw(project, other)
    krea.image(b"", status=404, text="fox")  # it is billed, and its image never comes
    draw(project, number, code=1)
    assert merged(project, code=1).json["cells"]["failed"] == 1
    krea.rules.clear()
    project.write("p.lock.jsonl", earlier)
    draw(project, number, "-k", "fox")
    (project.path / "p.lock.jsonl").unlink()
    done = merged(project)
    assert done.json["cells"]["succeeded"] == len(WORDS)
    assert len(done.report["merged"]) == 4
    assert {line["id"]: line["key"] for line in lines(project)} == {
        row["id"]: row["key"] for row in done.report["cells"]
    }
    assert Decimal(done.json["cost"]["spent_usd"]) == sum(bill.amount for bill in krea.world.bills)
    assert len(krea.world.bills) == len(WORDS) + 1


def test_the_line_of_a_cell_that_is_gone_is_dropped_from_the_lock_file(project):
    project.pipeline(["yak", *WORDS])
    assert project.run("run", "p.yaml").code == 0
    project.pipeline(WORDS)
    for number in (1, 2, 3):
        draw(project, number)
    merged(project)
    assert {line["id"] for line in lines(project)} == {f"p/{word}" for word in WORDS}


def test_the_worst_exit_code_counts(project, krea):
    project.pipeline(WORDS)
    failed, refused = number_of(project, "fox"), number_of(project, "hen")
    assert failed != refused
    krea.answer("POST", GENERATE, 422, b'{"error": "no"}', text="fox")
    draw(project, failed, code=1)
    assert merged(project, code=1)
    draw(project, refused, "--max-new", "0", code=5)
    assert merged(project, code=5)
    root = ElementTree.parse(next(iter(sorted((project.home / "runs").iterdir())[-1:])) / "junit.xml").getroot()
    assert root.get("failures") == "1"


# --- what does not belong together


def test_runs_of_different_versions_are_refused_with_the_cells_that_differ(project):
    project.pipeline(WORDS)
    draw(project, 1)
    project.pipeline([*WORDS[1:], "yak"])
    draw(project, 2)
    done = merged(project, code=2)
    assert done.json["error"]["code"] == "other_version"
    assert "p/ant" in done.json["error"]["message"]
    assert "p/yak" in done.json["error"]["message"]
    assert not (project.path / "out").exists()
    assert not (project.home / "runs").exists()


def test_a_changed_request_of_any_cell_is_another_version(project):
    project.pipeline(WORDS)
    number = number_of(project, "fox")
    draw(project, number)
    project.write(
        "p.yaml", (project.path / "p.yaml").read_text() + "patch: [{when: {w: fox}, set: {creativity: high}}]\n"
    )
    draw(project, number % COUNT + 1)
    error = merged(project, code=2).json["error"]
    assert (error["code"], "changed: p/fox" in error["message"]) == ("other_version", True), error


def test_runs_of_different_pipelines_or_apis_are_refused(project):
    project.pipeline(WORDS)
    draw(project, 1)
    project.pipeline(WORDS, name="q.yaml")
    artifact, _ = draw(project, 2, name="q.yaml")
    assert merged(project, code=2).json["error"]["code"] == "other_pipeline"
    shutil.rmtree(artifact)
    draw(project, 2, "--local")
    assert merged(project, code=2).json["error"]["code"] == "other_target"


def test_two_different_images_of_a_cell_are_refused_by_its_name(project):
    project.pipeline(WORDS)
    number = number_of(project, "fox")
    draw(project, number)
    draw(project, number)  # on another machine, so that it is drawn again
    error = merged(project, code=2).json["error"]
    assert (error["code"], "p/fox" in error["message"]) == ("other_image", True), error


def test_a_run_of_all_cells_and_what_is_no_run_are_refused(project):
    project.pipeline(WORDS)
    run = project.run("run", "p.yaml", "--json").json["run_id"]
    assert merged(project, run, code=2).json["error"]["code"] == "not_a_shard"
    assert merged(project, ".krea-pipe/runs", code=2).json["error"]["code"] == "no_such_run"
    assert merged(project, "nothing", code=2).json["error"]["code"] == "no_such_run"


# --- what comes from elsewhere


def test_an_image_with_other_bytes_is_left_out_and_named(project):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    next(artifact.rglob("fox.png")).write_bytes(b"something else")
    done = merged(project)
    assert done.json["images_absent"] == ["p/fox"]
    assert not project.image("fox").exists()
    assert "1 image is missing from the merged runs: p/fox" in project.run("merge", "shards").err


def test_no_image_is_read_outside_of_what_was_named(project, tmp_path_factory):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    outside = tmp_path_factory.mktemp("private")
    shutil.move(artifact / "out", outside / "out")
    file = record(artifact)
    report = json.loads(file.read_text())
    file.write_text(json.dumps({**report, "base": str(outside)}))
    assert merged(project).json["images_absent"] == ["p/fox"]


def test_someone_s_work_in_the_output_folder_is_kept(project):
    project.pipeline(["fox"])
    draw(project, 1, total=1)
    work = project.write("out/p/fox.png", b"retouched")
    done = merged(project, code=1)
    assert (work.read_bytes(), len(done.json["in_the_way"])) == (b"retouched", 1)


@pytest.mark.parametrize(
    "image", ["../../../evil.png", "out/p/../../../evil.png", "/tmp/evil.png", "elsewhere/fox.png"]
)
def test_a_report_does_not_choose_where_images_are_written(project, image):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    file = record(artifact)
    report = json.loads(file.read_text())
    report["cells"][0]["image"] = image
    file.write_text(json.dumps(report))
    assert merged(project, code=2).json["error"]["code"] == "bad_path"
    assert list(project.path.rglob("evil*")) == []


@pytest.mark.parametrize("change", [{"name": "../../evil"}, {"name": ".."}])
def test_a_report_does_not_choose_the_folder_of_the_merged_run(project, change):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    file = record(artifact)
    report = json.loads(file.read_text())
    report["pipeline"] |= change
    file.write_text(json.dumps(report))
    assert merged(project, code=1).json["error"]["code"] == "unreadable_report"


@pytest.mark.parametrize("lock", ["../p.lock.jsonl", "/tmp/p.lock.jsonl", "p.txt", "nowhere/p.lock.jsonl"])
def test_a_run_does_not_choose_which_lock_file_is_written(project, lock):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    file = record(artifact).with_name("shard.json")
    file.write_text(file.read_text().replace('"p.lock.jsonl"', json.dumps(lock), 1))
    assert merged(project, code=2).json["error"]["code"] == "lock_elsewhere"
    done = project.run("merge", "shards", "--lock", "own.lock.jsonl", "--json")
    assert (done.code, (project.path / "own.lock.jsonl").exists()) == (0, True)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema": "krea-pipe/shard@2"}'])
def test_a_record_that_cannot_be_read_is_said_with_its_place(project, text):
    project.pipeline(["fox"])
    artifact, _ = draw(project, 1, total=1)
    file = record(artifact).with_name("shard.json")
    file.write_text(text)
    error = merged(project, code=1).json["error"]
    assert (error["code"], "shard.json" in error["message"]) == ("unreadable_shard", True)


def test_the_record_of_a_shard_follows_the_schema_of_reports(project):
    project.pipeline(WORDS)
    artifact, _ = draw(project, 1)
    schema_of("run-report").validate(json.loads(record(artifact).read_text()))
