"""A reference becomes a fingerprint: which bytes are taken, which are refused, and where they may lie."""

import hashlib
import io

import pytest
from PIL import Image

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput
from krea_pipe.core.request import ByDigest, ByUrl
from krea_pipe.pipeline.repo_paths import files_of


def picture(kind="PNG", size=(600, 400)):
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 90, 40)).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path):
    """The folder for pipelines of a repository."""
    (tmp_path / "repo/.git").mkdir(parents=True)
    (tmp_path / "repo/pipelines").mkdir()
    return tmp_path / "repo/pipelines"


@pytest.fixture
def load(folder):
    """Load a pipeline that uses some images."""

    def load_images(*images):
        listed = ", ".join(f"'{image}'" for image in images)
        (folder / "a.yaml").write_text(f"version: 1\nprompt: a lamp\nreferences: [{{images: [{listed}]}}]\n")
        return flow.load_pipeline(folder / "a.yaml")

    return load_images


def problem_of(action, *arguments):
    with pytest.raises(InvalidInput) as caught:
        action(*arguments)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize(("kind", "mime"), [("PNG", "image/png"), ("JPEG", "image/jpeg"), ("WEBP", "image/webp")])
def test_the_bytes_decide_and_not_the_name(folder, load, kind, mime):
    (folder / "a.txt").write_bytes(picture(kind))
    (image,) = load("a.txt").fingerprints.by_source.values()
    assert (image.mime, image.size, image.label) == (mime, (600, 400), "pipelines/a.txt")
    assert image.source == ByDigest(hashlib.sha256(picture(kind)).hexdigest())
    assert image.read() == picture(kind)


def test_heic_is_taken_without_reading_its_size(folder, load):
    (folder / "a.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0heicmif1\0\0\0\x28meta" + b"\0" * 32)
    (image,) = load("a.heic").fingerprints.by_source.values()
    assert (image.mime, image.size) == ("image/heic", None)


@pytest.mark.parametrize("data", [b"", b"GIF89a" + b"\0" * 40, b"<svg/>", b"-----BEGIN OPENSSH PRIVATE KEY-----"])
def test_other_bytes_are_never_uploaded(folder, load, data):
    (folder / "a.png").write_bytes(data)
    assert problem_of(load, "a.png").code == "reference_not_image"


def test_a_copy_under_another_name_has_the_same_source(folder, load):
    (folder / "a.png").write_bytes(picture())
    first = load("a.png").fingerprints.by_source.keys()
    (folder / "b.png").write_bytes(picture())
    assert load("b.png").fingerprints.by_source.keys() == first


def test_globs_are_sorted_so_that_a_disk_does_not_decide(folder, load):
    for number in (3, 1, 2):
        (folder / f"{number}.png").write_bytes(picture(size=(600 + number, 400)))
    assert [image.size[0] for image in load("*.png").fingerprints.of("*.png")] == [601, 602, 603]


def test_a_file_above_the_limit_is_refused_unread(folder, load):
    with (folder / "a.png").open("wb") as file:
        file.write(picture())
        file.truncate(75 * 1024 * 1024 + 1)
    problem = problem_of(load, "a.png")
    assert problem.message == "pipelines/a.png is larger than 75 MB, which Krea refuses"


@pytest.mark.parametrize(
    "path",
    ["../../a.png", "../../*.png", "x/../../../a.png", "link.png", "linked/a.png", "linked/*.png", "../../../**"],
)
def test_nothing_outside_the_repository_is_read(folder, load, path):
    outside = folder.parents[1]
    (outside / "a.png").write_bytes(picture())
    (folder / "x").mkdir()
    (folder / "link.png").symlink_to(outside / "a.png")
    (folder / "linked").symlink_to(outside)
    assert problem_of(load, path).code == "reference_outside"


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize(
    "path",
    [
        *("*/../../secret/*.png", "*/../../../secret/a.png", "**/../../../secret/a.png", "x*/../../../secr*/a.png"),
        *("linked/*.png", "link*/a.png", "*/inner/a.png", "*/in*.png", "links/*.png", "*/gone.png"),
        *("../../secret/../repo/pipelines/x/*.png", "../../secret/../repo/pipelines/x/a.png"),
    ],
)
def test_no_message_tells_what_lies_outside(folder, load, path, exists):
    secret = folder.parents[1] / "secret"
    if exists:
        (secret / "inner").mkdir(parents=True)
        for name in ("a.png", "gone.png", "inner/a.png"):
            (secret / name).write_bytes(picture())
    (folder / "x").mkdir()
    (folder / "x/a.png").write_bytes(picture())
    (folder / "linked").symlink_to(secret)
    (folder / "links").mkdir()
    for link, target in (("gone.png", "gone.png"), ("inner", "inner"), ("in.png", "a.png")):
        (folder / "links" / link).symlink_to(secret / target)
    assert problem_of(load, path).code == "reference_outside"


def test_patterns_find_what_they_say(folder, load):
    for name in ("a.png", "x/b.png", "x/y/c.png", "x/y/d.jpg", "z/e.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture())
    wanted = {
        "**/*.png": "a.png x/b.png x/y/c.png z/e.png",
        "x/**": "x/b.png x/y/c.png x/y/d.jpg",
        "*/[be].png": "x/b.png z/e.png",
        "**/y/?.png": "x/y/c.png",
        "./x//*.png": "x/b.png",
        "../pipelines/*.png": "a.png",
    }
    for pattern, names in wanted.items():
        found = load(pattern).fingerprints.of(pattern)
        assert [image.label.removeprefix("pipelines/") for image in found] == names.split(), pattern


def test_patterns_pass_over_hidden_files_unless_they_name_them(folder, load):
    for name in ("a.png", "._a.png", ".trash/b.png", "x/.c.png", "x/.thumbs/d.png"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(picture())
    wanted = {
        "*.png": "a.png",
        "**": "a.png",
        "**/*.png": "a.png",
        ".*/*.png": ".trash/b.png",
        "**/.c.png": "x/.c.png",
        ".trash/*": ".trash/b.png",
    }
    for pattern, names in wanted.items():
        found = files_of(pattern, folder, folder)
        assert [path.relative_to(folder).as_posix() for path in found] == names.split(), pattern
    assert problem_of(load, "x/*.png").code == "reference_missing"


@pytest.mark.parametrize("path", ["/etc/passwd", "~/a.png", "C:/a.png", "C:\\a.png", "//host/share/a.png"])
def test_absolute_paths_of_every_system_are_refused(load, path):
    assert problem_of(load, path).message == f"{path} is absolute"


def test_a_link_that_leads_to_itself_is_a_problem_and_no_crash(folder, load):
    (folder / "a.png").symlink_to(folder / "a.png")
    assert problem_of(load, "a.png").code in ("reference_unreadable", "reference_missing")


def test_the_shared_folder_of_a_repository_can_be_used(folder, load):
    (folder.parent / "shared").mkdir()
    (folder.parent / "shared/a.png").write_bytes(picture())
    (image,) = load("../shared/a.png").fingerprints.by_source.values()
    assert image.label == "shared/a.png"


def test_without_a_repository_the_files_folder_is_the_limit(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "a.png").write_bytes(picture())
    file = tmp_path / "own/a.yaml"
    file.write_text("version: 1\nprompt: a lamp\nreferences: [{image: ../a.png}]\n")
    assert problem_of(flow.load_pipeline, file).code == "reference_outside"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.com/a.png", "reference_url"),
        ("ftp://example.com/a.png", "reference_url"),
        ("file:///etc/passwd", "reference_url"),
        ("https:///a.png", "reference_url"),
        ("https://[::1/a.png", "reference_url"),
        ("https://e.com/a b.png", "reference_url"),
        ("https://e.com/" + "a" * 1020, "reference_url"),
        ("https://me:secret@e.com/a.png", "secret_in_file"),
        ("data:image/png,abc", "reference_data_uri"),
        ("data:image/png;base64,é", "reference_data_uri"),
        ("data:image/png;base64,aGVsbG8=", "reference_not_image"),
    ],
)
def test_urls_that_krea_could_not_fetch_are_refused(load, url, code):
    assert problem_of(load, url).code == code


def test_a_url_is_its_own_source(load):
    loaded = load("https://example.com/a.png?v=1")
    assert list(loaded.fingerprints.by_source) == [ByUrl("https://example.com/a.png?v=1")]
    assert loaded.warnings == ()


@pytest.mark.parametrize("path", ["/".join(["*"] * 33), "/".join(["**"] * 500) + "/*.png", "a/" * 32 + "*", "*" * 256])
def test_a_pattern_that_is_too_long_is_refused(folder, load, path):
    assert problem_of(load, path).code == "pattern_too_long"


def test_a_dense_pattern_looks_at_each_folder_once_a_part(folder, load):
    """Two dozen `**` over a few hundred folders would be more looks than a person can wait for."""
    deep = folder
    for number in range(40):
        deep = deep / f"d{number}"
        deep.mkdir()
        (deep / "e").mkdir()
        (deep / "a.png").write_bytes(picture())
    path = "**/" * 12 + "*/**/*a*.p*g"
    assert len(load(path).fingerprints.of(path)) == 40
    assert len(load("**/*/**/*.png").fingerprints.of("**/*/**/*.png")) == 40


def test_the_entries_that_all_patterns_of_a_file_look_at_are_counted(folder, load, monkeypatch):
    monkeypatch.setattr("krea_pipe.pipeline.repo_paths.MAX_FOLDER_ENTRIES", 100)
    for number in range(60):
        (folder / f"{number}.png").write_bytes(picture())
    assert len(load("*.png").fingerprints.of("*.png")) == 60
    problem = problem_of(load, "**/*.png")
    assert problem.code == "too_many_entries"
    assert problem.hint == "start patterns with the folder to search"
