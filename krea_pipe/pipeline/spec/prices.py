"""The prices in the user's settings and in a pipeline file, which can only raise a price."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe.core.contract import ASPECT_RATIOS, RESOLUTIONS, VARIANTS
from krea_pipe.core.errors import Problem
from krea_pipe.core.fields import UNKNOWN_FIELDS
from krea_pipe.core.json_data import Json, mapping_in
from krea_pipe.core.user_paths import user_settings_file
from krea_pipe.pipeline.pricing import BUILT_IN_PRICES, PRICE_CLASSES, Price, PriceClass, PriceList, Rate, usd
from krea_pipe.pipeline.source import Document, Trail, read_document
from krea_pipe.pipeline.spec.hints import suggestion
from krea_pipe.pipeline.spec.problems import Problems, check_secrets, masking_errors
from krea_pipe.pipeline.spec.schema_check import find_problems

CLASS_WORDS: Mapping[PriceClass, str] = {
    "text": "from text alone",
    "references": "with style references",
    "moodboard": "with a moodboard",
}
_KNOWN = {"variant": VARIANTS, "aspect_ratio": ASPECT_RATIOS, "resolution": RESOLUTIONS}


def user_prices(environment: Mapping[str, str]) -> PriceList:
    """The built-in prices, with those that the user's own settings state in their place.

    Args:
        environment: where the folder of the settings is named.

    Returns:
        The prices, each with the place that states it.

    Raises:
        InvalidInput: the settings are there, and cannot be read; with every problem.
    """
    file = user_settings_file(environment)
    if file is None or not _is_there(file):
        return BUILT_IN_PRICES
    with masking_errors():
        document = read_document(file)
    problems = Problems(document)
    check_secrets(document.data, problems)
    problems.extend(document.problems)
    data = _settings(document, problems)
    problems.check()
    return _with_variants(BUILT_IN_PRICES, mapping_in(data, "prices"), document, None)


def _is_there(file: Path) -> bool:
    try:
        return file.is_file()
    except OSError:
        return True  # reading it says why it cannot be read


def _settings(document: Document, problems: Problems) -> dict[str, Json]:
    data = document.data
    if not isinstance(data, dict):
        problems.add("wrong_type", "settings must be a mapping", (), "write `prices: {medium: 0.04}`")
        return {}
    for key in data:
        if key != "prices":
            hint = suggestion(key, ["prices"])
            problems.add_key("unknown_key", f"unknown key `{key}` in your settings", (key,), hint)
    known: dict[str, Json] = {"version": 1, "prices": data["prices"]} if "prices" in data else {"version": 1}
    problems.extend(finding.problem for finding in find_problems(document, known))
    return known


def read_prices(data: Mapping[str, Json], problems: Problems, base: PriceList) -> PriceList:
    """The prices of a pipeline: those of the user, raised by `prices:`, and those of `allow_unknown`.

    Args:
        data: the pipeline file, as far as it follows the schema.
        problems: takes prices that are lower than those of the user.
        base: the prices of the user.

    Returns:
        What its images cost.
    """
    document = problems.document
    prices = _with_variants(base, mapping_in(data, "prices"), document, problems)
    said = mapping_in(data, "allow_unknown")
    found: dict[str, dict[str, Rate]] = {}
    for name in UNKNOWN_FIELDS:
        rates, here = mapping_in(said, name), ("allow_unknown", name)
        found[name] = {value: _rate(data, (*here, value), document) for value, data in rates.items()}
    for value, rate in found["variant"].items():
        known = prices.variants.get(value)
        _refuse_lower(rate, known, ("allow_unknown", "variant", value), problems)
    ratios = said.get("aspect_ratio")
    names = {**found, "aspect_ratio": [*found["aspect_ratio"], *(ratios if isinstance(ratios, list) else ())]}
    return PriceList(
        variants={**prices.variants, **found["variant"]},
        ratios=found["aspect_ratio"],
        resolutions=found["resolution"],
        allowed={name: tuple(map(str, values)) for name, values in names.items()},
    )


def known_value_warnings(document: Document, prices: PriceList) -> Iterator[Problem]:
    """Warn about values under `allow_unknown` that krea-pipe knows by now."""
    for name, values in prices.allowed.items():
        for value in values:
            if value in _KNOWN[name]:
                at = document.key_place(("allow_unknown", name, value))
                hint = "remove it" + ("; `prices:` raises its price" if name == "variant" else "")
                yield Problem("known_value", f"krea-pipe already knows the {name} {value}", at, hint)


def _with_variants(
    base: PriceList, data: Mapping[str, Json], document: Document, problems: Problems | None
) -> PriceList:
    """A list with other prices for some variants; with `problems` they can only be raised."""
    variants = dict(base.variants)
    for name, said in data.items():
        rate = {**variants[name], **_rate(said, ("prices", name), document)}
        if problems is not None:
            _refuse_lower(rate, variants[name], ("prices", name), problems)
        variants[name] = rate
    return PriceList(variants)


def _rate(said: Json, trail: Trail, document: Document) -> dict[PriceClass, Price]:
    """The prices that an amount states for every class, or a mapping for some."""
    if isinstance(said, dict):
        own = {one: said[one] for one in PRICE_CLASSES if one in said}
        return {one: Price(_amount(amount), document.place((*trail, one))) for one, amount in own.items()}
    return dict.fromkeys(PRICE_CLASSES, Price(_amount(said), document.place(trail)))


def _amount(said: Json) -> Decimal:
    return Decimal(repr(cast("float", said)))


def _refuse_lower(rate: Rate, known: Rate | None, trail: Trail, problems: Problems) -> None:
    """Note each price of a rate that is lower than the known one; a single amount for all classes is noted once."""
    lower = [one for one in PRICE_CLASSES if known and rate[one].usd < known[one].usd]
    for one in reversed(lower):
        assert known is not None
        own = problems.document.place((*trail, one))
        where = f", by {known[one].at}" if known[one].at else ""
        message = (
            f"an image of {trail[-1]} {CLASS_WORDS[one]} costs {usd(known[one].usd)}{where}, "
            f"and a pipeline cannot lower that to {usd(rate[one].usd)}"
        )
        hint = "a lower price belongs in your own settings, ~/.config/krea-pipe/settings.yaml"
        problems.note(Problem("price_lowered", message, rate[one].at or own, hint))
        if rate["text"].at == rate["moodboard"].at:
            return
