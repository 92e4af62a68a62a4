"""The cells of a pipeline, each made by itself from nothing: what every faster way of making them must give."""

import itertools

from krea_pipe.core.request import canonical_json, key_of
from krea_pipe.matrix.out_paths import path_of, recipe_files_of
from krea_pipe.matrix.rendering import CellProblem
from krea_pipe.matrix.resolve import Resolver, SourceCell


def expand_plainly(loaded):
    """For each cell its id, path, files, axes as JSON data, key, request as canonical JSON, source and template.

    Samples and picks leave out nothing. A cell that cannot be made is the code of its problem.
    """
    made = {}
    for stage in loaded.pipeline.stages:
        made[stage.name] = list(_cells_of(loaded, stage, made))
    return [row for rows in made.values() for _, row in rows]


def _cells_of(loaded, stage, made):
    above = [None] if stage.upstream is None else [draft for draft, _ in made[stage.upstream.stage]]
    for source, matrix in itertools.product(above, stage.matrices):
        names = [axis.name for axis in matrix.axes]
        for combination in itertools.product(*(range(len(axis.values)) for axis in matrix.axes)):
            resolver = Resolver(loaded.pipeline, stage, matrix, loaded.fingerprints)
            draft = resolver.draft(combination, None if source is None else _source_cell(source, names))
            if resolver.precedence.met(resolver.precedence.exclude, combination, draft.context):
                continue
            try:
                yield draft, _row(stage, resolver, draft)
            except CellProblem as problem:
                yield draft, problem.code


def _row(stage, resolver, draft):
    request = resolver.request(draft)
    out = path_of(stage, draft.id, resolver.renderer, draft.context)
    files = recipe_files_of(stage, draft.id, out, resolver.renderer, draft.context)
    names = (*(name for name, _, _ in draft.inherited), *resolver.names)
    axes = (*(value for _, _, value in draft.inherited), *(value.scalar for value in draft.values))
    source = None if draft.source is None else draft.source.id
    text = canonical_json(request.fields())
    return (
        draft.id,
        out,
        files,
        list(zip(names, axes, strict=True)),
        key_of(request),
        text,
        source,
        resolver.template(draft),
    )


def _source_cell(draft, own):
    request, parts = draft.resolver.request(draft), draft.id.split("/")[1:]
    names = [name for name, _, _ in draft.inherited] + list(draft.resolver.names)
    values = [value for _, _, value in draft.inherited] + [value.scalar for value in draft.values]
    inherited = [
        (f"source.{name}" if name in own else name, part, value)
        for name, part, value in zip(names, parts, values, strict=True)
    ]
    return SourceCell(draft.id, key_of(request), request, draft.axes, tuple(inherited))
