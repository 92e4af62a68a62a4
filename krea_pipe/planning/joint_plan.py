"""Several plans as one: what two pipelines share is paid once, and the stages of each wait only for their own."""

from collections.abc import Sequence

from krea_pipe.core.request import Key, Source
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.references import Image
from krea_pipe.planning.plan import Plan, Step


def joint_plan(plans: Sequence[Plan]) -> Plan:
    """Make one plan of those of several pipelines.

    Args:
        plans: the plans, which are based on the same store.

    Returns:
        Their distinct requests in order. The ids of cells begin with the name of the pipeline, and stages are told
        apart by the number of the plan.
    """
    steps = dict[Key, Step]()
    uploads, images = dict[Source, Image](), dict[Source, Image]()
    needs = dict[str, tuple[str, ...]]()
    for number, plan in enumerate(plans):
        for step in plan.steps:
            cells = tuple(_cell(cell, number, plan.pipeline) for cell in step.cells)
            first = steps.get(step.key)
            steps[step.key] = (first or step)._replace(cells=(*first.cells, *cells) if first else cells)
        uploads |= {image.source: image for image in plan.uploads}
        images |= {image.source: image for image in plan.images}
        for name, above in plan.needs.items():
            needs[_stage(name, number)] = tuple(_stage(one, number) for one in above)
    shard = plans[0].shard if plans else None
    return Plan("", tuple(steps.values()), tuple(uploads.values()), tuple(images.values()), needs, shard=shard)


def _cell(cell: Cell, number: int, pipeline: str) -> Cell:
    source = None if cell.source is None else _stage(cell.source, number)
    return cell._replace(id=f"{pipeline}/{cell.id}", stage=_stage(cell.stage, number), source=source)


def _stage(name: str, number: int) -> str:
    return f"{number}:{name}"
