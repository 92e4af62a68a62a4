"""The name that the shards of a distributed run have in common."""

from collections.abc import Mapping

from krea_pipe.core.errors import Problem, UsageError
from krea_pipe.store.remote.remote import SHARED_NAME

NAME_VARIABLES = ("KREA_PIPE_RUN_NAME", "GITHUB_RUN_ID", "CI_PIPELINE_ID")


def read_run_name(text: str | None, environment: Mapping[str, str]) -> str:
    """Read the name that all shards of a distributed run have in common.

    Args:
        text: the name that the command line gives, if any.
        environment: the variables of a CI.

    Returns:
        The name; "" for none.

    Raises:
        UsageError: it is not a valid name.
    """
    source, name = "--run-name", text
    if name is None:
        source = next((one for one in NAME_VARIABLES if environment.get(one, "").strip()), "")
        name = environment.get(source, "").strip()
    if (text is not None or name) and not SHARED_NAME.fullmatch(name):
        hint = "letters, digits, `.`, `_` and `-`, at most 64"
        raise UsageError(Problem("bad_option", f"{source} {name!r} is not a valid name of a run", hint=hint))
    return name
