"""Reads Krea's announcements of routes that will end: the headers `Deprecation`, `Sunset` and `Link`.

They are those of RFC 9745 and RFC 8594; older services send `Deprecation: true` or a date of HTTP.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx

from krea_pipe.api.error_words import one_line

_LINK = re.compile(r"<([^<>]{1,500})>([^<>]{0,200})")
_RELATION = re.compile(r"""rel\s*=\s*["']?[^"']*\b(deprecation|sunset)\b""", re.IGNORECASE)
_MOST_ROUTES = 50


@dataclass(slots=True)
class Deprecations:
    """The routes that Krea has called deprecated, each with what it has said first; one of these warns once."""

    by_route: dict[str, str] = field(default_factory=dict)

    def note(self, method: str, path: str, headers: httpx.Headers, mask: Callable[[str], str]) -> None:
        """Take in the headers of an answer; `mask` takes the API key out of what they say."""
        deprecated, sunset = headers.get("deprecation", "").strip(), headers.get("sunset", "").strip()
        links = [] if "link" not in headers else list(_links(headers))
        is_said = deprecated.lower() not in ("", "false", "?0", "0") or sunset or any(links)
        route = route_name(method, path)
        if is_said and route not in self.by_route and len(self.by_route) < _MOST_ROUTES:
            self.by_route[route] = one_line(mask(_words(route, deprecated, sunset, links)))


def route_name(method: str, path: str) -> str:
    """A route as documents name it: with `{id}` in place of one job or style."""
    parts = path.split("/")
    if len(parts) > 2 and parts[1] in ("jobs", "styles") and parts[2] != "train":
        parts[2] = "{id}"
    return f"{method} {'/'.join(parts)}"


def _links(headers: httpx.Headers) -> list[str]:
    found = _LINK.findall(", ".join(headers.get_list("link"))[:4000])
    return [address for address, more in found if _RELATION.search(more)]


def _words(route: str, deprecated: str, sunset: str, links: list[str]) -> str:
    since = _since(deprecated)
    end = f"; it ends on {sunset}" if sunset else ""
    more = f"; see {links[0]}" if links else ""
    return f"Krea has deprecated the route {route}{since}{end}{more}"


def _since(deprecated: str) -> str:
    """The start of the deprecation, as far as the header states it: `@1735689600`, an HTTP date, or `true`."""
    if re.fullmatch(r"@[0-9]{1,11}", deprecated):
        return f" since {datetime.fromtimestamp(int(deprecated[1:]), UTC):%Y-%m-%d}"
    return f" since {deprecated}" if re.search(r"[0-9]{4}", deprecated) else ""
