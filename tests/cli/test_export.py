"""`krea-pipe export`: the picked images as one pack that whoever gets it can check."""

import hashlib
import json
import shutil
import zipfile

import pytest

LAMP = """\
version: 1
name: lamp
budget: {usd: 9}
stages:
  explore:
    prompt: a lamp on {{ surface.text }}
    matrix:
      surface:
        - {id: slate, text: wet slate}
        - {id: oak, text: old oak}
      seed: [1, 2]
    out: "{{ surface.id }}/lamp-{{ seed }}"
"""
PICKS = """\
stage: explore
picks:
  - {id: explore/slate/s1, stars: 5, note: keep the droplets}
  - explore/oak/s2
"""


@pytest.fixture
def lamp(project):
    project.write("lamp.yaml", LAMP)
    assert project.run("run", "lamp.yaml", "--local").code == 0
    project.write("picks/explore.yaml", PICKS)
    return project


def record(project):
    (file,) = (project.home / "runs").glob("*/report.json")
    return file, json.loads(file.read_text(encoding="utf-8"))


def cell(project, name):
    return next(one for one in record(project)[1]["cells"] if one["id"] == name)


def blob(project, digest, space="local"):
    return project.home / space / "blobs" / digest[:2] / digest


def unpacked(project, name):
    """The files of a pack by their names in its folder; every checksum is right and none is left out."""
    with zipfile.ZipFile(project.path / name) as archive:
        assert archive.testzip() is None
        folders = {one.partition("/")[0] for one in archive.namelist()}
        assert len(folders) == 1
        found = {one.partition("/")[2]: archive.read(one) for one in archive.namelist()}
    sums = dict(reversed(line.split("  ", 1)) for line in found["SHA256SUMS"].decode().splitlines())
    assert sums == {key: hashlib.sha256(data).hexdigest() for key, data in found.items() if key != "SHA256SUMS"}
    return found


def leftovers(project):
    return [path.name for path in project.path.iterdir() if path.suffix in (".zip", ".tmp")]


def test_a_pack_holds_the_picked_originals_under_their_names_with_all_that_is_known(lamp):
    done = lamp.run("export", "--picks", "--json")
    assert done.code == 0, done.text
    name = "lamp-picks-LOCAL-PROOFS.zip"
    packed = (lamp.path / name).read_bytes()
    assert done.json == {
        "schema": "krea-pipe/export@1",
        "run_id": record(lamp)[1]["run_id"],
        "target": "local",
        "file": name,
        "images": 2,
        "expected": 2,
        "replaced": 0,
        "missing": [],
        "bytes": len(packed),
        "taken": [
            {"file": "images/slate-s1.png", "chain": ["explore/slate/s1"]},
            {"file": "images/oak-s2.png", "chain": ["explore/oak/s2"]},
        ],
        "rejected": [],
        "sha256": hashlib.sha256(packed).hexdigest(),
    }
    files = unpacked(lamp, name)
    assert sorted(files) == [
        "SHA256SUMS",
        "contact-sheet.pdf",
        "images.csv",
        "images/oak-s2.json",
        "images/oak-s2.png",
        "images/oak-s2.xmp",
        "images/slate-s1.json",
        "images/slate-s1.png",
        "images/slate-s1.xmp",
        "manifest.json",
    ]
    row = cell(lamp, "explore/slate/s1")
    assert files["images/slate-s1.png"] == blob(lamp, row["sha256"]).read_bytes()
    assert files["contact-sheet.pdf"].startswith(b"%PDF")
    told = json.loads(files["images/slate-s1.json"])
    expected = {
        "id": "explore/slate/s1",
        "stage": "explore",
        "file": "images/slate-s1.png",
        "prompt": "a lamp on wet slate",
        "template": "a lamp on {{ surface.text }}",
        "values": {"surface.text": "wet slate"},
        "seed": 1,
        "variant": "medium",
        "stars": 5,
        "note": "keep the droplets",
        "job_id": row["job_id"],
        "key": row["key"],
        "cost_usd": "0.00",
        "sha256": row["sha256"],
        "bytes": len(files["images/slate-s1.png"]),
        "axes": {"surface": {"value": "slate", "label": "slate"}, "seed": {"value": 1, "label": "1"}},
    }
    assert {key: told[key] for key in expected} == expected
    manifest = json.loads(files["manifest.json"])
    assert [(one["id"], one["stars"]) for one in manifest["images"]] == [
        ("explore/oak/s2", None),
        ("explore/slate/s1", 5),
    ]
    assert manifest["picks"] == ["picks/explore.yaml"]


def test_local_proofs_say_so_and_real_images_do_not(lamp, krea):
    lamp.run("export", "--picks")
    assert b"LOCAL PROOFS" in unpacked(lamp, "lamp-picks-LOCAL-PROOFS.zip")["manifest.json"]
    record(lamp)[0].unlink()
    assert lamp.run("run", "lamp.yaml").code == 0
    done = lamp.run("export", "--picks")
    assert done.code == 0, done.text
    files = unpacked(lamp, "lamp-picks.zip")
    assert not any(b"LOCAL" in data for name, data in files.items() if name.endswith(".json"))
    row = cell(lamp, "explore/oak/s2")
    assert files["images/oak-s2.png"] == blob(lamp, row["sha256"], "loopback").read_bytes()


def test_the_same_run_and_picks_give_the_same_bytes_from_any_folder(lamp):
    one = lamp.run("export", "--picks", "--out", "one.zip", "--json").json
    (lamp.path / "elsewhere").mkdir()
    two = lamp.run("export", "--picks", "--picks-file", "./picks/../picks/explore.yaml", "--out", "two.zip", "--json")
    assert one["sha256"] == two.json["sha256"]
    with zipfile.ZipFile(lamp.path / "one.zip") as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        finished = record(lamp)[1]["finished_at"]
        assert {f"{info.date_time[0]}-{info.date_time[1]:02}" for info in archive.infolist()} == {finished[:7]}


def test_without_picks_every_image_is_packed_or_those_that_are_selected(lamp):
    assert lamp.run("export", "--json").json["images"] == 4
    names = [name for name in unpacked(lamp, "lamp-LOCAL-PROOFS.zip") if name.endswith(".png")]
    assert names == [f"images/{name}.png" for name in ("oak/lamp-1", "oak/lamp-2", "slate/lamp-1", "slate/lamp-2")]
    assert lamp.run("export", "-k", "surface=oak", "--json").json["images"] == 2
    assert lamp.run("export", "--picks", "-k", "surface=oak", "--out", "o.zip", "--json").json["images"] == 1
    assert lamp.run("export", "-k", "surface=glass").code == 7
    assert lamp.run("export", "--stage", "explor").code == 2


@pytest.mark.parametrize("command", ["export", "sheet"])
def test_without_a_run_the_free_one_to_begin_with_is_named(project, command):
    done = project.run(command)
    assert done.code == 2
    assert "no run is stored" in done.err
    assert "run a pipeline first: krea-pipe run FILE --local" in done.err


def test_a_pick_without_an_image_in_that_run_is_an_error_that_names_it_unless_it_may_be_missing(lamp):
    lamp.write("picks/explore.yaml", PICKS + "  - explore/marble/s9\n")
    done = lamp.run("export", "--picks")
    assert done.code == 2
    assert "1 pick has no image in" in done.err
    assert "explore/marble/s9" in done.err
    assert leftovers(lamp) == []
    allowed = lamp.run("export", "--picks", "--allow-missing", "--json").json
    assert (allowed["images"], allowed["missing"]) == (2, ["explore/marble/s9"])
    manifest = json.loads(unpacked(lamp, "lamp-picks-LOCAL-PROOFS.zip")["manifest.json"])
    assert manifest["missing"] == ["explore/marble/s9"]


def test_a_damaged_original_is_never_handed_off(lamp):
    path = blob(lamp, cell(lamp, "explore/oak/s2")["sha256"])
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    done = lamp.run("export", "--picks")
    assert done.code == 1
    assert "the stored image of explore/oak/s2 is missing or damaged" in done.err
    assert leftovers(lamp) == []
    allowed = lamp.run("export", "--picks", "--allow-missing", "--json").json
    assert (allowed["images"], allowed["missing"]) == (1, ["explore/oak/s2"])
    assert "images/oak-s2.png" not in unpacked(lamp, "lamp-picks-LOCAL-PROOFS.zip")


def test_an_earlier_pack_is_replaced_and_any_other_file_is_not(lamp):
    assert lamp.run("export", "--picks", "--out", "p.zip").code == 0
    assert lamp.run("export", "--picks", "--out", "p.zip").code == 0
    with zipfile.ZipFile(lamp.path / "p.zip", "w") as archive:
        archive.writestr("mine", "mine")
    done = lamp.run("export", "--picks", "--out", "p.zip")
    assert done.code == 2
    assert "p.zip exists and is not an export of krea-pipe" in done.err
    assert zipfile.ZipFile(lamp.path / "p.zip").namelist() == ["mine"]


def test_picks_are_found_without_the_pipeline_file_and_where_it_says_they_are(lamp):
    chained = "  large: {for_each: explore, picks: best.yaml, prompt: large}\n"
    lamp.write("lamp.yaml", LAMP + chained)
    lamp.write("best.yaml", "stage: explore\npicks: [explore/oak/s1]\n")
    assert lamp.run("export", "--picks", "--stage", "explore", "--json").json["images"] == 1
    (lamp.path / "lamp.yaml").unlink()
    assert lamp.run("export", "--picks", "--json").json["images"] == 2


def test_picks_that_are_nowhere_are_missed_by_name(lamp):
    (lamp.path / "picks/explore.yaml").unlink()
    done = lamp.run("export", "--picks")
    assert done.code == 2
    assert "no cells are picked (looked in picks/explore.yaml)" in done.err
    lost = lamp.run("export", "--picks-file", "lost.yaml")
    assert lost.code == 2
    assert "lost.yaml" in lost.err


def test_a_record_that_was_tampered_with_can_not_lead_out_of_the_pack(lamp):
    file, data = record(lamp)
    data["cells"][0]["image"] = "../../../etc/passwd.png"
    data["cells"][1]["image"] = "proofs/lamp/con/a:b|c.png"
    data["cells"][2]["image"] = "proofs/lamp/CON/A-B-c.png"
    data["pipeline"]["name"] = "../up"
    file.write_text(json.dumps(data), encoding="utf-8")
    done = lamp.run("export", "--out", "t.zip")
    assert done.code == 0, done.text
    with zipfile.ZipFile(lamp.path / "t.zip") as archive:
        names = archive.namelist()
    assert len({name.casefold() for name in names}) == len(names)
    assert not any(".." in name.split("/") or name.startswith("/") or set(name) & set(":|\\") for name in names)
    assert sum(name.endswith(".png") for name in names) == 4


def test_references_are_told_by_the_name_that_people_know(lamp):
    row = cell(lamp, "explore/oak/s2")
    lamp.write("refs/brand.png", blob(lamp, row["sha256"]).read_bytes())
    reference = "    references: [{image: refs/brand.png, strength: 0.4}]\n"
    lamp.write("lamp.yaml", LAMP.replace("    matrix:", f"{reference}    matrix:"))
    record(lamp)[0].unlink()
    assert lamp.run("run", "lamp.yaml", "--local").code == 0
    assert lamp.run("export", "--picks", "--out", "r.zip").code == 0
    told = json.loads(unpacked(lamp, "r.zip")["images/oak-s2.json"])
    (sent,) = told["request"]["image_style_references"]
    assert sent["label"] == "refs/brand.png"
    assert sent["image"].startswith("sha256:")


def test_cells_without_an_image_are_named_when_all_are_exported(project, krea):
    krea.answer("POST", "/generate/", 422, {"error": "no"}, text="wet")
    project.write("lamp.yaml", LAMP)
    assert project.run("run", "lamp.yaml").code == 1
    done = project.run("export", "--out", "all.zip")
    assert (done.code, done.err.count("left out")) == (0, 2)
    with zipfile.ZipFile(project.path / "all.zip") as archive:
        (name,) = (one for one in archive.namelist() if one.endswith("manifest.json"))
        assert json.loads(archive.read(name))["missing"] == ["explore/slate/s1", "explore/slate/s2"]


def test_the_pack_of_a_partial_run_says_so_and_replaces_no_fuller_one_unless_told_to(lamp):
    name = "lamp-LOCAL-PROOFS.zip"
    assert "partial" not in lamp.run("export").err
    before = (lamp.path / name).read_bytes()
    assert lamp.run("run", "lamp.yaml", "--local", "-k", "surface=oak").code == 0
    done = lamp.run("export")
    assert done.code == 2
    assert f"{name} has 4 images, but this pack has 2 of 4" in done.err
    assert (lamp.path / name).read_bytes() == before
    assert leftovers(lamp) == [name]
    done = lamp.run("export", "--out", "new.zip")
    assert (done.code, "partial 2 of 4 images" in done.err) == (0, True)
    assert json.loads(unpacked(lamp, "new.zip")["manifest.json"])["expected"] == 4
    done = lamp.run("export", "--replace")
    assert (done.code, f"replaced {name}, which had 4 images" in done.err) == (0, True)
    assert lamp.run("export").code == 0, "of the same size"


def test_a_run_in_which_cells_failed_is_a_partial_one(lamp, krea):
    assert lamp.run("run", "lamp.yaml").code == 0
    assert lamp.run("export", "--out", "all.zip").code == 0
    shutil.rmtree(lamp.home / "loopback")
    (lamp.path / "lamp.lock.jsonl").unlink()
    krea.answer("POST", "/generate/", 422, {"error": "no"}, text="wet")
    assert lamp.run("run", "lamp.yaml").code == 1
    done = lamp.run("export", "--out", "all.zip")
    assert (done.code, "all.zip has 4 images, but this pack has 2 of 4" in done.err) == (2, True)


def test_a_part_that_is_asked_for_replaces_a_fuller_pack_and_says_so(lamp):
    assert lamp.run("export", "--out", "all.zip").code == 0
    done = lamp.run("export", "--out", "all.zip", "--picks")
    assert (done.code, "replaced all.zip, which had 4 images" in done.err) == (0, True)
