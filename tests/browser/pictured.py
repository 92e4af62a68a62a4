"""Reports with small pictures as folders that a browser can open."""

from dataclasses import replace
from functools import cache

from krea_server import picture
from PIL import Image

from krea_pipe.core.images import signature
from krea_pipe.report import html
from krea_pipe.store.atomic import write_atomically


def write_page(report, folder, decisions=None, reviewer=""):
    """Write the page, a thumbnail of 60 x 40 for each digest, and an original of 300 x 200 for each image."""
    report = replace(report, base=".")
    for row in report.rows:
        if row.image and row.sha256:
            _put(folder / "thumbnails" / f"{row.sha256}.webp", picture("WEBP", row.sha256, (60, 40)))
            _put(folder / row.image, picture("PNG", row.sha256, (300, 200)))
    for one in report.references:
        if one.sha256:
            _put(folder / "thumbnails" / f"{one.sha256}.webp", picture("WEBP", one.sha256, (60, 40)))
    (folder / html.STYLE_NAME).write_text(html.render_style(), encoding="utf-8")
    page = html.HtmlOptions(decisions=decisions or {}, reviewer=reviewer)
    write_atomically(folder / "report.html", html.render_html(report, page))
    return (folder / "report.html").as_uri()


def _put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def with_likeness(report, likeness_of):
    """The report whose cells have the signature that a function gives of each."""
    return replace(report, rows=tuple(replace(row, likeness=likeness_of(row)) for row in report.rows))


@cache
def signature_of(grey):
    """The signature of a picture of one grey, 0 to 255: the distance of two is that of their greys."""
    return signature(Image.new("RGB", (64, 64), (grey, grey, grey)))
