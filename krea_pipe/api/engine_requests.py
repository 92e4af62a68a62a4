"""What a server with OpenAI's image API is asked for one image, in its dialect.

Both servers ignore fields that they do not know and have defaults that differ, so that every field is sent.
"""

import hashlib
from collections.abc import Mapping

from krea_pipe.core.dialects import WEIGHTS_NAME
from krea_pipe.core.engine import Dialect, Drawing, EngineIdentity, Lora
from krea_pipe.core.json_data import Json

_COMPRESSION: Mapping[Dialect, int] = {"vllm-omni": 88, "sglang": 11}
"""zlib's level 1, small and fast, in both: vLLM-Omni computes 9 - n // 11, SGLang n * 9 / 100."""
_SCALE_DIGITS = 3


def image_request(dialect: Dialect, identity: EngineIdentity, drawing: Drawing) -> dict[str, Json]:
    """The body of the POST to `/images/generations`.

    Args:
        dialect: that of the server.
        identity: the engine, for its model and the device of the noise.
        drawing: the image.

    Returns:
        The fields as JSON data.
    """
    is_sglang = dialect == "sglang"
    body: dict[str, Json] = {
        "model": identity.model,
        "prompt": drawing.prompt,
        "negative_prompt": drawing.negative_prompt,
        "n": 1,
        "size": f"{drawing.width}x{drawing.height}",
        "seed": drawing.seed,
        "num_inference_steps": drawing.steps,
        # SGLang counts from the prediction without the prompt, Krea from the one with it.
        "guidance_scale": drawing.guidance + 1 if is_sglang else drawing.guidance,
        "response_format": "b64_json",
        "output_format": "png",
        "output_compression": _COMPRESSION[dialect],
    }
    if identity.noise == "cpu":  # without it, the noise is generated on the device of the model
        body["generator_device"] = "cpu"
    if drawing.loras and not is_sglang:
        [(lora, scale)] = drawing.loras
        number = _adapter_number(lora, scale)
        body["lora"] = {"name": adapter_name(lora), "path": adapter_folder(lora), "scale": scale, "int_id": number}
    return body


def adapter_name(lora: Lora) -> str:
    """The name of a LoRA on the server; it changes with the file, because servers keep what they have loaded."""
    return f"{lora.name}-{lora.sha256[:16]}"


def adapter_folder(lora: Lora) -> str:
    """The folder of a LoRA on the server: vLLM-Omni reads one, in which the weights have a name that is given."""
    folder, _, name = lora.path.rpartition("/")
    return folder if name == WEIGHTS_NAME else lora.path


def _adapter_number(lora: Lora, scale: float) -> int:
    """The number under which vLLM-Omni keeps a LoRA; by default it comes from the path, which a new file may share.

    The server takes two scales of one number for the same if they agree in three digits.
    """
    finer = "" if round(scale, _SCALE_DIGITS) == scale else repr(scale)
    digest = hashlib.sha256(f"{lora.sha256} {lora.path} {finer}".encode()).digest()
    return int.from_bytes(digest[:7], "big") or 1
