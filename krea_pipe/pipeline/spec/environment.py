"""The environment variables that a file declares: nothing else of the environment reaches a template."""

from collections.abc import Mapping
from typing import cast

from krea_pipe.core.json_data import Json
from krea_pipe.core.masking import is_secret_name
from krea_pipe.pipeline.spec.problems import Problems
from krea_pipe.pipeline.spec.secrets import check_secrets

MAX_LENGTH = 10_000


def declared_environment(
    data: Mapping[str, Json], environment: Mapping[str, str], problems: Problems
) -> dict[str, Json]:
    """The values of `env:` by name: from the environment, or the default that the file gives; None is no default."""
    found: dict[str, Json] = {}
    for name, default in cast("dict[str, Json]", data.get("env") or {}).items():
        if name.startswith("KREA_"):
            hint = "keys and settings are not for templates"
            problems.add_key("reserved_name", f"`{name}` cannot be declared", ("env", name), hint)
            continue
        if is_secret_name(name):
            hint = "prompts are sent away, so no secret is for them; give a value that is none another name"
            message = f"`{name}` is a name for a secret, and cannot be declared"
            problems.add_key("secret_name", message, ("env", name), hint)
            found[name] = ""
            continue
        value = environment.get(name, default)
        if value is None:
            hint = f"set it, or give a default: `env: {{{name}: autumn}}`"
            problems.add_key("missing_env", f"the environment has no `{name}`", ("env", name), hint)
        elif isinstance(value, str) and len(value) > MAX_LENGTH:
            problems.add_key("too_long", f"the environment's `{name}` is too long", ("env", name))
        found[name] = "" if value is None else value
        if name in environment:
            hint = "it comes from the environment, and prompts are sent away: declare no variable that holds a key"
            check_secrets(value, problems, ("env", name), hint)
    return found
