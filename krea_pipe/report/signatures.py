"""The signatures of images that came before krea-pipe made any, from the small pictures of them that are kept."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from krea_pipe.report.model import Report
from krea_pipe.report.thumbnails import THREADS
from krea_pipe.store.space import Space

Sign: TypeAlias = Callable[[bytes], str]
"""Makes the signature of an image's bytes, "" of what is no image: `images.likeness_of`."""


def signatures(digests: Iterable[str], space: Space, sign: Sign) -> dict[str, str]:
    """The signatures of images by their digests, from the small pictures of those that have one."""
    wanted = list(dict.fromkeys(digests))
    with ThreadPoolExecutor(THREADS) as pool:
        made = zip(wanted, pool.map(partial(_signature, space, sign), wanted), strict=True)
        return {digest: one for digest, one in made if one}


def signed(report: Report, space: Space, sign: Sign) -> Report:
    """The report with the signatures that its rows lack, as far as there are small pictures."""
    found = signatures((row.sha256 for row in report.rows if row.sha256 and not row.likeness), space, sign)
    if not found:
        return report
    rows = (row if row.likeness else replace(row, likeness=found.get(row.sha256 or "", "")) for row in report.rows)
    return replace(report, rows=tuple(rows))


def _signature(space: Space, sign: Sign, digest: str) -> str:
    data = space.read_thumbnail(digest)
    return "" if data is None else sign(data)
