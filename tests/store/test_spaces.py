"""Each kind of target has a name space of its own, so that nothing of one is taken for the other's."""

import os
from pathlib import Path

import pytest
from command_line import Project

from krea_pipe.settings import LOCAL, Pace, Token, live_pace, live_target

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


def test_other_addresses_have_spaces_of_their_own():
    spaces = {target(base).space for base in OTHER}
    assert not spaces & {"live", LOCAL.space, "loopback"}
    assert {target(base).space for base in LOOPBACK} == {"loopback"}
    assert all(set(space) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-") for space in spaces)


def test_a_token_never_shows_itself():
    token = Token("krea-secret")
    assert "secret" not in f"{token} {token!r} {token.account} {[token]}"
    assert token.account != Token("krea-secret2").account
    assert token.masked(b"a krea-secret b") == b"a *** b"
    assert Token("k").masked(b"krea") == b"krea"


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
    assert odd.spawn("run", "p.yaml", "--json").code == 0
    assert odd.spawn("run", "p.yaml", "--json").code == 0
    assert len(krea.posts) == 1
