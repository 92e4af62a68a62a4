"""An engine that draws with Krea 2's open weights: what identifies its images, where it is, and what it is to draw."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Literal, TypeAlias

from krea_pipe.core.json_data import Json

ENGINE = "engine"
"""The key of an engine in a pipeline file and in a request."""
EngineKind: TypeAlias = Literal["openai-images", "diffusers"]
"""A server with OpenAI's image API, or diffusers in this process."""
Dialect: TypeAlias = Literal["vllm-omni", "sglang"]
"""How servers with OpenAI's image API differ from each other."""
Weights: TypeAlias = Literal["raw", "turbo"]
"""Which of the open weights a model is."""


@dataclass(frozen=True, slots=True)
class EngineIdentity:
    """What decides the pixels besides the request itself; it is part of the key of each request of this engine.

    `name` is the dialect of a server, or `diffusers`; `version` that of the engine. `guidance` is in Krea's own
    convention, in which 0 stands for none. `noise` is the device on which the noise is generated, `padding` the rule by
    which the engine pads prompts.
    """

    name: str
    version: str
    model: str
    revision: str
    dtype: str
    steps: int
    guidance: float
    negative_prompt: str
    noise: str
    padding: str

    @property
    def words(self) -> str:
        """The identity in one line."""
        size = f"{self.steps} steps, guidance {self.guidance:g}"
        return f"{self.name} {self.version}, {self.model} ({self.revision}), {self.dtype}, {size}"

    def fields(self) -> dict[str, Json]:
        """The identity as JSON data; a negative prompt only where there is one."""
        data: dict[str, Json] = asdict(self)
        if not self.negative_prompt:
            del data["negative_prompt"]
        return data


@dataclass(frozen=True, slots=True)
class Lora:
    """A trained style as a file of weights, and the path under which the engine finds it."""

    name: str
    file: Path
    sha256: str
    path: str


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine as a pipeline file describes it.

    `folder` has the model if it is one on this machine. `urls` are the replicas of a server. `loras` has the files of
    trained styles by the ids that requests have. `ignored` are request fields that do not count. `parallel` is how many
    images each replica draws at once, `seconds` how long one image may take. `key_name` is the variable of the
    environment with the key that is sent, if any. `device` is that of an engine in this process. `usd_per_image` is in
    US dollars.
    """

    kind: EngineKind
    identity: EngineIdentity
    weights: Weights
    dialect: Dialect | None = None
    folder: Path | None = None
    urls: tuple[str, ...] = ()
    loras: Mapping[str, Lora] = field(default_factory=dict, hash=False)
    ignored: frozenset[str] = frozenset()
    usd_per_image: Decimal = Decimal(0)
    parallel: int = 1
    seconds: float = 600.0
    key_name: str | None = None
    device: str = "cuda"


@dataclass(frozen=True, slots=True)
class Drawing:
    """One image for an engine to draw: width and height in pixels, guidance in Krea's own convention (0 for none).

    `loras` are the files of trained styles with their strengths.
    """

    prompt: str
    width: int
    height: int
    seed: int
    steps: int
    guidance: float
    negative_prompt: str = ""
    loras: tuple[tuple[Lora, float], ...] = ()

    @classmethod
    def of(
        cls,
        identity: EngineIdentity,
        prompt: str,
        size: tuple[int, int],
        seed: int,
        loras: Iterable[tuple[Lora, float]],
    ) -> "Drawing":
        """What an engine draws for a prompt, with all that its identity says of its images.

        Args:
            identity: the engine.
            prompt: the prompt.
            size: width and height in pixels.
            seed: the seed.
            loras: the files of trained styles with their strengths.

        Returns:
            The image to draw.
        """
        steps, guidance = identity.steps, identity.guidance
        return cls(prompt, *size, seed, steps, guidance, identity.negative_prompt, tuple(loras))
