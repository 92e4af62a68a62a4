"""Each kind of target has a name space of its own, so that nothing of one is taken for the other's."""

import os
from pathlib import Path

import pytest
from command_line import Project
from krea_server import until
from money import kill

from krea_pipe.core.settings import LOCAL_TARGET, Pace, Token, live_pace, live_target

LIVE = [
    "",
    "https://api.krea.ai",
    "https://api.krea.ai/",
    " https://API.krea.ai ",
    "https://api.krea.ai:443",
]
OTHER = ["https://api.krea.example", "https://api.krea.ai:8443", "https://api.krea.ai/proxy", "https://[2001:db8::1]"]
LOOPBACK = ["http://127.0.0.1:8000", "http://localhost:9", "https://[::1]:8000/", "http://krea.localhost"]


def target(base):
    return live_target({"KREA_API_BASE": base})


@pytest.mark.parametrize("base", LIVE)
def test_every_spelling_of_krea_s_address_is_krea(base):
    assert target(base) == live_target({})
    assert target(base).space == "live"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:8000", "http://localhost:8000/"),
        ("http://127.0.0.1:8000", "HTTP://LOCALHOST:8000"),
        ("http://127.0.0.1:8000", "http://[::1]:8000"),
        ("http://127.0.0.1", "http://localhost.:80"),
        ("https://gateway.example/krea", "https://GATEWAY.example:443/krea/"),
        ("https://gateway.example/krea", "https://gateway.example./krea"),
        ("http://[::1]:8000", "http://[0:0:0:0:0:0:0:1]:8000"),
    ],
)
def test_an_api_has_one_name_however_its_address_is_spelled(one, other):
    first, second = (live_target({"KREA_API_BASE": base}) for base in (one, other))
    assert (first.origin, first.space) == (second.origin, second.space)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8001"),
        ("http://127.0.0.1:8000", "http://127.0.0.2:8000"),
        ("http://localhost:8000", "https://localhost:8000"),
        ("https://gateway.example/krea", "https://gateway.example/Krea"),
        ("https://gateway.example", "https://gateway.example:444"),
    ],
)
def test_other_apis_have_other_names(one, other):
    assert len({live_target({"KREA_API_BASE": base}).origin for base in (one, other)}) == 2


def test_a_job_in_flight_is_found_under_every_spelling_of_its_api(project, krea):
    krea.world.latency = 1e6
    project.pipeline(["a"])
    process = project.start("run", "p.yaml")
    until(lambda: project.events("submitted"), "the job")
    kill(process)
    journal, port = project.space / "journal.jsonl", krea.base.rpartition(":")[2]
    as_before = journal.read_text().replace("http://localhost:", "http://127.0.0.1:")
    journal.write_text(as_before)
    elsewhere = {"KREA_API_BASE": f"http://LOCALHOST:{port}/"}
    assert "p/a" in project.run("status", env=elsewhere).out
    assert project.plan(env=elsewhere)["a"][0] == "attach"
    krea.finish_jobs()
    assert project.run("run", "p.yaml", env=elsewhere).code == 0
    assert len(krea.posts) == 1


def test_other_addresses_have_spaces_of_their_own():
    spaces = {target(base).space for base in OTHER}
    assert not spaces & {"live", LOCAL_TARGET.space, "loopback"}
    assert {target(base).space for base in LOOPBACK} == {"loopback"}
    assert all(set(space) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for space in spaces)


def test_a_token_never_shows_itself():
    token = Token("krea-secret")
    assert "secret" not in f"{token} {token!r} {token.account} {[token]}"
    assert token.account != Token("krea-secret2").account
    assert token.masked("a krea-secret b") == "a *** b"
    assert Token("k").masked("krea") == "krea"
    halves = Token("0f8fad5b-d9cb-469f-a165-70867728950e:abcdefghijklmnop")
    assert halves.masked("the secret abcdefghijklmnop is unknown") == "the secret *** is unknown"


def test_the_pace_can_be_set():
    assert live_pace({}) == Pace(first=1, longest=2)
    assert live_pace({"KREA_PIPE_POLL_SECONDS": " 0.5 "}) == Pace(first=0.5, longest=1)
    assert live_pace({"KREA_PIPE_POLL_SECONDS": "30"}) == Pace(first=30, longest=60)


def test_each_variant_has_its_time_unless_one_is_set_for_all():
    variants = ["medium-turbo", "medium", "large"]
    assert [live_pace({}).deadline(one) for one in variants] == [300, 600, 900]
    assert live_pace({}).deadline("to be invented") == 900
    assert [live_pace({}, 7.5).deadline(one) for one in variants] == [7.5] * 3


def test_the_same_file_finds_its_state_from_every_folder(project, krea):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    (project.path / "sub").mkdir()
    inside = Project(project.path / "sub", krea)
    assert inside.run("run", "../p.yaml", "--json").counts == (0, 0, 1)
    assert len(krea.posts) == 1


def test_a_folder_whose_name_is_no_text_is_used_like_any_other(project, krea):
    odd = Project(Path(os.fsdecode(os.fsencode(project.path) + b"/caf\xe9")), krea)
    odd.path.mkdir()
    odd.pipeline(["a"])
    assert odd.spawn("run", "p.yaml", "--json", anew=True).code == 0
    assert odd.spawn("run", "p.yaml", "--json").code == 0
    assert len(krea.posts) == 1
