"""Fixtures that the tests of several renderers share."""

import io

import pytest
from PIL import Image
from sample_reports import make_report, make_stage

from krea_pipe.core import images


@pytest.fixture
def small_report():
    """Eight cells on two axes: three rendered, two reused, one of each other status."""
    statuses = ("succeeded",) * 3 + ("reused", "reused", "failed", "uncertain", "pending")
    axes = {"surface": ["a marble table", "wet slate"], "creativity": ["raw", "low", "medium", "high"]}
    return make_report(make_stage("lamp", axes, statuses.__getitem__))


@pytest.fixture
def thumbnail():
    """One WebP picture."""
    buffer = io.BytesIO()
    Image.linear_gradient("L").save(buffer, "PNG")
    return images.thumbnail(buffer.getvalue(), 64)
