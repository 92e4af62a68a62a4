"""Other programs read the metadata of delivered images; what is signed stays valid."""

import json
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from krea_server import picture

from krea_pipe.core.contract import SIZES

HERE = Path(__file__).parent
PROMPTS = {"ascii": 'a "brass" lamp, 5: soft', "utf8": "Köln: eine Lampe, 猫"}


@cache
def python_with_readers():
    """This Python, or the first of the path that has the readers, as the environment of `.ci/run` does."""
    words = ["-c", "import c2pa, comfyui_frontend_package, cryptography, sd_parsers"]
    for found in (sys.executable, shutil.which("python")):
        if found and subprocess.run([found, *words], capture_output=True, check=False).returncode == 0:
            return found
    return None


pytestmark = [
    pytest.mark.skipif(python_with_readers() is None, reason="pip install 'krea-pipe[readers]' cryptography"),
    pytest.mark.skipif(shutil.which("node") is None, reason="needs node"),
]


def script(name, *words):
    done = subprocess.run(
        [python_with_readers(), HERE / name, *words], capture_output=True, check=False, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_readers_of_prompts_show_ours_and_what_was_signed_stays_valid(project, krea):
    krea.image(signed := sign(project.path), text="signed")
    words = json.dumps([{"id": name, "text": text} for name, text in {**PROMPTS, "signed": "a signed lamp"}.items()])
    more = "budget: {usd: 1}\ndefaults: {seed: 7}\n"
    project.write("p.yaml", f'version: 1\nprompt: "{{{{ w.text }}}}"\nmatrix: {{w: {words}}}\n{more}')
    assert project.run("run", "p.yaml").code == 0
    files = {name: project.path / f"out/p/{name}.png" for name in (*PROMPTS, "signed")}
    read = json.loads(script("read_metadata.py", *files.values()))
    found = {name: read[str(file)] for name, file in files.items()}
    for name, prompt in PROMPTS.items():
        assert found[name]["sd_parsers"] == [[prompt, 7]]
        assert found[name]["comfyui"]["Description"] == prompt
        assert not found[name]["comfyui"].keys() & {"workflow", "prompt", "parameters", "templates"}
    assert files["signed"].read_bytes() == signed
    assert found["signed"] == {"comfyui": {}, "sd_parsers": None, "c2pa": "Valid"}


def sign(folder):
    plain, signed = folder / "plain.png", folder / "signed.png"
    plain.write_bytes(picture(size=SIZES["1:1"]))
    script("sign_image.py", plain, signed)
    return signed.read_bytes()
