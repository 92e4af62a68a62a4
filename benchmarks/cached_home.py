"""A home folder that has an image for each request of a pipeline, without having run it.

    krea-pipe expand FILE --jsonl | python benchmarks/cached_home.py HOME NAME [--pictures]

NAME is the pipeline's name. Images are tiny and of one colour, each with different bytes; with `--pictures`, they have
1024 × 1024 pixels, and each looks different.
"""

import hashlib
import json
import sys
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from functools import cache, partial
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageChops
from rig import png

from krea_pipe.core.outcome import Result
from krea_pipe.store.known import remember_cells, remember_results
from krea_pipe.store.space import open_space

SIDE = 1024
BLANK = png(64, 48, noise=False)


def main() -> None:
    """Read the cells, and store an image for each of them."""
    home, name, pictures = Path(sys.argv[1]), sys.argv[2], "--pictures" in sys.argv
    cells = [json.loads(line) for line in sys.stdin]
    space = open_space(home, "live")
    space.prepare()
    with ProcessPoolExecutor() as pool:
        stored = pool.map(partial(_stored, space.blobs.folder, pictures), range(len(cells)), chunksize=64)
        results = [_result(number, digest, pictures) for number, digest in enumerate(stored)]
    pairs = list(zip(cells, results, strict=True))
    remember_results(space, {cell["key"]: (result, cell["request"]) for cell, result in pairs})
    remember_cells(space, {f"{name}/{cell['id']}": cell["key"] for cell in cells})


def _stored(folder: Path, pictures: bool, number: int) -> str:
    """Write the image of a number, unsynced, because thousands of syncs take minutes; its digest."""
    data = _picture(number) if pictures else BLANK + str(number).encode()
    digest = hashlib.sha256(data).hexdigest()
    path = folder / digest[:2] / digest
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return digest


def _result(number: int, digest: str, pictures: bool) -> Result:
    width, height = (SIDE, SIDE) if pictures else (64, 48)
    return Result(digest, "image/png", width, height, f"job-{number}", Decimal("0.035"), "2026-01-01T00:00:00Z", "")


def _picture(number: int) -> bytes:
    """A picture with about as much detail as a photograph, shifted differently for each number."""
    buffer = BytesIO()
    ImageChops.offset(_texture(), number * 37, number // 27 * 41).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


@cache
def _texture() -> Image.Image:
    light = [Image.linear_gradient("L").rotate(turn).resize((SIDE, SIDE)) for turn in (0, 90, 180)]
    grain = Image.effect_noise((SIDE // 4, SIDE // 4), 60).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
    return Image.merge("RGB", [ImageChops.blend(one, grain, 0.06) for one in light])


if __name__ == "__main__":
    main()
