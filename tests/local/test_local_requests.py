import base64

import pytest

BOARD = "00000000-0000-4000-8000-000000000003"
REFERENCE = {"url": "https://example.test/a.png"}


@pytest.mark.parametrize("missing", ["prompt", "aspect_ratio", "resolution"])
def test_required_fields_are_required(box, missing):
    body = {"prompt": "x", "aspect_ratio": "1:1", "resolution": "1K"}
    del body[missing]
    answer = box.call("POST", "/generate/image/krea/krea-2/medium", json=body)
    assert (answer.status_code, answer.json()) == (400, {"error": f"{missing}: Required"})


@pytest.mark.parametrize("raw", [b"", b"{", b"[1]", b'"x"', b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_400(box, raw):
    answer = box.call("POST", "/generate/image/krea/krea-2/large", content=raw)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_json_does_not_have_is_400(box, number):
    body = f'{{"prompt": "x", "aspect_ratio": "1:1", "resolution": "1K", "seed": {number}}}'
    answer = box.call("POST", "/generate/image/krea/krea-2/medium", content=body)
    assert answer.status_code == 400
    expected = "seed: Expected number" if number == "1e999" else "Invalid JSON body"
    assert answer.json() == {"error": expected}


@pytest.mark.parametrize(
    "fields",
    [
        {"negative_prompt": "x"},
        {"presetStyles": []},
        {"\ud800": 1},
        {"prompt": 5},
        {"prompt": None},
        {"aspect_ratio": "5:4"},
        {"aspect_ratio": 1},
        {"resolution": "2K"},
        {"creativity": "max"},
        {"creativity": None},
        {"seed": "7"},
        {"seed": True},
        {"intensity": 101},
        {"complexity": -101},
        {"movement": 1.5},
        {"movement": "1"},
        {"image_style_references": REFERENCE},
        {"image_style_references": [REFERENCE] * 11},
        {"image_style_references": [{}]},
        {"image_style_references": [{**REFERENCE, "strength": 2.01}]},
        {"image_style_references": [{**REFERENCE, "strength": -2.01}]},
        {"image_style_references": [{**REFERENCE, "strength": None}]},
        {"image_style_references": [{"url": "http://example.test/a.png"}]},
        {"image_style_references": [{"url": "file:///etc/passwd"}]},
        {"image_style_references": [{"url": "https://[broken"}]},
        {"image_style_references": [{"url": "https://example.test/" + "a" * 1024}]},
        {"moodboards": [{"id": BOARD}, {"id": BOARD}]},
        {"moodboards": [{"id": "autumn"}]},
        {"moodboards": [{}]},
        {"moodboards": ["x"]},
        {"moodboards": [{"id": BOARD, "strength": 1.51}]},
        {"moodboards": [{"id": BOARD, "strength": -0.51}]},
        {"styles": [{"id": "st_1"}]},
        {"styles": [{"strength": 1}]},
        {"styles": [{"id": "st_1", "strength": 2.1}]},
        {"image_url": "not a url"},
        {"strength": 1.1},
        {"strength": -0.1},
    ],
)
def test_a_body_that_breaks_the_schema_is_400_and_starts_no_job(box, fields):
    answer = box.generate(**fields)
    assert answer.status_code == 400, answer.text
    assert list(answer.json()) == ["error"]
    assert box.world.submits == 0


@pytest.mark.parametrize(
    "fields",
    [
        {"seed": None},
        {"seed": 0.5},
        {"seed": -1},
        {"prompt": ""},
        {"prompt": "\ud800 лампа 🎨"},
        {"intensity": -100, "complexity": 100, "movement": 0},
        {"intensity": 5.0},
        {"image_style_references": []},
        {"image_style_references": [REFERENCE] * 10},
        {"image_style_references": [{**REFERENCE, "strength": -2, "note": "nested objects are open"}]},
        {"image_style_references": [{"url": "http://127.0.0.1:9/a.png", "strength": 2}]},
        {"moodboards": [{"id": BOARD, "strength": -0.5}]},
        {"moodboards": [{"id": "FFFFFFFF-ffff-ffff-ffff-ffffffffffff", "strength": 1.5}]},
        {"moodboards": [{"id": "00000000-0000-0000-0000-000000000000"}]},
        {"styles": [{"id": "st_1", "strength": -2}, {"id": "st_2", "strength": 2}]},
        {"image_url": None},
        {"image_url": "https://example.test/a.png", "strength": 0},
    ],
)
def test_a_body_inside_the_wide_ranges_is_accepted_and_drawn(box, fields):
    assert box.draw(**fields).startswith(b"\x89PNG")


def test_omitted_fields_take_the_defaults_of_the_schema(box):
    references, boards = [REFERENCE], [{"id": BOARD}]
    job_id = box.submit(image_style_references=references, moodboards=boards, image_url=REFERENCE["url"])
    order = box.world.job(job_id).brief.order
    assert order.creativity == "low"
    assert order.references[0].strength == 0.5
    assert (order.moodboard.strength, order.source.strength) == (0.23, 0.99)


def test_a_bare_string_as_reference_is_422(box):
    answer = box.generate(image_style_references=["https://example.test/a.png"])
    assert answer.status_code == 422
    assert "received string" in answer.json()["error"]


@pytest.mark.parametrize("name", [f"{BOARD}.png", "x.png", ""])
def test_an_unknown_asset_url_is_422(box, name):
    answer = box.generate(image_style_references=[{"url": f"http://localhost/uploads/{name}"}])
    assert (answer.status_code, answer.json()) == (422, {"error": "Invalid asset URL"})


def test_a_deleted_asset_is_an_unknown_one(box, make_picture):
    asset = box.upload(make_picture("red")).json()
    references = [{"url": asset["image_url"]}]
    assert box.generate(image_style_references=references).status_code == 200
    box.call("DELETE", f"/assets/{asset['id']}")
    assert box.generate(image_style_references=references).status_code == 422


@pytest.mark.parametrize(
    "uri", ["data:image/png;base64,AAAA", "data:image/png;base64,§", "data:nothing", "data:,text", "data:é"]
)
def test_a_data_uri_without_a_picture_is_422(box, uri):
    answer = box.generate(image_style_references=[{"url": uri}])
    assert (answer.status_code, answer.json()) == (422, {"error": "Input file rejected"})


def test_a_data_uri_may_be_longer_than_a_url(box, make_picture):
    data = base64.b64encode(make_picture("red", "BMP")).decode()
    assert box.generate(image_style_references=[{"url": f"data:image/bmp;base64,{data}"}]).status_code == 422
    data = base64.b64encode(make_picture("red", "JPEG", (900, 900))).decode()
    assert len(data) > 1024
    assert box.generate(image_style_references=[{"url": f"data:image/jpeg;base64,{data}"}]).status_code == 200
