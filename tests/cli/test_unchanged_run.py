"""A run that has nothing to do and would report the same again names the last report; any other run writes one."""

import json

import pytest

import krea_pipe
from krea_pipe.app import run_pipeline

TEXT = """\
version: 1
name: lamp
budget: {usd: 9}
prompt: a {{ word }}
matrix: {word: [oak, slate]}
"""
RECIPE = "deliver: [{format: webp, longest: 64}]\n"
CHAINED = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  a: {prompt: "a {{ w }}", matrix: {w: [x, y]}}
  b: {for_each: a, picks: {file: picks/a.yaml, min: 1}, promote: {}}
"""
CHECK = "checks: {wide: {measure: width, min: 1}}\n"


def run(project, *words, code=0, env=()):
    done = project.run("run", "lamp.yaml", "--json", *words, env=env)
    assert done.code == code, done.text
    return done.json["run_id"]


def runs(project):
    return sorted(path.name for path in (project.home / "runs").iterdir())


def settle(project, text=TEXT):
    """Run a pipeline until nothing changes, and return the last run."""
    project.write("lamp.yaml", text)
    first, second = run(project), run(project)
    assert first != second
    return second


@pytest.fixture
def last(project):
    return settle(project)


def test_a_run_that_would_say_the_same_again_writes_nothing(project, last):
    before, journal = runs(project), project.journal()
    order = (project.home / "run-order.txt").read_text()
    done = project.run("run", "lamp.yaml", "--json")
    assert (done.json["run_id"], done.counts) == (last, (0, 0, 2))
    assert done.json == {**project.run("run", "lamp.yaml", "--json", env={"CI": "true"}).json, **paths(done)}
    said = project.run("run", "lamp.yaml")
    assert "2 images: 2 reused. $0.00 spent" in said.out
    assert len(runs(project)) == len(before) + 1, "only the one in CI is new"
    assert project.journal() == journal
    assert order in (project.home / "run-order.txt").read_text()


def paths(done):
    return {name: done.json[name] for name in ("run_id", "report", "page")}


def test_the_report_that_is_named_says_so(project, last):
    said = project.run("run", "lamp.yaml")
    assert (
        f"report  .krea-pipe/runs/{last}/report.html (of an earlier run; nothing has changed)" in said.out.splitlines()
    )
    assert said.err == ""


def test_the_first_run_after_images_were_made_reports_that_they_are_reused(project):
    project.write("lamp.yaml", TEXT)
    assert project.run("run", "lamp.yaml", "--json").counts == (2, 0, 0)
    again = project.run("run", "lamp.yaml", "--json")
    assert (again.counts, {row["status"] for row in again.report["cells"]}) == ((0, 0, 2), {"reused"})


def lose(project, name):
    (project.path / name).unlink()


def remove_thumbnails(project, last):
    folder = project.home / "runs" / last / "thumbnails"
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()


CHANGES = {
    "an image is missing": lambda project, _: lose(project, "out/lamp/oak.png"),
    "the text of the file": lambda project, _: project.write("lamp.yaml", f"# a comment\n{TEXT}"),
    "how the page opens": lambda project, _: project.write("lamp.yaml", f"{TEXT}report: {{size: 200}}\n"),
    "picks": lambda project, _: project.write("picks/lamp.yaml", "picks: [oak]\n"),
    "a lost page": lambda project, last: lose(project, f".krea-pipe/runs/{last}/report.html"),
    "a lost table": lambda project, last: lose(project, f".krea-pipe/runs/{last}/results.csv"),
    "a lost record": lambda project, last: lose(project, f".krea-pipe/runs/{last}/report.json"),
    "lost small pictures": remove_thumbnails,
    "a lost digest": lambda project, last: lose(project, f".krea-pipe/runs/{last}/state.txt"),
    "a damaged digest": lambda project, last: project.write(f".krea-pipe/runs/{last}/state.txt", b"\xff\n"),
    "an empty digest": lambda project, last: project.write(f".krea-pipe/runs/{last}/state.txt", ""),
    "a line of the lock file is missing": lambda project, _: lose(project, "lamp.lock.jsonl"),
}


def test_a_damaged_lock_file_is_refused_before_anything_is_done(project, last):
    before = (project.path / "lamp.lock.jsonl").read_text()
    project.write("lamp.lock.jsonl", before + "<<<<<<<\n")
    done = project.run("run", "lamp.yaml", "--json")
    assert (done.code, done.json["error"]["code"], len(runs(project))) == (2, "merge_conflict", 2)
    project.write("lamp.lock.jsonl", before)
    assert run(project) == last


def test_an_image_that_is_not_the_accepted_one_is_reported_each_time(project, last):
    lines = (project.path / "lamp.lock.jsonl").read_text().splitlines()
    drawn = [json.loads(line) for line in lines]
    project.write("lamp.lock.jsonl", "".join(json.dumps(line | {"sha256": "0" * 64}) + "\n" for line in drawn))
    drifted = [project.run("run", "lamp.yaml", "--json").json for _ in range(3)]
    assert [len(said["lock"]["drifted"]) for said in drifted] == [2, 2, 2]
    assert len({said["run_id"] for said in drifted} | {last}) == 4


def test_a_lock_file_that_someone_changes_while_a_run_reports_is_looked_at_again(project, monkeypatch):
    project.write("lamp.yaml", TEXT)
    run(project)
    lock, write = project.path / "lamp.lock.jsonl", run_pipeline.write_report
    before = lock.read_text()

    def write_meanwhile(*args, **options):
        lock.write_text(before.splitlines(keepends=True)[0])
        write(*args, **options)

    monkeypatch.setattr(run_pipeline, "write_report", write_meanwhile)
    second = run(project)
    monkeypatch.undo()
    assert run(project) != second
    assert lock.read_text() == before


@pytest.mark.parametrize("change", CHANGES)
def test_a_report_is_written_when_something_has_changed(project, last, change):
    CHANGES[change](project, last)
    new = run(project)
    assert new not in (last, run(project, env={"CI": "1"}))
    assert new in runs(project)


@pytest.mark.parametrize(
    "words",
    [("-k", "oak"), ("--max-cost", "3"), ("--out", "elsewhere"), ("--set", "variant=medium"), ("--shard", "1/1")],
    ids=" ".join,
)
def test_a_report_is_written_for_other_options(project, last, words):
    assert run(project, *words) != last


def test_a_report_is_written_in_ci(project, last):
    assert len({last, run(project, env={"CI": "true"}), run(project, env={"GITHUB_ACTIONS": "true"})}) == 3


def test_a_report_is_written_after_a_run_of_another_pipeline(project, last):
    project.write("other.yaml", TEXT.replace("lamp", "other").replace("oak, slate", "bone"))
    assert project.run("run", "other.yaml").code == 0
    assert run(project) != last


def test_a_changed_file_in_the_output_folder_is_reported(project, last):
    project.write("out/lamp/oak.png", b"not an image")
    assert run(project, code=1) != last


def test_checks_are_made_and_reported_each_time(project):
    last = settle(project, TEXT + CHECK + "defaults: {checks: [wide]}\n")
    assert run(project) != last


def test_files_of_recipes_are_part_of_the_state(project):
    last = settle(project, TEXT + RECIPE)
    made = next((project.path / "out/lamp").rglob("*.webp"))
    same = project.run("run", "lamp.yaml", "--json")
    assert (same.json["run_id"], same.json["delivered"]) == (last, {"made": 0, "current": 2, "kept": 0, "failed": 0})
    made.unlink()
    assert run(project) != last
    assert made.exists()


def test_a_stale_file_is_removed_and_reported(project, last):
    project.write("lamp.yaml", TEXT.replace("oak, slate", "oak"))
    without = [run(project), run(project)]
    assert without[0] == without[1]
    pruned = project.run("run", "lamp.yaml", "--json", "--prune").json
    assert (pruned["pruned"], pruned["run_id"] == without[0]) == (["slate.png"], False)
    same = project.run("run", "lamp.yaml", "--json", "--prune").json
    assert (same["pruned"], same["run_id"]) == ([], pruned["run_id"])


def test_a_stage_that_waits_is_reported_each_time(project):
    project.write("lamp.yaml", CHAINED)
    assert len({run(project, code=6) for _ in range(3)}) == 3


def test_the_python_api_gets_the_rows_of_each_run(project, last, monkeypatch):
    monkeypatch.chdir(project.path)
    for name, value in project.environment({}).items():
        monkeypatch.setenv(name, value)
    done = krea_pipe.run(krea_pipe.load("lamp.yaml"))
    assert len(done.report.rows) == 2
