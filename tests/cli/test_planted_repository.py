"""A pull request may bring a folder that looks like a repository, whose settings name programs: none of them runs."""

import os
import subprocess

GIT = {"PATH": os.environ["PATH"]}


def test_a_folder_that_looks_like_a_repository_runs_nothing(project):
    top, planted = project.path, project.path / "planted"
    mark = top / "ran"
    for words in (["init", "-q", "."], ["init", "-q", "--bare", "planted"]):
        subprocess.run(["git", *words], cwd=top, check=True)
    project.write("planted/p.yaml", "version: 1\nprompt: a lamp\n")
    project.write("planted/.gitattributes", "* filter=x\n")
    inside = ["git", "--git-dir=.", "--work-tree=.", "-c", "user.name=t", "-c", "user.email=t@localhost"]
    subprocess.run([*inside, "add", "-f", "p.yaml"], cwd=planted, check=True)
    subprocess.run([*inside, "commit", "-qm", "x"], cwd=planted, check=True)
    with (planted / "config").open("a") as config:
        config.write(
            f'[core]\nbare = false\nworktree = .\nfsmonitor = touch {mark}\n[filter "x"]\nclean = touch {mark}\n'
        )
    project.write("planted/p.yaml", "version: 1\nprompt: a vase\n")
    done = project.run("run", "planted/p.yaml", "--local", env=GIT)
    assert done.code == 0, done.text
    assert not mark.exists()
    assert project.run("validate", "--staged", env=GIT).code == 0
    assert not mark.exists()
