"""The options that several commands share, and the types of their values."""

from decimal import Decimal, InvalidOperation
from pathlib import Path

import click

from krea_pipe.matrix import MAX_CELLS

MOST = 1_000_000_000


class Money(click.ParamType[Decimal]):
    """An amount in US dollars."""

    name = "USD"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        """Turn `3`, `0.50` or `$2` into a Decimal."""
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is not an amount in US dollars", param, ctx)
        if not amount.is_finite() or not 0 <= amount <= MOST:
            self.fail(f"{value!r} is not an amount that can be spent", param, ctx)
        return amount


FILE = click.Path(path_type=Path)

file_argument = click.argument("file", type=FILE)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object and nothing else on stdout.")
max_cells_option = click.option(
    "--max-cells",
    type=click.IntRange(min=1),
    default=MAX_CELLS,
    show_default=True,
    help="Refuse a matrix with more cells.",
)
local_option = click.option(
    "--local", is_flag=True, help="Use the local Krea: it draws proofs, needs no key and spends nothing."
)
out_option = click.option(
    "--out",
    type=FILE,
    help="The folder for images.  [default: out/NAME, or proofs/NAME with --local]",
)


def out_folder(out: Path | None, name: str, *, local: bool) -> Path:
    """Where images go: proofs have a folder of their own, so that they never mix with real images."""
    return out if out is not None else Path("proofs" if local else "out") / name
