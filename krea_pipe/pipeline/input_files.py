"""The files that a pipeline reads."""

from collections.abc import Iterator
from pathlib import Path

from krea_pipe.pipeline.model import Pipeline
from krea_pipe.pipeline.nodes import Node
from krea_pipe.pipeline.references import Fingerprints
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.spec.generated import FILE_KINDS
from krea_pipe.pipeline.spec.image_checks import command_files


def inputs_of(pipeline: Pipeline, fingerprints: Fingerprints) -> set[Path]:
    """List the files that a pipeline reads besides itself.

    Args:
        pipeline: the pipeline.
        fingerprints: its images; those that templates name are among them only after its cells were made.

    Returns:
        Images, picks files, tables and the programs of checks, as resolved paths.
    """
    images = {image.file for found in fingerprints.by_text.values() for image in found if image.file}
    picks = {stage.upstream.file.resolve() for stage in pipeline.stages if stage.upstream and stage.upstream.file}
    used = {one.file.resolve() for one in pipeline.document.used}
    checks = [check for stage in pipeline.stages for check in stage.checks]
    programs = {file for check in checks for _, file in command_files(check) if file.is_relative_to(pipeline.root)}
    return images | picks | used | programs | set(_tables(pipeline.document.root, pipeline))


def _tables(node: Node, pipeline: Pipeline) -> Iterator[Path]:
    """The files that axes take their values from."""
    for key, one in node.children.items():
        is_named = key in FILE_KINDS and isinstance(one.data, str)
        yield from _named_table(one, pipeline) if is_named else _tables(one, pipeline)


def _named_table(node: Node, pipeline: Pipeline) -> list[Path]:
    try:
        return files_of(str(node.data), pipeline.document.folder_at(node.start), pipeline.root)
    except Unusable:
        return []  # a variable of that name
