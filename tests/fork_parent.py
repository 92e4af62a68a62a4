"""What has been done before `forked` forks: all of krea-pipe is imported, and the certificates are read."""

import gc
import ssl
from functools import cache
from importlib import import_module
from pkgutil import walk_packages

import httpx

import krea_pipe

ssl.create_default_context = cache(ssl.create_default_context)
httpx.create_ssl_context()
for module in walk_packages(krea_pipe.__path__, "krea_pipe."):
    if module.name != "krea_pipe.__main__":  # which is the program
        import_module(module.name)
gc.freeze()
