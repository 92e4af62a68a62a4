"""A bare loop that does with Pillow what a recipe for WebP does, on all cores: the floor of `deliver.py`.

python benchmarks/bare_delivery.py FOLDER OUT
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from PIL import Image

SIDE = 640


def convert(source: Path, target: Path) -> None:
    """Write an image as WebP, resized."""
    with Image.open(source) as image:
        image.resize((SIDE, SIDE), Image.Resampling.LANCZOS).save(target, "WEBP", quality=82, method=4)


def main() -> None:
    """Convert all images of a folder, whose names say nothing of their types."""
    folder, out = map(Path, sys.argv[1:])
    out.mkdir(parents=True)
    sources = sorted(path for path in folder.rglob("*") if path.is_file())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda path: convert(path, out / f"{path.name}.webp"), sources))


if __name__ == "__main__":
    main()
