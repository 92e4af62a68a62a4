"""A stand-in for vLLM-Omni and SGLang: their image API on this machine, with pictures that cost nothing, and faults.

It has the defaults, the limits and the surprises that the real servers have; `tests/engines` compares its fields with
the models in their wheels. As a program, `engine_server.py DIALECT PORT`, it prints its address and each image that it
begins, and does not finish one whose prompt has "[hold]" in it. With $ENGINE_FOLDER, it also writes them to `begun` in
that folder, with its process, and holds images only while `hold` is there.
"""

import asyncio
import base64
import contextlib
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

MODEL = "krea/Krea-2-Turbo"
DEADLINE = 30.0
LIFE = 100
INT64 = (-(2**63), 2**63 - 1)


@dataclass(frozen=True)
class Field:
    """A field of a request: its types in JSON, what it is when it is absent, and its limits."""

    types: tuple[type, ...]
    default: object = None
    least: float | None = None
    most: float | None = None

    def takes(self, value) -> bool:
        if value is None:
            return type(None) in self.types
        if isinstance(value, bool) or not isinstance(value, self.types):
            return False
        above = self.least is None or value >= self.least
        return above and (self.most is None or value <= self.most)


NONE = type(None)
FIELDS = {
    "vllm-omni": {
        "prompt": Field((str,)),
        "model": Field((str, NONE)),
        "n": Field((int,), 1, 1, 10),
        "size": Field((str, NONE)),
        "response_format": Field((str,), "b64_json"),
        "negative_prompt": Field((str, NONE)),
        "num_inference_steps": Field((int, NONE), None, 1, 200),
        "guidance_scale": Field((int, float, NONE), None, 0.0, 20.0),
        "seed": Field((int, NONE), None, *INT64),
        "generator_device": Field((str, NONE)),
        "lora": Field((dict, NONE)),
        "output_format": Field((str, NONE)),
        "output_compression": Field((int,), 100, 0, 100),
    },
    "sglang": {
        "prompt": Field((str,)),
        "model": Field((str, NONE)),
        "n": Field((int, NONE), 1),
        "size": Field((str, NONE), "1024x1024"),
        "response_format": Field((str, NONE), "url"),
        "negative_prompt": Field((str, NONE)),
        "num_inference_steps": Field((int, NONE)),
        "guidance_scale": Field((int, float, NONE)),
        "seed": Field((int, NONE)),
        "generator_device": Field((str, NONE), "cuda"),
        "output_format": Field((str, NONE)),
        "output_compression": Field((int, NONE)),
    },
}


def zlib_level(dialect, compression) -> int:
    """The level with which a server compresses a PNG."""
    if dialect == "vllm-omni":
        return max(0, min(9, 9 - compression // 11))
    return 0 if compression in (None, 75) else max(0, min(9, round(compression / 100 * 9)))


@dataclass
class Fault:
    """What happens to the next `times` images whose prompt holds `text`; None is all of them."""

    name: str
    text: str = ""
    times: int | None = 1

    def takes(self, prompt) -> bool:
        if self.times == 0 or self.text not in prompt:
            return False
        self.times = None if self.times is None else self.times - 1
        return True


@dataclass
class Engine:
    """One server. `files` has the content of each LoRA by its path, "" for one that fits no Krea 2."""

    dialect: str
    model: str = MODEL
    version: str = ""
    key: str | None = None
    pipeline: str = "Krea2Pipeline"
    files: dict[str, str] = field(default_factory=dict)
    url: str = ""
    asked: list[dict] = field(default_factory=list)
    headers: list[dict] = field(default_factory=list)
    lora_calls: list[str] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    adapters: dict = field(default_factory=dict)
    active: tuple[tuple[str, float], ...] = ()
    stored: dict[str, tuple[bytes, str]] = field(default_factory=dict)
    drawing: int = 0
    most_drawing: int = 0
    tells: bool = False
    is_released: bool = False
    holds: bool = True
    folder: Path | None = None

    def __post_init__(self):
        self.version = self.version or {"vllm-omni": "0.30.0", "sglang": "0.5.23"}[self.dialect]

    def fault(self, name, text="", times=1):
        self.faults.append(Fault(name, text, times))

    def restart(self):
        """Lose what a process loses when it starts again."""
        self.adapters, self.active = {}, ()

    @property
    def app(self):
        routes = [
            Route("/v1/images/generations", self.generate, methods=["POST"]),
            Route("/v1/images/{name}/content", self.content),
            Route("/v1/models", self.models),
        ]
        if self.dialect == "sglang":
            routes += [
                Route("/server_info", self.info),
                Route("/v1/set_lora", self.set_lora, methods=["POST"]),
                Route("/v1/unmerge_lora_weights", self.unset_lora, methods=["POST"]),
                Route("/v1/list_loras", self.list_loras),
            ]
        else:
            routes.append(Route("/version", self.info))
        return Starlette(routes=routes)

    # --- what there is

    async def models(self, request):
        if self.key is not None and request.headers.get("authorization") != f"Bearer {self.key}":
            return JSONResponse({"error": "Unauthorized"}, 401)
        card = {"id": self.model, "object": "model", "root": self.model}
        if self.dialect == "sglang":
            card |= {"pipeline_class": self.pipeline, "dit_precision": "bf16"}
        return JSONResponse({"object": "list", "data": [card]})

    async def info(self, _):
        return JSONResponse({"version": self.version})

    async def content(self, request):
        data, mime = self.stored[request.path_params["name"]]
        return Response(data, media_type=mime)

    # --- LoRA for all images, as SGLang has it

    async def set_lora(self, request):
        body = await request.json()
        self.lora_calls.append("set")
        pairs = zip(body["lora_nickname"], body["lora_path"], body["strength"], strict=True)
        active = []
        for name, path, strength in pairs:
            if path not in self.files:
                detail = f"Failed to set LoRA adapter: {path} does not exist"
                return JSONResponse({"detail": detail}, 500)
            if self.adapters.get(name, (None, None))[0] != path:
                self.adapters[name] = path, self.files[path]
            active.append((name, strength))
        self.active = tuple(active) if all(self.adapters[name][1] for name, _ in active) else ()
        return JSONResponse({"status": "ok", "message": "set"})

    async def unset_lora(self, _):
        self.lora_calls.append("unset")
        self.active = ()
        return JSONResponse({"status": "ok", "message": "unset"})

    async def list_loras(self, _):
        names, strengths = [name for name, _ in self.active], [strength for _, strength in self.active]
        state = {"nickname": ",".join(names), "nicknames": names, "strengths": strengths, "merged": True}
        loaded = [{"nickname": name, "path": path} for name, (path, _) in self.adapters.items()]
        return JSONResponse({"loaded_adapters": loaded, "active": {"transformer": [state]} if names else {}})

    # --- images

    async def generate(self, request):
        body = await request.json()
        self.asked.append(body)
        self.headers.append(dict(request.headers))
        wrong = [name for name, one in FIELDS[self.dialect].items() if name in body and not one.takes(body[name])]
        if "prompt" not in body or wrong:
            return self.invalid(wrong or ["prompt"])
        given = {name: body.get(name, one.default) for name, one in FIELDS[self.dialect].items()}
        if self.tells:
            self.tell(given["prompt"])
        fault = next((one.name for one in self.faults if one.takes(given["prompt"])), "")
        self.drawing += 1
        self.most_drawing = max(self.most_drawing, self.drawing)
        try:
            while (fault == "hold" and not self.is_released) or ("[hold]" in given["prompt"] and self.is_holding()):
                await asyncio.sleep(0.01)
            return self.answer(given, fault)
        finally:
            self.drawing -= 1

    def tell(self, prompt):
        print(f"drawing {prompt}", flush=True)
        if self.folder is not None:
            with (self.folder / "begun").open("a", encoding="utf-8") as file:
                file.write(f"{os.getpid()} {prompt}\n")

    def is_holding(self):
        return self.holds if self.folder is None else (self.folder / "hold").exists()

    def invalid(self, names):
        words = f"Input should be valid: {', '.join(names)}"
        if self.dialect == "sglang":
            return JSONResponse({"detail": [{"loc": ["body", name], "msg": words} for name in names]}, 422)
        return self.error(400, words)

    def error(self, status, words):
        """An error of the server: SGLang says nothing of what went wrong inside."""
        if self.dialect == "vllm-omni":
            return JSONResponse({"error": {"message": words, "type": "Error", "code": status}}, status)
        if status == 500:
            return PlainTextResponse("Internal Server Error", status)
        return JSONResponse({"detail": words}, status)

    def answer(self, given, fault):
        match fault:
            case "500":
                return self.error(500, "the engine has a bug")
            case "echo":
                return self.error(500, f"these headers were wrong: {self.headers[-1]}")
            case "503":
                return JSONResponse({"error": "Scheduler worker exited; restart the server."}, 503)
            case "oom":
                words = "CUDA out of memory. Tried to allocate 20.00 GiB"
                return JSONResponse({"detail": f"Image generation failed: {words}"}, 500)
            case "huge":
                return PlainTextResponse(" " * 8_000_000)
            case "html":
                return HTMLResponse("<title>A router</title>")
            case "restart":
                self.restart()
        if self.dialect == "vllm-omni" and given["model"] not in (None, self.model):
            return self.error(400, f"Model mismatch: request specifies '{given['model']}'")
        try:
            colour = self.colour(given)
        except ValueError as error:
            return self.error(500, str(error))
        form = (given["output_format"] or {"vllm-omni": "png", "sglang": "jpeg"}[self.dialect]).lower()
        form = "jpeg" if fault == "jpeg" else form
        data = self.encoded(self.size(given, fault), (0, 0, 0) if fault == "black" else colour, form, given)
        return self.sent(data, f"image/{form}", given, fault)

    def sent(self, data, mime, given, fault):
        name = f"img{len(self.stored)}"
        self.stored[name] = data, mime
        if fault == "foreign-url":
            image = {"url": "http://192.0.2.7/picture.png"}
        elif fault == "url" or given["response_format"] == "url":
            image = {"url": f"/v1/images/{name}/content"}
        else:
            text = base64.b64encode(data).decode()
            image = {"b64_json": text[: len(text) // 8 * 4] if fault == "half" else text}
        return JSONResponse({"created": 1, "data": [] if fault == "empty" else [image]})

    def size(self, given, fault):
        width, height = (int(one) for one in given["size"].split("x"))
        if fault == "wrong-size":
            return width, height + 16
        if self.dialect == "vllm-omni":  # without a word
            return -(-width // 16) * 16, -(-height // 16) * 16
        return width, height

    def colour(self, given):
        """A colour that comes from all that decides the pixels."""
        parts = [given[name] for name in ("prompt", "negative_prompt", "num_inference_steps")]
        guidance = given["guidance_scale"] - (1 if self.dialect == "sglang" else 0)
        seed = 42 if given["seed"] is None else given["seed"]
        digest = hashlib.sha256(repr((*parts, guidance, seed, self.lora_in(given))).encode()).digest()
        return digest[0] | 1, digest[1], digest[2]

    def lora_in(self, given):
        if self.dialect == "sglang":
            return tuple((self.adapters[name][1], strength) for name, strength in self.active)
        lora = given["lora"]
        if lora is None or lora["scale"] == 0:
            return ()
        if lora["int_id"] not in self.adapters:
            if not self.files.get(lora["path"]):
                raise ValueError(f"Loading lora {lora['name']} failed: No adapter found for {lora['path']}")
            self.adapters[lora["int_id"]] = self.files[lora["path"]], lora["scale"]
        content, scale = self.adapters[lora["int_id"]]
        if round(scale, 3) != round(lora["scale"], 3):
            scale = lora["scale"]
        self.adapters[lora["int_id"]] = content, scale
        return ((content, scale),)

    def encoded(self, size, colour, form, given):
        buffer = io.BytesIO()
        options = {"compress_level": zlib_level(self.dialect, given["output_compression"])} if form == "png" else {}
        Image.new("RGB", size, colour).save(buffer, form, **options)
        return buffer.getvalue()


@contextmanager
def served_engine(dialect, **options) -> Iterator[Engine]:
    """A server on a free port of this machine, for as long as the block lasts."""
    engine = Engine(dialect, **options)
    config = uvicorn.Config(engine.app, host="127.0.0.1", port=0, log_config=None, lifespan="off")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    waited = threading.Event()
    for _ in range(int(DEADLINE / 0.01)):
        if server.started or waited.wait(0.01):
            break
    engine.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield engine
    finally:
        server.should_exit = server.force_exit = True
        thread.join(DEADLINE)


@dataclass
class Replica:
    """A server in a process of its own, which can be killed."""

    url: str
    process: subprocess.Popen

    def next_drawing(self) -> str:
        """The prompt of the image that it begins next."""
        return self.process.stdout.readline().removeprefix("drawing ").strip()

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(DEADLINE)


@contextmanager
def engine_process(dialect, port=0) -> Iterator[Replica]:
    """A server as a process; it ends with the block, or by itself after some minutes."""
    command = [sys.executable, __file__, dialect, str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent) as process:
        try:
            yield Replica(process.stdout.readline().strip(), process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()


def main(dialect, port):
    if hasattr(signal, "alarm"):
        signal.alarm(LIFE)
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(("127.0.0.1", int(port)))
        listening.listen(64)  # from now on a connection waits until the server has started
        folder = os.environ.get("ENGINE_FOLDER")
        engine = Engine(dialect, tells=True, folder=Path(folder) if folder else None)
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/v1", flush=True)
        config = uvicorn.Config(engine.app, log_config=None, lifespan="off")
        asyncio.run(uvicorn.Server(config).serve(sockets=[listening]))
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
