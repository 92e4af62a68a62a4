"""Sees whether a server is the engine that a pipeline file describes, before anything is drawn there."""

import asyncio
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Protocol

from krea_pipe.api.engine_requests import adapter_folder
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.dialects import DIALECTS, WEIGHTS_NAME
from krea_pipe.core.engine import Dialect, EngineSpec
from krea_pipe.core.errors import KreaPipeError, Problem
from krea_pipe.core.json_data import Json, list_in

_SECONDS = 60.0
_NAMES: Mapping[Dialect, str] = {"vllm-omni": "vLLM-Omni", "sglang": "SGLang"}
_VERSION_PATHS: Mapping[Dialect, str] = {"vllm-omni": "/version", "sglang": "/server_info"}
_PIPELINE = "Krea2Pipeline"
_WEIGHTS = re.compile(r"krea-2-(raw|turbo)$", re.IGNORECASE)
_PRECISIONS = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


class Server(Protocol):
    """What is asked here: the engine that is described, the address of the API, and its answers as JSON data."""

    spec: EngineSpec
    url: str

    @property
    def dialect(self) -> Dialect:
        """How the server speaks."""

    async def call(self, method: str, path: str) -> Json:
        """Ask the server something.

        Raises:
            CallFailed: there was no answer, or an error.
        """


async def check_server(server: Server) -> None:
    """See that a server answers, has the model, is a Krea 2, and has the declared version as far as it tells.

    Args:
        server: the server.

    Raises:
        KreaPipeError: it differs; the error says what to do.
    """
    problem = _contradiction(server)
    if problem is None:
        try:
            async with asyncio.timeout(_SECONDS):
                problem = await _difference(server)
        except TimeoutError as error:
            message = f"the engine at {server.url} did not answer in {_SECONDS:g} s"
            hint = "wait until it has loaded its model"
            raise KreaPipeError(Problem("engine_unreachable", message, hint=hint)) from error
    if problem is not None:
        raise KreaPipeError(problem)


def _contradiction(server: Server) -> Problem | None:
    """What the dialect rules out, whatever the server says."""
    spec, name, facts = server.spec, _NAMES[server.dialect], DIALECTS[server.dialect]
    if spec.weights not in facts.weights:
        message = f"{name} draws Krea 2 {spec.weights.title()} with the time shift of Turbo, so its images are wrong"
        return Problem("engine_weights", message, hint="use Turbo there, or Raw with vLLM-Omni")
    if spec.identity.noise not in facts.noise:
        message = f"{name} generates the noise of Krea 2 on {facts.noise[0]} and not on {spec.identity.noise}"
        return Problem("engine_noise", message, hint="leave out the device of the noise")
    files = (adapter_folder(lora) for lora in spec.loras.values())
    file = next((file for file in files if file.endswith(".safetensors")), None)
    if server.dialect == "vllm-omni" and file is not None:
        message = f"{name} reads a LoRA from a folder with adapter_config.json and {WEIGHTS_NAME}, not from {file}"
        return Problem("engine_lora_path", message, hint="write the path of such a folder, as the engine sees it")
    return None


async def _difference(server: Server) -> Problem | None:
    try:
        answer = await server.call("GET", "/models")
    except Refused as error:
        return _refused(server, error)
    except CallFailed as error:
        message = f"the engine at {server.url} cannot be reached: {error}"
        return Problem("engine_unreachable", message, hint="start it, or correct its address in engine.url")
    cards = _cards(answer)
    if not cards:
        return _no_engine(server, "its list of models has none")
    served = [str(card["id"]) for card in cards]
    model = server.spec.identity.model
    if model not in served:
        message = f"the engine at {server.url} serves {', '.join(served[:5])} and not {model}"
        return Problem("engine_model", message, hint="correct engine.model, or the address")
    card = cards[served.index(model)]
    return next(_unlike(server, card), None) or await _other_version(server)


def _unlike(server: Server, card: Mapping[str, Json]) -> Iterator[Problem]:
    """What the description of a model says that it must not."""
    spec, drawn_by, precision = server.spec, card.get("pipeline_class"), card.get("dit_precision")
    if isinstance(drawn_by, str) and drawn_by != _PIPELINE:
        message = f"the engine at {server.url} draws {spec.identity.model} with {drawn_by}: it is not a Krea 2"
        yield Problem("engine_not_krea", message, hint="start it with krea/Krea-2-Turbo")
    named = _WEIGHTS.search(str(card.get("root") or ""))
    if named and named[1].lower() != spec.weights:
        message = f"the engine at {server.url} has loaded {card['root']}, and the pipeline file says {spec.weights}"
        yield Problem(
            "engine_weights", message, hint="correct engine.weights, or start the engine with the other model"
        )
    declared = _PRECISIONS.get(spec.identity.dtype, spec.identity.dtype)
    if isinstance(precision, str) and declared and precision != declared:
        message = (
            f"the engine at {server.url} computes in {precision}, and the pipeline file says {spec.identity.dtype}"
        )
        yield Problem("engine_dtype", message, hint="correct engine.dtype, or start the engine with that precision")


async def _other_version(server: Server) -> Problem | None:
    declared, path = server.spec.identity.version, _VERSION_PATHS[server.dialect]
    try:
        answer = await server.call("GET", server.url.removesuffix("/v1") + path)
    except CallFailed:  # a router in front need not tell it
        return await _other_dialect(server)
    told = answer.get("version") if isinstance(answer, dict) else None
    if not isinstance(told, str) or not declared or _same_version(server.dialect, told, declared):
        return None
    message = f"the engine at {server.url} is {_NAMES[server.dialect]} {told}, and the pipeline file says {declared}"
    return Problem("engine_version", message, hint="write the version, so that its images have keys of their own")


async def _other_dialect(server: Server) -> Problem | None:
    """What a server is that tells its version in the way of the other dialect."""
    for dialect, path in _VERSION_PATHS.items():
        if dialect == server.dialect:
            continue
        with suppress(CallFailed):
            answer = await server.call("GET", server.url.removesuffix("/v1") + path)
            if isinstance(answer, dict) and isinstance(answer.get("version"), str):
                said = f"and the pipeline file says `dialect: {server.dialect}`"
                message = f"the engine at {server.url} is {_NAMES[dialect]}, {said}"
                return Problem("engine_dialect", message, hint=f"write `dialect: {dialect}`")
    return None


def _same_version(dialect: Dialect, told: str, declared: str) -> bool:
    """vLLM-Omni tells the version of the vLLM that it runs on, which is the same up to the second number."""
    if dialect == "sglang":
        return told == declared
    return told.split(".")[:2] == declared.split(".")[:2]


def _refused(server: Server, error: Refused) -> Problem:
    if error.status in (401, 403):
        name = server.spec.key_name
        hint = "name the variable with its key in engine.key_env" if name is None else f"correct {name}"
        return Problem("engine_key", f"the engine at {server.url} refuses the key: {error}", hint=hint)
    if error.status >= 500:
        message = f"the engine at {server.url} is not ready: {error}"
        return Problem("engine_unreachable", message, hint="read its log, or wait until it has loaded its model")
    return _no_engine(server, str(error))


def _no_engine(server: Server, reason: str) -> Problem:
    message = f"what answers at {server.url} is no engine with OpenAI's image API: {reason}"
    hint = "correct engine.url" if server.url.endswith("/v1") else "its address usually ends with /v1"
    return Problem("engine_not_openai", message, hint=hint)


def _cards(answer: Json) -> list[dict[str, Json]]:
    found = list_in(answer, "data") if isinstance(answer, dict) else []
    return [card for card in found if isinstance(card, dict) and isinstance(card.get("id"), str)]
