"""Removes a known secret from texts.

It is taken out of what others send, in whatever way they write it: escaped, and not only once. The examined texts are
already decoded, so that no escaping of JSON is left; each is then read as HTML, as percent-encoded and with backslashes
as well, one inside the other.
"""

import base64
import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from html import unescape
from urllib.parse import unquote

from krea_pipe.core.json_data import Json
from krea_pipe.core.secret_kinds import MASK

_MAX_DEPTH = 64
MAX_ESCAPED = 512 * 1024
_ROUNDS = 4
_MAX_FORMS = 64
_SHORTEST_ENCODED = 8
_MAY_HIDE = re.compile(r"[^!-~]|[%&\\]")
_SPACES = b" \t\n\r"
_PLAIN = bytes(sign for sign in range(0x21, 0x7F) if sign not in b"%&\\") + _SPACES
"""The bytes of JSON in which nothing is escaped, and nothing could be decoded."""
_MAY_BE_NUMBER = re.compile(r"[0-9.e+-]*")
_ESCAPE = re.compile(r"[\\%]u\{?([0-9a-f]{1,6})\}?|\\x([0-9a-f]{2})|\\([0-7]{1,3})|\\(.)", re.IGNORECASE | re.DOTALL)


def masked(text: str, secret: str) -> str:
    """A text without a secret: what is written plainly is replaced in it, and a text that hides it, as a whole."""
    if not _is_present(text, secret):
        return text
    plain = re.sub("|".join(map(re.escape, _forms(secret))), MASK, text, flags=re.IGNORECASE)
    return MASK if _is_present(plain, secret) else plain


def masked_lines(text: str, secret: str) -> str:
    """A long text without a secret, line by line."""
    return "\n".join(masked(line, secret) for line in text.split("\n"))


def masked_data(data: Json, secret: str) -> Json:
    """Data without a secret, in keys as well; what lies deeper, or holds more escapes, than answers do is left out."""
    return _Masking(secret).data(data)


def is_absent(body: bytes, secret: str) -> bool:
    """Whether no text of a body of JSON holds a secret: it has nothing that could be decoded, and no form of it.

    Args:
        body: the JSON unchanged.
        secret: the secret.

    Returns:
        False if it has to be looked for in each text.
    """
    if body.translate(None, _PLAIN) or _MAY_BE_NUMBER.fullmatch(secret):
        return False
    low = body.translate(None, _SPACES).lower()
    return not any("".join(form.split()).encode() in low for form in _forms(secret))


@dataclass(slots=True)
class _Masking:
    secret: str
    left: int = MAX_ESCAPED

    def data(self, data: Json, depth: int = 0) -> Json:
        if depth > _MAX_DEPTH:
            return None
        if isinstance(data, dict):
            return {self.text(key): self.data(one, depth + 1) for key, one in data.items()}
        if isinstance(data, list):
            return [self.data(one, depth + 1) for one in data]
        if isinstance(data, str):
            return self.text(data)
        is_told = isinstance(data, (int, float)) and not isinstance(data, bool) and self.secret in str(data)
        return MASK if is_told else data

    def text(self, text: str) -> str:
        if _MAY_HIDE.search(text):
            self.left -= len(text)
        return masked(text, self.secret) if self.left >= 0 else MASK


def _is_present(text: str, secret: str) -> bool:
    forms = _forms(secret)
    if len(text) < len(min(forms, key=len)) and text.isascii():
        return False  # decoded, it is no longer
    low = text.lower()
    if any(form in low for form in forms):
        return True
    return bool(_MAY_HIDE.search(text)) and any(form in one.lower() for one in _decodings(text) for form in forms)


@lru_cache(maxsize=8)
def _forms(secret: str) -> tuple[str, ...]:
    """The secret itself, and what base64 and hexadecimal digits make of it inside a text; all in lower case."""
    raw = secret.encode()
    forms = [secret, raw.hex()]
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        # The first and the last sign depend on what is beside the secret as well.
        inner = whole[(0, 2, 3)[before] : len(whole) - ((before + len(raw)) % 3 > 0)]
        forms += [inner, inner.translate(str.maketrans("+/", "-_"))] if len(inner) >= _SHORTEST_ENCODED else []
    return tuple(dict.fromkeys(form.lower() for form in forms))


def _decodings(text: str) -> Iterator[str]:
    """A text as a reader would see it: decoded up to a number of times, without invisible characters."""
    seen, latest = {text}, [text]
    for _ in range(_ROUNDS):
        latest = [one for form in latest for one in _decoded(form) if one not in seen][:_MAX_FORMS]
        seen.update(latest)
    for form in seen:
        yield form
        close = "".join(form.split())
        yield close if close.isprintable() else "".join(filter(str.isprintable, close))


def _decoded(text: str) -> Iterator[str]:
    if "%" in text:
        yield unquote(text)
    if "&" in text:
        yield unescape(text)
    if "\\" in text or "%u" in text.lower():
        yield _ESCAPE.sub(_sign, text)
    if not text.isascii():
        yield unicodedata.normalize("NFKC", text)


def _sign(found: re.Match[str]) -> str:
    wide, byte, octal, other = found.groups()
    if other is not None:
        return str(other)
    number = int(octal, 8) if octal else int(wide or byte, 16)
    return chr(number) if number <= 0x10FFFF else ""
