"""The contact sheet of a pack."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from krea_pipe.report.export.choice import Choice
from krea_pipe.report.model import Report
from krea_pipe.report.sheet.arrange import Wanted, arranged, following, stages_of
from krea_pipe.report.sheet.letters import Letters
from krea_pipe.report.sheet.pages import Paper, make_sheet
from krea_pipe.report.sheet.paint import Brush
from krea_pipe.report.sheet.parts import Measures, Setter
from krea_pipe.report.sheet.pdf import sheet_pdf
from krea_pipe.report.sheet.pictures import pictures_of
from krea_pipe.store.space import Space


def draw_sheet(report: Report, folder: Path, space: Space, choices: Sequence[Choice], *, is_picked: bool) -> bytes:
    """A PDF of what is handed off: picks one after the other with what was said about them, a whole run by its axes."""
    part = replace(report, rows=tuple(choice.row for choice in choices))
    remarks = {choice.row.id: choice.remark for choice in choices}
    stages = [
        following(stage, rows, remarks) if is_picked else arranged(stage, rows, Wanted())
        for stage, rows in stages_of(part, ())
    ]
    letters, paper = Letters(), Paper(even=True)
    sheet = make_sheet(part, stages, paper, title=report.pipeline.name, letters=letters)
    brush = Brush(pictures_of(report, folder, space), letters, Setter(letters, Measures(paper.side)).note)
    return sheet_pdf(sheet, brush)
