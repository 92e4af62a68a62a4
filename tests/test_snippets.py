"""The Quickstart snippets of Krea's documentation run against `krea-pipe serve`, with only the base URL changed."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from krea_server import DEADLINE
from PIL import Image
from served_krea import served_krea

SNIPPETS = Path(__file__).parent / "snippets"
BASE = "https://api.krea.ai"
PIXELS = (928, 1152)  # 4:5, which both snippets ask for


@pytest.fixture(scope="module")
def krea():
    with served_krea(latency=0, token="snippet-token") as krea:
        yield krea


def read_snippet(name, base):
    text = (SNIPPETS / name).read_text(encoding="utf-8")
    assert text.count(BASE) > 0
    return text.replace(BASE, base)


def run(command, folder) -> str:
    """What a command prints, in an environment with a token and little else."""
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "KREA_API_TOKEN": "snippet-token"}
    done = subprocess.run(
        command, cwd=folder, env=env, check=False, capture_output=True, text=True, timeout=2 * DEADLINE
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_curl_snippet_submits_and_polls(krea, tmp_path):
    assert shutil.which("curl"), "this test runs curl, which is missing: apt-get install curl"
    submit, poll = read_snippet("quickstart.sh", krea.base).split("\n\n")
    accepted = json.loads(run(["bash", "-euc", submit], tmp_path))
    assert (accepted["status"], accepted["result"]) == ("queued", None)
    assert poll.count("<job_id>") == 1
    job = json.loads(run(["bash", "-euc", poll.replace("<job_id>", accepted["job_id"])], tmp_path))
    assert (job["job_id"], job["status"]) == (accepted["job_id"], "completed")
    assert_shows_an_image(job["result"]["urls"])


def test_the_python_snippet_waits_and_prints_the_urls(krea, tmp_path):
    printed = run([sys.executable, "-c", read_snippet("quickstart.py", krea.base)], tmp_path)
    assert_shows_an_image(ast.literal_eval(printed))


def assert_shows_an_image(urls):
    [url] = urls
    image = Image.open(io.BytesIO(httpx.get(url, trust_env=False, timeout=DEADLINE).content))
    assert (image.format, image.size) == ("PNG", PIXELS)
