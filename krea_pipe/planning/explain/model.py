"""One cell explained, as a value."""

from dataclasses import dataclass

from krea_pipe.core.errors import Place
from krea_pipe.core.json_data import Json
from krea_pipe.core.outcome import Result
from krea_pipe.core.request import KEY_VERSION, Key, canonical_json
from krea_pipe.matrix.cell import Cell
from krea_pipe.pipeline.editing.picks import Pick
from krea_pipe.planning.plan import Step


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value comes from: the layer, the value as it is written there, perhaps a template, and the place.

    Without a place it stands in no file.
    """

    layer: str
    written: Json
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Traced:
    """A value as the cell has it, where it comes from, and the lower layers that it stands over, the nearest first."""

    name: str
    value: Json
    origin: Origin
    over: tuple[Origin, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: its template, the values that the template reads, and the text that is sent."""

    template: Traced
    variables: tuple[Traced, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Ingredient:
    """Something with a strength: a style reference, a moodboard, a trained style, or the source picture.

    `name` is the one in the file, empty for what is written in place. `source` is a digest, a URL, a key or an id at
    Krea; `label` how people call it; `at` where it is defined.
    """

    kind: str
    name: str
    source: str
    label: str
    at: Place | None
    strength: Traced


@dataclass(frozen=True, slots=True)
class Upstream:
    """The cell that a cell is drawn for, and the pick that chose it, with its place in the picks file."""

    id: str
    key: Key
    pick: Pick | None = None
    at: Place | None = None


@dataclass(frozen=True, slots=True)
class Last:
    """What a cell was when it was last drawn: its key, its image, and in a few words what is different now."""

    key: Key
    result: Result
    changes: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything about one cell. `step` is what a run would do for it; `last` is None when it was never drawn."""

    cell: Cell
    step: Step
    fields: tuple[Traced, ...]
    prompt: Prompt
    ingredients: tuple[Ingredient, ...]
    upstream: Upstream | None
    last: Last | None

    @property
    def canonical(self) -> str:
        """The text whose SHA-256 is the key."""
        return canonical_json({"key_version": KEY_VERSION, "request": self.cell.request.fields()})

    @property
    def shared(self) -> tuple[str, ...]:
        """Other cells that the same request, and payment, is for."""
        return tuple(cell.id for cell in self.step.cells if cell.id != self.cell.id)
