"""Tables on a terminal, and the same columns unwrapped in a pipe; numbers of bytes and of things."""

import sys
from collections.abc import Iterable, Sequence

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from krea_pipe.cli.streams import is_terminal
from krea_pipe.core.json_data import writable
from krea_pipe.core.word_diff import WordKind, WordPart

PIPE_WIDTH = 240
_STYLES: dict[WordKind, str] = {"same": "", "removed": "red", "added": "green"}
_UNITS = ("kB", "MB", "GB", "TB")


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    numbers: Sequence[str] = (),
    long: Sequence[str] = (),
) -> None:
    """Print rows of text under column names.

    The columns in `numbers` are aligned to the right; those in `long` are cut when the terminal is narrow.
    """
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for name in columns:
        table.add_column(
            name, justify="right" if name in numbers else "left", overflow="ellipsis", no_wrap=name not in long
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(writable(cell), no_wrap=True) for cell in row))
    console = Console(markup=False, highlight=False)
    if not is_terminal(sys.stdout):  # not what rich thinks: FORCE_COLOR makes no terminal, and cuts no columns
        console = Console(markup=False, highlight=False, width=PIPE_WIDTH)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def words_text(parts: Iterable[WordPart]) -> Text:
    """The parts of a change as a cell of a table: `wet [-slate-]{+oak+}`, in colours on a terminal."""
    pieces = ((writable(part.marked), _STYLES[part.kind]) for part in parts)
    return Text.assemble(*pieces, no_wrap=True)


def size(count: float) -> str:
    """A number of bytes: `312 B`, `4.2 MB`."""
    if count < 1000:
        return f"{count:.0f} B"
    for unit in _UNITS:
        count /= 1000
        if count < 999.5 or unit == _UNITS[-1]:
            break
    return f"{count:.1f} {unit}" if count < 99.95 else f"{count:.0f} {unit}"


def counted(count: int, name: str) -> str:
    """A number of things: `1 image`, `3 images`."""
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def distance_words(distance: float | None) -> str:
    """The distance between two images, from 0 to 1; a dash if it is unknown."""
    return "–" if distance is None else f"{distance:.3f}"
