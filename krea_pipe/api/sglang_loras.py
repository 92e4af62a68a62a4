"""The LoRAs of an SGLang server, which are the same for all that it draws at a time.

SGLang has one call that sets them for every later image, `POST /v1/set_lora`, and none for one image. So images with
the same LoRAs are drawn together, and others wait. What is set is read before it is changed, because the server may
have been started with a LoRA, and after each image: a server that has started again, or another program, has none or
others, and an image drawn in between is discarded.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

from krea_pipe.api.engine import DrawFailed
from krea_pipe.api.engine_requests import adapter_name
from krea_pipe.core.engine import Lora
from krea_pipe.core.json_data import Json, list_in, mapping_in
from krea_pipe.core.outcome import Failure

Loras: TypeAlias = tuple[tuple[Lora, float], ...]
_Names: TypeAlias = tuple[tuple[str, float], ...]
_TRIES = 3


@dataclass(slots=True)
class SglangLoras:
    """Sets the LoRAs that an image needs, and draws it.

    `call` sends a method, a path and a body to the server and returns its answer. `_known` is what is set on the
    server, None if that has to be read.
    """

    call: Callable[[str, str, Json], Awaitable[Json]]
    _known: _Names | None = None
    _drawing: int = 0
    _turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    _is_idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self._is_idle.set()

    async def drawn(self, loras: Loras, draw: Callable[[], Awaitable[bytes]]) -> bytes:
        """Draw an image while exactly its LoRAs are set.

        Args:
            loras: the LoRAs with their strengths, none for an image without them.
            draw: draws the image.

        Returns:
            What `draw` returned.

        Raises:
            DrawFailed: they cannot be set, or did not stay as they were.
            CallFailed: the server could not be asked.
        """
        for _ in range(_TRIES):
            async with self._held(loras):
                data = await draw()
                if await self._active() == _names(loras):
                    return data
                self._known = None
        message = "another program changes the LoRAs of this engine, or it starts again all the time"
        raise DrawFailed(Failure("loras_changed", message, "transient"))

    @asynccontextmanager
    async def _held(self, loras: Loras) -> AsyncIterator[None]:
        async with self._turn:  # in the order of arrival: images with other LoRAs wait behind those that came first
            if self._known != _names(loras):
                await self._is_idle.wait()
                await self._set(loras)
            self._drawing += 1
            self._is_idle.clear()
        is_drawn = False
        try:
            yield
            is_drawn = True
        finally:
            if not is_drawn:
                self._known = None  # the server may be another one by now
            self._drawing -= 1
            if not self._drawing:
                self._is_idle.set()

    async def _set(self, loras: Loras) -> None:
        wanted, self._known = _names(loras), None
        if await self._active() != wanted:
            await self._apply(loras)
            if await self._active() != wanted:
                paths = ", ".join(lora.path for lora, _ in loras) or "none"
                message = f"the engine has taken the LoRAs ({paths}) and does not use them: they do not fit its model"
                raise DrawFailed(Failure("lora_failed", message, "refused"))
        self._known = wanted

    async def _apply(self, loras: Loras) -> None:
        if not loras:
            await self.call("POST", "/unmerge_lora_weights", {"target": "all"})
            return
        fields: dict[str, Json] = {
            "lora_nickname": [adapter_name(lora) for lora, _ in loras],
            "lora_path": [lora.path for lora, _ in loras],
            "target": ["all" for _ in loras],
            "strength": [strength for _, strength in loras],
        }
        await self.call("POST", "/set_lora", fields)

    async def _active(self) -> _Names:
        answer = await self.call("GET", "/list_loras", None)
        active = mapping_in(answer, "active") if isinstance(answer, dict) else {}
        states = [state for name in active for state in list_in(active, name) if isinstance(state, dict)]
        return tuple(one for state in states for one in _pairs(state))


def _names(loras: Loras) -> _Names:
    return tuple((adapter_name(lora), strength) for lora, strength in loras)


def _pairs(state: Mapping[str, Json]) -> Sequence[tuple[str, float]]:
    strengths = [float(one) for one in list_in(state, "strengths") if isinstance(one, int | float)]
    return list(zip(map(str, list_in(state, "nicknames")), strengths, strict=False))
