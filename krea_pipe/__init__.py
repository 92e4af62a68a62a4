"""krea-pipe: declarative image pipelines for Krea 2.

`load`, `plan` and `run` are the command line's flow for other programs; see `krea_pipe.package`.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from krea_pipe.package import KreaPipeError as KreaPipeError
    from krea_pipe.package import load as load
    from krea_pipe.package import plan as plan
    from krea_pipe.package import run as run

__version__ = "0.1.0"


def _late(name: str) -> property:
    """Something of `krea_pipe.package`, which is loaded when it is first asked for."""

    def found(_: ModuleType) -> object:
        return getattr(import_module("krea_pipe.package"), name)

    def kept(_: ModuleType, __: object) -> None:
        """Importing the module `krea_pipe.plan` or `krea_pipe.run` leaves the function of its name in place."""

    return property(found, kept)


class _Package(ModuleType):
    KreaPipeError = _late("KreaPipeError")
    load = _late("load")
    plan = _late("plan")
    run = _late("run")


# A module's own `__getattr__` is not asked for `plan` and `run` once the modules of those names are imported.
sys.modules[__name__].__class__ = _Package
