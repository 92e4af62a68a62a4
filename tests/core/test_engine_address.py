"""Addresses that no engine can have, and those to which no key is sent."""

import pytest

from krea_pipe.core.engine_address import address_problem


@pytest.mark.parametrize(
    "url",
    ["http://gpu-1:8000/v1", "https://engine.example/krea/v1", "http://[::1]:8000/v1", "http://127.0.0.1:30000/v1/"],
)
def test_addresses_of_engines_are_taken(url):
    assert address_problem(url, has_key=False) is None


@pytest.mark.parametrize(
    "url",
    [
        *("", "gpu-1:8000", "ftp://gpu-1/v1", "http:///v1", "http://gpu 1/v1", "http://gpu-1:99999/v1"),
        *("http://gpu-1:0/v1", "http://gpu-1/v1?key=1", "http://gpu-1/v1#a", "http://[::1/v1", "http://gpu-1/v 1"),
    ],
)
def test_other_texts_are_told(url):
    found = address_problem(url, has_key=False)
    assert found is not None
    assert found.code == "engine_address"


def test_a_password_in_an_address_is_refused_and_not_said():
    found = address_problem("http://me:hunter2@gpu-1/v1", has_key=False)
    assert found is not None
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(
    ("url", "is_fine"),
    [
        ("https://gpu-1/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://127.0.0.1:8000/v1", True),
        ("http://gpu-1:8000/v1", False),
        ("http://192.168.1.7:8000/v1", False),
        ("http://localhost.example:8000/v1", False),
    ],
)
def test_a_key_goes_over_https_or_to_this_machine_alone(url, is_fine):
    found = address_problem(url, has_key=True)
    assert (found is None) == is_fine
    assert found is None or found.code == "engine_key_exposed"
