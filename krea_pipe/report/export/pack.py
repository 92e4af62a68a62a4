"""The pack as one zip file: the same run and the same picks give the same bytes."""

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from krea_pipe.core.errors import Problem, StateError, UsageError
from krea_pipe.core.money import exact
from krea_pipe.core.request import ByKey, Key, source_text
from krea_pipe.core.xmp import XmpFields, xmp_packet
from krea_pipe.report.csv_table import csv_text
from krea_pipe.report.export.archive import ZipMoment, final_names, replacing, safe_part, zip_moment
from krea_pipe.report.export.image_names import names_by_id, names_by_template
from krea_pipe.report.export.selected_images import SelectedImage
from krea_pipe.report.model import Report, Row
from krea_pipe.report.sheet.arrange import AxisChoice, arrange_stage, list_cells, stages_of
from krea_pipe.report.sheet.draw import Painter
from krea_pipe.report.sheet.pages import PageLimits, make_sheet
from krea_pipe.report.sheet.parts import Typesetter
from krea_pipe.report.sheet.typeface import FontSet
from krea_pipe.store.known import look_up
from krea_pipe.store.space import Space

IMAGE_SCHEMA = "krea-pipe/hand-off-image@1"
MANIFEST_SCHEMA = "krea-pipe/hand-off@1"
NOTICE = "LOCAL PROOFS: drawn by the local Krea, not for production"
_PROOFS_NAME = "LOCAL-PROOFS"
SHEET = "contact-sheet.pdf"
_COMMENT = b"krea-pipe hand-off"
TABLE = "images.csv"
_IMAGE = re.compile(r"[^/]+/images/.+(?<!\.json)(?<!\.xmp)")
_COLUMNS = ("name", "id", "stars", "note", "by", "variant", "seed", "job_id", "sha256", "price_usd")


@dataclass(frozen=True, slots=True)
class PackContents:
    """The contents of a pack: the images of a run, the picks files that chose them, and picks without an image.

    `folder` is the run's, `picks` are paths as seen from where the run was started, empty for all images of a run.
    `expected` is how many images a whole pack would have. `names` is a template for the names of images; "" names them
    by their cells if there are picks, and otherwise by their paths in the output folder.
    """

    report: Report
    folder: Path
    images: Sequence[SelectedImage]
    picks: Sequence[str] = ()
    missing: Sequence[str] = ()
    expected: int = 0
    names: str = ""

    @property
    def title(self) -> str:
        """The name of the folder in the pack."""
        return title_of(self.report, is_picked=bool(self.picks))


@dataclass(frozen=True, slots=True)
class WrittenPack:
    """A pack that is written: how many images it has, of how many it could have, its bytes, and its digest.

    `replaced` is how many images the pack had that was there before. `names` are the names of the images in its folder,
    by the ids of their cells.
    """

    file: Path
    images: int
    expected: int
    replaced: int
    missing: tuple[str, ...]
    size: int
    sha256: str
    names: Mapping[str, str]


def title_of(report: Report, *, is_picked: bool) -> str:
    """The name of a pack and of the folder in it."""
    words = [report.pipeline.name, "picks" if is_picked else "", _PROOFS_NAME if report.target.kind == "local" else ""]
    return safe_part("-".join(filter(None, words)))


def check_target(path: Path) -> None:
    """Refuse to replace what is no pack.

    Raises:
        UsageError: something else is there.
    """
    if os.path.lexists(path) and not _is_pack(path):
        message = f"{path} exists and is not an export of krea-pipe"
        raise UsageError(Problem("file_in_the_way", message, hint="move it away, or use --out"))


def write_pack(
    contents: PackContents, space: Space, path: Path, *, allow_missing: bool, replace_fuller: bool
) -> WrittenPack:
    """Write a pack, image by image.

    Args:
        contents: what goes into it.
        space: the name space that keeps the images.
        path: the zip file.
        allow_missing: whether to leave out images that are lost.
        replace_fuller: whether a pack with more images may be replaced by a part of what could be packed.

    Raises:
        UsageError: there is such a pack, and it must not be replaced.
        StateError: a stored image is missing or damaged, or the file cannot be written.
    """
    earlier = _images_in(path)
    with replacing(path) as stream:
        with zipfile.ZipFile(stream, "w") as archive:
            archive.comment = _COMMENT
            packing = _Packing(contents, archive, zip_moment(contents.report.finished_at))
            lost = packing.write(space, allow_missing=allow_missing)
        count = len(contents.images) - len(lost)
        if count < min(contents.expected, earlier) and not replace_fuller:
            message = f"{path} has {earlier:,} images, but this pack has {count:,} of {contents.expected:,}"
            raise UsageError(Problem("fuller_file", message, hint="use --out for another file, or --replace"))
        stream.flush()
    with path.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    missing = (*contents.missing, *lost)
    return WrittenPack(path, count, contents.expected, earlier, missing, path.stat().st_size, digest, packing.names)


class _Packing:
    """Adds files to the folder of a pack and remembers their digests. Nothing is deflated: images do not shrink."""

    def __init__(self, contents: PackContents, archive: zipfile.ZipFile, moment: ZipMoment) -> None:
        self.contents, self.archive, self.moment = contents, archive, moment
        self.sums: list[tuple[str, str]] = []
        self.names: dict[str, str] = {}
        report = contents.report
        self.labels = {reference.source: reference.label for reference in report.references}
        self.labels |= {source_text(ByKey(Key(row.key))): row.id for row in report.rows}
        self.axes = {(stage.name, axis.name): axis.values for stage in report.stages for axis in stage.axes}
        self.notice = {"notice": NOTICE} if report.target.kind == "local" else {}

    def write(self, space: Space, *, allow_missing: bool) -> list[str]:
        """Write every file of a pack; the ids of images that are lost."""
        names = _names(self.contents)
        lost, listed = [], []
        for image in sorted(self.contents.images, key=lambda one: names[one.row.id]):
            data = space.blobs.read(image.row.sha256 or "")
            if data is None:
                if not allow_missing:
                    message = f"the stored image of {image.row.id} is missing or damaged"
                    hint = "rerun its pipeline to fetch it again, or skip it with --allow-missing"
                    raise StateError(Problem("image_damaged", message, hint=hint))
                lost.append(image.row.id)
                continue
            name = f"images/{names[image.row.id]}"
            stem = name.rpartition(".")[0]
            sidecar = f"{stem}.json"
            self._add(name, data)
            self._add_json(sidecar, self._sidecar(image, name, len(data)))
            self._add(f"{stem}.xmp", self._xmp(image))
            listed.append(_listed(image, name, sidecar, len(data)))
            self.names[image.row.id] = name
        there = [image for image in self.contents.images if image.row.id in self.names]
        self._add(SHEET, _contact_sheet(self.contents, space, there))
        self._add(TABLE, self._table(there, space))
        self._add_json("manifest.json", self._manifest(listed, lost))
        self._add("SHA256SUMS", "".join(f"{digest}  {name}\n" for digest, name in self.sums).encode())
        return lost

    def _add(self, name: str, data: bytes) -> None:
        info = zipfile.ZipInfo(f"{self.contents.title}/{name}", self.moment)
        info.external_attr = 0o644 << 16
        info.create_system = 3  # Unix, on every system: the same bytes
        self.archive.writestr(info, data)
        self.sums.append((hashlib.sha256(data).hexdigest(), name))

    def _add_json(self, name: str, data: Mapping[str, object]) -> None:
        self._add(name, (json.dumps(data, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "replace"))

    def _sidecar(self, image: SelectedImage, name: str, size: int) -> dict[str, object]:
        """Everything about one image."""
        row, templates = image.row, self.contents.report.templates
        return {
            "schema": IMAGE_SCHEMA,
            **self.notice,
            "id": row.id,
            "stage": row.stage,
            "file": name,
            "sha256": row.sha256,
            "bytes": size,
            "width": row.width,
            "height": row.height,
            **_decision(image),
            "axes": {axis: {"value": value, "label": self._label(row, axis)} for axis, value in row.axes.items()},
            "prompt": row.prompt,
            "template": None if row.template is None else templates[row.template],
            "values": dict(row.values),
            "variant": row.request.get("variant"),
            "seed": row.request.get("seed"),
            "request": self._labelled(row.request),
            "source": row.source,
            "key": row.key,
            "job_id": row.job_id,
            "cost_usd": exact(row.cost_usd),
            "run_id": self.contents.report.run_id,
        }

    def _xmp(self, image: SelectedImage) -> bytes:
        """The file that image programs read: the stars of the pick, and what the image is."""
        row, report = image.row, self.contents.report
        stars = image.pick.stars if image.pick else None
        software, is_proof = f"krea-pipe {report.tool_version}", report.target.kind == "local"
        fields = XmpFields(software, row.prompt, row.request.get("seed"), is_proof, stars)
        return xmp_packet(fields).encode("utf-8", "replace")

    def _table(self, images: Sequence[SelectedImage], space: Space) -> bytes:
        """A line for each image, in the order of the run, for spreadsheets."""
        prices = _prices(images, space)
        lines = [
            (
                *(self.names[one.row.id].removeprefix("images/"), one.row.id),
                *((one.pick.stars, one.pick.note, one.pick.by) if one.pick else (None, None, None)),
                *(one.row.request.get("variant"), one.row.request.get("seed")),
                *(one.row.job_id, one.row.sha256, prices[one.row.id]),
            )
            for one in images
        ]
        return csv_text(_COLUMNS, lines).encode("utf-8", "replace")

    def _manifest(self, images: list[dict[str, object]], lost: list[str]) -> dict[str, object]:
        """The manifest of the pack."""
        report = self.contents.report
        return {
            "schema": MANIFEST_SCHEMA,
            **self.notice,
            "run_id": report.run_id,
            "finished_at": report.finished_at,
            "tool_version": report.tool_version,
            "pipeline": {"name": report.pipeline.name, "file": report.pipeline.file, "sha256": report.pipeline.digest},
            "git": {"commit": report.git.commit, "dirty": report.git.dirty} if report.git else None,
            "target": report.target.kind,
            "picks": list(self.contents.picks),
            "missing": [*self.contents.missing, *lost],
            "expected": self.contents.expected,
            "images": images,
        }

    def _label(self, row: Row, axis: str) -> str | None:
        value = row.axes[axis]
        labels = (label for one, label in self.axes.get((row.stage, axis), ()) if repr(one) == repr(value))
        return next(labels, None)

    def _labelled(self, data: object) -> object:
        """A request with references named by their paths in the project as well, where they have one."""
        if isinstance(data, Mapping):
            label = self.labels.get(data["image"]) if isinstance(data.get("image"), str) else None
            found = {key: self._labelled(value) for key, value in data.items()}
            return {**found, "label": label} if label else found
        return [self._labelled(one) for one in data] if isinstance(data, (list, tuple)) else data


def _names(contents: PackContents) -> dict[str, str]:
    """The name of each image by the id of its cell."""
    if contents.names:
        return names_by_template(contents.report, contents.images, contents.names)
    if contents.picks:
        return names_by_id(contents.images)
    return final_names(contents.report, contents.folder, [one.row for one in contents.images])


def _prices(images: Sequence[SelectedImage], space: Space) -> dict[str, Decimal | None]:
    """The price of each image in USD by the id of its cell, also if an earlier run paid for it; None if unknown."""
    results = look_up(space, [one.row.key for one in images], (one.row.id for one in images)).results
    known = {(key, result.sha256): result.cost_usd for key, result in results.items()}
    return {one.row.id: known.get((one.row.key, one.row.sha256 or ""), one.row.cost_usd or None) for one in images}


def _listed(image: SelectedImage, name: str, sidecar: str, size: int) -> dict[str, object]:
    """One image as the manifest lists it."""
    row = image.row
    known = {"id": row.id, "stage": row.stage, "file": name, "sidecar": sidecar}
    return {**known, "sha256": row.sha256, "bytes": size, **_decision(image)}


def _decision(image: SelectedImage) -> dict[str, object]:
    if image.pick is None:
        return {"stars": None, "note": None}
    by, chain = image.pick.by or None, list(image.chain)
    return {"stars": image.pick.stars, "note": image.pick.note or None, "by": by, "chain": chain}


def _contact_sheet(contents: PackContents, space: Space, images: Sequence[SelectedImage]) -> bytes:
    """A PDF of the exported images: picks one after the other with their notes, or a whole run by its axes."""
    part = replace(contents.report, rows=tuple(image.row for image in images))
    remarks = {image.row.id: image.remark for image in images}
    stages = [
        list_cells(stage, rows, remarks) if contents.picks else arrange_stage(stage, rows, AxisChoice())
        for stage, rows in stages_of(part, ())
    ]
    fonts, limits = FontSet(), PageLimits(even=True)
    sheet = make_sheet(part, stages, limits, title=part.pipeline.name, fonts=fonts)
    painter = Painter(space, contents.folder / part.base, Typesetter(fonts, limits.measures))
    return b"".join(painter.pdf(sheet))


def _is_pack(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.comment == _COMMENT
    except (OSError, zipfile.BadZipFile):
        return False


def _images_in(path: Path) -> int:
    """The number of images in a pack; 0 if there is no pack."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(_IMAGE.fullmatch(name) is not None for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return 0
