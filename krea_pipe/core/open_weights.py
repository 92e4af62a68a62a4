"""Facts about Krea 2's open weights, read from `data/open_weights.json`."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from krea_pipe.core.contract import RESOLUTIONS
from krea_pipe.core.engine import Weights
from krea_pipe.core.package_data import data_text

_DATA = json.loads(data_text("open_weights.json"))


@dataclass(frozen=True, slots=True)
class WeightFacts:
    """One kind of open weights: its published models, its usual steps and guidance, and the sizes that it draws."""

    models: tuple[str, ...]
    steps: int
    guidance: float
    resolutions: tuple[str, ...]


WEIGHTS: Mapping[Weights, WeightFacts] = {
    name: WeightFacts(
        tuple(_DATA[name]["models"]),
        _DATA[name]["steps"],
        float(_DATA[name]["guidance"]),
        tuple(_DATA[name]["resolutions"]),
    )
    for name in get_args(Weights)
}
LARGER_RESOLUTIONS = tuple(sorted({one for facts in WEIGHTS.values() for one in facts.resolutions} - {*RESOLUTIONS}))
"""What some weights draw and the API does not."""


def weights_of(model: str) -> Weights | None:
    """Which of the open weights a model is, if it is one that Krea has published; its name counts without its case."""
    named = _name_of(model)
    return next((kind for kind, facts in WEIGHTS.items() if named in map(_name_of, facts.models)), None)


def _name_of(model: str) -> str:
    return model.rpartition("/")[2].lower()
