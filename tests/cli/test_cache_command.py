"""`krea-pipe cache`: what is stored, what it stands for, and whether it is whole."""

import os
import shutil
from decimal import Decimal

import pytest


def test_stored_images_are_listed_newest_first_with_what_they_stand_for(project):
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    project.pipeline(["c", "a"])
    project.run("run", "p.yaml")
    project.run("run", "p.yaml", "--local")
    found = project.run("cache", "ls", "--json").json
    assert found["images"][0]["cells"] == ["p/p/c"]
    assert sorted(one["cells"][0] for one in found["images"]) == ["p/p/a", "p/p/b", "p/p/c"]
    assert [one["drawn_at"] for one in found["images"]] == sorted(one["drawn_at"] for one in found["images"])[::-1]
    image = found["images"][0]
    blob = next(one for one in project.blobs() if one.name == image["sha256"])
    done = next(one for one in project.events("done") if one["result"]["sha256"] == image["sha256"])
    assert (image["bytes"], image["key"], image["variant"]) == (blob.stat().st_size, done["key"], "medium")
    assert image["cost_usd"] == done["result"]["cost_usd"]
    text = project.run("cache", "ls").out.splitlines()
    assert text[0].split()[:2] == ["cell", "variant"]
    assert text[1].startswith("p/p/c")
    assert text[1].split()[1] == "medium"
    assert text[1].endswith(image["key"][:12])
    blob.unlink()
    assert len(project.run("cache", "ls", "--json").json["images"]) == 2
    assert {one["cost_usd"] for one in project.run("cache", "ls", "--local", "--json").json["images"]} == {"0.00"}


def test_a_long_list_is_cut_unless_all_is_wanted(project):
    project.pipeline([f"w{number}" for number in range(62)])
    project.run("run", "p.yaml")
    done = project.run("cache", "ls")
    assert len(done.out.splitlines()) == 62
    assert done.out.endswith("… and 2 more images; list all with --all\n")
    assert len(project.run("cache", "ls", "--all").out.splitlines()) == 63


def test_results_that_the_journal_alone_knows_are_listed_too(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    shutil.rmtree(project.space / "facts")
    [image] = project.run("cache", "ls", "--json").json["images"]
    assert (image["cells"], image["variant"], image["cost_usd"]) == ([], "", "0.03")


def test_each_name_space_is_summed_up(project):
    assert "Nothing is stored" in project.run("cache", "stats").out
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    project.run("run", "p.yaml", "--local")
    found = {one["space"]: one for one in project.run("cache", "stats", "--json").json["spaces"]}
    assert (found["loopback"]["images"], Decimal(found["loopback"]["cost_usd"])) == (2, Decimal("0.06"))
    assert (found["local"]["images"], found["local"]["runs"], found["local"]["cost_usd"]) == (2, 1, "0.00")
    assert found["loopback"]["blobs_bytes"] == sum(blob.stat().st_size for blob in project.blobs())
    assert found["loopback"]["journal_bytes"] == (project.space / "journal.jsonl").stat().st_size
    (project.home / ".gitignore").unlink()
    nodes = {one.stat().st_ino: one.stat().st_size for one in project.home.rglob("*") if one.is_file()}
    beside = [*project.home.rglob("*.lock"), *project.home.glob("*.txt")]
    assert sum(one["bytes"] for one in found.values()) == sum(nodes.values()) - sum(
        one.stat().st_size for one in beside
    )
    rows = project.run("cache", "stats").out.splitlines()
    assert [row.split()[:3] for row in rows[1:]] == [["local", "2", "$0.00"], ["loopback", "2", "$0.06"]]


def test_what_is_whole_is_said_and_an_image_that_is_gone_is_no_damage(project):
    project.pipeline(["a"])
    project.run("run", "p.yaml")
    assert project.run("cache", "verify").out == "Everything stored in .krea-pipe is intact.\n"
    journal = project.space / "journal.jsonl"
    journal.write_bytes(journal.read_bytes() + b'{"event":"done","ke\n')
    (project.path / "p.lock.jsonl").unlink(missing_ok=True)
    project.run("gc", "--keep", "0d", "--delete")
    done = project.run("cache", "verify", "--json")
    assert (done.code, done.json["ok"]) == (0, True)
    assert [one["message"].rpartition("loopback/")[2] for one in done.json["findings"]] == [
        f"journal.jsonl:{journal.read_bytes().count(b'event')} was truncated by a crash",
        "1 result has no stored image",
    ]


@pytest.mark.parametrize("what", ["image", "stamped image", "facts", "journal"])
def test_damage_is_found_and_nothing_is_changed(project, what):
    project.pipeline(["a", "b"])
    project.run("run", "p.yaml")
    file = {"facts": project.space / "facts/cache.db", "journal": project.space / "journal.jsonl"}.get(what)
    file = file or project.blobs()[0]
    before, data = file.stat(), bytearray(file.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 20] = b"\xff" * 20
    if what == "facts":
        data[100:3000] = b"\xff" * 2900
    file.write_bytes(data)
    if what == "stamped image":
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    done = project.run("cache", "verify", "--json")
    assert (done.code, done.json["ok"]) == (1, False)
    [finding] = [one for one in done.json["findings"] if one["damage"]]
    assert str(file.relative_to(project.path)) in finding["message"]
    assert file.read_bytes() == data
    people = project.run("cache", "verify")
    assert people.code == 1
    assert finding["hint"] in people.err
    if what.endswith("image"):
        assert "a new one would cost $0.03" in finding["hint"]
        file.unlink()
        assert "stored image missing or damaged" in project.run("plan", "p.yaml", "--json").out
