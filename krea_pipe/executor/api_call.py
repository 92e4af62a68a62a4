"""Errands at Krea outside of a run."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

import httpx

from krea_pipe.api.client import Client, open_client
from krea_pipe.api.failures import CallFailed, Refused
from krea_pipe.core.errors import Problem, RefusedByKrea, StateError
from krea_pipe.core.settings import Target, Token
from krea_pipe.store.space import Space

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ApiCall:
    """Where an errand goes, for whom, and the name under which it is written down."""

    space: Space
    target: Target
    token: Token
    run_id: str


def with_client(api_call: ApiCall, work: Callable[[Client], Awaitable[T]]) -> T:
    """Do something at Krea, outside of a run.

    Raises:
        RefusedByKrea: the key is not good. StateError: Krea could not be asked.
    """
    return asked(api_call.target, api_call.token, work)


def asked(
    target: Target,
    token: Token,
    work: Callable[[Client], Awaitable[T]],
    transport: httpx.AsyncBaseTransport | None = None,
) -> T:
    """Do something at Krea that is not written down.

    Raises:
        RefusedByKrea: the key is not good. StateError: Krea could not be asked.
    """

    async def go() -> T:
        async with open_client(target, token, transport) as client:
            return await work(client)

    try:
        return asyncio.run(go())
    except Refused as error:
        if error.status not in (401, 402, 403):
            raise StateError(Problem("krea_unreadable", f"Krea answered {error}")) from error
        raise RefusedByKrea(
            Problem("key_refused", f"Krea refused this account: {error}", hint="check KREA_API_KEY")
        ) from error
    except CallFailed as error:
        raise StateError(Problem("krea_unreadable", str(error), hint="try again when Krea can be reached")) from error
