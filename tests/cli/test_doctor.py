"""`krea-pipe doctor`: what is looked at, what is said, and that the key stays secret."""

import os
import subprocess

import pytest
from command_line import KEY

from krea_pipe.app.maintenance.checkup import home_folder_checks

PATH = {"PATH": os.environ.get("PATH", "")}


def doctor(project, *words, env=()):
    done = project.run("doctor", "--json", *words, env=dict(env))
    return done, {one["name"]: one for one in done.json["checks"]}


def test_all_is_well_and_krea_is_asked_one_free_question(project, krea):
    done, found = doctor(project)
    assert (done.code, done.json["ok"]) == (0, True)
    assert [(one.method, one.path) for one in krea.seen] == [("GET", "/jobs")]
    assert {one["state"] for one in found.values()} == {"ok"}
    assert found["key"]["message"] == "from KREA_API_KEY"
    assert found["Krea"]["message"] == f"{krea.base} is reachable and accepts the key"
    assert found["API"]["message"].endswith("a server on this machine, set by KREA_API_BASE")
    assert "click 8" in found["packages"]["message"]
    people = project.run("doctor")
    assert [line.split()[0] for line in people.out.splitlines()] == ["ok"] * len(found)
    assert not project.home.exists()


def test_offline_or_without_a_key_nobody_is_asked(project, krea):
    assert doctor(project, "--offline")[0].code == 0
    done, found = doctor(project, env={"KREA_API_KEY": None})
    assert (done.code, found["key"]["state"], "Krea" in found) == (0, "warning", False)
    assert "KREA_API_KEY" in found["key"]["hint"]
    done, found = doctor(project, env={"KREA_API_KEY": "two words"})
    assert (done.code, found["key"]["state"]) == (1, "problem")
    done, found = doctor(project, env={"KREA_API_BASE": "http://example.com"})
    assert (done.code, found["API"]["state"]) == (1, "problem")
    assert krea.seen == []


@pytest.mark.parametrize(("status", "said"), [(401, "does not know"), (402, "no credit"), (403, "lacks permission")])
def test_a_refused_key_ends_with_4_and_says_why(project, krea, status, said):
    krea.answer("GET", "/jobs", status, {"error": f"your key {KEY} is no good"})
    done, found = doctor(project)
    assert (done.code, found["Krea"]["state"], len(krea.seen)) == (4, "problem", 1)
    assert said in found["Krea"]["message"]
    assert found["Krea"]["hint"]
    assert found["clock"]["state"] == "ok"


def test_a_krea_that_is_broken_or_gone_is_a_problem(project, krea):
    krea.answer("GET", "/jobs", 500, b"oops")
    done, found = doctor(project)
    assert (done.code, found["Krea"]["state"]) == (1, "problem")
    done, found = doctor(project, env={"KREA_API_BASE": "http://127.0.0.1:9"})
    assert (done.code, found["Krea"]["state"]) == (1, "problem")
    assert "no connection" in found["Krea"]["message"]


def test_a_clock_that_is_wrong_is_said(project, krea):
    krea.answer("GET", "/jobs", 200, {"items": []}, headers={"date": "Mon, 01 Jan 2024 00:00:00 GMT"})
    done, found = doctor(project)
    assert (done.code, found["clock"]["state"]) == (0, "warning")
    assert found["clock"]["message"].endswith("s ahead of Krea's")


def test_a_proxy_is_named_without_its_password_and_refused_when_it_can_not_be_used(project, krea):
    there = {"KREA_API_BASE": "https://krea.example", "HTTPS_PROXY": "http://me:hunter2@proxy.example:3128"}
    done, found = doctor(project, "--offline", env=there)
    assert (done.code, found["proxy"]["message"]) == (0, "HTTPS_PROXY (proxy.example:3128)")
    assert "hunter2" not in done.text
    done, found = doctor(project, env={**there, "all_proxy": "socks5://me:hunter2@x:1"})
    assert (done.code, found["proxy"]["state"], "Krea" in found) == (1, "problem", False)
    assert "hunter2" not in done.text


def test_git_is_asked_whether_it_leaves_the_home_folder_alone(project):
    subprocess.run(["git", "init", "-q"], cwd=project.path, check=True)
    done, found = doctor(project, "--offline", env=PATH)
    assert (done.code, found["git"]["state"]) == (0, "warning")
    assert found["git"]["hint"] == f"add .krea-pipe/ to {project.path / '.gitignore'}"
    project.write(".gitignore", ".krea-pipe/\n")
    assert doctor(project, "--offline", env=PATH)[1]["git"]["state"] == "ok"
    assert "git is not installed" in doctor(project, "--offline", env={"PATH": ""})[1]["git"]["message"]


def test_a_home_that_is_in_the_way_is_a_problem(project):
    home = project.write("home", "a file")
    done, found = doctor(project, "--offline", env={"KREA_PIPE_HOME": str(home / "below")})
    assert (done.code, found["home"]["message"]) == (1, f"{home} is not a folder")


@pytest.mark.parametrize(
    ("kind", "state"), [("ext4", "ok"), ("nfs4", "warning"), ("fuse.sshfs", "warning"), ("fuse.fuse-overlayfs", "ok")]
)
def test_a_file_system_of_another_machine_is_warned_of(tmp_path, kind, state):
    home = tmp_path / "with space"
    home.mkdir()
    point = str(home).replace(" ", "\\040")
    mounts = f"/dev/sda1 / ext4 rw 0 0\nserver:/x {point} {kind} rw 0 0\n/dev/sdb /other nfs rw 0 0\n"
    found = {one.name: one for one in home_folder_checks(home, {}, mounts)}
    assert (found["file system"].state, found["file system"].message.split(",")[0]) == (state, kind)
