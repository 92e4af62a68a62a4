"""A pipeline from its file to its report with the engine diffusers, killed in between, and behind `krea-pipe serve`."""

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import tiny_krea
from PIL import Image
from served_krea import SOURCE, served_krea

FILE = """\
version: 1
name: lamp
engine:
  kind: diffusers
  model: ./model
  weights: raw
  revision: v1
  dtype: float32
  device: cpu
  steps: 1
  guidance: 0
  loras: {house: house.safetensors}
defaults: {seed: 7}
stages:
  plain: {prompt: "a {{ thing }}", matrix: {thing: [lamp, boat]}}
  house: {prompt: "a lamp", styles: [house]}
"""
IMAGES = 3
HOSTED = """\
version: 1
name: lamp
budget: {usd: 1}
defaults: {seed: 7, creativity: raw}
prompt: a lamp
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(SOURCE), "PYTHONWARNINGS": "default"}
WORDS = [sys.executable, "-m", "krea_pipe", "run", "lamp.yaml"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with the pipeline, its model and its style."""
    folder = tmp_path_factory.mktemp("made")
    tiny_krea.save_model(folder / "model")
    tiny_krea.save_lora(folder / "house.safetensors")
    (folder / "lamp.yaml").write_text(FILE)
    return folder


@pytest.fixture(scope="module")
def drawn(made):
    """The run of all cells at once."""
    return run(made)


def run(folder: Path) -> str:
    done = subprocess.run(WORDS, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def images_in(folder):
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted((folder / "out").rglob("*.png"))}


def pixels_in(folder):
    """The pixels of the images by name: the files also have the prompt and the request as texts."""
    return {name: Image.open(io.BytesIO(data)).tobytes() for name, data in images_in(folder).items()}


def events_of(folder):
    lines = (folder / ".krea-pipe" / "engine" / "journal.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def report_of(folder):
    [file] = (folder / ".krea-pipe" / "runs").glob("*/report.json")
    return json.loads(file.read_text())


def test_every_cell_is_drawn_once_and_reported_with_its_engine(made, drawn):
    found = images_in(made)
    assert len(found) == IMAGES
    assert len({hashlib.sha256(data).digest() for data in found.values()}) == IMAGES
    assert {Image.open(io.BytesIO(data)).size for data in found.values()} == {(1024, 1024)}
    assert [event["event"] for event in events_of(made)].count("done") == IMAGES
    assert report_of(made)["target"] == {"kind": "engine", "base": "diffusers"}


def test_a_second_run_draws_nothing(made, drawn):
    before = images_in(made)
    assert f"{IMAGES} reused" in run(made)
    assert images_in(made) == before


def test_a_run_that_was_killed_goes_on_with_the_same_images(made, drawn, tmp_path):
    (tmp_path / "model").symlink_to(made / "model")
    for name in ("house.safetensors", "lamp.yaml"):
        shutil.copy(made / name, tmp_path)
    with subprocess.Popen(WORDS, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True) as process:
        assert next(line for line in process.stderr if "/3]" in line).startswith("[1/3]")
        process.send_signal(signal.SIGKILL)
    done = [event for event in events_of(tmp_path) if event["event"] == "done"]
    assert 1 <= len(done) < IMAGES
    run(tmp_path)
    assert pixels_in(tmp_path) == pixels_in(made)
    drawn_keys = [event["key"] for event in events_of(tmp_path) if event["event"] == "done"]
    assert len(drawn_keys) == len(set(drawn_keys)) == IMAGES


def test_the_engine_is_served_as_krea(made, drawn, tmp_path):
    """A pipeline without an engine, which calls the server that has it, gets the engine's pixels."""
    (tmp_path / "lamp.yaml").write_text(HOSTED)
    with served_krea(engine=made / "lamp.yaml") as krea:
        environment = {**ENVIRONMENT, "KREA_API_BASE": krea.base, "KREA_API_KEY": "local"}
        subprocess.run(WORDS, cwd=tmp_path, env=environment, check=True, capture_output=True)
    [found] = pixels_in(tmp_path).values()
    assert found in pixels_in(made).values()
