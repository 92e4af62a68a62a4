"""How servers with OpenAI's image API differ in what they draw: read in vLLM-Omni 0.30.0 and SGLang 0.5.23.

`docs/explanation/engines.md` names the source of each fact.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from krea_pipe.core.engine import Dialect, Weights

WEIGHTS_NAME = "adapter_model.safetensors"
"""The name that the weights of a LoRA have in the folder that vLLM-Omni reads."""


@dataclass(frozen=True, slots=True)
class DialectFacts:
    """What images of a dialect have in common.

    `versions` are the versions that were read. `noise` has the devices on which the noise can be generated, the default
    first; `padding` is the rule by which prompts are padded. `most_loras` is the number of LoRAs that one image can
    have, None without a limit, `most_steps` and `most_guidance` (in Krea's own convention) likewise.
    """

    versions: str
    weights: frozenset[Weights]
    noise: tuple[str, ...]
    padding: str
    most_loras: int | None = None
    most_steps: int | None = None
    most_guidance: float | None = None


DIFFUSERS = DialectFacts("0.42.1", frozenset({"raw", "turbo"}), ("cpu",), "none")
"""The library in this process, which has no server and no dialect."""
DIALECTS: Mapping[Dialect, DialectFacts] = {
    "vllm-omni": DialectFacts("0.30", frozenset({"raw", "turbo"}), ("cuda", "cpu"), "to-512", 1, 200, 20.0),
    "sglang": DialectFacts("0.5.23", frozenset({"turbo"}), ("cuda",), "none"),
}


def engine_facts(name: str) -> DialectFacts:
    """What images of an engine have in common, by the name that its identity has."""
    return DIFFUSERS if name == "diffusers" else DIALECTS[cast("Dialect", name)]
