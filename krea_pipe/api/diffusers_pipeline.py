"""Krea 2 in diffusers; the only module that imports torch and diffusers, which are an extra and take seconds.

Nothing here is for an event loop: `api.diffusers_backend` calls it from one thread. What diffusers does on valid input
that one would not guess is listed in docs/explanation/engines.md.
"""

import gc
import hashlib
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from PIL import Image

from krea_pipe.api.engine import DrawFailed
from krea_pipe.core.engine import Drawing, EngineIdentity, EngineSpec, Lora
from krea_pipe.core.errors import KreaPipeError, Problem, StateError, UsageError, whole_file
from krea_pipe.core.outcome import Failure
from krea_pipe.core.weight_files import Shapes, fit_reason, lora_problem, model_problem, weights_in

_SEQUENCE = 512
"""Tokens of a prompt with the end of the template, as the model was trained."""
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")
_FAST = 1
"""The level of compression: a picture of 1024 x 1024 pixels takes 0.03 s in place of 0.3 s, and 5 % more bytes."""


def check_engine(spec: EngineSpec) -> Path:
    """See that this engine can draw what a pipeline file describes, without loading the model.

    Args:
        spec: the engine.

    Returns:
        The folder of the model.

    Raises:
        UsageError: diffusers has another version, or the device or the type of numbers is not there. StateError: the
        model is not there, or cannot be used.
    """
    identity = spec.identity
    if diffusers.__version__ != identity.version:
        message = f"diffusers {diffusers.__version__} is installed, and the pipeline is for {identity.version}"
        hint = f"pip install diffusers=={identity.version}, or change the version: other images will be drawn"
        raise UsageError(Problem("other_diffusers", message, hint=hint))
    if identity.dtype not in _DTYPES:
        known = ", ".join(_DTYPES)
        raise UsageError(Problem("bad_dtype", f"diffusers cannot draw with {identity.dtype}", hint=f"use {known}"))
    _check_device(spec.device, identity.noise)
    folder = _folder_of(spec.folder, identity)
    if problem := model_problem(folder):
        raise StateError(problem)
    if (found := weights_in(folder)) != spec.weights:
        message = f"the model has the weights `{found}`, and the pipeline is for `{spec.weights}`"
        raise StateError(Problem("other_weights", message, whole_file(folder), "name the right one in `weights:`"))
    return folder


def _check_device(device: str, noise: str) -> None:
    kind = device.partition(":")[0]
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # torch asserts that CUDA was compiled in
        hint = "install torch with support for this GPU, or set `device: cpu`, which takes minutes for an image"
        message = f"there is no device {device} here: {_first_line(error)}"
        raise UsageError(Problem("no_device", message, hint=hint)) from error
    if noise not in ("cpu", kind):
        message = f"noise of {noise} is impossible for an engine on {device}"
        raise UsageError(Problem("no_device", message, hint=f"use cpu or {kind}"))


def _folder_of(folder: Path | None, identity: EngineIdentity) -> Path:
    """The folder of a model: as written, or where `hf download` has put it. Nothing is downloaded here."""
    if folder is not None:
        return folder
    try:
        return Path(snapshot_download(identity.model, revision=identity.revision or None, local_files_only=True))
    except (HfHubHTTPError, HFValidationError, OSError, ValueError) as error:
        message = f"the model {identity.model} is not on this machine, and krea-pipe downloads no weights"
        revision = f" --revision {identity.revision}" if identity.revision else ""
        hint = f"run `hf download {identity.model}{revision}`, or name a folder, such as ./models/own"
        raise StateError(Problem("no_model", message, hint=hint)) from error


def load_model(spec: EngineSpec, folder: Path) -> "LoadedPipeline":
    """Load a model.

    Args:
        spec: the engine.
        folder: the folder of the model, as `check_engine` has found it.

    Returns:
        The model on its device.

    Raises:
        DrawFailed: the model cannot be loaded.
    """
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with _translated("load the model", is_replica=True):
        pipeline = diffusers.Krea2Pipeline.from_pretrained(
            folder,
            dtype=_DTYPES[spec.identity.dtype],  # `.to(dtype)` would also convert the norms, and draw other pictures
            use_safetensors=True,
            local_files_only=True,
        )
        return LoadedPipeline(pipeline.to(spec.device), spec.identity.noise)


class LoadedPipeline:
    """A pipeline on its device, and the LoRAs that it has loaded."""

    def __init__(self, pipeline: Any, noise: str) -> None:  # noqa: ANN401 (an optional library)
        """Take over a pipeline.

        Args:
            pipeline: a `Krea2Pipeline` on its device, without LoRAs.
            noise: the device on which noise is generated.
        """
        self._pipeline, self._noise = pipeline, noise
        pipeline.set_progress_bar_config(disable=True)
        diffusers.utils.logging.set_verbosity_error()
        # Otherwise a variable of the environment selects it, and with it the pixels.
        pipeline.transformer.set_attention_backend("native")
        weights = pipeline.transformer.state_dict()
        self._shapes: Shapes = {name: tuple(tensor.shape) for name, tensor in weights.items()}
        self._styles: set[str] = set()

    def draw(self, drawing: Drawing, warn: Callable[[Problem], None], is_stopped: Callable[[], bool]) -> Image.Image:
        """Draw one image.

        Args:
            drawing: what to draw.
            warn: is told what the image does not have of the drawing.
            is_stopped: is asked after each step; True ends the work without an image.

        Raises:
            DrawFailed: the image was not drawn.
        """
        for text, name in ((drawing.prompt, "prompt"), (drawing.negative_prompt, "negative prompt")):
            if problem := self._cut(text, name):
                warn(problem)
        with _translated(f"draw {drawing.width} x {drawing.height} pixels"):
            self._use_loras([(lora, strength) for lora, strength in drawing.loras if strength])
            return self._call(drawing, is_stopped)

    def free(self) -> None:
        """Unload all LoRAs, and give back what memory torch keeps for later."""
        if self._styles:
            self._pipeline.unload_lora_weights()
            self._styles.clear()
        _free_memory()

    def _call(self, drawing: Drawing, is_stopped: Callable[[], bool]) -> Image.Image:
        def stop(_: object, __: int, ___: object, tensors: dict[str, Any]) -> dict[str, Any]:
            if is_stopped():  # diffusers' own `_interrupt` would give the half-finished picture
                raise DrawFailed(Failure("interrupted", "the run was stopped while this image was drawn"))
            return tensors

        pixels = self._pipeline(
            drawing.prompt,
            negative_prompt=drawing.negative_prompt or None,
            width=drawing.width,
            height=drawing.height,
            num_inference_steps=drawing.steps,
            guidance_scale=drawing.guidance,
            # One for each image: what a generator gives depends on what it has given before.
            generator=torch.Generator(self._noise).manual_seed(drawing.seed),
            callback_on_step_end=stop,
            output_type="pt",
        ).images
        if not bool(torch.isfinite(pixels).all()):
            reason = "the numbers of this engine overflowed, which would give a black picture; try `dtype: float32`"
            raise DrawFailed(Failure("not_a_number", reason))
        processor = self._pipeline.image_processor
        image: Image.Image = processor.numpy_to_pil(processor.pt_to_numpy(pixels))[0]
        return image

    def _cut(self, text: str, name: str) -> Problem | None:
        """The end of a prompt, which the tokenizer cuts off without a word."""
        pipeline = self._pipeline
        prefix = pipeline.prompt_template_encode_prefix
        before, whole = (len(pipeline.tokenizer(one).input_ids) for one in (prefix, prefix + text))
        places = (
            _SEQUENCE + pipeline.prompt_template_encode_start_idx - pipeline.prompt_template_encode_num_suffix_tokens
        )
        if whole <= places:
            return None
        message = f"a {name} has {whole - before} tokens, of which the model reads {places - before}: {text[:60]}…"
        return Problem("prompt_cut", message, hint="shorten it; what comes after them has no effect")

    def _use_loras(self, loras: Sequence[tuple[Lora, float]]) -> None:
        """Make exactly these LoRAs active, each with its strength; others stay loaded and take no part."""
        for lora, _ in loras:
            if _name_of(lora) not in self._styles:
                self._load_lora(lora)
        if loras:
            self._pipeline.enable_lora()
            self._pipeline.set_adapters([_name_of(lora) for lora, _ in loras], [strength for _, strength in loras])
        elif self._styles:
            self._pipeline.disable_lora()

    def _load_lora(self, lora: Lora) -> None:
        if problem := lora_problem(lora.file):
            raise DrawFailed(Failure(problem.code, f"the style {lora.name}: {problem}"))
        if hashlib.sha256(lora.file.read_bytes()).hexdigest() != lora.sha256:
            raise DrawFailed(Failure("lora_changed", f"the style {lora.name}: {lora.file} has changed since the plan"))
        try:
            tensors, metadata = self._pipeline.lora_state_dict(
                str(lora.file), use_safetensors=True, local_files_only=True, return_lora_metadata=True
            )
        except ValueError as error:  # names of ComfyUI's form that Krea 2 does not have
            raise _of_another_base(lora, _first_line(error)) from error
        # diffusers loads what fits nothing without an error, and draws without it.
        if reason := fit_reason({name: tuple(tensor.shape) for name, tensor in tensors.items()}, self._shapes):
            raise _of_another_base(lora, reason)
        with warnings.catch_warnings():  # peft warns of a second LoRA, and of one for some layers only
            warnings.simplefilter("ignore")
            self._pipeline.load_lora_into_transformer(
                tensors,
                self._pipeline.transformer,
                adapter_name=_name_of(lora),
                metadata=metadata,  # it has the alpha, which would otherwise be the rank
                _pipeline=self._pipeline,
            )
        self._styles.add(_name_of(lora))


def encode_png(image: Image.Image) -> bytes:
    """A picture as PNG: the same bytes for the same pixels, and nothing else in it."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_FAST)
    return buffer.getvalue()


@contextmanager
def _translated(action: str, *, is_replica: bool = False) -> Iterator[None]:
    """Turn what torch and diffusers raise into a failure of one image, and free what memory it holds."""
    message = ""
    try:
        yield
    except (DrawFailed, KreaPipeError):
        raise
    except (RuntimeError, MemoryError, ValueError, TypeError, KeyError, OSError, ArithmeticError) as error:
        message = _first_line(error)
        is_full = isinstance(error, MemoryError) or any(text in message.lower() for text in _OUT_OF_MEMORY)
    if message:  # outside of `except`, whose traceback would keep the tensors
        _free_memory()
        code, reason = ("out_of_memory", "there is not enough memory to") if is_full else ("engine_error", "cannot")
        raise DrawFailed(Failure(code, f"{reason} {action}: {message}"), is_replica=is_replica)


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _of_another_base(lora: Lora, reason: str) -> DrawFailed:
    message = f"the style {lora.name} is for another base than Krea 2, in {lora.file}: {reason}"
    return DrawFailed(Failure("lora_of_another_base", message))


def _name_of(lora: Lora) -> str:
    """The name of an adapter, which may have no dots."""
    return f"style_{lora.sha256[:24]}"


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
