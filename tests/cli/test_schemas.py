"""Each JSON document has a published schema. `command_line.Done.json` compares every output of a test with it."""

import json
import re
import zipfile

import pytest
from command_line import SOURCE, check_document, schema_of
from jsonschema import Draft202012Validator

from krea_pipe.pipeline.spec.schema import schema_names
from krea_pipe.store.probe import Probe, write_probe

CHAIN = """version: 1
name: p
stages:
  a: {prompt: "a {{ w }}", matrix: {w: [x, y]}}
  b: {for_each: a, promote: {variant: large}}
"""
WITHOUT_NAME = {"pipeline", "picks", "lock", "event"}
"""Documents without `schema`: a pipeline and a picks file are written by people, the others are lines."""


def objects(part, path=""):
    """Every object of a schema with its path."""
    if isinstance(part, dict):
        if isinstance(part.get("properties"), dict) and "type" in part:
            yield path, part
        for name, one in part.items():
            yield from objects(one, f"{path}/{name}")
    elif isinstance(part, list):
        for number, one in enumerate(part):
            yield from objects(one, f"{path}/{number}")


def test_every_document_that_the_code_names_has_a_schema_and_no_schema_is_left_over(project):
    code = "".join(file.read_text() for file in (SOURCE / "krea_pipe").rglob("*.py"))
    named = set(re.findall(r"\"krea-pipe/([a-z-]+)@1\"", code)) | {"cache-push", "cache-pull"}
    assert {*schema_names()} == named | WITHOUT_NAME
    listed = re.findall(r"^([a-z-]+)  +\S", project.run("schema", "--list").out, re.MULTILINE)
    assert sorted(listed) == sorted([*schema_names(), "name"])
    assert project.run("schema", "--which", "pln").err.endswith("hint: did you mean `plan`?\n")


@pytest.mark.parametrize("name", schema_names())
def test_a_schema_is_one_and_describes_each_property(project, name):
    text = project.run("schema", "--which", name).out
    assert text.strip() == (SOURCE / f"schemas/{name}.schema.json").read_text().strip()
    Draft202012Validator.check_schema(schema := json.loads(text))
    assert schema["title"].startswith("krea-pipe")
    if name in WITHOUT_NAME:
        return
    assert schema["properties"]["schema"]["const"] == f"krea-pipe/{name}@1"
    bare = [
        f"{path}/{key}" for path, one in objects(schema) for key, what in one["properties"].items() if not _said(what)
    ]
    assert bare == []


def _said(what):
    return what.get("description") or what.get("$ref")


def test_files_follow_their_schemas(project):
    file = project.write("p.yaml", CHAIN)
    assert project.run("plan", file, "--local", "--out", "plan.json").code == 0
    for words in (["run", file, "--local"], ["run", file, "--local", "--shard", "1/2"]):
        assert project.run(*words).code in (0, 6)
    assert project.run("pick", file, "a", "a/x", "--stars", "3", "--as", "Ada").code == 0
    assert project.run("run", file, "--local").code == 0
    assert project.run("export", "--picks", "--out", "e.zip").code == 0
    write_probe(project.home, Probe("2026-12-01T00:00:00.000Z", "https://api.krea.ai", "a", 1.0, 10.0))
    found = [project.path / "plan.json", project.home / "probe.json", *project.home.glob("runs/*/shard.json")]
    texts = [file.read_text() for file in found]
    with zipfile.ZipFile(project.path / "e.zip") as archive:
        texts += [archive.read(name).decode() for name in archive.namelist() if name.endswith(".json")]
    documents = [data for data in map(json.loads, texts) if "schema" in data]
    assert {data["schema"] for data in documents} >= {
        f"krea-pipe/{name}@1" for name in ("plan-file", "probe", "shard", "hand-off", "hand-off-image")
    }
    for data in documents:
        check_document(data)
    picks = project.run("schema", "--which", "picks").json
    assert {"pick", "stars", "by", "key"} <= {*picks["items"]["properties"]}
    schema_of("picks").validate([{"pick": "a/x", "stars": 3, "by": "Ada", "key": "0" * 16}])


def test_money_has_one_form(project):
    """The schemas demand it of each amount; earlier forms are still read."""
    form = re.compile(schema_of("run").schema["$defs"]["usd"]["pattern"])
    assert [text for text in ("0.03", "0.0175", "12.00", "0.00") if not form.search(text)] == []
    assert [text for text in ("0.030", "0", "0.1", "1e-2", "12") if form.search(text)] == []
    for name in schema_names():
        for path, one in objects(schema_of(name).schema):
            amounts = {key: what for key, what in one["properties"].items() if key == "usd" or key.endswith("_usd")}
            if name not in ("pipeline", "lock"):  # people write the one, and the other keeps lines of earlier versions
                assert all("#/$defs/usd" in json.dumps(what) for what in amounts.values()), f"{name}{path}"
