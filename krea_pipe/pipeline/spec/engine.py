"""`engine:`: what draws the images of a pipeline in place of the hosted Krea."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import cast

from krea_pipe.core.dialects import DIALECTS, WEIGHTS_NAME, engine_facts
from krea_pipe.core.engine import ENGINE, Dialect, EngineIdentity, EngineKind, EngineSpec, Lora, Weights
from krea_pipe.core.engine_address import address_problem
from krea_pipe.core.fields import DEFAULTS, FieldRules
from krea_pipe.core.json_data import Json, list_in, mapping_in
from krea_pipe.core.lfs import LFS_HINT, pointer_in
from krea_pipe.core.open_weights import LARGER_RESOLUTIONS, WEIGHTS, weights_of
from krea_pipe.core.request import ByDigest, source_text
from krea_pipe.core.secret_kinds import has_password
from krea_pipe.core.weight_files import lora_problem
from krea_pipe.pipeline.model import Board
from krea_pipe.pipeline.pricing import PRICE_CLASSES, Price, PriceList
from krea_pipe.pipeline.repo_paths import Unusable, files_of
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.problems import Problems
from krea_pipe.pipeline.template import slug

_HERE: Trail = (ENGINE,)
_OF_KIND: Mapping[str, tuple[str, ...]] = {
    "openai-images": ("dialect", "url", "key_env", "parallel"),
    "diffusers": ("device",),
}
"""Keys that only one kind of engine has."""
_NEEDED: Mapping[str, tuple[str, ...]] = {"openai-images": ("dialect", "url", "model"), "diffusers": ("model",)}
_EXAMPLES: Mapping[str, str] = {
    "dialect": "`dialect: vllm-omni` or `dialect: sglang`",
    "url": "`url: http://localhost:8000/v1`",
    "model": "`model: krea/Krea-2-Turbo`",
}
_MAX_VARIANT = 32


def read_engine(data: Mapping[str, Json], problems: Problems, root: Path) -> EngineSpec | None:
    """The engine that a pipeline file names.

    Args:
        data: the file, as far as it follows the schema.
        problems: takes what is wrong with the engine.
        root: the folder that its files must not leave.

    Returns:
        The engine; None for the hosted Krea, and for an engine that cannot be used.
    """
    said = data.get(ENGINE)
    if not isinstance(said, dict):
        return None
    before = len(problems.found)
    engine = _Reader(said, problems, root).engine()
    if len(problems.found) > before:
        problems.dropped.update(dict.fromkeys(mapping_in(said, "loras")))  # stages may use their names
        return None
    return engine


def rules_of(engine: EngineSpec | None, prices: PriceList) -> FieldRules:
    """The values that request fields may have.

    Args:
        engine: what draws the images; None is the hosted Krea.
        prices: the prices of the pipeline, with the values that it may send.

    Returns:
        The rules of the API, or those of the engine.
    """
    if engine is None:
        return FieldRules(prices.allowed)
    resolutions = WEIGHTS[engine.weights].resolutions
    defaults: dict[str, Json] = {**DEFAULTS, "variant": variant_of(engine), "creativity": "raw"}
    only: dict[str, tuple[Json, ...]] = {
        "variant": (variant_of(engine),),
        "creativity": ("raw",),
        "resolution": resolutions,
        **dict.fromkeys(("intensity", "complexity", "movement"), (0,)),
    }
    return FieldRules(prices.allowed, defaults, only, frozenset({"styles"}), engine.ignored, needs_seed=True)


def prices_of(engine: EngineSpec) -> PriceList:
    """The prices of an engine: one for all its images."""
    price = Price(engine.usd_per_image)
    larger = tuple(one for one in WEIGHTS[engine.weights].resolutions if one in LARGER_RESOLUTIONS)
    allowed = {"variant": (variant_of(engine),), "resolution": larger}
    return PriceList({variant_of(engine): dict.fromkeys(PRICE_CLASSES, price)}, allowed=allowed)


def variant_of(engine: EngineSpec) -> str:
    """The name of an engine's model as the variant of its requests."""
    return slug(engine.identity.model.rpartition("/")[2])[:_MAX_VARIANT].strip("-.")


def with_loras(engine: EngineSpec, styles: Mapping[str, Board]) -> dict[str, Board]:
    """The trained styles of a pipeline, with the files of the engine in place of the ids that they have at Krea."""
    boards = dict(styles)
    for identity, lora in engine.loras.items():
        trail: Trail = (*_HERE, "loras", lora.name)
        known = boards.get(lora.name, Board(identity, None, trail))
        boards[lora.name] = replace(known, id=identity)
    return boards


@dataclass(frozen=True, slots=True)
class _Reader:
    """Reads one engine and notes what is wrong with it."""

    said: Mapping[str, Json]
    problems: Problems
    root: Path

    def engine(self) -> EngineSpec | None:
        kind = cast("EngineKind", self.said["kind"])
        self._check_keys(kind)
        weights = self._weights()
        name = kind if kind == "diffusers" else str(self.said.get("dialect", ""))
        if weights is None or not (kind == "diffusers" or name in DIALECTS) or "model" not in self.said:
            return None
        self._check_weights(name, weights)
        has_key = "key_env" in self.said
        return EngineSpec(
            kind=kind,
            identity=self._identity(name, weights),
            weights=weights,
            dialect=None if kind == "diffusers" else cast("Dialect", name),
            folder=self._folder(),
            urls=tuple(self._urls(has_key=has_key)),
            loras={source_text(ByDigest(lora.sha256)): lora for lora in self._loras()},
            ignored=frozenset(map(str, list_in(self.said, "ignore"))),
            usd_per_image=Decimal(repr(self.said.get("usd_per_image", 0))),
            parallel=int(cast("float", self.said.get("parallel", 1))),
            seconds=float(cast("float", self.said.get("seconds", 600))),
            key_name=str(self.said["key_env"]) if has_key else None,
            device=str(self.said.get("device", "cuda")),
        )

    def _check_keys(self, kind: EngineKind) -> None:
        for other, keys in _OF_KIND.items():
            for key in keys if other != kind else ():
                if key in self.said:
                    message = f"`{key}` is for `kind: {other}`, not for `kind: {kind}`"
                    self.problems.add_key("unknown_key", message, (*_HERE, key), "remove it")
        for key in _NEEDED[kind]:
            if key not in self.said and not self.problems.was_dropped(key):
                message = f"an engine of `kind: {kind}` needs `{key}`"
                self.problems.add_key("missing_key", message, _HERE, f"add {_EXAMPLES[key]}")

    def _weights(self) -> Weights | None:
        model = str(self.said.get("model", ""))
        known, said = weights_of(model), cast("Weights | None", self.said.get("weights"))
        if known is not None and said not in (None, known):
            message = f"{model} has the weights `{known}`, not `{said}`"
            self.problems.add("invalid_value", message, (*_HERE, "weights"), "remove `weights:`")
        if known is None and said is None and model:
            message = f"{model} is not one of the models that Krea has published"
            hint = "if it is Krea 2 under another name, say which: `weights: raw` or `weights: turbo`"
            self.problems.add("unknown_model", message, (*_HERE, "model"), hint)
        return known or said

    def _check_weights(self, name: str, weights: Weights) -> None:
        """Refuse weights that an engine draws wrong, and a negative prompt that nothing would read."""
        facts = engine_facts(name)
        if weights not in facts.weights:
            message = f"{name} {facts.versions} draws the weights `{weights}` with the wrong noise schedule"
            hint = "use it with krea/Krea-2-Turbo, or take vllm-omni or diffusers"
            self.problems.add("wrong_engine", message, (*_HERE, "model"), hint)
        for key, most in (("steps", facts.most_steps), ("guidance", facts.most_guidance)):
            if most is not None and cast("float", self.said.get(key, 0)) > most:
                message = f"{name} takes at most {most:g} for `{key}`"
                self.problems.add("invalid_value", message, (*_HERE, key), "write a smaller number")
        guidance = self.said.get("guidance", WEIGHTS[weights].guidance)
        if self.said.get("negative_prompt") and not guidance:
            message = "a negative prompt has no effect without guidance"
            hint = "remove it, or add `guidance: 4.5`, which draws each image twice as long"
            self.problems.add_key("no_effect", message, (*_HERE, "negative_prompt"), hint)

    def _identity(self, name: str, weights: Weights) -> EngineIdentity:
        facts, usual, said = engine_facts(name), WEIGHTS[weights], self.said
        return EngineIdentity(
            name=name,
            version=str(said.get("version", facts.versions)),
            model=str(said["model"]),
            revision=str(said.get("revision", "main")),
            dtype=str(said.get("dtype", "bfloat16")),
            steps=int(cast("float", said.get("steps", usual.steps))),
            guidance=float(cast("float", said.get("guidance", usual.guidance))) + 0.0,  # -0.0 is 0
            negative_prompt=" ".join(str(said.get("negative_prompt", "")).split()),
            noise=facts.noise[0],
            padding=facts.padding,
        )

    def _folder(self) -> Path | None:
        """The folder of a model that is named by a path, such as `./models/own`, whose content has no name but ours."""
        model = str(self.said["model"])
        if not model.startswith((".", "/", "~")):
            return None
        if "revision" not in self.said:
            hint = "add `revision: v1`, and change it when the files change: it is part of what identifies an image"
            self.problems.add("missing_key", "a model in a folder needs a revision", (*_HERE, "model"), hint)
        return self.problems.document.folder((*_HERE, "model")) / Path(model).expanduser()

    def _urls(self, *, has_key: bool) -> Iterator[str]:
        said = self.said.get("url")
        places = enumerate(said) if isinstance(said, list) else [(None, said)] if said is not None else []
        for index, url in places:
            trail: Trail = (*_HERE, "url") if index is None else (*_HERE, "url", index)
            wrong = None if has_password(str(url)) else address_problem(str(url), has_key=has_key)
            if wrong is not None:
                self.problems.add(wrong.code, wrong.message, trail, wrong.hint)
            yield str(url).rstrip("/")

    def _loras(self) -> Iterator[Lora]:
        for name, said in mapping_in(self.said, "loras").items():
            trail: Trail = (*_HERE, "loras", name)
            text, path = (str(said["file"]), said.get("path")) if isinstance(said, dict) else (str(said), None)
            try:
                file = _lora_file(text, self.problems.document.folder(trail), self.root)
            except Unusable as error:
                self.problems.add(error.code, str(error), trail, error.hint)
                continue
            if (wrong := lora_problem(file)) is not None:
                self.problems.add(wrong.code, wrong.message, trail, wrong.hint)
            elif path is None and self.said.get("dialect") == "vllm-omni" and file.name != WEIGHTS_NAME:
                message = f"vLLM-Omni reads a LoRA from a folder that has it as {WEIGHTS_NAME}, not from {text}"
                hint = f"write {{file: {text}, path: /the/folder/on/the/server}}"
                self.problems.add("engine_lora_path", message, trail, hint)
            yield Lora(name, file, _digest(file), str(file) if path is None else str(path))


def _lora_file(text: str, folder: Path, root: Path) -> Path:
    found = files_of(text, folder, root)
    if len(found) != 1:
        raise Unusable("several_files", f"`{text}` matches {len(found)} files; a style is one file", None)
    with found[0].open("rb") as file:
        head = file.read(1024)
    if pointer_in(head):
        raise Unusable("lfs_pointer", f"{text} is a Git LFS pointer, not the file itself", LFS_HINT)
    return found[0]


def _digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
