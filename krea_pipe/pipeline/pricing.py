"""What a request costs, from dated data."""

from decimal import Decimal
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import cast

from krea_pipe.core.request import Request
from krea_pipe.pipeline.nodes import build_nodes


def price_of(request: Request) -> Decimal:
    """The price of one image in US dollars, exact."""
    prices = _prices()[request.variant]
    if request.moodboards:
        return prices["moodboard"]
    return prices["references"] if request.references else prices["text"]


@cache
def _prices() -> dict[str, dict[str, Decimal]]:
    path = files("krea_pipe") / "data" / "prices.yaml"
    data = cast(
        "dict[str, dict[str, dict[str, str]]]", build_nodes(Path("prices.yaml"), path.read_text(encoding="utf-8")).data
    )
    return {
        variant: {kind: Decimal(usd) for kind, usd in prices.items()} for variant, prices in data["variants"].items()
    }


def exact(amount: Decimal) -> str:
    """Money for programs: every digit, never as a power of ten."""
    return format(amount, "f")


def usd(amount: Decimal) -> str:
    """Money for people: at least two decimals, and as many as it has."""
    places = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"${amount:,.{places}f}"
