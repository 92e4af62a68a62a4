"""The image, as far as it can be known without a container engine: what its file says, and that its build works."""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    tuple(line.split(maxsplit=1))
    for line in re.sub(r"\\\n\s*", "", re.sub(r"^#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
    if line.strip()
]


def said(word):
    return [rest for step, rest in STEPS if step == word]


def stage(number):
    """The steps of one stage, counted from 0."""
    starts = [index for index, (step, _) in enumerate(STEPS) if step == "FROM"] + [len(STEPS)]
    return STEPS[starts[number] : starts[number + 1]]


def is_ignored(name):
    """Whether .dockerignore keeps a path out; the last rule that fits counts."""
    ignored = False
    for rule in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        pattern = rule.removeprefix("!")
        if rule and not rule.startswith("#") and (fnmatch(name, pattern) or fnmatch(name, f"{pattern}/*")):
            ignored = not rule.startswith("!")
    return ignored


def test_hadolint_has_nothing_to_say():
    done = subprocess.run([shutil.which("hadolint", path=Path(sys.executable).parent), ROOT / "Dockerfile"], text=True)
    assert done.returncode == 0


def test_it_runs_as_a_user_that_is_not_root_in_the_mounted_folder():
    final = dict(stage(1))
    assert final["USER"] == "1000:1000"
    assert final["WORKDIR"] == "/work"
    assert final["ENTRYPOINT"] == '["krea-pipe"]'
    assert "KREA_PIPE_HOME" not in TEXT
    assert [step for step, _ in STEPS][-4:] == ["USER", "WORKDIR", "ENTRYPOINT", "CMD"], "nothing of root comes after"


def test_its_base_is_named_once_by_a_version_and_slim():
    (base,) = (rest.removeprefix("BASE=") for rest in said("ARG") if rest.startswith("BASE="))
    assert re.fullmatch(r"python:3\.\d+-slim-[a-z]+", base)
    assert said("FROM") == ["${BASE} AS build", "${BASE}"], "both stages have the same Python, which the files need"


def test_git_trusts_the_mounted_folder_and_no_other():
    settings = re.findall(r"git config --system (?:--add )?(\S+) (\S+)", " ".join(said("RUN")))
    assert settings == [
        ("safe.directory", "/work"),
        ("safe.directory", "'/work/*'"),
        ("safe.bareRepository", "explicit"),
    ]


def test_all_that_is_copied_is_there_and_not_ignored_and_all_else_is():
    copied = [name for rest in said("COPY") if "--from" not in rest for name in rest.split()[:-1]]
    assert len(copied) > 4
    for name in copied:
        assert (ROOT / name).exists()
        assert not is_ignored(name)
    for name in (".git/config", ".env", "krea_pipe/__pycache__/x.pyc", "out/a.png", ".krea-pipe/live/journal.jsonl"):
        assert is_ignored(name)


def test_the_steps_of_its_build_install_a_program_that_runs(tmp_path):
    places = {place: tmp_path / place.strip("/") for place in ("/opt/krea-pipe", "/opt/build", "/wheels", "/src")}
    places["/src"].mkdir()
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("PYTHON")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    for step, rest in stage(0):
        if step == "COPY":
            *names, target = rest.split()
            for name in names:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copied = places["/src"] / (target if (ROOT / name).is_dir() else f"{target}{Path(name).name}")
                copied.parent.mkdir(exist_ok=True)
                copy(ROOT / name, copied)
        elif step == "RUN":
            command = re.sub("|".join(places), lambda found: str(places[found[0]]), rest)
            subprocess.run(["sh", "-ec", command], cwd=places["/src"], env=environment, check=True, capture_output=True)
    home = {"PATH": f"{places['/opt/krea-pipe']}/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(["krea-pipe", "init"], cwd=tmp_path, env=home, check=True, capture_output=True)
    assert b"pipeline.yaml" in done.stdout
