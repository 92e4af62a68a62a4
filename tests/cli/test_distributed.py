"""`run --on ray`, up to the cluster: what is refused before anything is sent. `tests/ci/test_ray.py` has a cluster."""

import os

import pytest
from krea_server import until
from money import kill

WORDS = ["a", "b"]
RAY = ("--on", "ray", "--shards", "2", "--ray-address", "127.0.0.1:1")


def refused(project, *words, code=2, env=()):
    """The error of a run; a run with a store has a process of its own, as obstore bears no fork after it is used."""
    shared = {"KREA_PIPE_REMOTE": (project.path / "store").as_uri(), **dict(env)}
    done = project.spawn("run", "p.yaml", "--json", *words, env=shared)
    assert done.code == code, done.text
    assert project.krea.seen == []
    assert done.json["error"]["hint"]
    return done.json["error"]


@pytest.fixture(autouse=True)
def pipeline(project):
    project.pipeline(WORDS)


MISSING = [
    (("--shards", "2"), {}, "--shards requires --on"),
    (("--ray-address", "auto"), {}, "--ray-address requires --on"),
    (("--on", "ray"), {}, "--on needs the number of shards"),
    (("--on", "ray", "--shards", "2"), {}, "no Ray cluster is specified"),
    (RAY, {"KREA_PIPE_REMOTE": None}, "--on needs a shared store"),
    (RAY, {"KREA_PIPE_REMOTE_MODE": "read"}, "is read-only here"),
    ((*RAY, "--budget-name", "a b"), {}, "--budget-name 'a b' is not a valid name"),
    ((*RAY, "--allow-render"), {}, "--allow-render needs --frozen"),
    ((*RAY, "-k", "status:failed"), {}, "cells cannot be selected by status with --on"),
]


@pytest.mark.parametrize(("words", "env", "said"), MISSING)
def test_what_is_missing_or_does_not_fit_is_named_with_what_to_do(project, words, env, said):
    assert said in refused(project, *words, env=env)["message"]


OTHERS = [
    ("--local",),
    ("--shard", "1/2"),
    ("--max-new", "1"),
    ("--webhook-url", "https://example.org/x"),
    ("--webhook-listen", "127.0.0.1:0"),
    ("--overwrite-changed",),
    ("--keep-both",),
    ("--without-claims",),
    ("--events", "log.jsonl"),
    ("--notify", "desktop"),
]


@pytest.mark.parametrize("words", OTHERS, ids=lambda words: words[0])
def test_an_option_that_means_nothing_on_other_machines_is_refused(project, words):
    assert f"{words[0]} cannot be used with --on" in refused(project, *RAY, *words)["message"]


def test_ray_that_is_not_installed_is_named_after_the_plan_and_before_anything_is_sent(project):
    assert without_ray(project)["code"] == "no_ray"


def test_a_plan_over_the_budget_is_refused_here(project):
    project.pipeline(WORDS, more="budget: {usd: 0.05}")
    assert refused(project, *RAY, code=5)["code"] == "over_budget"


def test_a_frozen_run_looks_at_the_lock_file_here(project):
    assert refused(project, *RAY, "--frozen", code=8)["code"] == "not_locked"


def test_what_only_this_home_knows_to_be_in_flight_is_finished_here_first(project, krea):
    krea.world.latency = 1e6
    run = project.start("run", "p.yaml")
    assert until(lambda: len(project.events("submitted")) == 2, "both jobs")
    kill(run)
    krea.seen.clear()
    error = refused(project, *RAY)
    assert error["code"] == "in_flight_here"
    assert "2 requests are in flight in this home folder: p/a, p/b" in error["message"]


def test_files_that_do_not_make_the_same_requests_elsewhere_are_refused(project):
    project.write("kept/real.txt", "oak\nslate\n")
    (project.path / "words.txt").symlink_to(project.path / "kept" / "real.txt")
    project.write("p.yaml", 'version: 1\nbudget: {usd: 1}\nprompt: "{{ w }}"\nmatrix: {w: {words: words.txt}}\n')
    error = refused(project, *RAY)
    assert (error["code"], "on another machine" in error["message"]) == ("not_portable", True)


def test_what_is_stored_here_is_shared_before_the_shards_begin(project, krea):
    assert project.run("run", "p.yaml").code == 0
    krea.seen.clear()
    without_ray(project)
    assert len(list((project.path / "store/loopback/results").iterdir())) == 2


def without_ray(project):
    """The error of a run where Ray is not installed."""
    project.write("none/ray.py", 'raise ImportError("not here")\n')
    env = {"PYTHONPATH": os.pathsep.join([str(project.path / "none"), project.environment({})["PYTHONPATH"]])}
    return refused(project, *RAY, env=env)
