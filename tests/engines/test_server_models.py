"""What is sent to vLLM-Omni and SGLang is what their own code takes: read in the wheels, which are not installed."""

import ast
import asyncio
import base64
import json
import struct
import subprocess
import sys
import typing
import zipfile
from enum import Enum
from pathlib import Path

import pydantic
import pytest
from drawings import engine_spec, image_of, lora
from engine_server import FIELDS, zlib_level
from PIL import Image

from krea_pipe.api.engine_requests import image_request
from krea_pipe.api.sglang_loras import SglangLoras

PINNED = {"vllm-omni": "0.30.0", "sglang": "0.5.23"}
PROTOCOLS = {
    "vllm-omni": "vllm_omni/entrypoints/openai/protocol/images.py",
    "sglang": "sglang/multimodal_gen/runtime/entrypoints/openai/protocol.py",
}
REQUESTS = {"vllm-omni": "ImageGenerationRequest", "sglang": "ImageGenerationsRequest"}
ANSWERS = {"vllm-omni": "ImageData", "sglang": "ImageResponseData"}
SGLANG = "sglang/multimodal_gen"
KREA_2 = {
    "vllm-omni": "vllm_omni/diffusion/models/krea2/pipeline_krea2.py",
    "sglang": f"{SGLANG}/runtime/pipelines_core/stages/model_specific_stages/krea2.py",
}


class Wheel:
    """The files of a package as it is published."""

    def __init__(self, file: Path):
        self.archive = zipfile.ZipFile(file)

    def text(self, path) -> str:
        return self.archive.read(path).decode()

    def names(self, path, *wanted, **known):
        """The classes, functions and constants of a module, made from their text alone."""
        pydantics = {name: getattr(pydantic, name) for name in ("BaseModel", "ConfigDict", "Field", "field_validator")}
        made = {**vars(typing), **pydantics, "Enum": Enum, "__name__": path, **known}
        for node in ast.parse(self.text(path)).body:
            named = getattr(node, "name", None) or getattr(getattr(node, "targets", [None])[0], "id", None)
            if named in wanted:
                node.decorator_list = []
                exec(compile(ast.Module([node], []), path, "exec"), made)
        return [made[name] for name in wanted]

    def function(self, path, name) -> ast.AST:
        nodes = ast.walk(ast.parse(self.text(path)))
        return next(node for node in nodes if getattr(node, "name", None) == name and hasattr(node, "args"))


@pytest.fixture(scope="session")
def wheels(tmp_path_factory):
    """The pinned wheels, from PyPI."""
    folder = tmp_path_factory.mktemp("wheels")
    for name, version in PINNED.items():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        platform = ["--platform", "manylinux_2_34_x86_64", "--python-version", "3.11", "--dest", str(folder)]
        subprocess.run([*command, *platform, f"{name}=={version}"], check=True, timeout=600)
    found = {name: next(folder.glob(f"{name.replace('-', '_')}-*.whl")) for name in PINNED}
    return {name: Wheel(file) for name, file in found.items()}


@pytest.fixture(params=PINNED)
def dialect(request):
    return request.param


@pytest.fixture
def model(wheels, dialect):
    """The model of a request for an image, as the server has it."""
    lowest, highest = -(2**63), 2**63 - 1
    known = {"_INT64_MIN": lowest, "_INT64_MAX": highest, "validate_layered_layers": lambda value: value}
    wanted = ("ResponseFormat",) * (dialect == "vllm-omni") + (REQUESTS[dialect],)
    return wheels[dialect].names(PROTOCOLS[dialect], *wanted, **known)[-1]


def sent(dialect, drawing, **identity):
    return image_request(dialect, engine_spec(dialect, **identity).identity, drawing)


def test_each_field_that_is_sent_is_one_that_the_server_declares(model, dialect):
    styles = [(lora(), 0.5)] if dialect == "vllm-omni" else ()
    drawing = image_of(seed=2**32 - 1, steps=28, guidance=4.5, negative="fog", loras=styles)
    body = sent(dialect, drawing, noise="cpu")
    assert body.keys() <= model.model_fields.keys()
    taken = json.loads(model(**body).model_dump_json())
    assert {name: taken[name] for name in body} == body


def test_what_the_stand_in_knows_of_each_field_is_what_the_server_says(model, dialect):
    for name, field in FIELDS[dialect].items():
        declared = model.model_fields[name]
        default = getattr(declared.default, "value", declared.default)
        assert (None if declared.is_required() else default) == field.default, name
    assert "prompt" in FIELDS[dialect]
    assert model.model_fields["prompt"].is_required()


VALUES = {
    "prompt": ("a lamp", "", 1, None),
    "model": ("m", None, 1),
    "n": (0, 1, 10, 11, "two"),
    "size": ("64x48", None, 64),
    "response_format": ("b64_json", 1),
    "negative_prompt": ("", None, 1),
    "num_inference_steps": (0, 1, 200, 201, None, "many"),
    "guidance_scale": (-1.0, 0, 0.5, 20.0, 20.5, None, "much"),
    "seed": (-(2**63) - 1, -1, 0, 2**63 - 1, 2**63, None, "any"),
    "generator_device": ("cpu", None, 1),
    "lora": ({}, None, "house"),
    "output_format": ("png", None, 1),
    "output_compression": (-1, 0, 100, 101, "small"),
}


def test_the_stand_in_takes_and_refuses_what_the_server_takes_and_refuses(model, dialect):
    for name, field in FIELDS[dialect].items():
        for value in VALUES[name]:
            try:
                model(**{"prompt": "a lamp", name: value})
                is_taken = True
            except pydantic.ValidationError:
                is_taken = False
            assert field.takes(value) == is_taken, (name, value)


def test_the_answer_has_the_fields_that_are_read(wheels, dialect):
    [answer] = wheels[dialect].names(PROTOCOLS[dialect], ANSWERS[dialect])
    assert {"b64_json", "url"} <= answer.model_fields.keys()


def test_vllm_omni_reads_the_lora_as_it_is_sent(wheels):
    class Request:
        def __init__(self, name, number, path):
            self.name, self.number, self.path = name, number, path

    path = "vllm_omni/entrypoints/openai/utils.py"
    [parse] = wheels["vllm-omni"].names(path, "parse_lora_request", LoRARequest=Request, stable_lora_int_id=None)
    numbers = set()
    for content, scale in (("warm", 0.5), ("warm", 0.7), ("warm", 0.5004), ("cold", 0.5)):
        read, strength = parse(sent("vllm-omni", image_of(loras=[(lora(content=content), scale)]))["lora"])
        assert (read.path, strength) == ("/models/house", scale)
        assert 0 < read.number < 2**63
        numbers.add(read.number)
    assert len(numbers) == 3  # a new file and a fourth digit are other numbers, another strength is not


def test_both_servers_compress_as_the_stand_in_does(wheels, tmp_path):
    image = Image.effect_noise((64, 64), 80).convert("RGB")
    path = "vllm_omni/entrypoints/openai/image_api_utils.py"
    wanted = ("prepare_image_for_output_format", "encode_image_base64_with_compression")
    io = __import__("io")
    encode = wheels["vllm-omni"].names(path, *wanted, PIL=__import__("PIL"), io=io, base64=base64)[-1]
    for compression in (0, 50, 88, 100):
        expected = tmp_path / "expected.png"
        image.save(expected, compress_level=zlib_level("vllm-omni", compression))
        assert base64.b64decode(encode(image, "png", compression)) == expected.read_bytes()

    numpy = pytest.importorskip("numpy")
    wanted = ("_PNG_COLOR_TYPES", "_png_chunk", "_encode_png_stored", "_encode_image_frame")
    known = {"np": numpy, "io": io, "os": __import__("os"), "zlib": __import__("zlib"), "Image": Image}
    path = f"{SGLANG}/runtime/entrypoints/utils.py"
    encode = wheels["sglang"].names(path, *wanted, struct=struct, imageio=None, **known)[-1]
    for compression in (11, 50, 100):
        expected = tmp_path / "expected.png"
        image.save(expected, compress_level=zlib_level("sglang", compression))
        assert encode(numpy.asarray(image), "a.png", compression) == expected.read_bytes()
    for compression in (None, 75):  # not compressed at all
        assert len(encode(numpy.asarray(image), "a.png", compression)) > 64 * 64 * 3
        assert zlib_level("sglang", compression) == 0


def test_sglang_has_the_calls_for_loras_with_these_fields(wheels):
    calls = []

    async def call(method, path, body):
        calls.append((method, path, body))
        return {"active": {}} if len(calls) < 3 else {}

    async def main():
        loras = SglangLoras(call)
        await loras._apply(((lora(), 0.5),))
        await loras._apply(())
        await loras._active()

    asyncio.run(main())
    wheel, path = wheels["sglang"], f"{SGLANG}/runtime/entrypoints/openai/common_api.py"
    text = wheel.text(path)
    assert 'APIRouter(prefix="/v1")' in text
    for (method, route, body), name in zip(calls, ("set_lora", "unmerge_lora_weights", "list_loras"), strict=True):
        assert f'@router.{method.lower()}("{route}")\nasync def {name}(' in text
        declared = {one.arg for one in wheel.function(path, name).args.args}
        assert set(body or {}) <= declared, name
    status = ast.unparse(wheel.function(f"{SGLANG}/runtime/pipelines_core/lora/pipeline.py", "get_lora_status"))
    assert all(f"'{word}':" in status for word in ("active", "nicknames", "strengths"))


@pytest.mark.parametrize(
    ("dialect", "path", "words"),
    [
        ("vllm-omni", KREA_2["vllm-omni"], 'padding="max_length"'),
        ("vllm-omni", KREA_2["vllm-omni"], "noise_pred + guidance_scale * (noise_pred - neg_noise_pred)"),
        ("vllm-omni", KREA_2["vllm-omni"], "if self.is_distilled:\n            mu = 1.15"),
        ("vllm-omni", "vllm_omni/entrypoints/openai/api_server.py", '@router.get("/v1/models")'),
        ("sglang", KREA_2["sglang"], 'padding="longest"'),
        ("sglang", KREA_2["sglang"], "generator=torch.Generator(device=device).manual_seed(seed + i)"),
        ("sglang", f"{SGLANG}/configs/pipeline_configs/krea2.py", "pinned_mu: float | None = 1.15"),
        ("sglang", f"{SGLANG}/configs/sample/krea2.py", "guidance_scale: float = 1.0"),
        ("sglang", f"{SGLANG}/configs/sample/sampling_params.py", "seed: int | list[int] = field(default=42"),
        ("sglang", f"{SGLANG}/runtime/entrypoints/http_server.py", '"version": __version__'),
        ("sglang", f"{SGLANG}/runtime/entrypoints/openai/common_api.py", 'card_kwargs["pipeline_class"]'),
        ("sglang", f"{SGLANG}/runtime/server_args/server_args.py", "batching_max_size: int = 1\n"),
    ],
)
def test_the_facts_that_docs_and_checks_name_are_those_of_the_pinned_version(wheels, dialect, path, words):
    assert words in wheels[dialect].text(path)
