"""`krea-pipe schema`: the JSON Schemas."""

import click

from krea_pipe.pipeline.spec.schema import schema_text

SCHEMAS = {
    "pipeline": "pipeline.schema.json",
    "run-report": "run-report.schema.json",
    "lock": "lock.schema.json",
    "event": "event.schema.json",
}


@click.command()
@click.option(
    "--which",
    type=click.Choice([*SCHEMAS]),
    default="pipeline",
    show_default=True,
    help="The file format.",
)
def schema(which: str) -> int:
    """Print the JSON Schema of pipeline files, run reports, lock files or events.

    Editors use it to complete and check pipelines: save it beside your pipelines, and name it in their first line.
    """
    click.echo(schema_text(SCHEMAS[which]).rstrip("\n"))
    return 0
