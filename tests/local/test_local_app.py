import ast
import asyncio
import sys
from pathlib import Path

import httpx
import pytest
from local_krea import serve

import krea_pipe.local

PACKAGE = Path(krea_pipe.local.__file__).parent
GUARDED = [
    ("POST", "/generate/image/krea/krea-2/medium"),
    ("POST", "/generate/image/krea/krea-2/large"),
    ("POST", "/generate/image/krea/krea-2/medium-turbo"),
    ("GET", "/jobs"),
    ("GET", "/jobs/x"),
    ("DELETE", "/jobs/x"),
    ("POST", "/assets"),
    ("GET", "/assets"),
    ("GET", "/assets/x"),
    ("DELETE", "/assets/x"),
    ("GET", "/styles"),
    ("GET", "/styles/x"),
]
OPEN = [("GET", "/images/x.png"), ("GET", "/uploads/x.png"), ("GET", "/_local/book")]
KEY = {"Authorization": "Bearer key"}
# What is needed to serve over HTTP and to read scripts of faults, and not for a Krea in the same process.
ONLY_IN = {"server": ["h11", "uvicorn"], "script_file": ["yaml"]}
DATE = "Sun, 22 Nov 2026 10:00:00 GMT"


@pytest.mark.parametrize(("method", "path"), GUARDED)
@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer "}, {"Authorization": "Key abc"}])
def test_without_a_bearer_token_every_api_route_is_401(box, method, path, header):
    answer = box.call(method, path, token=None, headers=header)
    assert (answer.status_code, answer.json()) == (401, {"message": "Unauthorized"})


@pytest.mark.parametrize(("method", "path"), OPEN)
def test_files_and_the_book_are_served_without_a_token(box, method, path):
    assert box.call(method, path, token=None).status_code != 401


def test_a_world_with_a_token_accepts_that_token_only(make_box):
    box = make_box(token="id:secret")
    assert box.call("GET", "/jobs", token="id:secret").status_code == 200
    assert box.call("GET", "/jobs", token="other").status_code == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/v1/jobs"), ("POST", "/generate/image/krea/krea-2/turbo"), ("PUT", "/jobs")],
)
def test_an_unknown_path_is_an_html_404(box, method, path):
    answer = box.call(method, path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(("method", "path"), [*GUARDED, *OPEN])
def test_every_handler_yields_to_other_tasks(box, method, path):
    async def watch():
        seen = []
        async with box.client() as client:
            asyncio.get_running_loop().call_soon(seen.append, "another task")
            await client.request(method, path)
            return list(seen)

    assert asyncio.run(watch()) == ["another task"]


def test_styles_are_listed_filtered_and_read(box):
    page = box.call("GET", "/styles").json()
    ids = [style["id"] for style in page["items"]]
    assert len(ids) == 3
    assert page["next_cursor"] is None
    assert box.call("GET", f"/styles/{ids[0]}").json() == page["items"][0]
    assert box.call("GET", "/styles/st_none").status_code == 404
    picked = box.call("GET", "/styles", params={"ids": f"{ids[2]},{ids[0]}"}).json()["items"]
    assert [style["id"] for style in picked] == [ids[0], ids[2]]
    large = box.call("GET", "/styles", params={"model": "k2-large"}).json()["items"]
    assert [style["models"] for style in large] == [["k2-large"]]


def test_styles_are_paged(box):
    first = box.call("GET", "/styles", params={"limit": 2}).json()
    rest = box.call("GET", "/styles", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [len(page["items"]) for page in (first, rest)] == [2, 1]
    assert rest["next_cursor"] is None


def test_a_bad_style_query_is_400(box):
    assert box.call("GET", "/styles", params={"filter": "mine"}).status_code == 400
    assert box.call("GET", "/styles", params={"limit": "0"}).status_code == 400


def test_it_works_over_loopback(make_box, make_picture):
    box = make_box(latency=0)

    async def serve_and_use():
        async with serve(box.app) as base_url, httpx.AsyncClient(base_url=base_url, headers=KEY) as client:
            return await _upload_generate_download(client, make_picture("red"))

    assert asyncio.run(serve_and_use()).startswith(b"\x89PNG")


async def _upload_generate_download(client, picture):
    asset = (await client.post("/assets", files={"file": ("ref.png", picture)})).json()
    references = [{"url": asset["image_url"], "strength": 0.8}]
    body = {"prompt": "a lamp", "aspect_ratio": "1:1", "resolution": "1K", "image_style_references": references}
    job = (await client.post("/generate/image/krea/krea-2/medium", json=body)).json()
    [url] = (await client.get(f"/jobs/{job['job_id']}")).json()["result"]["urls"]
    return (await client.get(url)).content


@pytest.mark.parametrize(
    ("method", "path", "token"), [("GET", "/jobs", "key"), ("GET", "/jobs", None), ("GET", "/", None)]
)
def test_every_answer_has_the_date_of_the_worlds_clock(box, method, path, token):
    assert box.call(method, path, token=token).headers["date"] == DATE


def read_dates(box, **options):
    async def serve_and_ask():
        async with serve(box.app, **options) as base_url, httpx.AsyncClient(base_url=base_url) as client:
            return (await client.get("/jobs", headers=KEY)).headers.get_list("date")

    return asyncio.run(serve_and_ask())


def test_a_server_that_dates_answers_itself_gets_no_second_date(box):
    [date] = read_dates(box)
    assert date != DATE


def test_a_server_that_leaves_dates_out_shows_the_worlds_clock(make_box):
    assert read_dates(make_box(dates=True), date_header=False) == [DATE]


@pytest.mark.parametrize("module", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_the_local_krea_imports_nothing_of_the_runner(module):
    allowed = {*sys.stdlib_module_names, "PIL", "httpx", "starlette", *ONLY_IN.get(module.stem, ())}
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            names = [node.module]
        for name in names:
            assert name.split(".")[0] in allowed or f"{name}.".startswith("krea_pipe.local."), name
