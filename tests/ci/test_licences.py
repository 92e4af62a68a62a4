"""The check of licences, as CI runs it: on a copy of the project, with packages that say what a test wants."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def copy(tmp_path):
    for name in (".ci", "requirements"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/licences.md", tmp_path / "docs")
    return tmp_path


def install(copy, name, *lines):
    """A package beside those that are installed, with these lines of metadata."""
    info = copy / "site" / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    text = "\n".join(["Metadata-Version: 2.4", f"Name: {name}", "Version: 1.0", *lines])
    (info / "METADATA").write_text(f"{text}\n", encoding="utf-8")


def judge(copy, *words):
    environment = os.environ | {"PYTHONPATH": str(copy / "site")}
    script = copy / ".ci/licences.py"
    done = subprocess.run([sys.executable, script, *words], env=environment, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


def lock(copy, name):
    with (copy / "requirements/run.txt").open("a", encoding="utf-8") as file:
        file.write(f"{name}==1.0 \\\n    --hash=sha256:{'0' * 64}\n")


def test_the_page_is_up_to_date_and_names_every_locked_package(copy):
    assert judge(copy) == (0, "")


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: AGPL-3.0-or-later"], "AGPL-3.0-or-later"),
        (["License-Expression: MIT AND GPL-2.0-only"], "MIT AND GPL-2.0-only"),
        (["License-Expression: (MIT OR GPL-2.0-only) AND SSPL-1.0"], "(MIT OR GPL-2.0-only) AND SSPL-1.0"),
        (["License: Proprietary, ask us"], "unknown"),
        (["Classifier: License :: OSI Approved :: BSD License"], "unknown"),
        ([], "unknown"),
    ],
)
def test_a_licence_that_nobody_has_allowed_is_refused(copy, lines, licence):
    install(copy, "lantern", *lines)
    lock(copy, "lantern")
    code, said = judge(copy, "--write")
    assert code == 1
    assert said.startswith(f"licences: lantern: the licence {licence} is not allowed; ")
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    ("lines", "licence"),
    [
        (["License-Expression: mit"], "MIT"),
        (["License-Expression: GPL-2.0-only OR MIT"], "GPL-2.0-only OR MIT"),
        (["License: Apache 2.0"], "Apache-2.0"),
        (["License: a whole text\n        of many lines", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
    ],
)
def test_a_new_package_is_missed_on_the_page_until_that_is_written_anew(copy, lines, licence):
    install(copy, "lantern", *lines)
    lock(copy, "lantern")
    code, said = judge(copy)
    assert code == 1
    assert "docs/licences.md is out of date (lantern)" in said
    assert judge(copy, "--write") == (0, "")
    assert f"| lantern | {licence} |\n" in (copy / "docs/licences.md").read_text(encoding="utf-8")
    assert judge(copy) == (0, "")


def test_a_package_that_changes_its_licence_is_noticed(copy):
    install(copy, "click", "License-Expression: BUSL-1.1")
    code, said = judge(copy)
    assert code == 1
    assert "click: the licence BUSL-1.1 is not allowed" in said


def test_what_only_another_system_installs_is_kept_as_it_was_judged(copy):
    lock(copy, "windows-lantern")
    assert "windows-lantern: the licence unknown is not allowed" in judge(copy)[1]
    page = copy / "docs/licences.md"
    text = page.read_text(encoding="utf-8").replace("| uvicorn |", "| windows-lantern | MIT |\n| uvicorn |")
    page.write_text(text, encoding="utf-8")
    judge(copy, "--write")
    assert judge(copy) == (0, "")
