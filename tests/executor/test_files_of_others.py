"""A delivered file that someone has changed is named and kept, until its owner says what becomes of it."""

import hashlib
import io
import json
import os
import shutil
import sqlite3
import zlib
from pathlib import Path

import pytest
from krea_server import picture, until
from PIL import Image, PngImagePlugin

from krea_pipe.core.contract import SIZES
from krea_pipe.core.image_file import plain_texts, png_chunks, texts_for, with_text
from krea_pipe.core.provenance import bare_bytes
from krea_pipe.core.request import canonical_json

TEXTS = (b"tEXt", b"iTXt")


@pytest.fixture
def drawn(project):
    """A project whose two images are drawn and paid."""
    project.pipeline(["a", "b"])
    assert project.run("run", "p.yaml").code == 0
    return project


def rated(data):
    """As `exiftool -XMP:Rating=5` does it: a text of its own, right behind the header."""
    return with_text(data, {"XML:com.adobe.xmp": '<x:xmpmeta xmlns:x="adobe:ns:meta/"><Rating>5</Rating></x:xmpmeta>'})


def rated_at_the_end(data):
    """The same before the end of the image; our texts are moved there, too."""
    data = rated(data)
    chunks = [data[one.start : one.end] for one in png_chunks(data)]
    texts = [one for one in chunks if one[4:8] in TEXTS]
    rest = [one for one in chunks if one[4:8] not in TEXTS]
    return b"".join([data[:8], *rest[:-1], *texts, rest[-1]])


def retouched(data):
    """With Pillow, keeping all texts."""
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        kept = PngImagePlugin.PngInfo()
        for key, text in image.text.items():
            kept.add_itxt(key, text)
        changed = image.convert("RGB")
        changed.putpixel((3, 3), (1, 2, 3))
        return encoded(changed, pnginfo=kept)


def saved_again(data):
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        return encoded(image)


def cropped(data):
    with Image.open(io.BytesIO(data)) as image:
        return encoded(image.crop((0, 0, 100, 100)))


def encoded(image, **options):
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def signed(data):
    return data + b"-----BEGIN SIGNATURE-----"


def text_written_anew(key):
    """Someone keeps notes in one of our texts."""

    def change(data):
        chunks = [data[one.start : one.end] for one in png_chunks(data)]
        found = next(one for one in chunks if one[4:8] in TEXTS and one[8:].startswith(key + b"\0"))
        noted = b"iTXt" + key + b"\0\0\0\0\0my notes"
        return data.replace(found, (len(noted) - 4).to_bytes(4, "big") + noted + zlib.crc32(noted).to_bytes(4, "big"))

    return change


def another_image(_):
    return picture(seed="somebody's")


CHANGES = [rated, rated_at_the_end, retouched, saved_again, cropped, signed, another_image]
OURS = [b"krea-pipe", b"Description", b"Software", b"XML:com.adobe.xmp", b"invokeai_metadata"]


@pytest.mark.parametrize("change", [*CHANGES, *(pytest.param(text_written_anew(key), id=key.decode()) for key in OURS)])
def test_a_changed_file_is_named_and_kept(drawn, krea, change):
    file = drawn.image("a")
    file.write_bytes(changed := change(file.read_bytes()))
    planned = drawn.run("plan", "p.yaml")
    assert (planned.code, "out/p/a.png was changed after krea-pipe delivered it" in planned.err) == (0, True)
    assert drawn.run("plan", "p.yaml", "--check").code == 3
    assert [one["file"] for one in drawn.run("plan", "p.yaml", "--json").json["in_the_way"]] == ["out/p/a.png"]
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, done.json["error"]["code"]) == (1, (0, 1, 1), "file_in_the_way")
    assert done.json["in_the_way"] == ["p/a"]
    error = done.rows["a"]["error"]
    assert (error["code"], "out/p/a.png" in error["message"]) == ("file_in_the_way", True)
    said = drawn.run("run", "p.yaml")
    assert (said.code, "--overwrite-changed" in said.err, "out/p/a.png" in said.err) == (1, True, True)
    assert file.read_bytes() == changed
    assert len(krea.posts) == 2


def same_size_and_time(file):
    """The last byte of the pixels, and the time of change set back."""
    data, before = bytearray(file.read_bytes()), file.stat()
    data[-20] ^= 1
    with file.open("r+b") as stream:
        stream.write(data)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def swapped(file):
    """Someone prefers the other image here."""
    shutil.copyfile(file.with_name("b.png"), file)


def linked(file):
    file.unlink()
    file.symlink_to("nowhere.png")


def unreadable(file):
    file.unlink()
    os.mkfifo(file)


@pytest.mark.parametrize("change", [same_size_and_time, swapped, linked, unreadable])
def test_what_was_put_into_a_place_is_kept(drawn, change):
    file = drawn.image("a")
    change(file)
    before = identity(file)
    assert drawn.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/a"]
    assert identity(file) == before


def identity(file):
    found = file.lstat()
    return found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.parametrize("change", [retouched, rated_at_the_end])
@pytest.mark.parametrize("lost", ["facts", "store", "mark"])
def test_a_change_is_seen_without_the_facts_the_store_or_our_mark(drawn, krea, change, lost):
    file = drawn.image("a")
    file.write_bytes(changed := change(file.read_bytes()))
    if lost == "facts":
        shutil.rmtree(drawn.space / "facts")
    elif lost == "store":
        shutil.rmtree(drawn.home)
    else:
        with Image.open(io.BytesIO(changed)) as image:
            file.write_bytes(changed := encoded(image))
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, file.read_bytes() == changed) == (2 if lost == "store" else 1, True)
    assert len(krea.posts) == 2


def test_nothing_is_paid_for_an_image_whose_place_is_taken(drawn, krea):
    file = drawn.image("a")
    file.write_bytes(changed := retouched(file.read_bytes()))
    drawn.write("p.yaml", (drawn.path / "p.yaml").read_text().replace("{{ w }}", "{{ w }} again"))
    assert "out/p/a.png" in drawn.run("plan", "p.yaml").err
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.json["error"]["code"], len(krea.posts)) == (2, "file_in_the_way", 2)
    assert file.read_bytes() == changed
    assert drawn.run("run", "p.yaml", "--keep-both", "--json").counts == (2, 0, 0)
    assert file.read_bytes() == changed


def test_changed_files_are_overwritten_when_the_user_says_so(drawn):
    file = drawn.image("a")
    ours = file.read_bytes()
    file.write_bytes(retouched(ours))
    assert drawn.run("run", "p.yaml", "--overwrite-changed", "--json").counts == (0, 0, 2)
    assert file.read_bytes() == ours
    assert drawn.run("run", "p.yaml", "--json").code == 0


def test_a_copy_beside_a_changed_file_decides_from_then_on(drawn, krea):
    file, beside = drawn.image("a"), drawn.image("a.krea-pipe")
    ours = file.read_bytes()
    file.write_bytes(changed := retouched(ours))
    done = drawn.run("run", "p.yaml", "--keep-both", "--json")
    assert (done.code, done.counts, done.json["in_the_way"]) == (0, (0, 0, 2), [])
    assert (file.read_bytes(), beside.read_bytes()) == (changed, ours)
    assert done.rows["a"]["image"] == "out/p/a.krea-pipe.png"
    assert drawn.run("plan", "p.yaml", "--json").json["in_the_way"] == []
    again = drawn.run("run", "p.yaml", "--json")
    assert (again.code, again.rows["a"]["image"]) == (0, "out/p/a.krea-pipe.png")
    drawn.write("p.yaml", (drawn.path / "p.yaml").read_text().replace("{{ w }}", "{{ w }} again"))
    assert drawn.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert (file.read_bytes(), beside.read_bytes() == ours) == (changed, False)


def test_a_changed_copy_beside_is_kept_as_well(drawn):
    file, beside = drawn.image("a"), drawn.image("a.krea-pipe")
    file.write_bytes(retouched(file.read_bytes()))
    assert drawn.run("run", "p.yaml", "--keep-both").code == 0
    beside.write_bytes(changed := cropped(beside.read_bytes()))
    done = drawn.run("run", "p.yaml", "--keep-both", "--json")
    assert (done.code, beside.read_bytes()) == (1, changed)
    assert "a.krea-pipe.png" in done.rows["a"]["error"]["message"]


def test_overwriting_and_keeping_exclude_each_other(drawn):
    done = drawn.run("run", "p.yaml", "--overwrite-changed", "--keep-both", "--json")
    assert (done.code, done.json["error"]["code"]) == (2, "bad_option")


def test_a_folder_is_never_overwritten(drawn):
    file = drawn.image("a")
    file.unlink()
    file.mkdir()
    (file / "notes.txt").write_text("mine")
    done = drawn.run("run", "p.yaml", "--overwrite-changed", "--json")
    assert (done.code, "is a folder" in done.rows["a"]["error"]["message"]) == (1, True)


def touched(path):
    for file in path.rglob("*.png"):
        os.utime(file, ns=(1, 1))


def bare_of_texts(path):
    """A tool has taken all texts out: what is left is what Krea sent."""
    for file in path.rglob("*.png"):
        data = file.read_bytes()
        chunks = [data[one.start : one.end] for one in png_chunks(data) if one.kind != b"iTXt"]
        file.write_bytes(b"".join([data[:8], *chunks]))


def without_facts(path):
    shutil.rmtree(path / ".krea-pipe/loopback/facts")


def as_after_a_kill(path):
    """The files are there, and nothing is noted of them."""
    database = sqlite3.connect(path / ".krea-pipe/loopback/facts/cache.db")
    with database:
        assert database.execute("DELETE FROM Cache WHERE key LIKE 'out:%'").rowcount == 2
    database.close()


def as_earlier_versions_noted(path):
    database = sqlite3.connect(path / ".krea-pipe/loopback/facts/cache.db")
    with database:
        rows = database.execute("SELECT key, value FROM Cache WHERE key LIKE 'out:%'").fetchall()
        for name, value in rows:
            fact = json.loads(value)
            old = {"key": fact["key"], "stamp": fact["stamp"][:2], "file": fact["file"]}
            database.execute("UPDATE Cache SET value = ? WHERE key = ?", (json.dumps(old).encode(), name))
    database.close()


def as_earlier_versions_delivered(path):
    """Other texts, and a request beside the mark; nothing is noted of the files."""
    as_after_a_kill(path)
    for file in path.glob("out/p/*.png"):
        mark = next(json.loads(one.text) for one in plain_texts(file.read_bytes()) if one.key == "krea-pipe")
        request = mark.pop("request")
        texts = {"krea-pipe": mark, "prompt": request["prompt"], "seed": str(request["seed"]), "request": request}
        written = {key: text if isinstance(text, str) else canonical_json(text) for key, text in texts.items()}
        blob = path / ".krea-pipe/loopback/blobs" / mark["sha256"][:2] / mark["sha256"]
        file.write_bytes(with_text(blob.read_bytes(), written))


def as_later_versions_mark(path):
    """Texts that this version does not know; the fact has the digest of the file."""
    database = sqlite3.connect(path / ".krea-pipe/loopback/facts/cache.db")
    with database:
        for name, value in database.execute("SELECT key, value FROM Cache WHERE key LIKE 'out:%'").fetchall():
            file, fact = Path(name.removeprefix("out:")), json.loads(value)
            file.write_bytes(data := with_text(file.read_bytes(), {"krea-pipe:later": "unknown"}))
            fact["sha256"] = hashlib.sha256(data).hexdigest()
            database.execute("UPDATE Cache SET value = ? WHERE key = ?", (json.dumps(fact).encode(), name))
    database.close()


def as_later_versions_insert(path):
    """Only texts that this version does not know; the fact has their digest."""
    database = sqlite3.connect(path / ".krea-pipe/loopback/facts/cache.db")
    with database:
        for name, value in database.execute("SELECT key, value FROM Cache WHERE key LIKE 'out:%'").fetchall():
            file, fact = Path(name.removeprefix("out:")), json.loads(value)
            sent = bare_bytes(file.read_bytes())
            at, texts = texts_for(sent, {"krea-pipe:later": "unknown"})
            file.write_bytes(sent[:at] + texts + sent[at:])
            fact["texts"] = [at, len(texts), hashlib.sha256(texts).hexdigest()]
            database.execute("UPDATE Cache SET value = ? WHERE key = ?", (json.dumps(fact).encode(), name))
    database.close()


SPARED = [
    touched,
    bare_of_texts,
    without_facts,
    as_after_a_kill,
    as_earlier_versions_noted,
    as_earlier_versions_delivered,
    as_later_versions_mark,
    as_later_versions_insert,
]


@pytest.mark.parametrize("change", SPARED)
def test_what_is_ours_is_left_as_it_is(drawn, change):
    change(drawn.path)
    before = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in drawn.path.glob("out/p/*.png")}
    assert drawn.run("plan", "p.yaml", "--json").json["in_the_way"] == []
    for _ in range(2):
        done = drawn.run("run", "p.yaml", "--json")
        assert (done.code, done.counts, done.rows["a"]["reason"]) == (0, (0, 0, 2), "cached")
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in before} == before


@pytest.mark.parametrize("change", SPARED)
def test_what_is_ours_gives_way_to_the_next_image(drawn, change):
    drawn.pipeline(["a", "b"], more="budget: {usd: 5}\ndefaults: {seed: 7}")
    change(drawn.path)
    before = drawn.image("a").read_bytes()
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts) == (0, (2, 0, 0))
    assert drawn.image("a").read_bytes() != before


def test_images_of_other_types_are_told_by_their_bytes(project, krea):
    krea.image(picture("JPEG", size=SIZES["1:1"]))
    project.pipeline(["a"])
    assert project.run("run", "p.yaml").code == 0
    file = project.image("a", suffix="jpg")
    touched(project.path)
    os.utime(file, ns=(1, 1))
    assert project.run("run", "p.yaml", "--json").counts == (0, 0, 1)
    file.write_bytes(file.read_bytes() + b"signature")
    assert project.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/a"]


@pytest.mark.parametrize("times", [True, False])
def test_a_copied_project_goes_on(drawn, tmp_path_factory, times):
    copy = tmp_path_factory.mktemp("copy") / "project"
    shutil.copytree(drawn.path, copy, copy_function=shutil.copy2 if times else shutil.copyfile)
    (copy / ".krea-pipe").chmod(0o700)
    drawn.path = copy
    done = drawn.run("run", "p.yaml", "--json")
    assert (done.code, done.counts, done.rows["a"]["reason"]) == (0, (0, 0, 2), "cached")
    drawn.image("a").write_bytes(changed := cropped(drawn.image("a").read_bytes()))
    assert drawn.run("run", "p.yaml", "--json").json["in_the_way"] == ["p/a"]
    assert drawn.image("a").read_bytes() == changed


def test_a_clone_without_the_store_draws_over_what_is_ours_alone(drawn, krea):
    """As `git clone` of a repository with its images, and no lock file: new times, no facts, no stored images."""
    shutil.rmtree(drawn.home)
    (drawn.path / "p.lock.jsonl").unlink()
    touched(drawn.path)
    assert drawn.run("run", "p.yaml", "--json").counts == (2, 0, 0)
    assert len(krea.posts) == 4


def test_two_runs_into_one_folder_agree(drawn):
    """What another run has put there since this one looked is ours."""
    for file in drawn.path.glob("out/p/*.png"):
        file.unlink()
    runs = [drawn.start("run", "p.yaml", "--json") for _ in range(2)]
    assert [drawn.finish(run).code for run in runs] == [0, 0]
    assert drawn.run("plan", "p.yaml", "--json").json["in_the_way"] == []


@pytest.mark.parametrize(
    ("change", "is_read"), [(touched, True), (as_after_a_kill, True), (as_earlier_versions_noted, False)]
)
def test_an_unchanged_folder_is_not_read_again(drawn, monkeypatch, change, is_read):
    """Only the size, the times and the inode are looked at; what was touched, or is not known, is read once."""
    opened, real = [], io.open
    monkeypatch.setattr(io, "open", lambda file, *more, **named: opened.append(str(file)) or real(file, *more, **named))

    def read():
        opened.clear()
        assert drawn.run("run", "p.yaml").code == 0
        return sorted(name for name in opened if "out/p/" in name)

    assert read() == []
    change(drawn.path)
    assert read() == ([str(drawn.image(word)) for word in "ab"] if is_read else [])
    assert read() == []


@pytest.mark.parametrize("noted", [lambda _: None, as_earlier_versions_noted])
def test_images_whose_paths_are_swapped_change_places(drawn, noted):
    """Each is where the other one belongs now, and was delivered there."""
    first, second = (drawn.image(word).read_bytes() for word in "ab")
    noted(drawn.path)
    touched(drawn.path)
    out = """out: "{{ 'b' if w == 'a' else 'a' }}" """
    drawn.pipeline(["a", "b"], more=f"budget: {{usd: 5}}\n{out}")
    assert drawn.run("run", "p.yaml", "--json").counts == (0, 0, 2)
    assert (drawn.image("b").read_bytes(), drawn.image("a").read_bytes()) == (first, second)


def test_a_file_that_appears_during_a_run_is_kept(project, krea):
    krea.reset(latency=1e6)
    project.pipeline(["a"])
    process = project.start("run", "p.yaml", "--json")
    until(lambda: project.events("submitted"))
    mine = project.write("out/p/a.png", picture(seed="mine"))
    before = mine.read_bytes()
    krea.finish_jobs()
    done = project.finish(process)
    assert (done.code, done.json["in_the_way"], mine.read_bytes()) == (1, ["p/a"], before)
    assert project.run("run", "p.yaml", "--keep-both", "--json").counts == (0, 0, 1)
    assert (len(krea.posts), mine.read_bytes()) == (1, before)
