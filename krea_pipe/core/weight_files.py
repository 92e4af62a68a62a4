"""Files of open weights: the folder of a model and the file of a LoRA. Only their headers are read.

A folder is in the form of diffusers, a file in that of safetensors: a length of 8 bytes, a JSON object with name, type,
shape and place of each tensor, and the tensors.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from krea_pipe.core.engine import Weights
from krea_pipe.core.errors import Problem, whole_file
from krea_pipe.core.json_data import Json
from krea_pipe.core.unreadable import unreadable_file

_INDEX = "model_index.json"
_PIPELINE = "Krea2Pipeline"
_LIBRARIES = frozenset({"diffusers", "transformers"})
"""Where the parts of a model come from; anything else would be code of the model itself."""
_WEIGHTED = ("text_encoder", "transformer", "vae")
"""The parts with weights."""
_MAX_HEADER = 100_000_000
"""Bytes; the limit of the safetensors library."""
_PREFIX = "transformer."
_FOREIGN = ("diffusion_model.", "base_model.model.")
"""What names of tensors begin with in the LoRAs of ComfyUI, of Krea's trainer and of AI-Toolkit; diffusers converts
them."""
_TENSOR = r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight"

Shapes = Mapping[str, tuple[int, ...]]
"""The shapes of tensors by name."""


def read_shapes(file: Path) -> Shapes:
    """Read the header of a safetensors file.

    Raises:
        OSError: the file cannot be read. ValueError: it is not a whole safetensors file.
    """
    with file.open("rb") as stream:
        return dict(_shapes(stream, file.stat().st_size))


def _shapes(stream: BinaryIO, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 + length or length > _MAX_HEADER:
        raise ValueError("it has no header")
    header = json.loads(stream.read(length))
    if not isinstance(header, dict):
        raise TypeError("its header is no JSON object")
    header.pop("__metadata__", None)
    if max((entry["data_offsets"][1] for entry in header.values()), default=0) != size - 8 - length:
        raise ValueError("it is not complete")
    for name, entry in header.items():
        yield name, tuple(int(side) for side in entry["shape"])


def lora_problem(file: Path) -> Problem | None:
    """Say why a file cannot be a LoRA of Krea 2, by its header alone.

    Whether it fits a model is known when the model is loaded.

    Args:
        file: the file of a trained style.

    Returns:
        A problem of the whole file, or None.
    """
    try:
        shapes = read_shapes(file)
    except OSError as error:
        return unreadable_file(file, error, "no_lora")
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        hint = "save the LoRA as safetensors; other files of weights can run code when they are loaded"
        return Problem("not_safetensors", "this is not a whole safetensors file", whole_file(file), hint)
    reason = _reason_of(shapes)
    return None if reason is None else Problem("not_a_lora", reason, whole_file(file), "train it for Krea 2")


def _reason_of(shapes: Shapes) -> str | None:
    """Why tensors are no LoRA of Krea 2; diffusers loads most of these without an error, and draws without them."""
    if not shapes:
        return "the file has no tensors"
    is_foreign = any(name.startswith(_FOREIGN) for name in shapes)
    for name in shapes:
        if not name.startswith(_FOREIGN if is_foreign else _PREFIX):
            return f'a LoRA of Krea 2 has names that begin with "{_PREFIX}", and this file has "{name}"'
        if not re.fullmatch(_TENSOR, name):
            return f'"{name}" is not the tensor of a LoRA: only lora_A.weight and lora_B.weight are supported'
    return None


def fit_reason(lora: Shapes, model: Shapes) -> str | None:
    """Say why a LoRA does not fit a model.

    Args:
        lora: its tensors, with the names that diffusers uses.
        model: the weights of the transformer.

    Returns:
        The reason, or None if each tensor has its place in the model.
    """
    found = (re.fullmatch(_TENSOR, name.removeprefix(_PREFIX)) for name in lora)
    for module in sorted({tensor["module"] for tensor in found if tensor}):
        down, up = (lora.get(f"{_PREFIX}{module}.lora_{side}.weight", ()) for side in "AB")
        weight = model.get(f"{module}.weight", ())
        if len(weight) != 2:
            return f'the model has no layer "{module}"'
        if len(down) != 2 or len(up) != 2 or down[0] != up[1]:
            return f'the two parts for "{module}" do not belong together'
        if (up[0], down[1]) != weight:
            return (
                f'its part for "{module}" has {down[1]} inputs and {up[0]} outputs, and the '
                f"layer of the model has {weight[1]} and {weight[0]}"
            )
    return None


def model_problem(folder: Path) -> Problem | None:
    """Say why a folder is no model that can be loaded as Krea 2.

    Args:
        folder: a folder in the form of diffusers.

    Returns:
        The problem, or None.
    """
    file = folder / _INDEX
    try:
        index = _read_index(file)
    except OSError as error:
        hint = "name a folder with Krea 2 in the form of diffusers"
        return Problem("no_model", f"cannot read the model: {error.strerror}", whole_file(file), hint)
    except (ValueError, TypeError, RecursionError):
        return Problem("no_model", "this is not the index of a model", whole_file(file))
    name = index.get("_class_name")
    if name != _PIPELINE:
        hint = "use krea/Krea-2-Raw, krea/Krea-2-Turbo, or a model that was trained from them"
        return Problem("not_krea_2", f"the model is not Krea 2: it is for {name}", whole_file(file), hint)
    return _code_problem(file, index) or _weights_problem(folder)


def weights_in(folder: Path) -> Weights:
    """Which of the open weights a model is: Turbo says in its index that it is distilled.

    Args:
        folder: a folder without a `model_problem`.

    Raises:
        OSError, ValueError, TypeError: it has one.
    """
    return "turbo" if _read_index(folder / _INDEX).get("is_distilled") is True else "raw"


def _read_index(file: Path) -> Mapping[str, Json]:
    index = json.loads(file.read_bytes())
    if not isinstance(index, dict):
        raise TypeError("no JSON object")
    return index


def _code_problem(file: Path, index: Mapping[str, Json]) -> Problem | None:
    """The part of a model whose class would come from a file of the model."""
    for part, source in index.items():
        match source:
            case [str(library), str()]:
                if library in _LIBRARIES and not _has_own_classes(file.parent / part):
                    continue
                message = f'the part "{part}" is code that comes with the model, and krea-pipe does not run it'
                return Problem("model_with_code", message, whole_file(file), "use a model of diffusers' own parts")
    return None


def _has_own_classes(part: Path) -> bool:
    """Whether a part has classes of its own, for which transformers would ask on the terminal."""
    for name in ("config.json", "tokenizer_config.json"):
        with suppress(OSError, ValueError, TypeError, RecursionError):
            if "auto_map" in _read_index(part / name):
                return True
    return False


def _weights_problem(folder: Path) -> Problem | None:
    for part in _WEIGHTED:
        inner = folder / part
        if not any(inner.glob("*.safetensors")):
            others = any(inner.glob("*.bin")) or any(inner.glob("*.pt")) or any(inner.glob("*.ckpt"))
            reason = "only weights that can run code when they are loaded" if others else "no weights"
            return Problem("no_safetensors", f"{reason} are here", whole_file(inner), "save the model as safetensors")
    return None
