"""`krea-pipe graph`: the stages and what they wait for."""

from pathlib import Path
from typing import Unpack

import click

from krea_pipe.app import expansion
from krea_pipe.app.reading import load_pipeline
from krea_pipe.cli.options import OverFlags, file_argument, max_cells_option, over_options, overrides
from krea_pipe.cli.summary import waiting_words
from krea_pipe.matrix.graph import dot_lines, mermaid_lines, text_lines

FORMATS = {"text": text_lines, "mermaid": mermaid_lines, "dot": dot_lines}


@click.command()
@file_argument
@click.option(
    "--format", "form", type=click.Choice([*FORMATS]), default="text", show_default=True, help="The output format."
)
@over_options
@max_cells_option
def graph(file: Path, form: str, max_cells: int, **over: Unpack[OverFlags]) -> int:
    """Show the stages of FILE, their images and prices, and which stages wait for others.

    Needs no network and no key. Prices cover all images, generated or not; `krea-pipe plan` shows what is new.
    """
    loaded = load_pipeline(file, overrides(over))
    stage_graph = expansion.stage_graph(loaded, max_cells)
    for line in FORMATS[form](stage_graph):
        click.echo(line)
    for one in stage_graph.waiting if form == "text" else ():
        click.echo(f"\n{waiting_words(one, local=False)}")
    return 0
