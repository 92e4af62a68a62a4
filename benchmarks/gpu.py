"""Images a second on one GPU: krea-pipe's engine diffusers against a bare loop of diffusers.

python benchmarks/gpu.py [--model FOLDER] [--images N] [--side PIXELS] [--steps N] [--tiny]

Without --model, it makes a model of the full size with random weights on the GPU (about 38 GB of its memory), because
speed and memory do not depend on what the weights are. --tiny tries the script with a tiny model on the CPU. With the
defaults it is meant to take less than 8 minutes on one H200. It prints a table, and fails if krea-pipe draws less than
0.97 times as many images as the bare loop, or if the same seed gives other bytes. Without a GPU it says so and ends
with 0. It needs `pip install -e '.[diffusers]'`.
"""

import argparse
import asyncio
import hashlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))

try:
    import diffusers
    import torch
    import transformers
    from tiny_krea import SCHEDULE, build_tokenizer, save_model
except ImportError as error:
    sys.exit(f"this benchmark needs pip install -e '.[diffusers]': {error}")

from krea_pipe.api.diffusers_backend import DiffusersBackend
from krea_pipe.core.engine import Drawing, EngineIdentity, EngineSpec
from krea_pipe.core.weight_files import weights_in

TARGET = 0.97
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# The text encoder of Krea 2: Qwen3-VL-4B, whose vision tower no prompt uses.
TEXT = {
    "hidden_size": 2560,
    "intermediate_size": 9728,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "max_position_embeddings": 2048,
    "rope_scaling": {"rope_type": "default", "mrope_section": [24, 20, 20], "mrope_interleaved": True},
}
VISION = {"depth": 1, "hidden_size": 64, "intermediate_size": 64, "num_heads": 2, "out_hidden_size": 2560}


@dataclass(frozen=True)
class Job:
    """What is drawn: so many square pictures, each with its own seed."""

    images: int
    side: int
    steps: int
    device: str
    dtype: str


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--model", type=Path, help="a folder with Krea 2 in the form of diffusers")
    words.add_argument("--images", type=int, default=12)
    words.add_argument("--side", type=int, default=1024)
    words.add_argument("--steps", type=int, default=8)
    words.add_argument("--tiny", action="store_true", help="a tiny model on the CPU, to try the script")
    said = words.parse_args()
    print(f"diffusers {diffusers.__version__}, transformers {transformers.__version__}, torch {torch.__version__}")
    if said.tiny:
        torch.set_num_threads(1)
        return measure(said.model, Job(said.images, min(said.side, 256), said.steps, "cpu", "float32"), is_tiny=True)
    if not torch.cuda.is_available():
        print("no GPU here: nothing was measured; --tiny tries the script on the CPU")
        return 0
    print(torch.cuda.get_device_name(), f"{torch.cuda.get_device_properties(0).total_memory / 2**30:.0f} GiB")
    return measure(said.model, Job(said.images, said.side, said.steps, "cuda", "bfloat16"), is_tiny=False)


def measure(folder: Path | None, job: Job, *, is_tiny: bool) -> int:
    with tempfile.TemporaryDirectory() as scratch:
        if folder is None and is_tiny:
            folder = save_model(Path(scratch) / "tiny", is_distilled=True)
        pipeline = timed("load", lambda: build(job) if folder is None else load(folder, job))
        bare = bare_loop(pipeline, job)
        backend = backend_of(pipeline, folder or Path(scratch), job)
        own = asyncio.run(own_loop(backend, job))
        again = asyncio.run(own_loop(backend, Job(1, job.side, job.steps, job.device, job.dtype)))
    return report(job, bare, own, again)


@dataclass(frozen=True)
class Drawn:
    """Seconds for all images, and the digests of their pixels and of their files."""

    seconds: float
    pixels: tuple[str, ...]
    files: tuple[str, ...]


def report(job: Job, bare: Drawn, own: Drawn, again: Drawn) -> int:
    share = bare.seconds / own.seconds
    is_same, is_stable = bare.pixels == own.pixels, own.files[:1] == again.files
    print(f"{job.images} images of {job.side} x {job.side}, {job.steps} steps, {job.dtype}, on {job.device}")
    print(f"  diffusers in a bare loop   {job.images / bare.seconds:.3f} images/s")
    print(f"  krea-pipe                  {job.images / own.seconds:.3f} images/s = {share:.3f} (target {TARGET})")
    if job.device == "cuda":
        print(f"  peak memory                {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    print(f"  the same pixels as the bare loop: {is_same}; the same bytes twice: {is_stable}")
    if not (is_same and is_stable):
        return 1
    return 0 if share >= TARGET or job.device == "cpu" else 1


def bare_loop(pipeline: diffusers.Krea2Pipeline, job: Job) -> Drawn:
    """What someone would write: one image after the other, saved as PNG."""

    def draw(seed: int) -> tuple[bytes, bytes]:
        [image] = pipeline(
            prompt_of(seed),
            width=job.side,
            height=job.side,
            num_inference_steps=job.steps,
            guidance_scale=0.0,
            generator=torch.Generator().manual_seed(seed),
        ).images
        file = io.BytesIO()
        image.save(file, "PNG", compress_level=1)
        return image.tobytes(), file.getvalue()

    draw(0)  # the first one chooses kernels
    started = time.perf_counter()
    found = [draw(seed) for seed in range(job.images)]
    return drawn(started, found)


async def own_loop(backend: DiffusersBackend, job: Job) -> Drawn:
    await backend.draw(drawing_of(0, job))
    started = time.perf_counter()
    files = await asyncio.gather(*(backend.draw(drawing_of(seed, job)) for seed in range(job.images)))
    seconds = time.perf_counter() - started
    return Drawn(seconds, tuple(map(pixels_of, files)), tuple(map(digest, files)))


def drawn(started: float, found: list[tuple[bytes, bytes]]) -> Drawn:
    seconds = time.perf_counter() - started
    return Drawn(seconds, tuple(digest(pixels) for pixels, _ in found), tuple(digest(file) for _, file in found))


def pixels_of(file: bytes) -> str:
    from PIL import Image  # noqa: PLC0415

    return digest(Image.open(io.BytesIO(file)).tobytes())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def prompt_of(seed: int) -> str:
    return f"a cinematic product photo of a glass lamp on wet slate, soft window light, number {seed}"


def drawing_of(seed: int, job: Job) -> Drawing:
    return Drawing(prompt_of(seed), job.side, job.side, seed, job.steps, 0.0)


def backend_of(pipeline: diffusers.Krea2Pipeline, folder: Path, job: Job) -> DiffusersBackend:
    """The engine with a pipeline that is loaded already: two of the full size do not fit many GPUs."""
    from krea_pipe.api.diffusers_pipeline import LoadedPipeline  # noqa: PLC0415

    identity = EngineIdentity(
        "diffusers", diffusers.__version__, str(folder), "", job.dtype, job.steps, 0.0, "", "cpu", "none"
    )
    weights = weights_in(folder) if (folder / "model_index.json").exists() else "turbo"
    spec = EngineSpec("diffusers", identity, weights, folder=folder, device=job.device)
    return DiffusersBackend(spec, loaded=LoadedPipeline(pipeline, identity.noise))


def load(folder: Path, job: Job) -> diffusers.Krea2Pipeline:
    pipeline = diffusers.Krea2Pipeline.from_pretrained(
        folder, dtype=DTYPES[job.dtype], use_safetensors=True, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline.to(job.device)


def build(job: Job) -> diffusers.Krea2Pipeline:
    """Turbo with random weights, made on the device; the norms stay in float32, as after loading."""
    torch.manual_seed(0)
    dtype = DTYPES[job.dtype]
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(job.device):
            transformer = diffusers.Krea2Transformer2DModel()
            config = transformers.Qwen3VLConfig(text_config=TEXT, vision_config=VISION)
            encoder = transformers.Qwen3VLModel(config).eval()
            vae = diffusers.AutoencoderKLQwenImage()
    finally:
        torch.set_default_dtype(before)
    for name, module in transformer.named_modules():
        if name.rpartition(".")[2] in transformer._keep_in_fp32_modules:
            module.float()
    pipeline = diffusers.Krea2Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(**SCHEDULE, base_shift=0.5, max_shift=1.15),
        vae=vae,
        text_encoder=encoder,
        tokenizer=build_tokenizer(),
        transformer=transformer,
        is_distilled=True,
    )
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def timed(name: str, work: Callable[[], diffusers.Krea2Pipeline]) -> diffusers.Krea2Pipeline:
    started = time.perf_counter()
    result = work()
    print(f"{name}: {time.perf_counter() - started:.1f} s")
    return result


if __name__ == "__main__":
    sys.exit(main())
