"""What a request costs, and how money is written."""

from decimal import Decimal

from krea_pipe.core.contract import PRICES
from krea_pipe.core.request import Request


def price_of(request: Request) -> Decimal:
    """The price of one image in US dollars, exact."""
    prices = PRICES[request.variant]
    if request.moodboards:
        return prices["moodboard"]
    return prices["references"] if request.references else prices["text"]


def exact(amount: Decimal) -> str:
    """Money for programs: every digit, never as a power of ten."""
    return format(amount, "f")


def usd(amount: Decimal) -> str:
    """Money for people: at least two decimals, and as many as it has."""
    places = max(2, -int(amount.normalize().as_tuple().exponent))
    return f"${amount:,.{places}f}"
