import io
from collections.abc import Callable

import pytest
from local_krea import Box
from PIL import Image


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def make_box() -> Callable[..., Box]:
    return Box


@pytest.fixture
def make_picture():
    def make(colour, kind="PNG", size=(64, 48)):
        file = io.BytesIO()
        Image.new("RGB", size, colour).save(file, kind)
        return file.getvalue()

    return make
