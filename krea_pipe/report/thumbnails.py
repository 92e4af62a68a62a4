"""Small pictures, beside a page or inside it, and the signatures of images that are made from them."""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from krea_pipe.core.image_file import raster_type
from krea_pipe.core.request import parse_source
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.report.model import Report
from krea_pipe.store.atomic import make_folder, write_atomically
from krea_pipe.store.plain import check_folders, is_plain, read_plain
from krea_pipe.store.space import MOST_THUMBNAIL_BYTES, Space

_THREADS = min(8, os.cpu_count() or 1)

Shrink: TypeAlias = Callable[[bytes], bytes | None]
"""Makes a small picture, None of what is no image."""
Sign: TypeAlias = Callable[[bytes], str]
"""Makes the signature of an image's bytes, "" of what is no image: `images.likeness_of`."""


def digests_of(report: Report) -> list[str]:
    """The images that a page shows: those of cells, then references, each once."""
    rows = [row.sha256 for row in report.rows if row.sha256]
    return list(dict.fromkeys([*rows, *(one.sha256 for one in report.references if one.sha256)]))


def make_thumbnails(digests: Iterable[str], space: Space, shrink: Shrink) -> None:
    """Create missing thumbnails, on all processors: decoders release the lock of the interpreter."""

    def make(digest: str) -> None:
        data = space.blobs.read(digest)
        if data is not None:
            keep_thumbnail(digest, data, space, shrink)

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(make, [digest for digest in digests if not space.has_thumbnail(digest)]))


def keep_thumbnail(digest: str, data: bytes, space: Space, shrink: Shrink) -> None:
    """Keep the small picture of an image that is at hand."""
    small = shrink(data)
    if small is not None:
        write_atomically(space.thumbnail(digest), small, durable=False)


def keep_reference_thumbnails(report: Report, fingerprints: Fingerprints, space: Space, shrink: Shrink) -> None:
    """Keep small pictures of the references that a report names, while their files are at hand."""
    for one in report.references:
        image = fingerprints.by_source.get(parse_source(one.source))
        if image is None or one.sha256 is None or space.has_thumbnail(one.sha256):
            continue
        with suppress(OSError):
            keep_thumbnail(one.sha256, image.read(), space, shrink)


def import_thumbnails(folder: Path, digests: Iterable[str], space: Space) -> None:
    """Store the thumbnails in a run's folder, which may come from another machine."""
    for digest in digests:
        if space.has_thumbnail(digest):
            continue
        with suppress(OSError):
            data = read_plain(folder / f"{digest}.webp", MOST_THUMBNAIL_BYTES)
            if raster_type(data) == "image/webp":
                write_atomically(space.thumbnail(digest), data, durable=False)


def link_thumbnails(digests: Iterable[str], space: Space, folder: Path) -> list[str]:
    """Put thumbnails into a folder, as links where possible, so that the folder can be shared.

    Gives the digests without one.

    Raises:
        StateError: the folder cannot be made.
    """
    check_folders(folder)
    make_folder(folder)
    there = set(os.listdir(folder))  # noqa: PTH208 (thousands of names)
    return [
        digest
        for digest in digests
        if f"{digest}.webp" not in there and not _put(space.thumbnail(digest), folder / f"{digest}.webp")
    ]


def read_thumbnails(digests: Iterable[str], space: Space) -> Iterator[tuple[str, bytes]]:
    """The small pictures that there are, by the digest of the image that they show."""
    for digest in digests:
        data = space.read_thumbnail(digest)
        if data is not None:
            yield digest, data


def _put(source: Path, target: Path) -> bool:
    """Put a thumbnail into its place; False if there is no thumbnail."""
    if not is_plain(source):
        return False
    try:
        os.link(source, target)
    except FileExistsError:
        return True
    except FileNotFoundError:
        return False
    except OSError:  # another disk, or one that knows no links
        try:
            shutil.copyfile(source, target)
        except OSError:
            return False
    return True


def signatures(digests: Iterable[str], space: Space, sign: Sign) -> dict[str, str]:
    """The signatures of images by their digests, from the small pictures of those that have one."""
    wanted = list(dict.fromkeys(digests))

    def signature(digest: str) -> str:
        data = space.read_thumbnail(digest)
        return "" if data is None else sign(data)

    with ThreadPoolExecutor(_THREADS) as pool:
        return {digest: made for digest, made in zip(wanted, pool.map(signature, wanted), strict=True) if made}


def with_signatures(report: Report, space: Space, sign: Sign) -> Report:
    """The report with the signatures that its rows lack, as far as there are small pictures."""
    found = signatures((row.sha256 for row in report.rows if row.sha256 and not row.likeness), space, sign)
    if not found:
        return report
    rows = (row if row.likeness else replace(row, likeness=found.get(row.sha256 or "", "")) for row in report.rows)
    return replace(report, rows=tuple(rows))
