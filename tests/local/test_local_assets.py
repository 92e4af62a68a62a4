import uuid
from datetime import datetime

import pytest

HEIC = b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"


@pytest.mark.parametrize(
    ("kind", "suffix", "media_type"),
    [("PNG", "png", "image/png"), ("JPEG", "jpg", "image/jpeg"), ("WEBP", "webp", "image/webp")],
)
def test_an_upload_is_described_and_served_as_it_was(box, make_picture, kind, suffix, media_type):
    data = make_picture("red", kind)
    answer = box.upload(data, f"ref.{suffix}", description="brand red")
    asset = answer.json()
    assert answer.status_code == 200
    assert asset == {
        "id": str(uuid.UUID(asset["id"])),
        "image_url": f"http://localhost/uploads/{asset['id']}.{suffix}",
        "uploaded_at": asset["uploaded_at"],
        "width": 64,
        "height": 48,
        "size_bytes": len(data),
        "mime_type": media_type,
        "description": "brand red",
    }
    assert datetime.fromisoformat(asset["uploaded_at"]) == box.clock.now
    file = box.call("GET", asset["image_url"], token=None)
    assert (file.content, file.headers["content-type"]) == (data, media_type)


def test_bytes_that_look_like_form_syntax_survive(box, make_picture):
    data = make_picture("red") + b"\r\n--x\r\n\r\n\r\n--\n\r\x00"
    asset = box.upload(data).json()
    assert box.call("GET", asset["image_url"]).content == data


def test_heic_is_stored_with_unknown_size_and_can_be_a_reference(box):
    answer = box.call("POST", "/assets", files={"file": ("ref.heic", HEIC, "image/heic")})
    asset = answer.json()
    assert (asset["mime_type"], asset["width"], asset["height"]) == ("image/heic", None, None)
    assert box.generate(image_style_references=[{"url": asset["image_url"]}]).status_code == 200


def test_a_truncated_picture_is_stored_but_rejected_as_an_input(box, make_picture):
    asset = box.upload(make_picture("red", "JPEG")[:200], "ref.jpg").json()
    assert asset["width"] is None
    answer = box.generate(image_style_references=[{"url": asset["image_url"]}])
    assert (answer.status_code, answer.json()) == (422, {"error": "Input file rejected"})


def test_the_same_bytes_twice_are_two_assets(box, make_picture):
    data = make_picture("red")
    assert box.upload(data).json()["id"] != box.upload(data).json()["id"]


@pytest.mark.parametrize(
    "options",
    [
        {"files": {"file": ("a.png", b"not a picture")}},
        {"files": {"file": ("a.png", b"")}},
        {"files": {"picture": ("a.png", b"\x89PNG\r\n\x1a\n")}},
        {"files": {"file": ("a.jpg", b"\xff\xd8\xff", "image/jpg")}},
        {"content": b"\x89PNG\r\n\x1a\n", "headers": {"Content-Type": "image/png"}},
        {"content": b"--x\r\n", "headers": {"Content-Type": "multipart/form-data; boundary=x"}},
        {"content": b"file", "headers": {"Content-Type": "multipart/form-data"}},
        {"json": {"file": "x"}},
        {},
    ],
)
def test_what_is_no_picture_in_a_form_is_400(box, options):
    answer = box.call("POST", "/assets", **options)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert box.world.assets == ()


def test_a_file_over_the_limit_is_413(make_box, make_picture):
    data = make_picture("red")
    assert make_box(asset_limit=len(data)).upload(data).status_code == 200
    assert make_box(asset_limit=len(data) - 1).upload(data).status_code == 413
    assert make_box().world.asset_limit == 75 * 1024 * 1024


def test_assets_are_listed_newest_first_in_pages(box, make_picture):
    uploaded = [box.upload(make_picture("red")).json() for _ in range(3)]
    page = box.call("GET", "/assets", params={"limit": 2}).json()
    assert page["items"] == uploaded[:0:-1]
    rest = box.call("GET", "/assets", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    assert rest == {"items": uploaded[:1], "next_cursor": None}


def test_one_asset_is_read_and_deleted(box, make_picture):
    asset = box.upload(make_picture("red")).json()
    path = f"/assets/{asset['id']}"
    assert box.call("GET", path).json() == asset
    assert box.call("DELETE", path).json()["success"] is True
    assert [box.call(method, path).status_code for method in ("GET", "DELETE")] == [404, 404]
    assert box.call("GET", asset["image_url"]).status_code == 404


def test_a_file_is_served_under_its_own_name_only(box, make_picture):
    asset = box.upload(make_picture("red")).json()
    assert box.call("GET", asset["image_url"].replace(".png", ".jpg")).status_code == 404
