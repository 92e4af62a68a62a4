"""Measures the page of a report in a browser."""

import json
from pathlib import Path

from rig import HERE, PYTHON, Row, limited, run

CELLS = 5_000


def page(folder: Path, scale: float) -> list[Row]:
    """The page of thousands of cells, opened from disk in headless Chromium by a separate process."""
    cells = round(CELLS * scale)
    ran = run([PYTHON, str(HERE / "browser.py"), str(folder), str(cells)], folder)
    assert ran.code == 0, ran.err
    found = json.loads(ran.out)
    opened, scroll, memory = found["opened"], found["scroll"], found["memory"]
    what = f"{cells:,} cells: opened until the first pictures are painted"
    return [
        limited(what, f"{opened:.2f} s", opened, 0.5),
        limited("… longest task while scrolling to the end", f"{scroll:.0f} ms", scroll, 40),
        Row("… longest task of a search", f"{found['search']:.0f} ms", cost=found["search"]),
        Row("… longest task of another pivot", f"{found['pivot']:.0f} ms", cost=found["pivot"]),
        limited("… memory of the renderer afterwards", f"{memory:.0f} MB", memory, 200),
    ]
