"""A home folder of an earlier build is read as before. `golden/home` was written by the build before the rooms.

Its run has a chain over picks, a job that was adopted after a lost answer, a request whose answer stayed lost, and a
training; its images are one picture of 1024 x 1024 pixels. `plan.json` is what that build said of it.
"""

import json
import shutil
from pathlib import Path

import pytest

KEPT = Path(__file__).parents[1] / "golden/home"
ENVIRONMENT = {"KREA_API_KEY": "kept-home-key", "KREA_API_BASE": "http://127.0.0.1:18377"}


@pytest.fixture
def kept(project):
    shutil.copytree(KEPT, project.path, dirs_exist_ok=True)
    (project.path / "home").rename(project.home)
    return project


def test_it_plans_the_same(kept):
    done = kept.run("plan", "old.yaml", "--json", env=ENVIRONMENT)
    assert done.code == 0, done.text
    said = done.json
    assert said.pop("in_the_way") == []
    assert (said.pop("price_usd"), said.pop("at_most_usd")) == ("0.03", "0.03")
    for totals in (said["totals"], *said["stages"]):
        assert totals.pop("fetch")["requests"] == 0
    assert said == json.loads((KEPT / "plan.json").read_text(encoding="utf-8"))


def test_without_the_facts_its_journal_and_images_say_the_same(kept):
    shutil.rmtree(kept.home / "loopback/facts")
    planned = kept.run("plan", "old.yaml", "--json", env=ENVIRONMENT).json
    before = json.loads((KEPT / "plan.json").read_text(encoding="utf-8"))
    assert planned["totals"].pop("fetch")["requests"] == 0
    assert (planned["totals"], planned["reach"]) == (before["totals"], before["reach"])


def test_its_training_is_known_and_its_accepted_images_are_there(kept):
    trained = kept.run(
        "styles", "train", "old.yaml", "house", "--name", "house", "--max-cost", "2", "--json", env=ENVIRONMENT
    )
    assert trained.code == 0, trained.text
    assert trained.json["style_id"].startswith("st_")
    assert kept.run("check", "old.yaml", "--exclude", "lost-for-good or never-answered", env=ENVIRONMENT).code == 0
    assert "never-answered" in kept.run("status", env=ENVIRONMENT).out
