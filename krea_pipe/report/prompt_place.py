"""Where the prompt of a cell stands."""

from collections.abc import Iterator

from krea_pipe.core.errors import Place
from krea_pipe.pipeline.model import Pipeline, Stage, Value
from krea_pipe.report.model import Report, Row


def prompt_place(pipeline: Pipeline, report: Report, row: Row) -> Place:
    """The place of the template of a cell's prompt, or of its stage if the template is not in the file."""
    stage = next(one for one in pipeline.stages if one.name == row.stage)
    document = pipeline.document
    if row.template is not None:
        text = report.templates[row.template]
        for value in _prompts(pipeline, stage):
            place = document.place(value.trail)
            if value.trail and str(value.data) == text and place not in document.overlays:
                return place
    return document.key_place(stage.trail)


def _prompts(pipeline: Pipeline, stage: Stage) -> Iterator[Value]:
    """Every prompt that cells of a stage may have, wherever it is set."""
    axes = [*stage.fixed, *(axis for matrix in stage.matrices for axis in matrix.axes)]
    layers = [
        stage.fields,
        *(value.sets for axis in axes for value in axis.values),
        *(rule.sets for matrix in stage.matrices for rule in matrix.patch),
        *(look.fields for look in pipeline.looks.values()),
    ]
    yield from (layer["prompt"] for layer in layers if "prompt" in layer)
