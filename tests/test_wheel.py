"""What is installed from a wheel is whole: the schemas and templates are in it, and it runs outside the repository."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_a_wheel_runs_away_from_the_repository(tmp_path):
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    plain = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env = {**plain, "PYTHONPATH": str(site), "KREA_PIPE_HOME": str(tmp_path / "home")}

    def run(*words):
        command = [sys.executable, "-m", "krea_pipe", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout

    run("init")
    assert (tmp_path / "pipeline.schema.json").read_bytes() == (ROOT / "schemas/pipeline.schema.json").read_bytes()
    assert "8 rendered" in run("run", "pipeline.yaml", "--local")
    where = subprocess.run(
        [sys.executable, "-c", "import krea_pipe; print(krea_pipe.__file__)"],
        cwd=tmp_path, env=env, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(site)
