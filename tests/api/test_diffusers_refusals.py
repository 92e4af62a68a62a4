"""What the engine diffusers refuses without torch: that it is missing, and images that it would draw otherwise."""

import asyncio
import importlib.util

import pytest

from krea_pipe.api.diffusers_backend import DiffusersBackend, refusal_of
from krea_pipe.api.engine import DrawFailed
from krea_pipe.core.engine import Drawing, EngineIdentity, EngineSpec
from krea_pipe.core.errors import UsageError

IDENTITY = EngineIdentity("diffusers", "0.42.1", "krea/Krea-2-Turbo", "main", "bfloat16", 8, 0.0, "", "cpu", "none")
SPEC = EngineSpec("diffusers", IDENTITY, "turbo")
GOOD = {"prompt": "a lamp", "width": 1024, "height": 1024, "seed": 1, "steps": 8, "guidance": 0.0}


@pytest.mark.skipif(importlib.util.find_spec("diffusers") is not None, reason="diffusers is installed")
@pytest.mark.parametrize("call", ["check", "draw"])
def test_without_its_extra_the_engine_says_what_to_install(call):
    backend = DiffusersBackend(SPEC)
    with pytest.raises(UsageError) as caught:
        asyncio.run(backend.check() if call == "check" else backend.draw(Drawing(**GOOD)))
    [problem] = caught.value.problems
    assert (problem.code, problem.hint) == ("no_diffusers", "pip install 'krea-pipe[diffusers]'")


def test_an_image_that_can_be_drawn_is_not_refused():
    assert refusal_of(Drawing(**GOOD)) is None
    assert refusal_of(Drawing(**GOOD | {"guidance": 4.5, "negative_prompt": "people", "seed": 2**63 - 1})) is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"width": 1000}, "width and height must be multiples of 16 pixels, not 1000 x 1024"),
        ({"height": 90}, "width and height must be multiples of 16 pixels, not 1024 x 90"),
        ({"width": 0}, "width and height must be multiples of 16 pixels, not 0 x 1024"),
        ({"height": -16}, "width and height must be multiples of 16 pixels, not 1024 x -16"),
        ({"steps": 0}, "an image needs at least one step"),
        ({"guidance": -1.0}, "guidance must be 0, which is none, or more"),
        ({"guidance": float("nan")}, "guidance must be 0, which is none, or more"),
        ({"guidance": float("inf")}, "guidance must be 0, which is none, or more"),
        ({"negative_prompt": "people"}, "a negative prompt has no effect without guidance; set guidance above 0"),
        ({"seed": -1}, "a seed must be a whole number from 0 to 2^63 - 1"),
        ({"seed": 2**63}, "a seed must be a whole number from 0 to 2^63 - 1"),
    ],
)
def test_what_diffusers_would_draw_otherwise_is_refused(change, reason):
    drawing = Drawing(**GOOD | change)
    with pytest.raises(DrawFailed) as caught:
        asyncio.run(DiffusersBackend(SPEC).draw(drawing))
    assert caught.value.failure == refusal_of(drawing)
    assert caught.value.failure.message == reason
