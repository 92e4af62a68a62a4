"""A report with larger previews, as one file or one folder, for someone who is asked to decide."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.report import html
from krea_pipe.report.folder import PAGE_NAME
from krea_pipe.report.html import HtmlOptions, render_html, render_style
from krea_pipe.report.model import Report
from krea_pipe.report.rendered_forms import GENERATOR, MAX_MB, MB, check_free, megabytes
from krea_pipe.report.thumbnails import Shrink, digests_of, read_thumbnails
from krea_pipe.store.atomic import write_atomically
from krea_pipe.store.space import Space

PREVIEW_SIDE = 1024
"""The longer side of a preview in pixels."""
_THREADS = min(8, os.cpu_count() or 1)
_BATCH = 64
_OWN = frozenset({PAGE_NAME, html.STYLE_NAME, "thumbnails", "previews"})


@dataclass(frozen=True, slots=True)
class ReviewPage:
    """A report for a reviewer: how many previews it has, of how many images, and its size in bytes."""

    target: Path
    page: Path
    previews: int
    images: int
    size: int


def write_review(
    report: Report,
    target: Path,
    space: Space,
    shrink: Shrink,
    page: HtmlOptions,
    *,
    max_mb: int | None,
    announce: Callable[[ReviewPage], None],
) -> ReviewPage:
    """Write a report with previews; decisions that are made in it are exported as a picks file.

    Args:
        report: what has happened.
        target: the file if the name ends in .html, otherwise the folder.
        space: the name space that keeps the images, and a thumbnail of each.
        shrink: makes a preview of an image.
        page: what the page shows besides the report.
        max_mb: how many megabytes it may have; None for the default, which a folder does not have.
        announce: called before the target is written.

    Raises:
        UsageError: it would be larger than that, or something else is at the target.
        StateError: it cannot be written.
    """
    if target.suffix.lower() == ".zip":
        hint = "name an HTML file or a folder; --pack writes a zip file"
        raise UsageError(Problem("not_a_page", f"{target} ends in .zip", hint=hint))
    is_file = target.suffix.lower() in (".html", ".htm")
    write = _write_file if is_file else _write_folder
    return write(
        report, target, _Source(space, shrink, MAX_MB if is_file and max_mb is None else max_mb), page, announce
    )


@dataclass(frozen=True, slots=True)
class _Source:
    """Where previews come from, and how many megabytes all of it may have."""

    space: Space
    shrink: Shrink
    max_mb: int | None

    def previews(self, report: Report) -> Iterator[tuple[str, bytes]]:
        """The previews of cells by digest, made in all processors, a few at a time."""
        digests = dict.fromkeys(row.sha256 for row in report.rows if row.sha256)
        with ThreadPoolExecutor(_THREADS) as pool:
            waiting = iter(digests)
            while some := tuple(islice(waiting, _BATCH)):
                for digest, data in zip(some, pool.map(self._preview, some), strict=True):
                    if data is not None:
                        yield digest, data

    def _preview(self, digest: str) -> bytes | None:
        data = self.space.blobs.read(digest)
        return None if data is None else self.shrink(data)

    def check(self, size: int, target: Path, *, at_least: bool = False) -> None:
        """Refuse what is too large."""
        if self.max_mb is not None and size > self.max_mb * MB:
            least = "at least " if at_least else ""
            message = f"{target} would be {least}{megabytes(size)} MB, above --max-mb {self.max_mb}"
            limit = "" if at_least else f" with --max-mb {-(-size // MB)}"
            hint = f"select fewer cells with -k, or raise the limit{limit}"
            raise UsageError(Problem("too_large", message, hint=hint))


def _write_file(
    report: Report, target: Path, source: _Source, page: HtmlOptions, announce: Callable[[ReviewPage], None]
) -> ReviewPage:
    check_free(target)
    previews: dict[str, bytes] = {}
    total = 0
    for digest, data in source.previews(report):
        previews[digest] = data
        total += len(data) * 4 // 3
        source.check(total, target, at_least=True)
    thumbnails = dict(read_thumbnails(digests_of(report), source.space))
    page = replace(page, form="single", thumbnails=thumbnails, previews=previews)
    parts = list(render_html(report, page))
    review = _review(report, target, target, len(previews), sum(map(len, parts)))
    source.check(review.size, target)
    announce(review)
    write_atomically(target, parts, durable=False)
    return review


def _write_folder(
    report: Report, target: Path, source: _Source, page: HtmlOptions, announce: Callable[[ReviewPage], None]
) -> ReviewPage:
    _check_folder(target)
    with _staging(target) as folder:
        count = total = 0
        for digest, data in source.previews(report):
            (folder / "previews" / f"{digest}.webp").write_bytes(data)
            count, total = count + 1, total + len(data)
            source.check(total, target, at_least=True)
        there = set()
        for digest, data in read_thumbnails(digests_of(report), source.space):
            (folder / "thumbnails" / f"{digest}.webp").write_bytes(data)
            there.add(digest)
        missing = [digest for digest in digests_of(report) if digest not in there]
        (folder / html.STYLE_NAME).write_text(render_style(), encoding="utf-8")
        write_atomically(folder / PAGE_NAME, render_html(report, replace(page, missing=missing, previews="previews")))
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        review = _review(report, target, target / PAGE_NAME, count, size)
        source.check(size, target)
        announce(review)
        if target.exists():
            shutil.rmtree(target)
        folder.replace(target)
    return review


def _review(report: Report, target: Path, page: Path, previews: int, size: int) -> ReviewPage:
    images = len({row.sha256 for row in report.rows if row.sha256})
    return ReviewPage(target, page, previews, images, size)


def _check_folder(target: Path) -> None:
    """Refuse to replace what is not an earlier review."""
    if not os.path.lexists(target):
        return
    if target.is_dir() and not target.is_symlink():
        names = set(os.listdir(target))  # noqa: PTH208 (only names)
        if not names or (names <= _OWN and _is_ours(target / PAGE_NAME)):
            return
    hint = "choose another name; only an earlier review is replaced"
    raise UsageError(Problem("file_in_the_way", f"{target} exists and is not a report for review", hint=hint))


def _is_ours(page: Path) -> bool:
    try:
        with page.open("rb") as stream:
            return GENERATOR in stream.read(4_000)
    except OSError:
        return False


@contextmanager
def _staging(target: Path) -> Iterator[Path]:
    """A folder beside the target, which is gone if something went wrong."""
    try:
        target.absolute().parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".krea-pipe-", suffix=".tmp", dir=target.absolute().parent))
        try:
            folder.chmod(0o755)
            for name in ("previews", "thumbnails"):
                (folder / name).mkdir()
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        hint = "check the folder's permissions and free space"
        raise StateError(Problem("not_writable", f"cannot write {target}: {error.strerror}", hint=hint)) from error
