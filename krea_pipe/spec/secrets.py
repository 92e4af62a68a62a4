"""Values that look like keys: a pipeline lives in git, and its prompts are sent away."""

import re

from krea_pipe.nodes import Json
from krea_pipe.source import Trail
from krea_pipe.spec.problems import Problems

_SECRET = re.compile(
    r"\bBearer\s+[\w.~+/=-]{16,}"
    r"|\b(?:sk|rk|pk)[-_][A-Za-z0-9_-]{20,}"
    r"|\bgh[pousr]_[A-Za-z0-9]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}:[A-Za-z0-9_-]{16,}"
)


def check_secrets(data: Json, problems: Problems, trail: Trail = ()) -> None:
    """Refuse values that look like keys."""
    if isinstance(data, dict):
        for key, item in data.items():
            check_secrets(item, problems, (*trail, key))
    elif isinstance(data, list):
        for index, item in enumerate(data):
            check_secrets(item, problems, (*trail, index))
    elif isinstance(data, str) and len(data) >= 20 and not data.startswith("data:") and _SECRET.search(data):
        hint = "keys belong in the environment: set KREA_API_KEY; if this file was ever shared, revoke the key"
        problems.add("secret_in_file", "this value looks like a secret key", trail, hint)
        problems.secret = _SECRET
