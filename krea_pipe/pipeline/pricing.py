"""The prices of requests and their sources, the values that may be sent, and the format of amounts of money.

Prices come from `krea_pipe/data/krea_2.json`, from the user's own settings, and from the pipeline file, which can only
raise them. What `allow_unknown` names is priced there.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, TypeAlias, get_args

from krea_pipe.core.contract import PRICES
from krea_pipe.core.errors import Place
from krea_pipe.core.fields import UNKNOWN_FIELDS
from krea_pipe.core.money import cents_or_finer
from krea_pipe.core.request import Request

PriceClass = Literal["text", "references", "moodboard"]
PRICE_CLASSES: tuple[PriceClass, ...] = get_args(PriceClass)


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one image in US dollars, and the place that says so; without one it is the built-in price."""

    usd: Decimal
    at: Place | None = None


Rate: TypeAlias = Mapping[PriceClass, Price]
"""The price of an image by the most expensive feature that it uses."""


@dataclass(frozen=True, slots=True)
class PriceRow:
    """One line of a price list: a field and its value, the class of the request, and the price."""

    field: str
    value: str
    price_class: PriceClass
    price: Price


@dataclass(frozen=True, slots=True)
class PriceList:
    """The prices of images: the rate of each variant, and those of aspect ratios and resolutions with separate prices.

    `allowed` are the values of request fields that may be sent though krea-pipe does not know them.
    """

    variants: Mapping[str, Rate]
    ratios: Mapping[str, Rate] = field(default_factory=dict)
    resolutions: Mapping[str, Rate] = field(default_factory=dict)
    allowed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def of(self, request: Request) -> Price:
        """The price of the image of a request: the highest of those of its variant, aspect ratio and resolution."""
        own = class_of(request)
        price = self.variants[request.variant][own]
        if not self.ratios and not self.resolutions:
            return price
        for rate in (self.ratios.get(request.aspect_ratio), self.resolutions.get(request.resolution)):
            if rate and rate[own].usd > price.usd:
                price = rate[own]
        return price

    def rows(self) -> Iterator[PriceRow]:
        """Every price, variants first."""
        for name, rates in zip(UNKNOWN_FIELDS, (self.variants, self.ratios, self.resolutions), strict=True):
            for value, rate in rates.items():
                yield from (PriceRow(name, value, one, rate[one]) for one in PRICE_CLASSES)

    def stated(self, requests: Iterable[Request]) -> list[PriceRow]:
        """The prices of some requests that are not the built-in ones, each once.

        Args:
            requests: what is paid for.

        Returns:
            A row for each price that a file states, under the field that it is stated for.
        """
        stated = [row for row in self.rows() if row.price.at is not None]
        paid = {(class_of(one), self.of(one)) for one in requests} if stated else set()
        return [row for row in stated if (row.price_class, row.price) in paid]


BUILT_IN_PRICES = PriceList(
    {name: {one: Price(amounts[one]) for one in PRICE_CLASSES} for name, amounts in PRICES.items()}
)
"""The prices that Krea documents."""


def class_of(request: Request) -> PriceClass:
    """The dearest thing that a request uses, which decides its price."""
    if request.moodboards:
        return "moodboard"
    return "references" if request.references else "text"


def usd(amount: Decimal) -> str:
    """An amount for people, with at least two decimals."""
    return f"${amount:,.{cents_or_finer(amount)}f}"


def usd_range(least: Decimal, most: Decimal) -> str:
    """Money for people that is not known exactly: `$0.00 to $0.24`, or one amount when both are the same."""
    return usd(least) if least == most else f"{usd(least)} to {usd(most)}"
