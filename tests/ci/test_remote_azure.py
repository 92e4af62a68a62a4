"""The shared store in Azure Blob Storage, as Azurite serves it on this machine; npm installs it."""

import base64
import hashlib
import hmac
import os
import shutil
import subprocess
import urllib.request
from datetime import UTC, datetime
from pathlib import Path

import pytest
from remote_backend import WRITERS, check_backend
from remote_servers import answering, free_ports, running

from krea_pipe.store.remote.bucket import open_bucket

ROOT = Path(__file__).parents[2]
ACCOUNT = "devstoreaccount1"
KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""The account of every emulator, as Microsoft's documentation has it."""


@pytest.fixture(scope="module")
def azurite(tmp_path_factory):
    """The environment of a Blob Storage with the container `box`."""
    folder = tmp_path_factory.mktemp("azurite")
    shutil.copytree(ROOT / ".ci/azurite", folder, dirs_exist_ok=True)
    words = ["npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--omit=optional", "--prefix", folder]
    if not shutil.which("npm") or subprocess.run(words, capture_output=True).returncode:
        pytest.skip("npm does not install Azurite here")
    (port,) = free_ports(1)
    program = folder / "node_modules/azurite/dist/src/blob/main.js"
    options = ["--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent"]
    with running(["node", program, "--blobHost", "127.0.0.1", "--blobPort", port, *options], folder) as process:
        answering(lambda: put_container(port), process, folder)
        address = f"http://127.0.0.1:{port}"
        flags = {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURE_ALLOW_HTTP": "true"}
        yield {**flags, "AZURITE_BLOB_STORAGE_URL": address}


def put_container(port):
    headers = {"x-ms-date": f"{datetime.now(UTC):%a, %d %b %Y %H:%M:%S} GMT", "x-ms-version": "2021-12-02"}
    signed = "".join(f"{name}:{value}\n" for name, value in headers.items())
    empty = "\n" * 12  # headers that are not sent
    text = f"PUT{empty}{signed}/{ACCOUNT}/{ACCOUNT}/box\nrestype:container"
    signature = base64.b64encode(hmac.new(base64.b64decode(KEY), text.encode(), hashlib.sha256).digest()).decode()
    headers |= {"Authorization": f"SharedKey {ACCOUNT}:{signature}", "Content-Length": "0"}
    url = f"http://127.0.0.1:{port}/{ACCOUNT}/box?restype=container"
    with urllib.request.urlopen(urllib.request.Request(url, method="PUT", headers=headers), timeout=5):
        pass


def test_azure_does_what_claims_rely_on(azurite, monkeypatch):
    for name, value in azurite.items():
        monkeypatch.setenv(name, value)
    check_backend([open_bucket("az://box/prefix", dict(os.environ)) for _ in range(WRITERS)])


def test_doctor_finds_azure_well(azurite, project):
    done = project.run("doctor", "--json", env={**azurite, "KREA_API_KEY": None, "KREA_PIPE_REMOTE": "az://box/doctor"})
    found = {one["name"]: one["state"] for one in done.json["checks"] if one["name"].split()[0] in ("shared", "store")}
    assert (done.code, found) == (
        0,
        dict.fromkeys(("shared store", "store rights", "store clock", "store races"), "ok"),
    )
