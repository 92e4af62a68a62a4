"""`run --prune` and `verify --strict`: what no cell produces any more goes, and nothing that is anybody else's."""

import shutil

import pytest

TEXT = "version: 1\nname: lamp\nbudget: {{usd: 9}}\nprompt: a {{{{ s }}}}\nmatrix: {{s: [{words}]}}\n{more}"
WEB = 'deliver: [{format: webp, longest: 64, path: "web/{{ s }}/small"}]\n'


def write(project, words, more="", name="lamp.yaml"):
    return project.write(name, TEXT.format(words=words, more=more))


def files(project, folder="out/lamp"):
    return sorted(
        path.relative_to(project.path / folder).as_posix()
        for path in (project.path / folder).rglob("*")
        if not path.is_dir()
    )


def run(project, *words, code=0):
    done = project.run("run", "lamp.yaml", *words)
    assert done.code == code, done.text
    return done


@pytest.fixture
def drawn(project):
    """A pipeline whose axis has lost two values, and whose recipe is gone."""
    write(project, "slate, oak, bone", WEB)
    run(project)
    images = ["bone.png", "oak.png", "slate.png"]
    assert files(project) == [*images, *(f"web/{name.removesuffix('.png')}/small.webp" for name in images)]
    write(project, "slate")
    return project


def test_what_no_cell_produces_is_listed_and_removed_with_its_folders(drawn):
    before = files(drawn)
    stale = [path for path in before if path != "slate.png"]
    strict = drawn.run("verify", "lamp.yaml", "--strict", "--json")
    assert (strict.code, strict.json["stale"]) == (8, stale)
    assert "stale" not in drawn.run("verify", "lamp.yaml", "--json").json
    said = drawn.run("verify", "lamp.yaml", "--strict")
    assert [line for line in said.out.splitlines() if line.startswith("no cell")] == [
        f"no cell produces out/lamp/{path}" for path in stale
    ]
    assert "krea-pipe run lamp.yaml --prune" in said.text
    assert files(drawn) == before
    run(drawn)
    assert files(drawn) == before  # only with --prune
    done = run(drawn, "--prune")
    assert [line for line in done.out.splitlines() if line.startswith("removed")] == [
        f"removed out/lamp/{path}" for path in stale
    ]
    assert files(drawn) == ["slate.png"]
    assert not (drawn.path / "out/lamp/web").exists()
    assert drawn.run("verify", "lamp.yaml", "--strict").code == 0
    assert run(drawn, "--prune", "--json").json["pruned"] == []
    write(drawn, "slate, oak")
    assert drawn.plan(file="lamp.yaml")["oak"] == ("reuse", "cached")  # the image itself stays in the store


def test_nothing_that_is_not_ours_byte_for_byte_is_removed(drawn, tmp_path):
    out = drawn.path / "out/lamp"
    shutil.copy(out / "slate.png", out / "copy.png")  # ours by its mark, and not delivered here
    (out / "oak.png").write_bytes((out / "oak.png").read_bytes() + b"!")
    (out / "web/oak/small.webp").unlink()
    (out / "web/oak/small.webp").symlink_to(out / "slate.png")
    away = drawn.path / "elsewhere"
    shutil.move(out / "web", away)
    (out / "web").symlink_to(away)  # a folder behind a link is not looked into
    (out / "notes.txt").write_text("mine")
    kept = [path for path in files(drawn) if "bone" not in path]
    run(drawn, "--prune")
    assert files(drawn) == kept
    assert sorted(path.name for path in away.iterdir()) == ["bone", "oak", "slate"]


def test_files_of_other_pipelines_and_settings_stay(project):
    write(project, "slate, oak")
    write(project, "pine", name="other.yaml")  # of the same name, so in the same folder
    run(project)
    assert project.run("run", "other.yaml").code == 0
    profiles = "profiles: {wide: {matrix: {s: [elm]}}}\n"
    write(project, "slate, oak", profiles)
    run(project, "--profile", "wide")
    write(project, "slate", profiles)
    for options in (["--profile", "wide"], ["--set", "variant=large"], ["--shard", "1/2"], ["--on", "ray"]):
        refused = run(project, "--prune", *options, code=2)
        assert "--prune" in refused.err
    run(project, "-k", "slate", "--prune")
    assert files(project) == ["elm.png", "pine.png", "slate.png"]
    strict = project.run("verify", "lamp.yaml", "--strict", "--set", "variant=large", "--lock", "x.lock.jsonl")
    assert strict.code == 2


def test_a_selection_prunes_only_what_no_cell_of_the_whole_pipeline_produces(project):
    write(project, "slate, oak, bone")
    run(project)
    write(project, "slate, oak")
    run(project, "-k", "slate", "--prune")
    assert files(project) == ["oak.png", "slate.png"]
    assert project.run("run", "lamp.yaml", "--local", "--prune").code == 0
    write(project, "slate")
    run(project, "--local", "--prune")
    assert (files(project), files(project, "proofs/lamp")) == (["oak.png", "slate.png"], ["slate.png"])


def test_files_of_a_stage_that_waits_for_picks_stay(project):
    stages = (
        "version: 1\nname: lamp\nbudget: {{usd: 9}}\nstages:\n"
        "  draft: {{prompt: 'a {{{{ s }}}}', matrix: {{s: [{words}]}}}}\n"
        "  final: {{for_each: draft, picks: picks/draft.yaml, promote: {{variant: large}}}}\n"
    )
    project.write("lamp.yaml", stages.format(words="slate, oak"))
    project.write("picks/draft.yaml", "- {pick: draft/slate}\n")
    run(project)
    project.write("picks/draft.yaml", "[]\n")
    project.write("lamp.yaml", stages.format(words="slate"))
    run(project, "--prune", code=6)
    assert files(project) == ["draft/slate.png", "final/slate.png"]


def test_several_pipelines_are_each_pruned(project):
    write(project, "slate, oak")
    project.write("mug.yaml", TEXT.format(words="red, blue", more="").replace("lamp", "mug"))
    assert project.run("run", "lamp.yaml", "mug.yaml").code == 0
    write(project, "slate")
    project.write("mug.yaml", TEXT.format(words="red", more="").replace("lamp", "mug"))
    done = project.run("run", "lamp.yaml", "mug.yaml", "--prune", "--json")
    assert [one["result"]["pruned"] for one in done.json["files"]] == [["oak.png"], ["blue.png"]]
    assert (files(project), files(project, "out/mug")) == (["slate.png"], ["red.png"])


def test_without_a_store_marks_tell_what_is_stale(drawn):
    shutil.rmtree(drawn.home)
    strict = drawn.run("verify", "lamp.yaml", "--strict", "--json")
    assert strict.json["stale"] == [path for path in files(drawn) if path != "slate.png"]
    run(drawn, "--prune")
    assert len(files(drawn)) == 6  # a store that has not delivered them removes nothing


def test_takes_of_a_reroll_stay_as_long_as_their_cell(project):
    write(project, "slate, oak")
    assert project.run("reroll", "lamp.yaml", "slate", "oak", "--count", "1").code == 0
    write(project, "slate")
    run(project, "--prune")
    assert files(project) == ["rerolls/lamp/slate/s2.png", "slate.png"]


def test_a_path_that_differs_in_case_alone_may_be_the_same_file(project):
    write(project, "slate, oak", 'out: "{{ s }}"\n')
    run(project)
    write(project, "slate, oak", 'out: "{{ s | title }}"\n')
    run(project, "--prune")
    assert files(project) == ["Oak.png", "Slate.png", "oak.png", "slate.png"]
