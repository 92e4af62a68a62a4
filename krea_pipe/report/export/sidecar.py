"""What is known of an image that is handed off, as JSON."""

from collections.abc import Mapping

from krea_pipe.core.request import ByKey, Key, source_text
from krea_pipe.pipeline.pricing import exact
from krea_pipe.report.export.choice import Choice
from krea_pipe.report.model import Report, Row

IMAGE_SCHEMA = "krea-pipe/hand-off-image@1"
MANIFEST_SCHEMA = "krea-pipe/hand-off@1"
NOTICE = "LOCAL PROOFS: drawn by the local Krea, not for use"


class Sidecars:
    """Writes about the cells of one run."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.labels = {reference.source: reference.label for reference in report.references}
        self.labels |= {source_text(ByKey(Key(row.key))): row.id for row in report.rows}
        self.axes = {(stage.name, axis.name): axis.values for stage in report.stages for axis in stage.axes}

    def image(self, choice: Choice, name: str, size: int) -> dict[str, object]:
        """Everything about one image."""
        row, templates = choice.row, self.report.templates
        is_known = row.template is not None and row.template < len(templates)
        return {
            "schema": IMAGE_SCHEMA,
            **self._notice,
            "id": row.id,
            "stage": row.stage,
            "file": name,
            "sha256": row.sha256,
            "bytes": size,
            "width": row.width,
            "height": row.height,
            **_decision(choice),
            "axes": {axis: {"value": value, "label": self._label(row, axis)} for axis, value in row.axes.items()},
            "prompt": row.prompt,
            "template": templates[row.template] if is_known and row.template is not None else None,
            "values": dict(row.values),
            "variant": row.request.get("variant"),
            "seed": row.request.get("seed"),
            "request": self._labelled(row.request),
            "source": row.source,
            "key": row.key,
            "job_id": row.job_id,
            "cost_usd": exact(row.cost_usd),
            "run_id": self.report.run_id,
        }

    def manifest(self, images: list[dict[str, object]], picks: list[str], missing: list[str]) -> dict[str, object]:
        """What is in the pack and where it comes from."""
        report = self.report
        return {
            "schema": MANIFEST_SCHEMA,
            **self._notice,
            "run_id": report.run_id,
            "finished_at": report.finished_at,
            "tool_version": report.tool_version,
            "pipeline": {"name": report.pipeline.name, "file": report.pipeline.file, "sha256": report.pipeline.digest},
            "git": {"commit": report.git.commit, "dirty": report.git.dirty} if report.git else None,
            "target": report.target.kind,
            "picks": picks,
            "missing": missing,
            "images": images,
        }

    def listed(self, choice: Choice, name: str, sidecar: str, size: int) -> dict[str, object]:
        """One image as the manifest lists it."""
        row = choice.row
        known = {"id": row.id, "stage": row.stage, "file": name, "sidecar": sidecar}
        return {**known, "sha256": row.sha256, "bytes": size, **_decision(choice)}

    @property
    def _notice(self) -> dict[str, object]:
        return {"notice": NOTICE} if self.report.target.kind == "local" else {}

    def _label(self, row: Row, axis: str) -> str | None:
        value = row.axes[axis]
        labels = (label for one, label in self.axes.get((row.stage, axis), ()) if repr(one) == repr(value))
        return next(labels, None)

    def _labelled(self, data: object) -> object:
        """A request in which each image that has a name in the project is told by it, too."""
        if isinstance(data, Mapping):
            label = self.labels.get(data["image"]) if isinstance(data.get("image"), str) else None
            found = {key: self._labelled(value) for key, value in data.items()}
            return {**found, "label": label} if label else found
        return [self._labelled(one) for one in data] if isinstance(data, (list, tuple)) else data


def _decision(choice: Choice) -> dict[str, object]:
    if choice.pick is None:
        return {"stars": None, "note": None}
    return {"stars": choice.pick.stars, "note": choice.pick.note or None}
