"""What has been done before `forked` forks: krea-pipe is imported, certificates are read, pictures are looked at."""

import gc
import ssl
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import httpx
from plain_pictures import WARM, look_once

import krea_pipe

NOT_IMPORTED = {
    "krea_pipe.__main__",  # the program itself
    "krea_pipe.api.diffusers_pipeline",  # it needs an extra that is not installed here
}

ssl.create_default_context = cache(ssl.create_default_context)
httpx.create_ssl_context()
for module in walk_packages(krea_pipe.__path__, "krea_pipe."):
    if module.name not in NOT_IMPORTED:
        import_module(module.name)
look_once(WARM)
gc.freeze()
