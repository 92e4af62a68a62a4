"""What the process from which `forked` forks has done before: it has imported, and read, what every command needs."""

import gc
import ssl
from functools import cache

import httpx

from krea_pipe.cli import lazy

ssl.create_default_context = cache(ssl.create_default_context)
httpx.create_ssl_context()
for address in [
    *(address for address, _ in lazy.COMMANDS.values()),
    *(value for name, value in vars(lazy).items() if name.isupper() and isinstance(value, str)),
]:
    lazy.load(address)
gc.freeze()
