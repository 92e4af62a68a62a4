"""The environment variables that a file declares: nothing else of the environment reaches a template."""

from collections.abc import Mapping
from typing import cast

from krea_pipe.nodes import Json
from krea_pipe.spec.problems import Problems
from krea_pipe.spec.secrets import check_secrets

MAX_LENGTH = 10_000


def declared_environment(
    data: Mapping[str, Json], environment: Mapping[str, str], problems: Problems
) -> dict[str, Json]:
    """The values of `env:` by name: from the environment, or the default that the file gives; None is no default."""
    found: dict[str, Json] = {}
    for name, default in cast("dict[str, Json]", data.get("env") or {}).items():
        if name.startswith("KREA_"):
            hint = "keys and settings are not for templates"
            problems.add_key("reserved_name", f"`{name}` can not be declared", ("env", name), hint)
            continue
        value = environment.get(name, default)
        if value is None:
            hint = f"set it, or give a default: `env: {{{name}: autumn}}`"
            problems.add_key("missing_env", f"the environment has no `{name}`", ("env", name), hint)
        elif isinstance(value, str) and len(value) > MAX_LENGTH:
            problems.add_key("too_long", f"the environment's `{name}` is too long", ("env", name))
        found[name] = "" if value is None else value
        check_secrets(value, problems, ("env", name))
    return found
