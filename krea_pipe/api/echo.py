"""Answers that echo the token: it is taken out once their JSON is decoded, before anything else reads them."""

from collections.abc import Iterator

from krea_pipe.core.json_data import Json
from krea_pipe.core.settings import Token


def without_token(data: Json, token: Token) -> Json:
    """An answer without the token; the addresses of images, which are fetched and never written, stay as they came."""
    clean = token.masked_data(data)
    for own, other in _jobs_in(data, clean):
        result, masked = own.get("result"), other.get("result")
        if isinstance(result, dict) and isinstance(masked, dict) and "urls" in result:
            masked["urls"] = result["urls"]
    return clean


def _jobs_in(data: Json, clean: Json) -> Iterator[tuple[dict[str, Json], dict[str, Json]]]:
    """What may be jobs in an answer: itself, and what it lists; with the same in its masked form."""
    if isinstance(data, dict) and isinstance(clean, dict):
        yield data, clean
        listed, masked = data.get("items"), clean.get("items")
        if isinstance(listed, list) and isinstance(masked, list):
            pairs = zip(listed, masked, strict=True)
            yield from ((one, other) for one, other in pairs if isinstance(one, dict) and isinstance(other, dict))
