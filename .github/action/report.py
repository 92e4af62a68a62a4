"""Reports the runs in the job summary and in the outputs of the action."""

import json
import re
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from workflow import folder, output, plain, run_step, summarise

from krea_pipe.report.markdown import code

_PICTURES = re.compile(r"^### (?:Images|[\d,]+ of [\d,]+ images).*\n(?:(?!### ).*\n)*", re.MULTILINE)
ENDS = {
    1: "some images failed",
    2: "the pipeline, or an input of the action, is invalid",
    4: "Krea refused the request: is `api-key` set, and does the account have credit?",
    5: "over budget, or at a limit",
    7: "`args` selects no cells",
    8: "an image differs from the lock file",
    9: "an image fails a check with `fail: true`",
    130: "interrupted; the next run continues",
}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline: its exit code, and its folder, or None if it did not write a report."""

    code: int
    folder: Path | None
    file: str


def main() -> int:
    """Write the outputs `run-id`, `report`, `spent`, `rendered`, and the summary."""
    runs = _runs(folder() / "runs")
    records = [json.loads((one.folder / "report.json").read_text(encoding="utf-8")) for one in runs if one.folder]
    for one in runs:
        summarise(_text(one))
    output("run-id", "\n".join(record["run_id"] for record in records))
    output("report", "\n".join(str(one.folder) for one in runs if one.folder))
    totals = [record["totals"] for record in records]
    output("spent", plain(sum((Decimal(one["cost"]["spent_usd"]) for one in totals), Decimal(0))))
    output("rendered", sum(one["cells"]["succeeded"] for one in totals))
    return 0


def _runs(listed: Path) -> list[Run]:
    noted = json.loads(listed.read_text(encoding="utf-8")) if listed.exists() else []
    return [Run(one["code"], _with_report(one["folder"]), one["file"]) for one in noted]


def _with_report(name: str) -> Path | None:
    path = Path(name)
    return path if name and (path / "report.json").is_file() else None


def _text(run: Run) -> str:
    """The report of a run without its pictures, which a job summary cannot show."""
    note = f"\n**{code(run.file)}**: {ENDS.get(run.code, f'exit code {run.code}')}.\n" if run.code not in (0, 6) else ""
    if run.folder is None:
        return note
    return _PICTURES.sub("", (run.folder / "report.md").read_text(encoding="utf-8")) + note


if __name__ == "__main__":
    run_step(main)
