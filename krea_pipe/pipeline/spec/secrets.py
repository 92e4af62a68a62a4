"""Values that look like keys: a pipeline lives in git, and its prompts are sent away."""

from collections.abc import Iterator
from contextlib import contextmanager

from krea_pipe.core.errors import InvalidInput, UsageError
from krea_pipe.core.json_data import Json
from krea_pipe.core.masking import has_password, is_secret
from krea_pipe.pipeline.source import Trail
from krea_pipe.pipeline.spec.problems import Problems, unrepeating

PASSWORD = "this URL holds a user name or password"
"""As `references` says of images, so that it is said once."""
HINT = "keys belong in the environment: set KREA_API_KEY; if this file was ever shared, revoke the key"


def check_secrets(data: Json, problems: Problems, trail: Trail = (), hint: str = HINT) -> None:
    """Refuse values, and names, that look like keys."""
    if isinstance(data, dict):
        for key, item in data.items():
            if is_secret(key):
                problems.add_secret("this name looks like a secret key", (*trail, key), hint, is_key=True)
            check_secrets(item, problems, (*trail, key), hint)
    elif isinstance(data, list):
        for index, item in enumerate(data):
            check_secrets(item, problems, (*trail, index), hint)
    elif isinstance(data, str) and has_password(data):
        problems.add_secret(PASSWORD, trail, "remove it")
    elif isinstance(data, str) and is_secret(data):
        problems.add_secret("this value looks like a secret key", trail, hint)


@contextmanager
def unrepeated() -> Iterator[None]:
    """Takes what looks like a key out of errors that come before any value could be looked at."""
    try:
        yield
    except (InvalidInput, UsageError) as error:
        problems = [unrepeating(problem) for problem in error.problems]
        if tuple(problems) == error.problems:
            raise
        raise type(error)(*problems) from None
