"""One report that has everything, made by hand, and every text form of it. As a program, it writes these anew:

    PYTHONPATH=. python tests/report/handmade.py

Look at what that changes in `tests/golden/report/` before it is kept.
"""

import hashlib
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from decimal import Decimal
from io import StringIO
from pathlib import Path

from krea_pipe.cli.stderr_log import StderrLog
from krea_pipe.cli.summary import print_summary, print_troubles
from krea_pipe.report import csv_table, junit, markdown
from krea_pipe.report.model import (
    Attempt,
    AxisView,
    CellTotals,
    CheckResult,
    CostTotals,
    DeliveredFile,
    Failure,
    GitState,
    PipelineView,
    ReferenceView,
    Report,
    Row,
    StageView,
    TargetView,
    Timings,
)
from krea_pipe.report.record import to_lines

GOLDEN = Path(__file__).parents[1] / "golden" / "report"

FORMULA = '=HYPERLINK("https://example.com/?"&A1;"open me")'
MARKUP = "</td><script>alert(1)</script> | `code` **bold** [link](https://example.com) @octocat #1 :tada: $x$"
CONTROLS = "bell \x07, red \x1b[31m, turned \u202eback, no text \ufffe, half an emoji \ud83d, two\nlines"
NON_ASCII = "Größe – ランプ 🪔, «стекло»"
PRICE = Decimal("0.02")
REFERENCE = "sha256:" + "ab" * 32
LINKED = "https://example.com/mood.jpg"
DRAFT_PROMPT = "{{ subject.text }} on {{ surface }}"
FINAL_PROMPT = "{{ source.axes.surface }}, print quality"
PARTS = {"marble": "marble", "wet slate": "wet-slate", FORMULA: "hyperlink"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def job(number: int) -> str:
    return f"5f0c1f9e-7a52-4a19-8f0e-{number:012}"


def timed(second: int, seconds: float) -> Timings:
    return Timings(f"2026-10-12T09:14:{second:02}.000Z", f"2026-10-12T09:14:{second + 12:02}.800Z", seconds)


def request(prompt: str, **more: object) -> dict[str, object]:
    plain = {"variant": "medium", "prompt": prompt, "aspect_ratio": "3:2", "resolution": "1K", "creativity": "raw"}
    numbers = {"intensity": 0, "complexity": 0, "movement": 0, "seed": 7}
    references = [{"image": REFERENCE, "strength": 0.5}, {"image": LINKED, "strength": 1}]
    return {**plain, **numbers, "image_style_references": references, **more}


def row(number: int, place: str, prompt: str, **changes: object) -> Row:
    """A draft that is rendered, but for the changes."""
    cell = f"draft/{place}"
    plain = {
        "id": cell,
        "stage": "draft",
        "axes": {"surface": "marble", "creativity": "raw", "seed": 7},
        "prompt": prompt,
        "request": request(prompt),
        "key": digest(f"key of {cell}"),
        "status": "succeeded",
        "reason": "new",
        "image": f"out/autumn-lamp/{cell}.png",
        "sha256": digest(cell),
        "job_id": job(number),
        "cost_usd": PRICE,
        "attempts": (
            Attempt("2026-10-12T09:14:05.000Z", "submitted", job(number)),
            Attempt("2026-10-12T09:14:17.800Z", "done", digest(cell)),
        ),
        "timings": timed(number, 12.8),
        "error": None,
        "width": 1536,
        "height": 1024,
        "likeness": f"{number:016x}",
        "template": 0,
        "values": {"subject.text": "a glass lamp", "surface": "marble"},
    }
    return Row(**{**plain, **changes})


def drafts() -> tuple[Row, ...]:
    first = row(1, "marble/raw/s7", "a glass lamp on marble")
    return (
        first,
        row(
            2,
            "marble/low/s7",
            MARKUP,
            axes={"surface": "marble", "creativity": "low", "seed": 7},
            adopted=True,
            checks=(
                CheckResult("sharp", "sharpness", 31.25, 40, None, False, True, "31.25 is less than 40"),
                CheckResult("score", "command", None, 0.5, 1.5, False, False, MARKUP),
            ),
        ),
        row(
            3,
            "wet-slate/raw/s7",
            NON_ASCII,
            axes={"surface": "wet slate", "creativity": "raw", "seed": 7},
            status="reused",
            reason="cached",
            cost_usd=Decimal(0),
            attempts=(),
            timings=Timings(),
            checks=(
                CheckResult("sharp", "sharpness", 40.0, 40, None, True, True),
                CheckResult("score", "command", 0.4, 0.5, 1.5, False, False, f"0.4 is less than 0.5: {CONTROLS}"),
            ),
            delivered=(
                DeliveredFile(
                    "web", "webp", f"out/autumn-lamp/web/{MARKUP}.webp", 1200, 800, 84_300, digest("web"), (CONTROLS,)
                ),
                DeliveredFile("print", "jpeg", "out/autumn-lamp/print/wet-slate.jpg", error=f"cannot write {MARKUP}"),
            ),
        ),
        row(
            1,
            "wet-slate/low/s7",
            first.prompt,
            axes={"surface": "wet slate", "creativity": "low", "seed": 7},
            key=first.key,
            sha256=first.sha256,
            reason=f"same request as {first.id}",
            cost_usd=Decimal(0),
        ),
    )


NO_IMAGE = {"image": None, "sha256": None, "width": None, "height": None, "likeness": "", "attempts": ()}


def problems() -> tuple[Row, ...]:
    """One cell for each way to have no image, on a surface that means harm."""
    refused = Failure("moderated", f"Krea refused the prompt: {MARKUP}", "rejected")
    unfetched = Failure("image_unfetched", f"the image is drawn but could not be fetched: {CONTROLS}", "transient")
    lost = Failure("answer_lost", "the connection broke after the request was sent", "uncertain", (job(71), job(72)))
    none = {"cost_usd": Decimal(0), "timings": Timings()}
    changed = {"timings": timed(6, 3.25), "reason": f"prompt changed: {CONTROLS}"}
    return (
        problem(5, "raw", FORMULA, **none, status="failed", error=refused),
        problem(6, "low", CONTROLS, **changed, status="failed", error=unfetched),
        problem(7, "high", "-1 lamp, +1 shade; =2", timings=Timings(), status="uncertain", error=lost, job_id=None),
    )


def problem(number: int, creativity: str, prompt: str, **changes: object) -> Row:
    """A draft without an image."""
    axes = {"surface": FORMULA, "creativity": creativity, "seed": None}
    return row(number, f"hyperlink/{creativity}/none", prompt, **{**NO_IMAGE, "axes": axes, **changes})


def finals() -> tuple[Row, ...]:
    """Cells of a stage that draws from the images of another."""
    empty = Failure("empty", "the job is done and has no image", "empty")
    missing = Failure("upstream_missing", "draft/hyperlink/low/none has no image to draw from")
    waits = {**NO_IMAGE, "cost_usd": Decimal(0), "timings": Timings(), "status": "pending"}
    return (
        final(8, ("marble", "raw", 7)),
        final(9, ("marble", "low", 7), **NO_IMAGE, status="failed", error=empty),
        final(10, ("wet slate", "raw", 7), **waits),
        final(11, (FORMULA, "low", None), **{**waits, "job_id": None, "error": missing}),
    )


def final(number: int, source: tuple[str, str, int | None], **changes: object) -> Row:
    """A final image, rendered but for the changes."""
    surface, creativity, seed = source
    draft = f"draft/{PARTS[surface]}/{creativity}/{'none' if seed is None else f's{seed}'}"
    cell = draft.replace("draft/", "final/") + "/true"
    prompt = f"{surface}, print quality"
    image = {"image": f"key:{digest(f'key of {draft}')}", "strength": 0.8}
    plain = {
        "id": cell,
        "stage": "final",
        "axes": {"surface": surface, "creativity": creativity, "seed": seed, "proof": True},
        "request": request(prompt, variant="large", image=image),
        "key": digest(f"key of {cell}"),
        "image": f"out/autumn-lamp/{cell}.png",
        "sha256": digest(cell),
        "cost_usd": Decimal("0.06"),
        "template": 1,
        "values": {"source.axes.surface": surface},
        "source": draft,
    }
    return row(number, cell, prompt, **{**plain, **changes})


def handmade_report() -> Report:
    surfaces = (("marble", "a marble table"), ("wet slate", "wet <b>slate</b> | dark"), (FORMULA, FORMULA))
    levels = (("raw", "raw"), ("low", "low"), ("high", "high"))
    axes = (AxisView("surface", surfaces), AxisView("creativity", levels), AxisView("seed", ((7, "7"), (None, "none"))))
    proof = AxisView("proof", ((True, "true"),))
    return Report(
        run_id="20261012-091403-112-autumn-lamp-7f3a",
        tool_version="1.2.3",
        started_at="2026-10-12T09:14:03.112Z",
        finished_at="2026-10-12T09:15:15.000Z",
        exit_code=1,
        pipeline=PipelineView("autumn-lamp", f"Lamps on stone.\n{NON_ASCII}", "pipelines/lamp.yaml", "cd" * 32),
        git=GitState("8c1f0d2b7e6a5948372615048d9ecb7fa1623d45", dirty=True),
        target=TargetView("live", "https://api.krea.ai"),
        out="out/autumn-lamp",
        base="../../..",
        cells=CellTotals(11, succeeded=4, reused=1, failed=3, uncertain=1, pending=2),
        cost=CostTotals(Decimal("0.18"), PRICE, PRICE, Decimal("0.06"), Decimal("12.00")),
        warnings=(f"pipelines/lamp.yaml:4:9: {MARKUP}", f"{NON_ASCII} is drawn as it is written"),
        stages=(StageView("draft", axes), StageView("final", (*axes, proof))),
        rows=(*drafts(), *problems(), *finals()),
        templates=(DRAFT_PROMPT, FINAL_PROMPT),
        references=(
            ReferenceView(REFERENCE, f"refs/{NON_ASCII}.png", "ab" * 32),
            ReferenceView(LINKED, LINKED, None),
        ),
    )


def summary(report: Report) -> str:
    """What a run prints at its end, on both streams."""
    text = StringIO()
    with redirect_stdout(text), redirect_stderr(text):
        print_troubles(report, StderrLog())
        beside = replace(report, pipeline=replace(report.pipeline, file="lamp.yaml"))
        print_summary(beside, Path("runs", report.run_id, "report.html"), Path())
    return text.getvalue()


FORMS = {
    "report.json": lambda report: "".join(to_lines(report)),
    "report.md": markdown.render_markdown,
    "junit.xml": lambda report: "".join(junit.render_junit(report)),
    "results.csv": lambda report: "".join(csv_table.render_csv(report)),
    "summary.txt": summary,
}


def rendered(name: str) -> bytes:
    """One form of the handmade report, as it stands on disk."""
    return FORMS[name](handmade_report()).encode("utf-8", "replace")


if __name__ == "__main__":
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for one in FORMS:
        (GOLDEN / one).write_bytes(rendered(one))
