"""What `krea-pipe doctor` says of the shared store, and that it leaves nothing there."""

import pytest
from remote_servers import KEYS, Proxy, free_ports

from krea_pipe.store.remote.bucket import open_bucket


@pytest.fixture
def proxied(moto, request):
    """Puts a proxy before moto; the environment of a store there, which nothing else uses."""
    started = []

    def start(**faults):
        started.append(Proxy(moto, **faults))
        return {**started[-1].env, "KREA_PIPE_REMOTE": f"s3://bucket/{request.node.name[:40].strip('_')}"}

    yield start
    for proxy in started:
        proxy.close()


def doctor(project, env, *words):
    done = project.run("doctor", "--json", *words, env={"KREA_API_KEY": None, **env})
    names = ("shared store", "store rights", "store clock", "store races")
    return done, {one["name"]: one for one in done.json["checks"] if one["name"] in names}


def left(tmp_path):
    return [one for one in (tmp_path / "store").rglob("*") if one.is_file()]


def test_a_store_that_is_well_is_named_and_nothing_is_left_there(project, tmp_path):
    env = {"KREA_PIPE_REMOTE": (tmp_path / "store").as_uri(), "KREA_PIPE_REMOTE_SECRET": "hunter22" * 4}
    done, found = doctor(project, env)
    assert (done.code, {one["state"] for one in found.values()}) == (0, {"ok"})
    assert found["shared store"]["message"].startswith(f"{env['KREA_PIPE_REMOTE']}/loopback: a folder, by obstore ")
    assert found["shared store"]["message"].endswith("records are signed")
    assert found["store rights"]["message"] == "list, read, create, replace, delete"
    assert found["store clock"]["message"] == "agrees with this machine's to the second"
    assert found["store races"]["message"].startswith("of 8 concurrent writers, one creates an object")
    assert "hunter22" not in done.text
    assert left(tmp_path) == []


def test_without_a_store_nothing_is_said_of_one(project):
    assert doctor(project, {})[1] == {}


def test_a_store_that_lets_several_writers_win_is_refused(project, proxied, moto, monkeypatch):
    env = proxied(lets_all_win=True)
    done, found = doctor(project, env)
    assert (done.code, found["store races"]["state"]) == (1, "problem")
    assert "concurrent writers created the same object; only one should succeed" in found["store races"]["message"]
    assert "two homes can pay for the same image" in found["store races"]["hint"]
    for name, value in moto.items():
        monkeypatch.setenv(name, value)
    assert list(open_bucket(env["KREA_PIPE_REMOTE"], moto).list("loopback")) == []


def test_s3_by_moto_is_well(project, proxied):
    done, found = doctor(project, proxied())
    assert (done.code, {one["state"] for one in found.values()}, len(found)) == (0, {"ok"}, 4)


@pytest.mark.parametrize(("method", "verb"), [("PUT", "write"), ("GET", "read"), ("POST", "delete")])
def test_a_right_that_is_missing_is_named(project, proxied, method, verb):
    done, found = doctor(project, proxied(refuses=(method,)))
    assert (done.code, found["store rights"]["state"]) == (1, "problem")
    assert found["store rights"]["message"].startswith(f"cannot {verb} ")
    assert found["store rights"]["hint"]
    assert KEYS["AWS_SECRET_ACCESS_KEY"] not in done.text


def test_a_clock_that_is_far_from_the_stores_is_said(project, proxied):
    env = proxied(rewrite=lambda body: body.replace(b"<LastModified>20", b"<LastModified>19"))
    done, found = doctor(project, env)
    assert (done.code, found["store clock"]["state"]) == (0, "warning")
    assert found["store clock"]["message"].endswith("s ahead of the store's")


def test_a_store_that_may_only_be_read_is_not_written(project, tmp_path):
    env = {"KREA_PIPE_REMOTE": (tmp_path / "store").as_uri(), "KREA_PIPE_REMOTE_MODE": "read"}
    done, found = doctor(project, env)
    assert (done.code, found["store rights"]["message"], "store races" in found) == (0, "list, read", False)
    assert "read-only, set by KREA_PIPE_REMOTE_MODE" in found["shared store"]["message"]
    assert left(tmp_path) == []


def test_a_store_that_is_down_is_a_problem_unless_nobody_is_asked(project):
    (port,) = free_ports(1)
    env = {**KEYS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "KREA_PIPE_REMOTE": "s3://bucket/x"}
    done, found = doctor(project, env)
    assert (done.code, found["store rights"]["state"]) == (1, "problem")
    assert found["store rights"]["message"].startswith("cannot read format in s3://bucket/x/loopback: ")
    done, found = doctor(project, env, "--offline")
    assert (done.code, list(found)) == (0, ["shared store"])


def test_a_store_of_another_format_or_a_bad_address_is_a_problem(project, tmp_path):
    env = {"KREA_PIPE_REMOTE": (tmp_path / "store").as_uri()}
    file = project.write("store/loopback/format", '{"version": 1, "announced": 2}')
    done, found = doctor(project, env)
    assert (done.code, found["shared store"]["state"]) == (0, "warning")
    file.write_text('{"version": 99, "announced": 99}')
    assert doctor(project, env)[0].code == 1
    done, found = doctor(project, {"KREA_PIPE_REMOTE": "ftp://me:hunter22@bucket"})
    assert (done.code, found["shared store"]["state"], "hunter22" in done.text) == (1, "problem", False)
