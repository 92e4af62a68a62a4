"""Looking at the styles of an account."""

import httpx

from krea_pipe.api.client import Client
from krea_pipe.api.wire import StylePage
from krea_pipe.core.settings import Target, Token
from krea_pipe.executor.api_call import asked

PAGE = 1000


def list_styles(
    target: Target, token: Token, *, which: str, most: int, transport: httpx.AsyncBaseTransport | None = None
) -> StylePage:
    """The first styles, at most so many, that one of Krea's filters shows; `next` says that there are more.

    Raises:
        RefusedByKrea: the key is not good. StateError: Krea could not be asked.
    """
    return asked(target, token, lambda client: _listed(client, which, most), transport)


async def _listed(client: Client, which: str, most: int) -> StylePage:
    page = await client.styles(which, min(most, PAGE))
    found, seen = list(page.styles), {page.next}
    while page.next is not None and len(found) < most:
        page = await client.styles(which, min(most - len(found), PAGE), page.next)
        found += page.styles
        if page.next in seen:  # a cursor that does not move on would be followed for ever
            break
        seen.add(page.next)
    return StylePage(tuple(found), page.next)
