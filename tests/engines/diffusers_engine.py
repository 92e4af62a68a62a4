"""The engine of a tiny Krea 2 on the CPU, and what tests draw with it."""

import asyncio
import hashlib

from krea_pipe.core.engine import Drawing, EngineIdentity, EngineSpec, Lora


def spec_of(folder, loras=None, **identity):
    whole = {"version": "0.42.1", "model": str(folder), "revision": "v1", "dtype": "float32", "steps": 2}
    facts = {"guidance": 0.0, "negative_prompt": "", "noise": "cpu", "padding": "none"}
    return EngineSpec(
        kind="diffusers",
        identity=EngineIdentity("diffusers", **{**whole, **facts, **identity}),
        weights="raw",
        folder=folder,
        loras=loras or {},
        device="cpu",
    )


def drawing(**change):
    plain = {"prompt": "a lamp", "width": 64, "height": 64, "seed": 7, "steps": 2, "guidance": 0.0}
    return Drawing(**{**plain, **change})


def lora_of(file, name="house"):
    return Lora(name, file, hashlib.sha256(file.read_bytes()).hexdigest(), str(file))


def draw(backend, **change):
    return asyncio.run(backend.draw(drawing(**change)))
