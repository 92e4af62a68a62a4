"""A report of thousands of cells with pictures, as a folder that a browser can open."""

import io
import math
import os
from dataclasses import replace
from functools import cache
from itertools import cycle, islice

from PIL import Image
from sample_reports import make_report, make_stage

from krea_pipe.core import images
from krea_pipe.report import html
from krea_pipe.store.atomic import write_atomically

AXES = {
    "subject": [f"subject {number}" for number in range(1, 26)],
    "light": ["dawn", "noon", "dusk", "neon", "candle"],
    "ratio": ["4:5", "16:9"],
    "creativity": ["raw", "low", "medium", "high"],
    "seed": [1, 2, 3, 4, 5],
}
SIZES = {"4:5": (1024, 1280), "16:9": (1344, 768)}


def large_report():
    """5,000 cells on five axes, one in fifty of them failed."""
    report = make_report(make_stage("lamp", AXES, lambda at: "failed" if at % 50 == 49 else "succeeded"))
    rows = [replace(row, width=SIZES[row.axes["ratio"]][0], height=SIZES[row.axes["ratio"]][1]) for row in report.rows]
    return replace(report, rows=tuple(rows))


def write_folder(report, folder):
    """Write the page and a small picture for each digest; a few dozen pictures stand for all."""
    pictures = {ratio: [_picture(number, size) for number in range(30)] for ratio, size in SIZES.items()}
    thumbnails = folder / "thumbnails"
    thumbnails.mkdir(parents=True)
    for ratio, made in pictures.items():
        for number, data in enumerate(made):
            (thumbnails / f"{ratio.replace(':', 'x')}-{number}.webp").write_bytes(data)
    rows = [row for row in report.rows if row.sha256]
    for row, number in zip(rows, islice(cycle(range(30)), len(rows)), strict=True):
        ratio = row.axes.get("ratio", "4:5")
        os.link(thumbnails / f"{ratio.replace(':', 'x')}-{number}.webp", thumbnails / f"{row.sha256}.webp")
    for one in report.references:
        os.link(thumbnails / "4x5-0.webp", thumbnails / f"{one.sha256}.webp")
    (folder / html.STYLE_NAME).write_text(html.render_style(), encoding="utf-8")
    write_atomically(folder / "report.html", html.render_html(report))
    return folder / "report.html"


@cache
def _picture(number, size):
    """A textured picture, so that it has the weight of a photograph."""
    noise = Image.effect_noise((256, 256), 60)
    hue = Image.linear_gradient("L").rotate(number * 12)
    light = Image.radial_gradient("L").point(lambda value: int(255 - value * (0.5 + 0.5 * math.sin(number))))
    mixed = Image.merge("HSV", (hue, noise.point(lambda value: value // 2 + 60), light)).convert("RGB")
    buffer = io.BytesIO()
    mixed.resize((size[0] // 4, size[1] // 4)).save(buffer, "PNG")
    return images.thumbnail(buffer.getvalue())
