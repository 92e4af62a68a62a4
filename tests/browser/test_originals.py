"""Where the large picture of a cell comes from."""

from dataclasses import replace

import pytest
from krea_server import picture
from sample_reports import make_report, make_stage

from krea_pipe.report import html

IMAGES = {
    "out/a #1/1.png": "../../../out/a%20%231/1.png",
    "../else where/1.png": "../../../../else%20where/1.png",
    "/else where/50%.png": "file:///else%20where/50%25.png",
    "D:/out/a b.png": "file:///D:/out/a%20b.png",
}


def answer(route):
    if "report.html" in route.request.url:
        route.continue_()
    else:
        route.fulfill(body=picture(), content_type="image/png")


@pytest.fixture
def link_to(open_page, tmp_path):
    """The address of the original of one cell."""

    def link_to(page, *, base, image):
        report = make_report(make_stage("one", {}), base=base)
        row = replace(report.rows[0], image=image, id="one")
        file = tmp_path / "report.html"
        file.write_bytes(b"".join(html.render_html(replace(report, rows=(row,), references=()), page(row))))
        page = open_page("about:blank")
        page.route("**/*", lambda route: answer(route))
        page.goto(f"{file.as_uri()}#cell=one")
        link = page.get_by_role("link", name="Open original")
        return link.get_attribute("href") if link.count() else None

    return link_to


def of_the_folder(row):
    return html.HtmlOptions(missing=[row.sha256])


@pytest.mark.parametrize("image", IMAGES)
def test_a_page_without_a_store_links_to_the_file(link_to, image):
    assert link_to(of_the_folder, base="../../..", image=image) == IMAGES[image]


def test_a_folder_on_another_drive_is_found(link_to):
    assert link_to(of_the_folder, base="D:/work", image="out/1.png") == "file:///D:/work/out/1.png"


def test_what_krea_sent_is_shown_even_if_a_later_run_has_written_over_the_file(link_to):
    digests = []

    def page(row):
        digests.append(row.sha256)
        return html.HtmlOptions(originals="../../live/blobs", missing=[row.sha256])

    address = link_to(page, base="../../..", image="out/1.png")
    assert address == f"../../live/blobs/{digests[0][:2]}/{digests[0]}"


def test_a_page_that_is_made_to_be_sent_away_has_no_originals(link_to):
    assert link_to(lambda _: html.HtmlOptions("single", thumbnails={}), base="../../..", image="out/1.png") is None
