"""A training as a value: the request, its key, the images to learn from, and the resulting style.

The key is the SHA-256 of the canonical request with images by digest, as it is for an image. Files that are renamed,
moved or named twice change nothing.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from krea_pipe.core.errors import InvalidInput, OverBudget, Problem, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.near_names import near_word
from krea_pipe.core.request import KEY_VERSION, Key, Source, canonical_json, source_text, url_of
from krea_pipe.pipeline.model import Budget, Pipeline
from krea_pipe.pipeline.pricing import usd
from krea_pipe.pipeline.references import Fingerprints, Image, check_bytes

MODELS = ("k2", "k2-large")
"""The base models of Krea 2; Krea trains others as well."""
STYLE_KINDS = ("Style", "Object", "Character")
MOST_STEPS = 2000
FEWEST = 5
"""Krea's tutorial calls five images the minimum; its schema names none."""


@dataclass(frozen=True, slots=True)
class Training:
    """A style to train: its base model, its kind, its name, and what it learns from.

    Without `steps` Krea chooses.
    """

    model: str
    kind: str
    name: str
    images: tuple[Source, ...]
    trigger_word: str | None = None
    steps: int | None = None

    @property
    def key(self) -> Key:
        """The identity of the request, 64 hexadecimal digits."""
        data: dict[str, Json] = {**self._fields(), "images": [source_text(one) for one in self.images]}
        text = canonical_json({"key_version": KEY_VERSION, "training": data})
        return Key(hashlib.sha256(text.encode()).hexdigest())

    def body(self, urls: Mapping[Source, str]) -> dict[str, Json]:
        """The body of the POST.

        Args:
            urls: The URL of each uploaded image, by its source.

        Returns:
            The JSON of the request.
        """
        return {**self._fields(), "urls": [url_of(source, urls) for source in self.images]}

    def _fields(self) -> dict[str, Json]:
        data: dict[str, Json] = {"model": self.model, "type": self.kind, "name": self.name}
        if self.trigger_word is not None:
            data["trigger_word"] = self.trigger_word
        if self.steps is not None:
            data["max_train_steps"] = self.steps
        return data


def training_images(pipeline: Pipeline, fingerprints: Fingerprints, name: str) -> tuple[Image, ...]:
    """The images of a set under `references:`.

    Args:
        pipeline: The pipeline with the set.
        fingerprints: The images of its references.
        name: The name of the set.

    Returns:
        Each image once, ordered by their sources and so always the same.

    Raises:
        UsageError: There is no such set.
        InvalidInput: It cannot be learnt from.
    """
    found = pipeline.references.get(name)
    if found is None:
        known = sorted(one for one in pipeline.references if not one.startswith("@"))
        message = f"`references:` does not define `{name}`"
        raise UsageError(Problem("unknown_name", message, hint=near_word(name, known)))
    place = pipeline.document.place(found.trail)
    images: dict[Source, Image] = {}
    for value in found.images:
        named = (pipeline.document.folder(value.trail), str(value.data))
        for image in fingerprints.by_text.get(named, ()):
            images.setdefault(image.source, image)
        if named not in fingerprints.by_text:
            hint = "create a separate set for the training"
            raise InvalidInput(Problem("reference_template", "a template cannot be trained on", place, hint))
    if len(images) < FEWEST:
        message = f"`{name}` has {len(images)} different image{'s'[: len(images) != 1]}"
        hint = f"a training needs at least {FEWEST}, all in the same style and of different subjects"
        raise InvalidInput(Problem("few_images", message, place, hint))
    check_bytes(images.values())
    return tuple(images[source] for source in sorted(images, key=source_text))


def agreed_cost(budget: Budget, stated: Decimal | None) -> Decimal:
    """The maximum cost of a training, which the user must state because its price is unknown.

    Args:
        budget: What the pipeline file allows.
        stated: The cap of the command line in US dollars, if there is one.

    Returns:
        The stated amount in US dollars.

    Raises:
        UsageError: Nobody has stated it.
        OverBudget: It is nothing, or above the file's budget.
    """
    if stated is None:
        message = "Krea publishes no price for a training, so krea-pipe does not know the cost"
        hint = "see krea.ai/features/api, and set a limit: --max-cost USD; nothing was sent"
        raise UsageError(Problem("unknown_price", message, hint=hint))
    if not stated:
        message = "--max-cost is 0, but a training is not free; nothing was sent"
        raise OverBudget(Problem("over_budget", message, hint="set a limit above 0"))
    if budget.usd is not None and stated > budget.usd:
        message = f"a training for at most {usd(stated)} is above the budget of {usd(budget.usd)}; nothing was sent"
        raise OverBudget(Problem("over_budget", message, hint="raise `budget: {usd: …}`, or lower --max-cost"))
    return stated
