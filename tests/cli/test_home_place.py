"""Which home folder a pipeline has: found from its file, in git repositories, work trees and submodules."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

REUSE, NEW = {("reuse", "cached")}, {("new", "new")}


def git(folder, *words):
    names = ("-c", "user.name=t", "-c", "user.email=t@localhost", "-c", "protocol.file.allow=always")
    subprocess.run(["git", *names, *words], cwd=folder, check=True, capture_output=True)


def repository(project, name):
    """A repository in a folder of the project, with a pipeline in a folder of its own."""
    folder = project.path / name
    project.pipeline(["a", "b"], name=f"{name}/sub/p.yaml")
    project.write(f"{name}/.gitignore", ".krea-pipe/\nout/\n")
    git(folder, "init", "-q", "-b", "main", ".")
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "x")
    return folder


def homes(project):
    return sorted(one.relative_to(project.path).as_posix() for one in project.path.rglob(".krea-pipe"))


def at(project, folder):
    """Give commands another working folder."""
    project.path = Path(folder)


def plan(project, file):
    return set(project.plan(file=str(file)).values())


def drawn(project, file):
    done = project.run("run", file, "--json")
    assert done.code == 0, done.text
    return done


def test_a_new_home_is_made_at_the_top_of_the_repository_and_found_from_every_folder(project, krea):
    top, start = repository(project, "repo"), project.path
    file = top / "sub/p.yaml"
    drawn(project, file)
    assert homes(project) == ["repo/.krea-pipe"]
    for folder in (start, top, top / "sub"):
        at(project, folder)
        assert plan(project, file) == REUSE
    assert project.run("report", "--json").code == 0
    assert len(krea.posts) == 2


def test_git_ignores_a_new_home(project):
    top = repository(project, "repo")
    (top / ".gitignore").unlink()
    drawn(project, top / "sub/p.yaml")
    git(top, "add", "-A")
    assert plan(project, top / "sub/p.yaml") == REUSE


def test_the_nearest_home_up_to_the_top_is_taken(project):
    top = repository(project, "repo")
    (top / "sub/.krea-pipe").mkdir()
    (project.path / ".krea-pipe").mkdir()
    drawn(project, "repo/sub/p.yaml")
    assert (top / "sub/.krea-pipe/loopback/journal.jsonl").is_file()
    assert list((project.path / ".krea-pipe").iterdir()) == []
    assert not (top / ".krea-pipe").exists()


def test_outside_of_git_the_home_is_beside_the_pipeline(project):
    file = project.pipeline(["a"], name="sub/p.yaml")
    drawn(project, "sub/p.yaml")
    assert homes(project) == ["sub/.krea-pipe"]
    at(project, file.parent)
    assert plan(project, "p.yaml") == REUSE


def test_a_linked_work_tree_shares_the_home_of_the_main_one(project, krea):
    top = repository(project, "repo")
    for number, options in enumerate(((), ("--relative",))):
        name = f"linked{number}"
        git(top, "worktree", "add", "-q", "-b", name, f"../{name}")
        if options:  # as newer versions of git write it with worktree.useRelativePaths
            project.write(f"{name}/.git", f"gitdir: ../repo/.git/worktrees/{name}\n")
            project.write(f"repo/.git/worktrees/{name}/gitdir", f"../../../../{name}/.git\n")
        file = project.path / name / "sub/p.yaml"
        drawn(project, file)
        assert homes(project) == ["repo/.krea-pipe"]
    assert plan(project, top / "sub/p.yaml") == REUSE
    at(project, project.path / "linked0/sub")
    assert project.run("report", "--json").code == 0
    assert len(krea.posts) == 2


def test_work_trees_of_a_bare_repository_in_a_folder_share_a_home_beside_it(project, krea):
    repository(project, "repo")
    git(project.path, "clone", "-q", "--bare", "repo", "all/.git")
    for name in ("one", "two"):
        git(project.path / "all", "worktree", "add", "-q", "-b", name, name)
        drawn(project, project.path / "all" / name / "sub/p.yaml")
    assert (homes(project), len(krea.posts)) == (["all/.krea-pipe"], 2)


def test_a_folder_that_only_claims_to_be_a_linked_work_tree_has_a_home_of_its_own(project):
    top = repository(project, "repo")
    git(top, "worktree", "add", "-q", "-b", "linked", "../linked")
    shutil.copytree(project.path / "linked", project.path / "copy")
    drawn(project, "copy/sub/p.yaml")
    assert homes(project) == ["copy/.krea-pipe"]


def test_a_submodule_and_another_repository_have_their_own_homes_from_wherever_they_are_run(project, krea):
    repository(project, "library")
    top = repository(project, "repo")
    git(top, "submodule", "add", "-q", "../library", "module")
    git(top, "commit", "-qm", "module")
    at(project, top)
    drawn(project, "module/sub/p.yaml")
    assert homes(project) == ["module/.krea-pipe"]
    assert plan(project, "sub/p.yaml") == NEW
    assert plan(project, "../library/sub/p.yaml") == NEW
    at(project, top / "module/sub")
    assert plan(project, "p.yaml") == REUSE
    git(top / "module", "worktree", "add", "-q", "-b", "linked", "../../linked")
    assert plan(project, top.parent / "linked/sub/p.yaml") == REUSE
    assert len(krea.posts) == 2


def test_a_home_that_the_environment_names_is_taken(project):
    top = repository(project, "repo")
    (top / ".krea-pipe").mkdir()
    done = project.run("run", "repo/sub/p.yaml", env={"KREA_PIPE_HOME": "elsewhere"})
    assert done.code == 0
    assert (project.path / "elsewhere/loopback/journal.jsonl").is_file()
    assert list((top / ".krea-pipe").iterdir()) == []


def test_a_tilde_stands_for_the_folder_of_the_user_in_options_and_the_environment(project):
    project.pipeline(["a"])
    home = {"HOME": str(project.path / "me"), "KREA_PIPE_HOME": "~/state"}
    done = project.run("run", "p.yaml", "--out=~/images", "--events=~/log/events.jsonl", env=home)
    assert done.code == 0, done.text
    for name in ("state/loopback/journal.jsonl", "images/a.png", "log/events.jsonl"):
        assert (project.path / "me" / name).is_file(), name
    assert not (project.path / "~").exists()
    assert project.run("verify", "p.yaml", "--out", "~/images", env=home).code == 0


def test_a_tilde_with_a_name_stands_for_the_folder_of_that_user(project):
    user = pytest.importorskip("pwd").getpwuid(os.getuid())
    done = project.run("plan", f"~{user.pw_name}/no-such-folder/p.yaml")
    assert (done.code, f"{user.pw_dir}/no-such-folder/p.yaml" in done.err) == (2, True)


@pytest.mark.parametrize("words", [("plan", "~no-such-user/p.yaml"), ("run", "p.yaml", "--out=~no-such-user/x")])
def test_a_tilde_with_the_name_of_nobody_is_said(project, words):
    project.pipeline(["a"])
    done = project.run(*words)
    assert (done.code, "a user who does not exist" in done.err) == (2, True)


def test_a_home_of_nobody_is_said(project):
    project.pipeline(["a"])
    done = project.run("plan", "p.yaml", env={"KREA_PIPE_HOME": "~no-such-user/x"})
    assert (done.code, "KREA_PIPE_HOME is the folder of a user who does not exist" in done.err) == (2, True)
