"""The prices of images, their sources, and a comparison with an OpenAPI document of Krea."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import cast

from krea_pipe.app import flow
from krea_pipe.core.errors import InvalidInput, Place, Problem, whole_file
from krea_pipe.core.excerpts import shown
from krea_pipe.core.json_data import Json, list_in, mapping_in
from krea_pipe.core.merge_conflicts import conflict_in
from krea_pipe.core.problem_list import ProblemList
from krea_pipe.core.unreadable import unreadable_file
from krea_pipe.pipeline.nodes import collect_nodes
from krea_pipe.pipeline.pricing import PriceClass, PriceList, Rate, usd
from krea_pipe.pipeline.spec import CLASS_WORDS, Overrides, user_prices

_MAX_BYTES = 64 * 1024 * 1024
_ROUTES = "/generate/image/krea/krea-2/"
_PRICING = "x-krea-pricing"
_TIER = "k2BillingTier"
_TIER_WORDS: tuple[tuple[str, PriceClass], ...] = (
    ("moodboard", "moodboard"),
    ("reference", "references"),
    ("style", "references"),
    ("text", "text"),
)
"""The part of a tier's name that identifies the class of a price point; only `text-to-image` is documented."""


@dataclass(frozen=True, slots=True)
class PriceDifference:
    """A difference between a document and the effective prices; None means that one of them has no price."""

    variant: str
    tier: str
    here: Decimal | None
    there: Decimal | None

    @property
    def words(self) -> str:
        """The difference in a line."""
        here = "no price" if self.here is None else usd(self.here)
        there = "no price" if self.there is None else usd(self.there)
        return f"{self.variant}, {self.tier}: {here} here, {there} in the document"


@dataclass(frozen=True, slots=True)
class _PricePoint:
    """A price of a document: the class that it is for, None for one that krea-pipe does not know, and its own name."""

    own: PriceClass | None
    name: str
    usd: Decimal


def effective_prices(file: Path | None, environment: Mapping[str, str]) -> PriceList:
    """The prices that plans use.

    Args:
        file: a pipeline, whose prices count as well; None for those of the user alone.
        environment: where the user's settings are searched for.

    Returns:
        The prices, each with the place that states it.

    Raises:
        InvalidInput: the settings or the pipeline cannot be read.
    """
    if file is None:
        return user_prices(environment)
    return flow.load_pipeline(file, Overrides(environment=environment)).pipeline.prices


def compare_prices(prices: PriceList, document: Path) -> list[PriceDifference]:
    """Compare prices with those of an OpenAPI document.

    Args:
        prices: the effective prices.
        document: a JSON or YAML file with `x-krea-pricing` in the operations of Krea 2.

    Returns:
        Each difference, variant by variant; none where they agree.

    Raises:
        InvalidInput: the document cannot be read, or has no prices of Krea 2 that can be read.
    """
    published = _published(document)
    variants = dict.fromkeys((*prices.variants, *published))
    return [one for name in variants for one in _compared(name, prices.variants.get(name), published.get(name, ()))]


def _compared(variant: str, rate: Rate | None, points: Sequence[_PricePoint]) -> Iterator[PriceDifference]:
    for own, price in (rate or {}).items():
        there = {point.usd for point in points if point.own == own}
        if there != {price.usd}:
            others = sorted(there - {price.usd})
            yield from (PriceDifference(variant, CLASS_WORDS[own], price.usd, one) for one in others or (None,))
    for point in points:
        if rate is None or point.own is None:
            yield PriceDifference(variant, point.name, None, point.usd)


def _published(file: Path) -> dict[str, list[_PricePoint]]:
    """The price points of each variant of Krea 2.

    Raises:
        InvalidInput: there is no price, or one cannot be read.
    """
    at, problems = Place(file, 1, 1), ProblemList()
    data = _read(file)
    paths = mapping_in(data, "paths") if isinstance(data, dict) else {}
    found = {}
    for path, item in paths.items():
        pricing = _pricing_of(item) if path.startswith(_ROUTES) else None
        if pricing is None:
            continue
        try:
            found[path.removeprefix(_ROUTES)] = list(_points(pricing))
        except ValueError as error:
            problems.note(Problem("bad_pricing", f"{_PRICING} of {path} cannot be read: {error}", at))
    problems.check()
    if not found:
        hint = "Krea's own document, https://api.krea.ai/openapi.json, has it in the operations of Krea 2"
        message = f"this document has no {_PRICING} for a path below {_ROUTES}"
        raise InvalidInput(Problem("no_pricing", message, at, hint))
    return found


def _pricing_of(item: Json) -> Json:
    """The prices in one entry of `paths`, in an operation or beside the operations."""
    parts = [item, *item.values()] if isinstance(item, dict) else []
    return next((part[_PRICING] for part in parts if isinstance(part, dict) and part.get(_PRICING) is not None), None)


def _points(pricing: Json) -> Iterator[_PricePoint]:
    """Each price point.

    Raises:
        ValueError: they are not in US dollars for one request, or in another form.
    """
    points = list_in(pricing, "price_points") if isinstance(pricing, dict) else []
    if not isinstance(pricing, dict) or not points or not all(isinstance(point, dict) for point in points):
        raise ValueError("it has no list of `price_points`")
    for name, wanted in (("type", "fixed"), ("currency", "USD"), ("unit", "request")):
        if pricing.get(name, wanted) != wanted:
            raise ValueError(f"its `{name}` is {shown(pricing[name])}, not {wanted}")
    for point in cast("list[dict[str, Json]]", points):
        dimensions = mapping_in(point, "dimensions")
        own = _class_of(dimensions)
        name = CLASS_WORDS[own] if own else ", ".join(f"{key} {one}" for key, one in dimensions.items()) or "any image"
        yield _PricePoint(own, name, _amount(point.get("amount")))


def _class_of(dimensions: Mapping[str, Json]) -> PriceClass | None:
    """The features that an image of a price point uses; None if it has more dimensions than the tier."""
    if any(name != _TIER and (name, one) != ("resolution", "1K") for name, one in dimensions.items()):
        return None
    tier = str(dimensions.get(_TIER, "")).lower()
    return next((own for word, own in _TIER_WORDS if word in tier), None)


def _amount(said: Json) -> Decimal:
    try:
        amount = Decimal(said if isinstance(said, str) else repr(said))
    except InvalidOperation:
        amount = Decimal("NaN")
    if isinstance(said, bool) or not amount.is_finite() or amount < 0:
        raise ValueError(f"{shown(said)} is not an amount")
    return amount


def _read(file: Path) -> Json:
    try:
        with file.open("rb") as stream:
            raw = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInput(unreadable_file(file, error)) from error
    if len(raw) > _MAX_BYTES:
        raise InvalidInput(
            Problem("file_too_large", f"a document can have at most {_MAX_BYTES:,} bytes", whole_file(file))
        )
    if conflict := conflict_in(file, raw.decode("utf-8-sig", "replace")):
        raise InvalidInput(conflict)
    try:
        text = raw.decode("utf-8-sig")
        return cast("Json", json.loads(text)) if text.lstrip().startswith("{") else collect_nodes(file, text)[0].data
    except InvalidInput as error:
        problem = error.problems[0]
        message = f"this cannot be read as YAML: {problem.message}"
        raise InvalidInput(Problem("bad_openapi", message, problem.at, "use the JSON form of the document")) from error
    except (ValueError, RecursionError) as error:
        at = Place(file, getattr(error, "lineno", 1), getattr(error, "colno", 1))
        raise InvalidInput(
            Problem("bad_openapi", "this is not a JSON document", at, "use the whole document")
        ) from error
