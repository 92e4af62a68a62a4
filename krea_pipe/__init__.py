"""krea-pipe: declarative image pipelines for Krea 2.

`load`, `plan` and `run` are the command line's flow for other programs; see `krea_pipe.app.package`.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from krea_pipe._version import __version__ as __version__

if TYPE_CHECKING:
    from krea_pipe.app.package import KreaPipeError as KreaPipeError
    from krea_pipe.app.package import load as load
    from krea_pipe.app.package import plan as plan
    from krea_pipe.app.package import run as run


def __getattr__(name: str) -> object:
    """Import the Python API when it is first used."""
    if name in ("KreaPipeError", "load", "plan", "run"):
        return getattr(import_module("krea_pipe.app.package"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
