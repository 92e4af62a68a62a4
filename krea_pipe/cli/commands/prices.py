"""`krea-pipe prices`: what images cost, who says so, and whether a document of Krea says the same."""

import os
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import click

from krea_pipe.app.prices import PriceDifference, compare_prices, effective_prices
from krea_pipe.cli.messages import place_json, print_json
from krea_pipe.cli.options import FILE, json_option
from krea_pipe.cli.tables import print_table
from krea_pipe.core.contract import PRICES_AS_OF
from krea_pipe.core.errors import Place
from krea_pipe.core.exit_codes import ExitCode
from krea_pipe.core.json_data import writable
from krea_pipe.core.money import exact
from krea_pipe.pipeline.pricing import PRICE_CLASSES, PriceList, PriceRow, usd


@click.command()
@click.argument("file", type=FILE, required=False)
@click.option(
    "--check",
    "document",
    type=FILE,
    metavar="OPENAPI",
    help="Compare with `x-krea-pricing` in this OpenAPI document (JSON or YAML); exit with 8 if they differ.",
)
@json_option
def prices(file: Path | None, document: Path | None, *, as_json: bool) -> int:
    """List what one image costs in US dollars, and the source of each price.

    The built-in prices are those that Krea documents. `prices:` in your own settings overrides them:
    `krea-pipe/settings.yaml` in XDG_CONFIG_HOME, or in ~/.config. With FILE, a pipeline, its `prices:` and
    `allow_unknown:` apply as well. Needs no network and no key.
    """
    found = effective_prices(file, os.environ)
    differences = None if document is None else compare_prices(found, document)
    if as_json:
        print_json(_json(found, document, differences))
    elif document is None:
        columns = ["field", "value", *PRICE_CLASSES, "from"]
        print_table(columns, list(_table(found)), numbers=PRICE_CLASSES, long=["from"])
    else:
        for one in differences or ():
            click.echo(writable(one.words))
        click.echo(f"{document}: {'the prices differ' if differences else 'the same prices'}.")
    return ExitCode.NOT_AS_LOCKED if differences else ExitCode.DONE


def _table(found: PriceList) -> Iterator[list[str]]:
    rows = list(found.rows())
    for start in range(0, len(rows), len(PRICE_CLASSES)):
        group = rows[start : start + len(PRICE_CLASSES)]
        places = dict.fromkeys(_source(row.price.at) for row in group)
        yield [group[0].field, group[0].value, *(usd(row.price.usd) for row in group), ", ".join(places)]
    for value in found.allowed.get("aspect_ratio", ()):
        if value not in found.ratios:
            yield ["aspect_ratio", value, *("" for _ in PRICE_CLASSES), "as for its variant"]


def _source(at: Place | None) -> str:
    return str(at) if at else f"built in, as of {PRICES_AS_OF}"


def _json(found: PriceList, document: Path | None, differences: list[PriceDifference] | None) -> dict[str, object]:
    said: dict[str, object] = {
        "schema": "krea-pipe/prices@1",
        "as_of": PRICES_AS_OF,
        "prices": [price_json(row) for row in found.rows()],
        "allowed": {name: list(values) for name, values in found.allowed.items()},
    }
    if differences is not None:
        said["check"] = {
            "document": str(document),
            "agrees": not differences,
            "differences": [_difference_json(one) for one in differences],
        }
    return said


def price_json(row: PriceRow) -> dict[str, object]:
    """One price as JSON data; `at` is null for a built-in one."""
    return {
        "field": row.field,
        "value": row.value,
        "class": row.price_class,
        "usd": exact(row.price.usd),
        "at": place_json(row.price.at),
    }


def price_words(rows: Iterable[PriceRow]) -> Iterator[str]:
    """The sources of prices that are not built in, one sentence for each field."""
    for (name, value), group in groupby(rows, lambda row: (row.field, row.value)):
        said = dict.fromkeys(f"{usd(row.price.usd)} by {row.price.at}" for row in group)
        yield writable(f"Price of {name} {value}: {', '.join(said)}.")


def _difference_json(one: PriceDifference) -> dict[str, object]:
    return {
        "variant": one.variant,
        "tier": one.tier,
        "here_usd": None if one.here is None else exact(one.here),
        "document_usd": None if one.there is None else exact(one.there),
    }
