"""A proxy that the environment names and httpx cannot use is said to be one, without its password."""

import pytest


@pytest.mark.parametrize("proxy", ["socks5://me:hunter22@127.0.0.1:9", "ftp://me:hunter22@127.0.0.1:9"])
def test_a_proxy_that_can_not_be_used_is_refused_before_anything_is_sent(project, proxy):
    project.pipeline(["fox"])
    done = project.run("run", "p.yaml", env={"KREA_API_BASE": "https://krea.example", "HTTPS_PROXY": proxy})
    assert done.code == 2
    assert "proxy" in done.err
    assert "hunter22" not in done.text
    assert project.run("plan", "p.yaml", env={"KREA_API_BASE": "https://krea.example", "HTTPS_PROXY": proxy}).code == 0
