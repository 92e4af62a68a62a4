"""Detects secrets.

The kinds are values of the forms that their makers document, in `data/secret_kinds.json`, and names of variables for
them. A pattern tells a secret by its beginning: it need not match all of it. Each is bounded, so that a text costs as
much time as it is long.
"""

import json
import re
from functools import cache
from typing import NamedTuple

from krea_pipe.core.package_data import data_text

MASK = "***"
"""The replacement for a secret."""

_ADDRESS = r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/@:?#]{0,200}:[^\s/@]{1,200}@"
"""The address of something with a user's name and a password."""
_ALPHABETS = {"WORD": "[A-Za-z0-9_-]", "B64": "[A-Za-z0-9+/]", "ADDRESS": _ADDRESS}
_SAYS_SECRET = (
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|PASSCODE|CREDENTIAL|MNEMONIC|COOKIE|KEY|AUTHORI[SZ]ATION|AUTHENTICATION"
    r"|(?:AUTH|PASS)$|^(?:AUTH[NZ]|CREDS?|BEARER|JW[TK]S?|PAT|PWD)$"
)
_ORDINARY = (
    r"(?:MON|DON|TUR|HOC|WHIS|JOC|LAC|MIC|HIC|DIC|FLUN|SMO|LOW|TURN|LATCH|HOT)KEYS?|SECRETAR(?:Y|IES|IAT)|TOKENI[SZ]\w*"
    r"|KEY(?:BOARD|WORD|NOTE|FRAME|STONE|HOLE|PAD|STROKE|PRESS|LIGHT|COLOU?R|LIME|CLOAK)\w*|(?:COM|BY|SUR|TRES|OVER|UNDER)PASS"
)
_WORKING_FOLDER = frozenset({"PWD", "OLDPWD"})
_SHORTEST = 15
_WORDS = rf"[^\s\"'{{}}\[\](),;<>]{{{_SHORTEST},}}"
_DATA_URI = re.compile(r"data:[\w.+-]+/[\w.+-]+;base64,[A-Za-z0-9+/=\s]*", re.ASCII)
_BEFORE_A_SPACE = ("bearer", "basic", "private key", "secret", "token", "passw", "key", "signature")


class SecretKind(NamedTuple):
    """A kind of secret, how its values look after a sign that is no letter or digit, and where that is documented."""

    name: str
    source: str
    patterns: tuple[str, ...]


@cache
def secret_kinds() -> tuple[SecretKind, ...]:
    """The kinds that are known, as `data/secret_kinds.json` has them."""
    text = data_text("secret_kinds.json")
    for name, alphabet in _ALPHABETS.items():
        text = text.replace(f"<{name}>", json.dumps(alphabet)[1:-1])
    return tuple(SecretKind(one["name"], one["source"], tuple(one["patterns"])) for one in json.loads(text))


def is_secret(text: str) -> bool:
    """Whether a text holds what looks like a secret."""
    if len(text) < _SHORTEST or (text.startswith("data:") and _DATA_URI.fullmatch(text)):
        return False
    low = text.lower()
    if any(word in low for word in _BEFORE_A_SPACE):
        return _any_kind().search(text) is not None
    return any(_any_kind().search(run) for run in re.findall(rf"\S{{{_SHORTEST},}}", text))


def has_password(text: str) -> bool:
    """Whether a text is the address of something with a user's name and password."""
    return re.match(_ADDRESS, text) is not None


def is_secret_name(name: str) -> bool:
    """Whether a variable's name says that its value is a secret: by one of its words, split at `_`, digits and case."""
    words = [word.upper() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]
    found = (word for word in words if re.search(_SAYS_SECRET, word) and not re.fullmatch(_ORDINARY, word))
    return name not in _WORKING_FOLDER and any(found)


def without_secrets(text: str) -> str:
    """A text with `***` for the words that look like secrets, or for all of it."""
    if not is_secret(text):
        return text
    clean = re.sub(_WORDS, lambda word: MASK if is_secret(word[0]) else word[0], text)
    return MASK if is_secret(clean) else clean


@cache
def _any_kind() -> re.Pattern[str]:
    return re.compile("(?<![A-Za-z0-9])(?:" + "|".join(one for kind in secret_kinds() for one in kind.patterns) + ")")
